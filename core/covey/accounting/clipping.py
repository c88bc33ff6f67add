"""Adaptive clipping: one noise budget for an update and the bit that says whether it was clipped.

Each device adds a coordinate of ±w/2, the sign telling whether its update was clipped (Andrew, Thakkar,
McMahan, Ramaswamy, NeurIPS 2021, arXiv:1905.03871, Theorem 1). Weighted by w the bit needs noise of the same
scale as the update, so both are one vector with one sensitivity: one event, not two.
"""

from dataclasses import dataclass
from math import hypot

from covey.accounting import checks
from covey.errors import InputError

_LEAST, _MOST = 1e-6, 1e6


@dataclass(frozen=True)
class AdaptiveClipping:
    """How a noise multiplier z is split.

    Attributes:
        update_multiplier: z_Δ; the update's noise has standard deviation z_Δ·C.
        weight: w; the bit is sent as ±w/2, in the update's units.
        sensitivity: √(C² + (w/2)²), in the update's units; z times this is z_Δ·C.
    """

    update_multiplier: float
    weight: float
    sensitivity: float


def adaptive_clipping(multiplier: float, count_deviation: float, clip: float) -> AdaptiveClipping:
    """The split for a total noise multiplier z, bits known to within sigma_b, and clip norm C.

    z_Δ = (z^-2 - (2·sigma_b)^-2)^-1/2 and w = z_Δ·C/sigma_b.

    Args:
        multiplier: z, what the joint event is accounted with.
        count_deviation: sigma_b, the standard deviation wanted on the count of clipped devices (bits ±1/2).
        clip: C, the update's L2 clip norm.

    Raises:
        InputError: 2·sigma_b ≤ z: the bits alone would cost more than z allows.
    """
    for name, value in (("multiplier", multiplier), ("count_deviation", count_deviation), ("clip", clip)):
        checks.within(name, value, _LEAST, _MOST)
    if 2 * count_deviation <= multiplier:
        raise InputError(
            f"counting clipped devices to within {count_deviation:g} takes all of multiplier {multiplier:g}",
            hint=f"raise count_deviation above {multiplier / 2:g}",
        )
    update = (multiplier**-2 - (2 * count_deviation) ** -2) ** -0.5
    weight = update * clip / count_deviation
    return AdaptiveClipping(update, weight, hypot(clip, weight / 2))
