"""How far one unit of privacy can move an integer vector.

A clipped float vector of scaled L2 norm at most Δ is rounded at random to integers, again and again until
its norm is at most D2 (conditional stochastic rounding with β = e^-1/2: Kairouz, Liu, Steinke, ICML 2021,
arXiv:2102.06387).
"""

from dataclasses import dataclass
from math import sqrt

from covey.accounting import checks

MOST_LENGTH = 1 << 30
MOST_SENSITIVITY = 1 << 40


@dataclass(frozen=True)
class Norms:
    """Largest norms of the difference between two neighbours' integer vectors, in integer units.

    Attributes:
        l1: D1.
        l2: D2.
    """

    l1: float
    l2: float


def rounded_norms(sensitivity: float, length: int) -> Norms:
    """D1 and D2 of a vector that was clipped, scaled and rounded as above.

    D2 = min{Δ + √d, √(Δ² + d/4 + √(2 ln(1/β))·(Δ + √d/2))}, where √(2 ln(1/β)) = 1 at β = e^-1/2, and
    D1 = min{√d·D2, D2²}, the second because entries are integers.

    Args:
        sensitivity: Δ, the scaled L2 clip norm over all parts, in integer units.
        length: d, the number of elements.

    Raises:
        InputError: Not 0 < Δ ≤ 2^40, or not 1 ≤ d ≤ 2^30.
    """
    checks.within("sensitivity", sensitivity, 2.0**-20, MOST_SENSITIVITY, hint="usual is 1024, integer units")
    checks.whole("length", length, 1, MOST_LENGTH, hint="the numbers in one answer")
    root = sqrt(length)
    squared = sensitivity**2 + length / 4 + sensitivity + root / 2
    l2 = min(sensitivity + root, sqrt(squared))
    return Norms(l1=min(root * l2, l2**2), l2=l2)
