"""How far a network's values reach, from histograms: what devices count and what a server reads from the sum.

A quantiser needs the smallest and the largest value of each tensor. A maximum cannot be summed; a histogram
can: each example counts once per tensor and side, in the bin of its largest value and in the bin of its
largest negative value, and the sum of such rows over a fleet, with noise, tells how far the values reach.

    bin 0               values up to `scale` / 64, zero among them
    bin 1 … BINS - 2    each a third of an octave wide (a factor of 1.26)
    bin BINS - 1        everything beyond 16 `scale`, and what is not a number

`scale` is public, one per tensor: it comes from public probes (`covey_models.observing.public_scales`).
"""

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 32
SIDES: Final = 2
"""Upwards, then downwards."""
BINS_PER_OCTAVE: Final = 3
OCTAVES_BELOW: Final = 6
"""Bin 0 ends so far below the scale."""
SURE: Final = 4.5
"""Deviations above zero at which cells hold examples: among all cells of 10 tensors, noise alone gets there
once in some hundred histograms."""
LIKELY: Final = 2.0
"""The same beside cells that surely hold examples. Noise gets there often; a bin too many costs little."""
WIDEST: Final = 4
"""So many neighbouring cells together may tell what none of them tells alone."""
ONE: Final = 0.5
"""Of counts without noise: above it there was an example."""

Row = NDArray[np.float64]
Range = tuple[float, float]


def length(points: int) -> int:
    """Numbers in one row."""
    return points * SIDES * BINS


def norm(points: int) -> float:
    """L2 norm of every row, whatever the values are: what noise has to be scaled to."""
    return sqrt(SIDES * points)


def edges(scale: float) -> Row:
    """Upper ends of all bins but the last, shape (BINS - 1,), in the tensor's units."""
    octaves: Row = np.arange(BINS - 1) / BINS_PER_OCTAVE - OCTAVES_BELOW
    return scale * np.exp2(octaves)


def bins(values: NDArray[Any], scale: float) -> NDArray[np.int64]:
    """The bin of each value >= 0; what is not a number is in the last.

    Args:
        values: Any shape.
        scale: Above zero, in the values' units.
    """
    return np.searchsorted(edges(scale), np.asarray(values, np.float64), side="left").astype(np.int64)


def rows(values: Sequence[NDArray[Any]], scales: Sequence[float]) -> Row:
    """What each example adds to the sum: zeros and ones, exactly one 1 for each tensor and side.

    Args:
        values: One array per tensor, shape (n, …), as `observing.observe` or `observing.extremes` give.
        scales: One per tensor.

    Returns:
        Shape (n, length(len(scales))), ordered by tensor, side, bin. Each row has the L2 norm `norm`.

    Raises:
        ValueError: Arrays of unequal n, or without values.
    """
    count = len(values[0])
    found = np.zeros((count, len(scales), SIDES, BINS))
    for tensor, (array, scale) in enumerate(zip(values, scales, strict=True)):
        if len(array) != count:
            raise ValueError(f"{len(array)} examples at one point and {count} at another")
        flat = np.asarray(array, np.float64).reshape(count, prod(array.shape[1:]))
        for side, sign in enumerate((1.0, -1.0)):
            reached = np.maximum((sign * flat).max(1), 0.0)
            found[np.arange(count), tensor, side, bins(reached, scale)] = 1.0
    return found.reshape(count, length(len(scales)))


def counts(total: NDArray[Any], points: int) -> Row:
    """A sum of rows as a histogram per tensor and side, shape (points, 2, BINS)."""
    return np.asarray(total, np.float64).reshape(points, SIDES, BINS)


def read(
    histograms: NDArray[Any], scales: Sequence[float], deviation: float, examples: float
) -> tuple[Range, ...]:
    """The smallest and largest value of each tensor, from noisy histograms; rather too wide than too narrow.

    A side reaches to the upper end of the last bin that surely holds examples, and on over neighbours that
    likely do. Examples that hide in the noise are left out: their largest values will be cut off. A side
    that is `lost` reaches to its public scale.

    Args:
        histograms: Shape (points, 2, BINS), as `counts` gives; noise may have made them negative.
        scales: One per tensor, as the devices had them.
        deviation: Of the noise in each cell, in examples; 0 for none.
        examples: How many were counted, or an estimate.

    Returns:
        (low, high) per tensor, low < 0 < high, finite.

    Raises:
        ValueError: Shapes that do not fit, or a deviation below zero.
    """
    cells = _checked(histograms, scales, deviation)
    drowned = lost(cells, deviation, examples)
    found = list[Range]()
    for scale, sides, gone in zip(scales, cells, drowned, strict=True):
        up, down = (
            float(scale) if nothing else _reach(side, scale, deviation)
            for side, nothing in zip(sides, gone, strict=True)
        )
        found.append((-down, up))
    return tuple(found)


def lost(histograms: NDArray[Any], deviation: float, examples: float) -> NDArray[np.bool_]:
    """Sides of which noise leaves nothing to read, shape (points, 2); say so beside ranges that are used."""
    few = examples <= max(SURE * deviation, ONE)
    cells = np.asarray(histograms, np.float64)
    return np.array([[few or _last_sure(side, deviation) is None for side in sides] for sides in cells])


def _checked(histograms: NDArray[Any], scales: Sequence[float], deviation: float) -> Row:
    cells = np.asarray(histograms, np.float64)
    if cells.shape != (len(scales), SIDES, BINS):
        raise ValueError(f"histograms of shape {cells.shape} for {len(scales)} tensors")
    if not deviation >= 0:
        raise ValueError(f"a deviation of {deviation}")
    return cells


def _reach(cells: Row, scale: float, deviation: float) -> float:
    """The upper end of the last bin in which there likely are examples."""
    last = _last_sure(cells, deviation) or 0
    while last < BINS - 1 and _likely(cells[last + 1 : last + 3], deviation):
        last += 1
    ends = edges(scale)
    return float(ends[last]) if last < BINS - 1 else float(ends[-1]) * 2 ** (1 / BINS_PER_OCTAVE)


def _last_sure(cells: Row, deviation: float) -> int | None:
    """The last bin that surely holds examples, alone or with up to three above it; None if none does."""
    found = [
        first
        for width in range(1, WIDEST + 1)
        for first, together in enumerate(np.convolve(cells, np.ones(width), "valid"))
        if together > max(SURE * deviation * sqrt(width), ONE)
    ]
    return max(found, default=None)


def _likely(cells: Row, deviation: float) -> bool:
    return bool(cells.sum() > max(LIKELY * deviation * sqrt(len(cells)), ONE))
