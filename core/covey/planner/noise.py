"""What each device adds, and what is left of it in either view."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isqrt, sqrt
from typing import Final

from covey.accounting import checks
from covey.errors import InputError
from covey.noise.removal import LARGEST_TOLERANCE, local_shares
from covey.noise.table import LARGEST_VARIANCE
from covey.planner.cohort import Cohort

MOST_MULTIPLIER: Final = 10_000.0
COARSEST: Final = 1 << 6
"""Below this Δ rounding to integers costs more than it saves."""


@dataclass(frozen=True)
class NoiseBudget:
    """The noise of one kind of sum.

    Attributes:
        multiplier: z, the standard deviation that is guaranteed, in sensitivities.
        variance: sigma² = (zΔ)² rounded up: what the honest devices of the smallest sum contribute together,
            per element, integer units squared. The server's view.
        release_variance: The least that is left for who sees only what is released, controls no device, and
            trusts every device to add its noise.
        shares: Variances of the parts that one device draws; with removal the first stays and the others can
            be taken off.
        most: The variance of a sum in which all devices' noise stays.
    """

    multiplier: float
    variance: int
    release_variance: int
    shares: tuple[int, ...]
    most: int


def total_variance(multiplier: float, sensitivity: int) -> int:
    """sigma² = (zΔ)² rounded up; z as the decimal it prints as."""
    return ceil((Fraction(repr(float(multiplier))) * sensitivity) ** 2)


def can_remove(cohort: Cohort) -> bool:
    """Whether noise planned for drop-outs that did not happen can be taken off again."""
    return cohort.tolerance <= LARGEST_TOLERANCE


def noise_for(cohort: Cohort, multiplier: float, sensitivity: int, *, removal: bool) -> NoiseBudget:
    """Each device's share of the noise.

    Args:
        cohort: Who adds noise.
        multiplier: z.
        sensitivity: Δ, integer units.
        removal: Take noise of devices that stayed off again (XNoise, arXiv:2209.12528, corrected).

    Raises:
        InputError: A number is unusable, a device's share is more than its sampler draws, or removal is asked
            for more drop-outs than it can serve.
    """
    checks.within("noise_multiplier", multiplier, 1e-4, MOST_MULTIPLIER, hint="usual are 0.5 to 50")
    variance = total_variance(multiplier, sensitivity)
    if removal and not can_remove(cohort):
        raise InputError(
            f"noise cannot be removed for {cohort.tolerance} drop-outs, at most {LARGEST_TOLERANCE}",
            hint=f"turn removal off, or raise minimum to {cohort.devices - LARGEST_TOLERANCE}",
        )
    shares = _shares(cohort, variance, removal=removal)
    if max(shares) > LARGEST_VARIANCE:
        raise _too_loud(cohort, multiplier, sensitivity)
    return NoiseBudget(
        multiplier=multiplier,
        variance=variance,
        release_variance=_released(cohort, variance, shares, removal=removal),
        shares=shares,
        most=cohort.devices * sum(shares),
    )


def excess(budget: NoiseBudget) -> float:
    """Standard deviation of the noise when nobody drops out and all of it stays, over the guaranteed one."""
    return sqrt(budget.most / budget.variance)


def _shares(cohort: Cohort, variance: int, *, removal: bool) -> tuple[int, ...]:
    return local_shares(
        variance,
        sharing=cohort.devices,
        corrupt=cohort.corrupt,
        minimum=cohort.minimum,
        removal=removal,
    )


def _released(cohort: Cohort, variance: int, shares: tuple[int, ...], *, removal: bool) -> int:
    """With removal D drop-outs leave (n-D)·sigma²/(n-C_max-D), least at D = 0; else the minimum's shares."""
    if removal:
        return variance * cohort.devices // (cohort.devices - cohort.corrupt)
    return cohort.minimum * shares[0]


def _too_loud(cohort: Cohort, multiplier: float, sensitivity: int) -> InputError:
    """One device's share is beyond the sampler; a coarser scale makes it smaller without costing privacy."""
    most = isqrt(LARGEST_VARIANCE * cohort.honest) / multiplier
    fitting = 1 << (int(most).bit_length() - 1) if most >= 1 else 0
    return InputError(
        f"noise multiplier {multiplier:g} at sensitivity {sensitivity} is too loud for one device",
        hint=f"lower sensitivity to {fitting}"
        if COARSEST <= fitting < sensitivity
        else "raise epsilon, take fewer sums, or ask more devices",
    )
