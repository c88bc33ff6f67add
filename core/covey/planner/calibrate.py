"""The least noise multipliers that keep a whole run within its target.

Kinds of sums that touch the same data add up; for the unit example, held-out examples are others than those
trained on, so `validate` composes with the rest in parallel: the larger ε counts. `health`, which may follow
from any example, adds up with either. For the unit device everything adds up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from covey.accounting import (
    Epsilon,
    Event,
    MatrixGaussian,
    Skellam,
    checks,
    epsilon,
    rho_cap,
    rounded_norms,
)
from covey.accounting.composition import MOST_SUMS
from covey.accounting.events import LEAST_RATE
from covey.errors import InputError
from covey.plan import Unit
from covey.planner.noise import MOST_MULTIPLIER, total_variance

Kind = Literal["train", "statistics", "validate", "calibrate", "health"]

SHARES: Final[Mapping[Unit, Mapping[Kind, float]]] = {
    "device": {"statistics": 0.03, "validate": 0.07, "calibrate": 0.04, "health": 0.2},
    "example": {"statistics": 0.03, "calibrate": 0.04, "health": 0.2},
}
"""Of rho, for kinds that stand beside others in their group; the last of a group takes what remains."""
_LAST: Final[tuple[Kind, ...]] = ("validate", "train")
STEPS_PER_UNIT: Final = 10_000
"""Multipliers have 4 decimals."""
MOST_TARGET: Final = 100.0


@dataclass(frozen=True)
class Query:
    """One kind of sum in a run.

    Attributes:
        kind: What is asked.
        length: d, elements of one vector.
        sums: How many are taken in the run.
        sampling_rate: q of the coin that each device tosses in secret for each example; unit example only.
        bands: Rounds over which the noise of a trusted server is correlated; see `covey.accounting.matrix`.
        separation: A device is asked at most once in so many rounds.
    """

    kind: Kind
    length: int
    sums: int
    sampling_rate: float = 1.0
    bands: int = 1
    separation: int = 1


@dataclass(frozen=True)
class Target:
    """What a run may reveal of one unit of privacy, in the server's view.

    Attributes:
        epsilon: ε.
        delta: δ.
    """

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Allotment:
    """A kind of sum with its noise multiplier z."""

    query: Query
    multiplier: float


Taken = Callable[[Allotment], tuple[Event, int]]
"""All sums of a kind: one mechanism, and how often."""


def groups(unit: Unit, queries: Sequence[Query]) -> tuple[tuple[Query, ...], ...]:
    """Queries whose costs add up; the greatest cost of a group counts.

    `train` stands last in its group, else `validate`: the last takes what the others leave.

    Raises:
        InputError: A query is unusable, or two are of one kind.
    """
    kinds = [query.kind for query in queries]
    if not kinds or len(set(kinds)) != len(kinds):
        raise InputError("a run asks each kind of sum once, and at least one", hint="add up equal kinds")
    for query in queries:
        _check(unit, query)
    ordered = sorted(queries, key=lambda query: _LAST.index(query.kind) if query.kind in _LAST else -1)
    if unit == "device":
        return (tuple(ordered),)
    trained = tuple(query for query in ordered if query.kind != "validate")
    held_out = tuple(query for query in ordered if query.kind in {"validate", "health"})
    apart = held_out if "validate" in kinds else ()
    return tuple(group for group in (trained, apart) if group)


def calibrated(  # noqa: PLR0913 - what a run asks and may cost, and whose noise it is
    unit: Unit,
    queries: Sequence[Query],
    target: Target,
    sensitivity: int,
    shares: Mapping[Kind, float] | None = None,
    *,
    taken: Taken | None = None,
) -> tuple[Allotment, ...]:
    """The least multipliers, in steps of 0.0001, for a target in the server's view.

    All but the last of a group get their share of the largest rho of the target; the last then gets the least
    multiplier that keeps the group's ε.

    Args:
        unit: The unit of privacy.
        queries: What the run asks.
        target: ε and δ of the whole run.
        sensitivity: Δ, integer units.
        shares: Of rho, in the place of those of `SHARES`.
        taken: What all sums of a kind come to; None for what the server's view has of noise from devices.

    Raises:
        InputError: A number is unusable, or no noise is enough.
    """
    of_rho = {**SHARES[unit], **(shares or {})}
    checks.within(
        "epsilon", target.epsilon, 1e-3, MOST_TARGET, hint="usual are 1 to 10; beyond 100 is no promise"
    )
    cap = rho_cap(target.epsilon, target.delta)
    counted = taken or by_devices(sensitivity)
    allotments: dict[Kind, Allotment] = {}
    for group in groups(unit, queries):
        fixed = [_by_share(query, of_rho[query.kind] * cap, counted) for query in group[:-1]]
        last = _by_epsilon(fixed, group[-1], target, counted)
        allotments |= {each.query.kind: each for each in (*fixed, last)}
    return tuple(allotments.values())


def spent(
    unit: Unit, allotments: Sequence[Allotment], delta: float, event: Callable[[Allotment], Event]
) -> Epsilon:
    """The ε of a whole run.

    Args:
        unit: The unit of privacy.
        allotments: Each kind's multiplier.
        delta: δ of the whole run.
        event: One sum, in the view that is asked for.
    """
    of_kind = {allotment.query.kind: allotment for allotment in allotments}
    costs = [
        epsilon([(event(of_kind[query.kind]), query.sums) for query in group], delta)
        for group in groups(unit, [allotment.query for allotment in allotments])
    ]
    return max(costs, key=lambda cost: cost.value)


def guaranteed(sensitivity: int) -> Callable[[Allotment], Event]:
    """One sum with no more than the noise that honest devices guarantee: the server's view."""

    def event(allotment: Allotment) -> Event:
        query = allotment.query
        variance = total_variance(allotment.multiplier, sensitivity)
        return Skellam(sensitivity, query.length, variance, query.sampling_rate)

    return event


def by_devices(sensitivity: int) -> Taken:
    """All sums of a kind, with no more than the noise that honest devices guarantee."""
    event = guaranteed(sensitivity)
    return lambda allotment: (event(allotment), allotment.query.sums)


def by_server(sensitivity: int) -> Taken:
    """All sums of a kind, with noise of a server that is trusted: in the release's view."""

    def taken(allotment: Allotment) -> tuple[Event, int]:
        query, variance = allotment.query, total_variance(allotment.multiplier, sensitivity)
        if query.bands == 1:
            return MatrixGaussian(sensitivity, query.length, variance), query.sums
        return MatrixGaussian(
            sensitivity, query.length, variance, query.bands, query.sums, query.separation
        ), 1

    return taken


def _by_share(query: Query, rho: float, taken: Taken) -> Allotment:
    def fits(multiplier: float) -> bool:
        event, count = taken(Allotment(query, multiplier))
        return min(line.rho + line.xi for line in event.zcdp()) * count <= rho

    return Allotment(query, _least(fits))


def _by_epsilon(fixed: Sequence[Allotment], last: Query, target: Target, taken: Taken) -> Allotment:
    cap = rho_cap(target.epsilon, target.delta)

    def fits(multiplier: float) -> bool:
        counted = [taken(each) for each in (*fixed, Allotment(last, multiplier))]
        found = epsilon(counted, target.delta)
        # A device's budget is the cap in 6 digits: what it is asked must fit that, too.
        in_budget = found.formula == "sampled" or found.zcdp.xi > 0 or found.zcdp.rho <= cap
        return found.value <= target.epsilon and in_budget

    return Allotment(last, _least(fits))


def _least(fits: Callable[[float], bool]) -> float:
    """The least multiplier that fits, by bisection over whole steps: more noise never costs more."""
    low, high = 0, int(MOST_MULTIPLIER) * STEPS_PER_UNIT
    if not fits(high / STEPS_PER_UNIT):
        raise InputError("no noise is enough for this target", hint="raise epsilon, or take fewer sums")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle / STEPS_PER_UNIT) else (middle, high)
    return high / STEPS_PER_UNIT


def _check(unit: Unit, query: Query) -> None:
    checks.whole(
        f"{query.kind}: sums", query.sums, 1, MOST_SUMS, hint="at least 1; leave out a kind never asked"
    )
    rounded_norms(1, query.length)
    rate = query.sampling_rate
    checks.within(f"{query.kind}: sampling_rate", rate, LEAST_RATE, 1.0, hint="a probability, as 0.1")
    if unit == "device" and rate < 1:
        raise InputError(
            "coins for single examples do not sample a device",
            hint="leave out sampling_rate, or take unit example",
        )
