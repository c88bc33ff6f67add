"""A symmetric law on the integers as a table of its distribution function, inverted by 128-bit uniforms.

With c_j = 2^128·P(X ≤ j) for j = -N .. N-1, a uniform u in [0, 2^128) becomes the value
-N + #{j : c_j ≤ u}. The c_j are integers, so the law that is drawn is known exactly: it differs from the
intended one by at most `Table.tv` in total variation. Only integers are computed with: the same key gives the
same noise on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from math import isqrt, ldexp
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.errors import InputError
from covey.stream import Stream

Words = NDArray[np.uint64]
Integers = NDArray[np.int64]

BITS: Final = 128
LARGEST_VARIANCE: Final = 1 << 26

_BYTES: Final = BITS // 8
_HALF: Final = BITS // 2
_GUIDE_BITS: Final = 16
_BEYOND: Final = 112
"""P(|X| > reach) ≤ 2·exp(-112) < 2^-160."""
_UNSURE: Final = np.iinfo(np.int32).min
_CHUNK: Final = 1 << 13
"""Values drawn at a time: 128 KiB of keystream, which stay in a core's cache."""


@dataclass(frozen=True, eq=False)
class Table:
    """A law that can be drawn from. Read-only: one table serves all draws of its variance.

    Attributes:
        largest: N; every value lies in [-N, N].
        tv: Bound of the total variation distance between one drawn value and the intended law.
        upper: Upper 64 bits of c_{-N} .. c_{N-1}, shape (2N,), ascending.
        lower: Lower 64 bits of the same.
        guide: By the top 16 bits of a uniform, the value they already decide, or a mark that they do not.
    """

    largest: int
    tv: float
    upper: Words
    lower: Words
    guide: NDArray[np.int32]

    def draw(self, stream: Stream, length: int) -> Integers:
        """Independent values, shape (length,), from the next 16·length bytes of the stream.

        Each uniform is read as one little-endian integer of 16 bytes.
        """
        out = np.empty(length, np.int64)
        for start in range(0, length, _CHUNK):
            piece = out[start : start + _CHUNK]
            words = stream.words64(2 * len(piece))
            self._invert(words, piece)
        return out

    def weight(self, value: int) -> int:
        """The probability with which `value` is drawn, times 2^128: exact."""
        return self._cumulated(value) - self._cumulated(value - 1)

    def _cumulated(self, value: int) -> int:
        index = value + self.largest
        if index < 0:
            return 0
        return self._threshold(index) if index < len(self.upper) else 1 << BITS

    def _threshold(self, index: int) -> int:
        return int(self.upper[index]) << _HALF | int(self.lower[index])

    def _invert(self, words: Words, out: Integers) -> None:
        """Uniforms as pairs of words, the lower first."""
        top = words.astype("<u8", copy=False).view("<u2")[7::8]  # of each pair, as many bits as the guide has
        decided = self.guide.take(top)
        out[:] = decided
        unsure = np.flatnonzero(decided == _UNSURE)
        out[unsure] = self._passed(words[1::2][unsure], words[0::2][unsure]) - self.largest

    def _passed(self, upper: Words, lower: Words) -> NDArray[np.intp]:
        """How many thresholds are ≤ each uniform."""
        passed = np.searchsorted(self.upper, upper, side="right")
        for index in np.flatnonzero(self.upper[passed - 1] == upper):
            first = np.searchsorted(self.upper, upper[index], side="left")
            equal = self.lower[first : passed[index]]
            passed[index] = first + np.searchsorted(equal, lower[index], side="right")
        return passed


def reach(variance: int) -> int:
    """Where a table may end: P(|X| > reach) < 2^-160, by Bernstein's inequality.

    It holds for a Skellam of this variance, whose jumps are of size one, and for a discrete Gaussian, whose
    tails are lighter still. 0 for variance 0.

    Raises:
        InputError: A negative variance or one above 2^26.
    """
    if not 0 <= variance <= LARGEST_VARIANCE:
        raise InputError(
            f"a noise variance of {variance} per device is outside 0 .. {LARGEST_VARIANCE}",
            hint="use a coarser scale: fewer integer units per unit of the clip norm",
        )
    third = _BEYOND // 3 + 1
    return third + isqrt(third * third + 2 * _BEYOND * variance) + 1 if variance else 0


def tabulate(weights: Sequence[int]) -> Table:
    """The table of the law with P(X = ±k) proportional to weights[k].

    Args:
        weights: For k = 0 .. M, not negative, weights[0] > 0, their sum above 2^159. The probabilities they
            stand for are off by less than 2^-140 each, and less than 2^-150 in total lies beyond M.
    """
    half = _normalised(weights)
    thresholds = accumulate(chain(reversed(half[1:]), half[:-1]))
    words = np.frombuffer(b"".join(c.to_bytes(_BYTES, "little") for c in thresholds), "<u8").astype(np.uint64)
    lower, upper, largest = words[0::2].copy(), words[1::2].copy(), len(half) - 1
    guide = _guide(upper, largest)
    for array in (lower, upper, guide):
        array.flags.writeable = False
    # Each of 2M values loses less than 2^-127.9 to rounding down; doubled for all that is smaller.
    tv = ldexp(4 * (len(weights) - 1), -BITS)
    return Table(largest, tv, upper, lower, guide)


def _normalised(weights: Sequence[int]) -> list[int]:
    """Integers with w_0 + 2·(w_1 + … + w_N) = 2^128 exactly, w_N > 0: the centre takes what rounding lost."""
    total = 2 * sum(weights) - weights[0]
    shift = total.bit_length() + 32
    inverse = (1 << (BITS + shift)) // total  # one long division instead of one for each weight
    half = [weight * inverse >> shift for weight in weights]
    while len(half) > 1 and not half[-1]:
        half.pop()
    half[0] = (1 << BITS) - 2 * sum(half[1:])
    return half


def _guide(upper: Words, largest: int) -> NDArray[np.int32]:
    """By top bits: the value if no threshold begins with these bits, else the mark."""
    top = upper >> np.uint64(64 - _GUIDE_BITS)
    below = np.searchsorted(top, np.arange((1 << _GUIDE_BITS) + 1, dtype=np.uint64), side="left")
    decided = below[:-1] == below[1:]
    return np.where(decided, below[:-1] - largest, _UNSURE).astype(np.int32)
