"""Rényi bounds that are straight lines in the order, and what they mean as (ε, δ).

A mechanism is (ξ, rho)-zCDP (Bun and Steinke, TCC 2016, arXiv:1605.02065) if its Rényi
divergence of order a is at most ξ + rho·a. Here only for the integer orders of `ORDERS`: the bounds for
Skellam noise are proved for integers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p

from covey.accounting import checks
from covey.accounting.rounding import SLACK, round_down
from covey.errors import InputError

ORDERS: tuple[int, ...] = (*range(2, 65), 80, 96, 128, 192, 256, 512)
MOST_EPSILON = 1000.0


@dataclass(frozen=True)
class Zcdp:
    """A Rényi divergence of at most ξ + rho·a at every integer order a ≥ 2.

    Attributes:
        rho: What each order costs.
        xi: ξ, what it costs once.
    """

    rho: float
    xi: float = 0.0

    def renyi(self, order: int) -> float:
        """The bound at one order."""
        return self.xi + self.rho * order

    def times(self, count: int) -> "Zcdp":
        """`count` such mechanisms, one after the other."""
        return Zcdp(self.rho * count, self.xi * count)


def added(events: Sequence[Zcdp]) -> Zcdp:
    """Mechanisms one after the other; each may be chosen with the outcomes of those before."""
    return Zcdp(sum(event.rho for event in events), sum(event.xi for event in events))


def from_curve(curve: Sequence[float], delta: float) -> tuple[float, int]:
    """The least ε over `ORDERS`, and the order that gives it.

    ε = min_a [ε(a) + ln(1-1/a) - ln(δa)/(a-1)] (Canonne, Kamath, Steinke, NeurIPS 2020, arXiv:2004.00010,
    Proposition 12), raised by what floating point may have lost.

    Args:
        curve: The Rényi divergence ε(a) at each of `ORDERS`.
        delta: δ.

    Raises:
        InputError: δ is unusable.
    """
    checks.delta(delta)
    if not any(curve):
        return 0.0, ORDERS[-1]  # nothing was released
    value, order = min((renyi - _room(a, delta), a) for renyi, a in zip(curve, ORDERS, strict=True))
    return max(0.0, value + SLACK * (1 + abs(value))), order


def to_epsilon(total: Zcdp, delta: float) -> tuple[float, int]:
    """The least ε over `ORDERS` for a (ξ, rho)-zCDP mechanism, and the order that gives it."""
    return from_curve([total.renyi(a) for a in ORDERS], delta)


def rho_cap(epsilon: float, delta: float, xi: float = 0.0) -> float:
    """The largest rho that stays within (ε, δ) beside a given ξ, rounded down to 6 digits.

    Raises:
        InputError: ε or δ is unusable, or so small that nothing at all may be released.
    """
    checks.within("epsilon", epsilon, 0.0, MOST_EPSILON, hint="usual are 1 to 10")
    checks.delta(delta)
    checks.within("xi", xi, 0.0, MOST_EPSILON)
    largest = max((epsilon - xi + _room(a, delta)) / a for a in ORDERS)
    cap = round_down(largest - SLACK * (1 + abs(largest)), 6)
    if cap <= 0:
        raise InputError(
            f"epsilon {epsilon:g} at delta {delta:g} leaves room for no release at all",
            hint="raise epsilon or delta",
        )
    return cap


def _room(order: int, delta: float) -> float:
    """What the conversion at one order subtracts from ε(a); negative when it adds."""
    return log(delta * order) / (order - 1) - log1p(-1 / order)
