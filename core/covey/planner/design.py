"""Everything that the plans of one run need, from a fleet, its queries and a privacy target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from covey.accounting import Epsilon, Event, Skellam, added_by_sampler, checks
from covey.accounting.norms import MOST_LENGTH
from covey.errors import InputError
from covey.plan import Unit
from covey.planner.calibrate import (
    Allotment,
    Kind,
    Query,
    Target,
    calibrated,
    groups,
    guaranteed,
    spent,
)
from covey.planner.cohort import Assumptions, Cohort, cohort_for
from covey.planner.noise import NoiseBudget, can_remove, noise_for
from covey.planner.wire import Traffic, bits_for, traffic

SENSITIVITY = 1 << 10
LARGEST_SENSITIVITY = 1 << 30
SAMPLER_TV = 2.0**-108
"""Bound of `covey.noise.table.Table.tv` for every variance that a table is built for."""


@dataclass(frozen=True)
class Run:
    """What a run asks, of whom, and what it may reveal.

    Attributes:
        assumptions: Of the cohort.
        queries: Each kind of sum and how often it is taken.
        unit: What the promise is about: a device's whole contribution, or one example.
        delta: δ of the whole run.
        epsilon: Target ε in the server's view; None if multipliers are given.
        multipliers: z for every kind; None to find the least that keep the target.
        examples: The most training examples that one device uses; unit example only.
        sensitivity: Δ, the scaled L2 norm of one unit's contribution, integer units.
        removal: Take off noise of devices that stayed; None for wherever it can be done.
    """

    assumptions: Assumptions
    queries: Sequence[Query]
    unit: Unit = "device"
    delta: float = 1e-5
    epsilon: float | None = None
    multipliers: Mapping[Kind, float] | None = None
    examples: int = 1
    sensitivity: int = SENSITIVITY
    removal: bool | None = None


@dataclass(frozen=True)
class Design:
    """What follows.

    Attributes:
        run: What it was made for.
        cohort: Minimum, threshold, honest devices.
        removal: Whether noise is taken off.
        allotments: Each kind's noise multiplier.
        noise: Each kind's noise, per element.
        bits: Each kind's modulus, 2^bits.
        traffic: About what one device sends and receives for one sum of each kind.
        server: The claim against the server and C_max devices with it.
        release: The claim against an outsider who sees only what is released and controls no device, if every
            device adds its noise. No amplification by the choice of devices: cohorts are no secret Poisson
            sample.
        sampler_delta: What the noise tables add to δ, in the server's view.
    """

    run: Run
    cohort: Cohort
    removal: bool
    allotments: tuple[Allotment, ...]
    noise: Mapping[Kind, NoiseBudget]
    bits: Mapping[Kind, int]
    traffic: Mapping[Kind, Traffic]
    server: Epsilon
    release: Epsilon
    sampler_delta: float

    @property
    def multipliers(self) -> dict[Kind, float]:
        """The noise multiplier z of each kind."""
        return {allotment.query.kind: allotment.multiplier for allotment in self.allotments}


def design(run: Run) -> Design:
    """All numbers of a run.

    Raises:
        InputError: The run cannot be private, or cannot be done; the hint names the number to change.
    """
    _check(run)
    cohort = cohort_for(run.assumptions)
    removal = can_remove(cohort) if run.removal is None else run.removal
    allotments = _allotments(run)
    noise = {
        each.query.kind: noise_for(cohort, each.multiplier, run.sensitivity, removal=removal)
        for each in allotments
    }
    bits = {each.query.kind: _bits(run, cohort, each.query, noise[each.query.kind]) for each in allotments}
    server = spent(run.unit, allotments, run.delta, guaranteed(run.sensitivity))
    return Design(
        run=run,
        cohort=cohort,
        removal=removal,
        allotments=allotments,
        noise=noise,
        bits=bits,
        traffic={
            each.query.kind: traffic(cohort, each.query.length, bits[each.query.kind], removal=removal)
            for each in allotments
        },
        server=server,
        release=spent(run.unit, allotments, run.delta, _as_released(run.sensitivity, noise)),
        sampler_delta=_sampler_delta(cohort, run.queries, noise, server),
    )


def _check(run: Run) -> None:
    checks.delta(run.delta)
    checks.whole(
        "sensitivity", run.sensitivity, 1, LARGEST_SENSITIVITY, hint="usual is 1024, in integer units"
    )
    checks.whole("examples", run.examples, 1, MOST_LENGTH, hint="the most examples that one device uses")
    if (run.epsilon is None) == (run.multipliers is None):
        raise InputError("a run has either a target or noise multipliers", hint="give one of the two")
    if run.unit == "device" and run.examples != 1:
        raise InputError(
            "for unit device a device counts once", hint="leave out examples, or take unit example"
        )


def _allotments(run: Run) -> tuple[Allotment, ...]:
    if run.epsilon is not None:
        return calibrated(run.unit, run.queries, Target(run.epsilon, run.delta), run.sensitivity)
    given = run.multipliers or {}
    asked = list(dict.fromkeys(query for group in groups(run.unit, run.queries) for query in group))
    if missing := [query.kind for query in asked if query.kind not in given]:
        raise InputError(f"no noise multiplier for {', '.join(missing)}", hint="give one for every kind")
    return tuple(Allotment(query, given[query.kind]) for query in asked)


def _bits(run: Run, cohort: Cohort, query: Query, noise: NoiseBudget) -> int:
    return bits_for(cohort.devices * run.examples, run.sensitivity, query.length, noise.most)


def _as_released(sensitivity: int, noise: Mapping[Kind, NoiseBudget]) -> Callable[[Allotment], Event]:
    """One sum as an outsider sees it."""

    def event(allotment: Allotment) -> Event:
        query = allotment.query
        variance = noise[query.kind].release_variance
        return Skellam(sensitivity, query.length, variance, query.sampling_rate)

    return event


def _sampler_delta(
    cohort: Cohort, queries: Sequence[Query], noise: Mapping[Kind, NoiseBudget], server: Epsilon
) -> float:
    """Every draw of every device counts, in every part of its noise."""
    return sum(
        added_by_sampler(
            server.value,
            contributors=cohort.devices * len(noise[query.kind].shares),
            length=query.length,
            rounds=query.sums,
            tv=SAMPLER_TV,
        )
        for query in queries
    )
