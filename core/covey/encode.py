"""From named float vectors to one integer vector in the ring, and back from the sum.

An answer consists of parts (update, loss, counts, …), each clipped to its own L2 norm and scaled to
integers by its own factor. The whole vector of one device has an integer L2 norm of at most
Δ = √(Σ_j (s_j C_j)²), which is what noise is later measured against.
"""

from collections.abc import Mapping, Sequence
from math import isqrt, sqrt
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey import ring
from covey.errors import InputError

Vectors = dict[str, NDArray[np.float64]]

FINEST = 1 << 32
"""Largest scale of a part."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One named piece of an answer.

    Attributes:
        name: What it holds.
        length: Number of elements, ≥ 1.
        clip: C, the largest L2 norm that a device's piece may have, in its own units, > 0.
        scale: s, integer units per unit, ≥ 1.
    """

    name: str
    length: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
    clip: Annotated[float, msgspec.Meta(gt=0, le=1e18)]
    scale: Annotated[int, msgspec.Meta(ge=1, le=FINEST)]

    @property
    def bound(self) -> int:
        """The largest integer L2 norm of the encoded piece, s·C rounded down."""
        return int(self.scale * self.clip)


def sensitivity(parts: Sequence[Part]) -> int:
    """Δ in integer units: the largest L2 norm of one device's whole vector, rounded up."""
    squared = sum(part.bound**2 for part in parts)
    return isqrt(squared - 1) + 1 if squared else 0


def fits(parts: Sequence[Part], devices: int) -> bool:
    """Whether the sum over `devices` cannot wrap around: n·Δ < R/2."""
    return devices * sensitivity(parts) < ring.HALF


def scaled(shapes: Mapping[str, tuple[int, float]], devices: int) -> tuple[Part, ...]:
    """Parts with the finest scales at which a sum over `devices` cannot wrap around.

    Args:
        shapes: Length and clip norm by name, in vector order.
        devices: The most devices that will be summed.

    Raises:
        InputError: No integer scale is coarse enough: the clip norms are too large for so many devices.
    """
    room = (ring.HALF - 1) / (devices * sqrt(len(shapes)))
    parts = []
    for name, (length, clip) in shapes.items():
        scale = min(int((room - 1) / clip), FINEST)
        if scale < 1:
            raise InputError(
                f"{name}: a clip norm of {clip:g} over {devices} devices does not fit 32 bits",
                hint="lower update_clip or examples_cap, or ask fewer devices",
            )
        parts.append(Part(name, length, clip, scale))
    return tuple(parts)


def encode(parts: Sequence[Part], values: Mapping[str, NDArray[np.float64]]) -> ring.Ring:
    """One device's vector: per part clip, scale, round; a non-finite answer becomes the zero vector.

    Args:
        parts: The plan's parts.
        values: One float64 vector of the part's length by name.

    Returns:
        uint32, the parts' lengths added up.

    Raises:
        ValueError: A part is missing or has another length (a defect of the caller, not of data).
    """
    if set(values) != {part.name for part in parts}:
        raise ValueError(f"answers {sorted(values)} for parts {[part.name for part in parts]}")
    for part in parts:
        if values[part.name].shape != (part.length,):
            raise ValueError(f"{part.name}: shape {values[part.name].shape}, expected ({part.length},)")
    if not is_finite(values):
        return zero(parts)
    return np.concatenate([ring.wrap(_round(part, values[part.name])) for part in parts])


def is_finite(values: Mapping[str, NDArray[np.float64]]) -> bool:
    """Whether no element is NaN or infinite."""
    return all(bool(np.isfinite(vector).all()) for vector in values.values())


def zero(parts: Sequence[Part]) -> ring.Ring:
    """What a device sends that has nothing to say: nothing visible depends on its data."""
    return np.zeros(sum(part.length for part in parts), np.uint32)


def decode(parts: Sequence[Part], total: ring.Ring) -> Vectors:
    """The sums by part, in each part's units (float64)."""
    sums, start = {}, 0
    for part in parts:
        sums[part.name] = ring.centre(total[start : start + part.length]) / part.scale
        start += part.length
    return sums


def _round(part: Part, value: NDArray[np.float64]) -> NDArray[np.int64]:
    """To the nearest integers, or towards zero where the nearest would leave the integer norm bound."""
    clipped = clip(value, part.clip) * part.scale
    nearest = np.rint(clipped).astype(np.int64)
    return nearest if _norm_within(nearest, part.bound) else _shrunk(clipped, part.bound)


def clip(value: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    """Scale a vector down to the L2 norm `norm` if it is longer; a non-finite one stays as it is."""
    # Through the largest element first: squares of huge values would overflow to infinity.
    largest = float(np.abs(value).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return value
    # numpy's own pairwise sum: BLAS adds in an order that depends on its number of threads.
    length = largest * sqrt(float(np.sum((value / largest) ** 2)))
    return value * (norm / length) if length > norm else value


def _shrunk(clipped: NDArray[np.float64], bound: int) -> NDArray[np.int64]:
    truncated = np.trunc(clipped).astype(np.int64)
    while not _norm_within(truncated, bound):  # a last-bit excess of floating-point scaling
        truncated -= np.sign(truncated)
    return truncated


def _norm_within(values: NDArray[np.int64], bound: int) -> bool:
    """Exact: Python integers, no floating-point or 64-bit overflow."""
    return _squared_norm(values) <= bound * bound


def _squared_norm(values: NDArray[np.int64]) -> int:
    high, low = np.divmod(np.abs(values), 1 << 16)
    return (int(np.dot(high, high)) << 32) + (int(np.dot(high, low)) << 17) + int(np.dot(low, low))
