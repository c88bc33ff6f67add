"""What can be said of a share from a count: exact intervals, with room for noise on the count.

Clopper and Pearson (Biometrika 26, 1934): the lower end for k of n is the share at which k or more are just
likely enough to be no surprise, the upper end the one at which k or fewer are. They keep their promise for
every n, which approximations do not for the handful of devices of a first ring. The tail of a binomial is an
incomplete beta function (DLMF 8.17.5), computed by its continued fraction (DLMF 8.17.22).

A noisy count is first widened to the true counts that it may stand for; half of the error allowed is spent on
that, half on the share. The noise counts as normal, which a sum's Skellam noise is to within what matters
here.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

_STEPS: Final = 50
"""Halvings of [0, 1]: to within 1e-15."""
_TERMS: Final = 20_000
_NEGLIGIBLE: Final = 1e-14
_TINY: Final = 1e-300
_ROUNDING: Final = 1e-9
"""A sum of floats that should be whole may be off by this."""


@dataclass(frozen=True)
class Interval:
    """Between these a share lies; each end by itself errs with the probability that was allowed.

    Attributes:
        low: In [0, 1].
        high: In [0, 1].
    """

    low: float
    high: float

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.low:.1%} to {self.high:.1%}"


def share_interval(least: float, most: float, total: int, deviation: float, error: float) -> Interval:
    """Where the share behind a count lies.

    Args:
        least: The smallest that the count can be, as observed with noise.
        most: The largest that it can be, likewise; the same where nothing is unknown but the noise.
        total: Of how many.
        deviation: Standard deviation of the noise on either; 0 for none.
        error: Allowed probability that the share is below the lower end, and that it is above the upper one.
    """
    if total == 0:
        return Interval(0.0, 1.0)
    room, left = (normal_bound(error / 2) * deviation, error / 2) if deviation > 0 else (0.0, error)
    fewest = min(max(math.ceil(least - room - _ROUNDING), 0), total)
    largest = min(max(math.floor(most + room + _ROUNDING), 0), total)
    return Interval(lower_end(fewest, total, left), upper_end(largest, total, left))


def normal_bound(error: float) -> float:
    """How many standard deviations a normal value exceeds with this probability."""
    return NormalDist().inv_cdf(1 - error)


def lower_end(count: int, total: int, error: float) -> float:
    """The share at which `count` or more of `total` have probability `error`; 0 for no count."""
    return 0.0 if count == 0 else _where_tail_is(count, total, error)


def upper_end(count: int, total: int, error: float) -> float:
    """The share at which `count` or fewer of `total` have probability `error`; 1 if all count."""
    return 1.0 if count == total else _where_tail_is(count + 1, total, 1 - error)


def tail(count: int, total: int, share: float) -> float:
    """Probability of `count` or more successes, 1 <= count <= total, in as many trials at this share."""
    return _incomplete_beta(share, count, total - count + 1)


def _where_tail_is(count: int, total: int, wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(count, total, middle) < wanted else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), regularised."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction of the mirrored one converges fast
        return 1 - _incomplete_beta(1 - x, b, a)
    logarithm = a * math.log(x) + b * math.log1p(-x) - math.log(a)
    logarithm += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(logarithm) / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + …)) of DLMF 8.17.22, from its front (Lentz)."""
    value = upper = 1.0
    lower = 0.0
    for place in range(1, _TERMS):
        term = _term(place, x, a, b)
        lower = 1 / _apart(1 + term * lower)
        upper = _apart(1 + term / upper)
        value *= upper * lower
        if abs(upper * lower - 1) < _NEGLIGIBLE:
            break
    return value


def _term(place: int, x: float, a: float, b: float) -> float:
    half, odd = divmod(place, 2)
    if odd:
        return -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
    return half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))


def _apart(value: float) -> float:
    """The value, kept away from zero."""
    return value if abs(value) > _TINY else _TINY
