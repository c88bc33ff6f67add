"""How the budget burned down: ε after each sum, added up one by one."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from covey.accounting import ORDERS, Event, Zcdp
from covey.accounting.zcdp import from_curve, to_epsilon
from covey.spending import Side
from covey_audit.audited import Point
from covey_audit.auditing.composing import Mechanism
from covey_audit.auditing.reserves import Reserved

POINTS = 400
"""Of a burn-down, at most."""


def burn_down(sums: Sequence[Mechanism], delta: float, last: float) -> Iterator[Point]:
    """ε after each sum, or after every so many where there are more than `POINTS`.

    Costs are added one by one: both straight lines and, once a sum is sampled, the whole Rényi curve.

    Args:
        sums: In order.
        delta: δ.
        last: ε of all of them.
    """
    step = -(-len(sums) // POINTS)
    totals = {side: _Total() for side in get_args(Side)}
    done: dict[tuple[str, int, Side], Event] = {}
    for number, each in enumerate(sums, start=1):
        sum_ = each.reserved
        for side in sum_.asked.touches:
            before = done.get((*sum_.key, side))
            if before is None or each.event.renyi(2) > before.renyi(2):
                totals[side].add(each.event, before)
                done[*sum_.key, side] = each.event
        if number == len(sums):
            yield _point(sum_, last)
        elif number % step == 0:
            yield _point(sum_, min(last, max(total.epsilon(delta) for total in totals.values())))


class _Total:
    """What has been added up so far, by formula A, by formula B, and at each order."""

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] = np.zeros(4)
        self._curve: NDArray[np.float64] = np.zeros(len(ORDERS))
        self._sampled = False

    def add(self, made: Event, instead_of: Event | None) -> None:
        """One more mechanism, or a costlier one in the place of another."""
        self._sampled |= made.sampling_rate < 1
        self._sums = self._sums + _lines(made)
        self._curve = self._curve + _curve(made)
        if instead_of is not None:
            self._sums = self._sums - _lines(instead_of)
            self._curve = self._curve - _curve(instead_of)

    def epsilon(self, delta: float) -> float:
        """The least ε that follows."""
        first, second = Zcdp(*self._sums[:2].tolist()), Zcdp(*self._sums[2:].tolist())
        whole = min(to_epsilon(first, delta)[0], to_epsilon(second, delta)[0])
        return min(whole, from_curve(self._curve.tolist(), delta)[0]) if self._sampled else whole


@lru_cache(maxsize=1 << 12)  # a pure function, as above
def _lines(made: Event) -> NDArray[np.float64]:
    """Shape (4,): rho and ξ by formula A, then by formula B."""
    first, second = made.zcdp()
    return np.array([first.rho, first.xi, second.rho, second.xi])


@lru_cache(maxsize=1 << 12)  # a pure function, as above
def _curve(made: Event) -> NDArray[np.float64]:
    """Shape (70,): the Rényi divergence at each of `ORDERS`; zeros where nothing is sampled.

    Sums without sampling are added as straight lines; the curve is only needed beside sampled ones.
    """
    return np.array([made.renyi(order) for order in ORDERS])


def _point(sum_: Reserved, value: float) -> Point:
    return Point(sum_.index, sum_.plan.run, sum_.plan.round, sum_.kind, value)
