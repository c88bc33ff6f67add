"""From rows of named floats to one integer vector, and back from the sum.

A row is what one unit of privacy contributes: the whole answer of a device, or one example's share of it. A
row consists of parts (update, loss, counts, …). Each part is clipped to its own L2 norm C_j and multiplied by
its own scale s_j; then the whole row is rounded at random, again and again until its integer norm is within
D2 of `covey.accounting.norms` (conditional stochastic rounding: Kairouz, Liu, Steinke, ICML 2021,
arXiv:2102.06387, algorithm 1). A row's norm before rounding is at most Δ = √(Σ_j (s_j C_j)²), which is what
noise is measured against. Rows are rounded one by one and added as integers: rounding their sum would let one
row move the result by more.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import floor, isqrt, sqrt
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey import ring
from covey.accounting.norms import rounded_norms
from covey.errors import InputError
from covey.stream import Stream

Vectors = dict[str, NDArray[np.float64]]
Integers = NDArray[np.int64]

TRIES = 64
FINEST = 1 << 40
"""Largest scale of a part."""

_SLACK = 2.0**-40  # floating-point bounds are taken this much too small, relative
_BLOCK = 1 << 15  # elements of a row that are rounded at a time, where it is longer
_SURELY = 1e-9  # a length that a plain sum of squares finds so much below a limit is below it


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One named piece of a row.

    Attributes:
        name: What it holds.
        length: Number of elements, ≥ 1.
        clip: C, the largest L2 norm that a row's piece may have, in its own units, > 0.
        scale: s, integer units per unit, > 0.
    """

    name: str
    length: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
    clip: Annotated[float, msgspec.Meta(gt=0, le=1e18)]
    scale: Annotated[float, msgspec.Meta(gt=0, le=FINEST)]


class Shape(NamedTuple):
    """A part before it has a scale.

    Attributes:
        length: Number of elements.
        clip: Largest L2 norm of a row's piece.
        share: Of Δ², relative to the other parts': a larger one means less noise on this part, more on the
            others.
        whole: Whether its scale is a whole number: then nothing is rounded in a row of whole numbers. A row
            that can turn into another one, and not only come or go, has to be exact: rounded one by one, two
            rows may lie further apart than D2, which bounds each of them.
    """

    length: int
    clip: float
    share: float = 1.0
    whole: bool = False


def squared_sensitivity(parts: Sequence[Part]) -> Fraction:
    """Δ² in integer units, exactly: the largest squared L2 norm of one row before rounding."""
    return _squared_sensitivity(tuple(parts))


@lru_cache(maxsize=256)  # a pure function: the plans of a run share their parts
def _squared_sensitivity(parts: tuple[Part, ...]) -> Fraction:
    return sum(((Fraction(part.scale) * Fraction(part.clip)) ** 2 for part in parts), Fraction(0))


def laid_out(shapes: Mapping[str, Shape], norm: int) -> tuple[Part, ...]:
    """Parts that share Δ ≤ `norm` among them.

    Args:
        shapes: By name, in vector order.
        norm: Integer units.

    Raises:
        InputError: A part would be scaled out of sight or beyond `FINEST`.
    """
    whole = sum(shape.share for shape in shapes.values())
    parts = []
    for name, shape in shapes.items():
        scale = norm * sqrt(shape.share / whole) / shape.clip * (1 - _SLACK)
        scale = floor(scale) if shape.whole else scale
        if not scale > 0 or norm < 1:
            raise InputError(
                f"{name}: a clip norm of {shape.clip:g} leaves no resolution in {norm} integer units",
                hint="lower update_clip or examples_cap, or ask fewer devices",
            )
        parts.append(Part(name, shape.length, shape.clip, float(min(scale, FINEST))))
    return tuple(parts)


def finest(length: int, rows: int) -> int:
    """The largest Δ at which `rows` rows without noise cannot wrap around 2^32; below 1 if there is none."""
    return (ring.HALF - 1) // rows - isqrt(length) - 2


def encode(parts: Sequence[Part], rows: Mapping[str, NDArray[np.float64]], coins: Stream) -> Integers:
    """The sum of rows, each clipped, scaled and rounded by itself; one that is not finite counts as zero.

    Args:
        parts: The plan's parts.
        rows: By part, float64 of shape (rows, the part's length).
        coins: Decide the rounding; privacy does not depend on them, unbiasedness does.

    Returns:
        int64, the parts' lengths added up.

    Raises:
        ValueError: A part is missing or has another shape (a defect of the caller, not of data).
    """
    scaled = _scaled(parts, rows)
    length = scaled.shape[1]
    if len(scaled) == 1 and length > _BLOCK:
        return _rounded_row(scaled[0], _limit(parts, length), coins)

    def draw(open_rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        return coins.words32(len(open_rows) * length).reshape(-1, length)

    total: Integers = _rounded(scaled, _limit(parts, length), draw).sum(axis=0)
    return total


def encode_each(
    parts: Sequence[Part], rows: Mapping[str, NDArray[np.float64]], coins: Sequence[Stream]
) -> Integers:
    """Rows as `encode` gives them where each has coins of its own: those of several devices, one row each.

    Args:
        parts: As for `encode`.
        rows: As for `encode`, a row a device.
        coins: Each row's.

    Returns:
        int64, shape (rows, the parts' lengths added up).

    Raises:
        ValueError: As `encode`, or another number of coins.
    """
    scaled = _scaled(parts, rows)
    if len(coins) != len(scaled):
        raise ValueError(f"coins of {len(coins)} for {len(scaled)} rows")
    length = scaled.shape[1]
    if length > _BLOCK:
        limit = _limit(parts, length)
        each = [_rounded_row(row, limit, own) for row, own in zip(scaled, coins, strict=True)]
        return np.stack(each) if len(each) != 1 else each[0][None]

    def draw(open_rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        return np.stack([coins[row].words32(length) for row in open_rows])

    return _rounded(scaled, _limit(parts, length), draw)


def _limit(parts: Sequence[Part], length: int) -> int:
    """Of a rounded row's squared norm."""
    return _limit_of(tuple(parts), length)


@lru_cache(maxsize=256)  # as above
def _limit_of(parts: tuple[Part, ...], length: int) -> int:
    return int(rounded_norms(sqrt(squared_sensitivity(parts)), length).l2 ** 2 * (1 - _SLACK))


def _scaled(parts: Sequence[Part], rows: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rows side by side, each part clipped and in integer units; a row that is not finite is zero."""
    if set(rows) != {part.name for part in parts}:
        raise ValueError(f"answers {sorted(rows)} for parts {[part.name for part in parts]}")
    for part in parts:
        if rows[part.name].ndim != 2 or rows[part.name].shape[1] != part.length:  # noqa: PLR2004 - a matrix
            raise ValueError(f"{part.name}: shape {rows[part.name].shape}, expected (rows, {part.length})")
    count = len(next(iter(rows.values())))
    scaled = np.empty((count, sum(part.length for part in parts)))
    finite, start = np.ones(count, np.bool_), 0
    for part in parts:
        piece = rows[part.name]
        if not bool(_surely_short(piece, part.clip).all()):  # else finite, and clipped as it is
            whole = np.asarray(np.isfinite(piece).all(axis=1))
            piece, finite = _clipped(np.where(whole[:, None], piece, 0.0), part.clip), finite & whole
        np.multiply(piece, part.scale, out=scaled[:, start : start + part.length])
        start += part.length
    scaled[~finite] = 0.0
    return scaled


def is_finite(rows: Mapping[str, NDArray[np.float64]]) -> bool:
    """Whether no element is NaN or infinite."""
    return all(bool(np.isfinite(vector).all()) for vector in rows.values())


def zero(parts: Sequence[Part]) -> Integers:
    """What a device with nothing to say contributes; noise is added to it as to any other."""
    return np.zeros(sum(part.length for part in parts), np.int64)


def decode(parts: Sequence[Part], total: Integers) -> Vectors:
    """The sums by part, in each part's units (float64)."""
    sums, start = {}, 0
    for part in parts:
        sums[part.name] = total[start : start + part.length] / part.scale
        start += part.length
    return sums


def clip(rows: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    """Scale rows (the last axis) down to the L2 norm `norm` where they are longer; non-finite ones stay.

    Returns:
        The same array where no row is longer.
    """
    return rows if bool(_surely_short(rows, norm).all()) else _clipped(rows, norm)


def _surely_short(rows: NDArray[np.float64], norm: float) -> NDArray[np.bool_]:
    """Which rows are finite and shorter than `norm`, as one pass over them finds; a few more may be."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares: NDArray[np.float64] = np.einsum("...i,...i->...", rows, rows)
        return np.asarray(squares < (norm * (1 - _SURELY)) ** 2)


def _clipped(rows: NDArray[np.float64], norm: float) -> NDArray[np.float64]:
    # Through the largest element first: squares of huge values would overflow to infinity.
    largest = np.abs(rows).max(axis=-1, keepdims=True, initial=0.0)
    usable = (largest > 0) & np.isfinite(largest)
    safe = np.where(usable, largest, 1.0)
    # numpy's own pairwise sum: BLAS adds in an order that depends on its number of threads.
    relative = np.sqrt(np.sum((rows / safe) ** 2, axis=-1, keepdims=True))
    with np.errstate(over="ignore"):  # a length beyond floats is infinite, and long enough
        longer = usable & (safe * relative > norm)
    factor = norm / np.where(longer, relative, 1.0) / np.where(longer, safe, 1.0)
    return rows * np.where(longer, factor, 1.0)


def _rounded(
    scaled: NDArray[np.float64], limit: int, draw: Callable[[NDArray[np.intp]], NDArray[np.uint32]]
) -> Integers:
    """Rows at random to one of the two neighbouring integers, unbiased but for the condition on the norm.

    With 32 bits behind the point, a value goes up where its fraction is above the coin: where adding the
    coin's complement carries.
    """
    points = scaled * 2.0**32
    fixed: Integers = np.floor(points, out=points).astype(np.int64)
    rounded = fixed
    open_rows = np.arange(len(scaled))
    for attempt in range(TRIES):
        coins = draw(open_rows)
        carried: Integers = np.invert(coins, out=coins).astype(np.int64)
        carried += fixed[open_rows] if attempt else fixed
        carried >>= 32
        if attempt:
            rounded[open_rows] = carried
        else:
            rounded = carried
        open_rows = open_rows[_squared_norms(carried) > limit]
        if not len(open_rows):
            return rounded
    rounded[open_rows] = np.trunc(scaled[open_rows]).astype(np.int64)
    if bool((_squared_norms(rounded[open_rows]) > limit).any()):  # cannot be: truncation shortens
        raise ArithmeticError("a row is longer than its clip norm allows")
    return rounded


def _rounded_row(scaled: NDArray[np.float64], limit: int, coins: Stream) -> Integers:
    """One long row as `_rounded` has it, in blocks that stay in a core's cache."""
    rounded = np.empty(len(scaled), np.int64)
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(scaled), _BLOCK)]
    for _ in range(TRIES):
        squared = 0
        for block in blocks:
            points = scaled[block] * 2.0**32
            carried: Integers = np.floor(points, out=points).astype(np.int64)
            drawn = coins.words32(len(carried))
            carried += np.invert(drawn, out=drawn)
            rounded[block] = np.right_shift(carried, 32, out=carried)
            squared += int(_squared_norms(carried[None])[0])
        if squared <= limit:
            return rounded
    rounded[:] = np.trunc(scaled)
    if int(_squared_norms(rounded[None])[0]) > limit:  # cannot be: truncation shortens
        raise ArithmeticError("a row is longer than its clip norm allows")
    return rounded


def _squared_norms(rows: Integers) -> Integers:
    """Exact in 64 bits: a row's norm is at most Δ + √d < 2^31.5 by the clip."""
    norms: Integers = np.einsum("ij,ij->i", rows, rows)
    return norms
