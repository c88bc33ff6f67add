"""Many private sums to one ε.

Without sampling each sum counts as (ξ, rho)-zCDP by one formula for the whole run, A or B, and the smaller ε
is taken: the same addition a device does against its budget. Where any sum is sampled the Rényi curves add
up instead, and the unsampled figure still holds where it is smaller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from covey.accounting import checks
from covey.accounting.events import Event
from covey.accounting.zcdp import ORDERS, Zcdp, added, from_curve, to_epsilon

MOST_SUMS = 1 << 40
Formula = Literal["A", "B", "sampled"]


@dataclass(frozen=True)
class Epsilon:
    """A claim: (value, delta)-DP for the unit of privacy and the neighbours the events were made for.

    Attributes:
        value: ε, never less than the formula's exact value; use `round_up` to print it.
        delta: δ.
        order: The Rényi order that gave it.
        zcdp: rho and ξ of all sums without sampling, by the formula used (by the better one if sampled).
        formula: "A" or "B" of the unsampled bounds, or "sampled".
    """

    value: float
    delta: float
    order: int
    zcdp: Zcdp
    formula: Formula


def epsilon(events: Sequence[Event | tuple[Event, int]], delta: float) -> Epsilon:
    """The ε of a whole run at a given δ.

    Args:
        events: The sums, each alone or with the number of times it was taken.
        delta: δ of the whole run.

    Raises:
        InputError: δ or a count is unusable.
    """
    counted = [_counted(event) for event in events]
    found = min(_unsampled(counted, delta), key=lambda each: each.value)
    if all(event.sampling_rate == 1 for event, _ in counted):
        return found
    value, order = from_curve(_curve(counted), delta)
    return Epsilon(value, delta, order, found.zcdp, "sampled") if value < found.value else found


def multiplier_equivalent(event: Event) -> float:
    """z_eq: the noise multiplier of a Gaussian sum whose Rényi divergence is nowhere below this one's.

    z_eq = 1/√(2(rho + ξ/2)), since ξ + rho·a ≤ (rho + ξ/2)·a from order 2 on. Sampling is left out: a library
    that is given z_eq is given the rate as well.
    """
    return 1 / sqrt(2 * min(line.rho + line.xi / 2 for line in event.zcdp()))


def _counted(event: Event | tuple[Event, int]) -> tuple[Event, int]:
    pair = event if isinstance(event, tuple) else (event, 1)
    checks.whole("number of sums", pair[1], 0, MOST_SUMS)
    return pair


def _unsampled(counted: Sequence[tuple[Event, int]], delta: float) -> tuple[Epsilon, Epsilon]:
    """By formula A and by formula B throughout."""
    first = added([event.zcdp()[0].times(count) for event, count in counted])
    second = added([event.zcdp()[1].times(count) for event, count in counted])
    return (
        Epsilon(*_value_first(first, delta), first, "A"),
        Epsilon(*_value_first(second, delta), second, "B"),
    )


def _value_first(total: Zcdp, delta: float) -> tuple[float, float, int]:
    value, order = to_epsilon(total, delta)
    return value, delta, order


def _curve(counted: Sequence[tuple[Event, int]]) -> list[float]:
    """The Rényi divergence of all sums at each of `ORDERS`."""
    return [sum(count * event.renyi(order) for event, count in counted) for order in ORDERS]
