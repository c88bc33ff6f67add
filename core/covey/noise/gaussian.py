"""Gaussian noise of a server that is trusted, alone or correlated over rounds: of simulations.

Devices never add it. A sum of integers stays one: the noise is rounded, which is after the fact. The normal
law is cut off at about 8.5 deviations, and floats are not reals: nothing here is meant for a real fleet.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covey.accounting.matrix import coefficients
from covey.stream import Stream

Vector = NDArray[np.float64]

_UNIT = 2.0**-53


def gaussian(deviation: float, length: int, key: bytes) -> Vector:
    """Independent normal variables, by Box and Muller (Annals of Mathematical Statistics, 1958).

    Args:
        deviation: Of each.
        length: How many.
        key: 32 bytes, used for this draw only: the same key draws the same noise.
    """
    pairs = (length + 1) // 2
    words = Stream(key).words64(2 * pairs) >> np.uint64(11)
    uniform = (words.astype(np.float64) + 0.5) * _UNIT  # never 0
    radius, angle = np.sqrt(-2 * np.log(uniform[:pairs])), 2 * np.pi * uniform[pairs:]
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    found: Vector = deviation * both[:length]
    return found


def correlated(fresh: Vector, earlier: Sequence[Vector], bands: int) -> Vector:
    """A round's noise: n_t = z_t - Σ_{0<j<b} c_j n_{t-j}; see `covey.accounting.matrix`.

    Args:
        fresh: z_t.
        earlier: The rounds' before it, newest first; all of them, or the last b - 1.
        bands: b.
    """
    found = fresh.copy()
    for coefficient, before in zip(coefficients(bands)[1:], earlier, strict=False):
        found -= coefficient * before
    return found
