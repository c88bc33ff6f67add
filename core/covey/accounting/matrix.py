"""Gaussian noise that the server adds, independent from round to round or correlated: DP-FTRL.

A model is a sum of all rounds' updates, so what counts is the noise in sums over rounds. Noise that takes
part of the earlier rounds' back leaves less of it there. With a lower-triangular matrix C, the rounds' sums x
and independent Gaussians z, what is released is C x + z, and from it x + C⁻¹ z, whose second term is the
correlated noise (Denisov et al., NeurIPS 2022, arXiv:2202.08312: this holds for sums that are chosen with
what was released before). Here C is Toeplitz and has b bands (Choquette-Choo et al., NeurIPS 2023,
arXiv:2306.08153): a round's noise depends on the b - 1 before it. Its coefficients are those of the square
root of the matrix that sums up, cut off after b (Kalinin, Lampert, NeurIPS 2024, arXiv:2405.13763):

    c_0 = 1,   c_j = c_{j-1} (2j - 1) / (2j)

A device that takes part at most once in s ≥ b rounds (arXiv:2306.08153: min-separation) has columns of C that
do not overlap, so that over T rounds it moves C x by at most √(⌈T/s⌉ Σ_j c_j²) times the largest norm of its
rows. For b = 1 that is the Gaussian mechanism, once for each time that a device takes part.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from covey.accounting import checks
from covey.accounting.norms import Norms, rounded_norms
from covey.accounting.zcdp import Zcdp
from covey.errors import InputError

MOST_STEPS = 1 << 30
MOST_VARIANCE = 1 << 100


@lru_cache(maxsize=16)  # a pure function
def coefficients(bands: int) -> tuple[float, ...]:
    """c_0 to c_{b-1}.

    Args:
        bands: b ≥ 1.
    """
    found = [1.0]
    for j in range(1, bands):
        found.append(found[-1] * (2 * j - 1) / (2 * j))
    return tuple(found)


def participations(steps: int, separation: int) -> int:
    """⌈T/s⌉, how often a device takes part at most."""
    return -(-steps // separation)


def squared_sensitivity(bands: int, steps: int, separation: int, repeats: int = 0) -> float:
    """The most that a device moves C x, squared, when each of its rows has a norm of at most 1.

    Args:
        bands: b.
        steps: T, rounds.
        separation: s ≥ b, in so many consecutive rounds a device takes part at most once.
        repeats: Rounds that were asked again after a crash, with fresh noise over the same earlier ones. Each
            is one more row of C, in which a device has one coefficient, of at most c_0 = 1.

    Raises:
        InputError: s < b, or a number is unusable.
    """
    checks.whole("bands", bands, 1, MOST_STEPS)
    checks.whole("steps", steps, 0, MOST_STEPS)
    checks.whole("repeats", repeats, 0, MOST_STEPS)
    if separation < bands:
        raise InputError(
            f"a device may be asked every {separation} rounds, and noise is correlated over {bands}",
            hint=f"lower noise_bands to {separation}, or ask each device less often",
        )
    column = sum(each**2 for each in coefficients(min(bands, steps)))
    return participations(steps, separation) * column + repeats


def inverse(bands: int, steps: int) -> NDArray[np.float64]:
    """The first column of C⁻¹: how much of a round's fresh noise is in its own and in each later one's.

    Args:
        bands: b.
        steps: How many.
    """
    own = coefficients(bands)
    found = np.zeros(steps)
    for step in range(steps):
        earlier = sum(own[j] * found[step - j] for j in range(1, min(bands, step + 1)))
        found[step] = (1.0 if step == 0 else 0.0) - earlier
    return found


@dataclass(frozen=True)
class MatrixGaussian:
    """Rounds whose sums the server adds Gaussian noise to; one event for all that share correlated noise.

    Rounding the noise to integers changes nothing: it is done after it was added to integers.

    Attributes:
        sensitivity: Δ, the largest scaled L2 norm that one unit of privacy contributes to one sum, integer
            units.
        length: d, elements of the vector.
        variance: Of each element of the fresh noise z of a round, integer units squared.
        bands: b.
        steps: T, rounds.
        separation: s.
        repeats: Rounds asked again.
    """

    sensitivity: float
    length: int
    variance: int
    bands: int = 1
    steps: int = 1
    separation: int = 1
    repeats: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no sum can have."""
        rounded_norms(self.sensitivity, self.length)
        checks.whole("variance", self.variance, 1, MOST_VARIANCE)
        squared_sensitivity(self.bands, self.steps, self.separation, self.repeats)

    @property
    def sampling_rate(self) -> float:
        """Nothing is sampled."""
        return 1.0

    @property
    def norms(self) -> Norms:
        """D1 and D2 of one row after rounding."""
        return rounded_norms(self.sensitivity, self.length)

    def bounds(self) -> tuple[Zcdp, ...]:
        """The Rényi divergence of Gaussians at a distance: a straight line, exactly."""
        moved = squared_sensitivity(self.bands, self.steps, self.separation, self.repeats)
        return (Zcdp(moved * self.norms.l2**2 / (2 * self.variance)),)

    def zcdp(self) -> tuple[Zcdp, Zcdp]:
        """The same by both of the formulas that other mechanisms have."""
        (line,) = self.bounds()
        return line, line

    def renyi(self, order: int) -> float:
        """The Rényi divergence at an order."""
        return self.bounds()[0].renyi(order)
