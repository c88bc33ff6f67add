"""What all permitted answers together would cost by their noise multipliers alone.

A closed form of Gaussian sums, for people who weigh a policy before anything is asked: z multiplies the norm
of a row, so one answer is (1/(2z²))-zCDP (Bun and Steinke, TCC 2016, arXiv:1605.02065, Proposition 1.6).
Devices count the Skellam noise and the rounding of each plan as well, which costs a little more: a device's
own figure is the one that holds, this one says about how large it will be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from covey.accounting.sampling import amplified
from covey.accounting.zcdp import ORDERS, Zcdp, from_curve
from covey.policy.terms import MOST_ANSWERS, Policy, Query, QueryKind, exact

Curve = tuple[float, ...]
"""The Rényi divergence of one answer at each of `ORDERS`."""


@dataclass(frozen=True)
class Worst:
    """ε at the policy's δ, for one unit of privacy, in the server's view.

    Attributes:
        together: Of all permitted answers, in whatever mixture costs most; 0 if none is permitted.
        one: Of one answer, by kind.
        alone: Of all answers of a kind, if nothing else were asked.
        affordable: How many answers of a kind the cap leaves room for, if nothing else were asked.
    """

    together: float
    one: Mapping[QueryKind, float]
    alone: Mapping[QueryKind, float]
    affordable: Mapping[QueryKind, int]


def worst(policy: Policy) -> Worst:
    """What a policy's answers cost at most, as far as multipliers tell."""
    delta, cap = float(exact(policy.budget.delta)), float(exact(policy.budget.epsilon))
    most = policy.budget.answers
    curves = {kind: _curve(kind, query) for kind, query in policy.queries.items()}
    permitted = {kind: min(query.answers, most) for kind, query in policy.queries.items()}
    return Worst(
        together=max((_together(group, policy, curves, delta) for group in groups(policy)), default=0.0),
        one={kind: _epsilon(curve, 1, delta) for kind, curve in curves.items()},
        alone={kind: _epsilon(curve, permitted[kind], delta) for kind, curve in curves.items()},
        affordable={kind: _affordable(curve, delta, cap) for kind, curve in curves.items()},
    )


def groups(policy: Policy) -> tuple[tuple[QueryKind, ...], ...]:
    """Kinds whose costs add up; of several groups the costliest counts.

    For unit example, validation uses other examples than everything else, and health may follow from any
    (`covey.spending`); for unit device all kinds touch the same device.
    """
    kinds = tuple(policy.queries)
    if policy.budget.unit == "device":
        return (kinds,) if kinds else ()
    rest = tuple(kind for kind in kinds if kind != "validate")
    apart = tuple(kind for kind in kinds if kind in {"validate", "health"}) if "validate" in kinds else ()
    return tuple(group for group in (rest, apart) if group)


def _curve(kind: QueryKind, query: Query) -> Curve:
    line = Zcdp(1 / (2 * float(exact(query.noise_multiplier)) ** 2))
    # Coins are tossed in training only: no other question has a rate.
    rate = float(exact(query.sampling_rate)) if kind == "train" else 1.0
    return tuple(amplified(rate, order, (line,)) for order in ORDERS)


def _together(
    group: Iterable[QueryKind], policy: Policy, curves: Mapping[QueryKind, Curve], delta: float
) -> float:
    """Order by order the costliest mixture, which no one mixture exceeds."""
    curve = []
    for place in range(len(ORDERS)):
        room, cost = policy.budget.answers, 0.0
        for each in sorted(group, key=lambda kind: curves[kind][place], reverse=True):
            taken = min(room, policy.queries[each].answers)
            room, cost = room - taken, cost + taken * curves[each][place]
        curve.append(cost)
    return from_curve(curve, delta)[0]


def _epsilon(curve: Curve, count: int, delta: float) -> float:
    return from_curve([count * each for each in curve], delta)[0]


def _affordable(curve: Curve, delta: float, cap: float) -> int:
    """The most answers that stay within the cap, by bisection: more never cost less."""
    low, high = 0, MOST_ANSWERS + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _epsilon(curve, middle, delta) <= cap else (low, middle)
    return low
