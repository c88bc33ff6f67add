"""Random numbers for many devices at once, each keyed by what it is for, the device, and what else counts.

As `covey.seeds.generator` for one use, but as one pass over an array: a fleet's devices have no state. The
mixing function is SplitMix64's (Steele, Lea, Flood, OOPSLA 2014, figure 17), keyed by a derived seed.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.seeds import derive

Nodes = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Times = float | Floats

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_BITS: Final = 53


def uniform(seed: int, purpose: str, *keys: NDArray[np.int64] | int) -> Floats:
    """Uniform in [0, 1), float64, one for each row of the keys broadcast together.

    Args:
        seed: The run's.
        purpose: Different purposes give unrelated numbers.
        keys: Device numbers, days, rounds: whatever tells two uses apart.
    """
    mixed = np.asarray(derive(seed, purpose), np.uint64)
    for each in keys:
        mixed = _mixed(np.asarray(each).astype(np.uint64) * _GOLDEN + mixed)
    return np.asarray((mixed >> np.uint64(64 - _BITS)) * 2.0**-_BITS, np.float64)


def normal(seed: int, purpose: str, *keys: NDArray[np.int64] | int) -> Floats:
    """Standard normal, likewise (Box and Muller, 1958)."""
    radius = np.sqrt(-2 * np.log1p(-uniform(seed, f"{purpose}/radius", *keys)))
    return np.asarray(radius * np.cos(2 * np.pi * uniform(seed, f"{purpose}/angle", *keys)), np.float64)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.asarray(state ^ (state >> np.uint64(31)), np.uint64)
