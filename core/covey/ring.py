"""Arithmetic of integer vectors modulo R = 2^32: what devices send and the server adds.

A sum of signed values is read back exactly as long as its magnitude stays below R / 2. A smaller modulus 2^b
divides R, so nothing but the ends knows of it: elements are sent as their low b bits, and the total is
centred in b bits.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.uint32]

BITS = 32
HALF = 1 << (BITS - 1)

FEWEST_BITS: Final = 16
"""Smallest b of a modulus 2^b."""

# As many elements of b bits as a word has bits are b whole words; so many groups are packed at a time.
_WORD: Final = 64
_GROUP: Final = _WORD
_GROUPS: Final = 2048

# Eight elements are a whole number of bytes.
_LANES: Final = 8
_LANES_AT_A_TIME: Final = 4096


def wrap(values: NDArray[np.int64]) -> Ring:
    """Signed integers into the ring."""
    return (values & ((1 << BITS) - 1)).astype(np.uint32)


def centre(values: Ring, bits: int = BITS) -> NDArray[np.int64]:
    """The representative of each element's low `bits` bits in [-2^(bits-1), 2^(bits-1)).

    Raises:
        ValueError: `bits` is not in 16 .. 32.
    """
    _check(bits)
    above = BITS - bits
    return (values << np.uint32(above)).view(np.int32).astype(np.int64) >> above


def add(vectors: Iterable[Ring], length: int) -> Ring:
    """The sum of vectors of `length` elements; zero for no vectors."""
    total = np.zeros(length, np.uint32)
    for vector in vectors:
        np.add(total, vector, out=total)
    return total


def to_bytes(vector: Ring) -> bytes:
    """Little-endian, 4 bytes an element."""
    return vector.astype("<u4").tobytes()


def from_bytes(data: bytes, length: int) -> Ring:
    """The inverse of `to_bytes`.

    Raises:
        ValueError: Not exactly 4 * length bytes.
    """
    if len(data) != 4 * length:
        raise ValueError(f"{len(data)} bytes where {4 * length} were expected")
    return np.frombuffer(data, "<u4").astype(np.uint32)


def packed_size(length: int, bits: int) -> int:
    """Bytes that `pack` makes of `length` elements."""
    return -(-length * bits // 8)


def pack(vector: Ring, bits: int) -> bytes:
    """The low `bits` bits of each element without gaps, lowest first: element i begins at bit i·bits.

    Args:
        vector: Shape (length,).
        bits: 16 .. 32; with 32 the same as `to_bytes`.

    Returns:
        `packed_size(length, bits)` bytes; bits after the last element are zero.

    Raises:
        ValueError: `bits` is not in 16 .. 32.
    """
    _check(bits)
    if bits == BITS:
        return to_bytes(vector)
    words = np.zeros((-(-len(vector) // _GROUP), bits), "<u8")
    for first in range(0, len(words), _GROUPS):
        _pack_groups(_grouped(vector, first), words[first : first + _GROUPS], bits)
    return words.view(np.uint8).ravel()[: packed_size(len(vector), bits)].tobytes()


def unpack(data: bytes, length: int, bits: int) -> Ring:
    """The inverse of `pack`, and strict: one spelling for each vector.

    Raises:
        ValueError: Not exactly `packed_size(length, bits)` bytes, bits set after the last element, or `bits`
            is not in 16 .. 32.
    """
    vector = np.zeros(length, np.uint32)
    add_packed(vector, data, bits)
    return vector


def add_packed(total: Ring, data: bytes, bits: int) -> None:
    """Add to `total`, in place, what `pack` made of another vector of its length, piece by piece.

    Raises:
        ValueError: As `unpack`; nothing was added.
    """
    _check(bits)
    length = len(total)
    size = packed_size(length, bits)
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes where {size} were expected")
    if bits == BITS:
        np.add(total, np.frombuffer(data, "<u4"), out=total)
        return
    if data and data[-1] >> (8 - (8 * size - length * bits)):
        raise ValueError("bits set after the last element")
    lanes = np.empty((_LANES_AT_A_TIME, _LANES), np.uint32)
    for first in range(0, length, lanes.size):
        part = total[first : first + lanes.size]
        rows = -(-len(part) // _LANES)
        start, width = first * bits // 8, rows * bits
        _unpack_lanes(data[start : start + width].ljust(width + _WORD // 8, b"\0"), lanes[:rows], bits)
        np.add(part, lanes[:rows].ravel()[: len(part)], out=part)


def _check(bits: int) -> None:
    if not FEWEST_BITS <= bits <= BITS:
        raise ValueError(f"elements of {bits} bits, not of {FEWEST_BITS} to {BITS}")


def _grouped(vector: Ring, first: int) -> Ring:
    """Elements in groups, from group `first` on; the last one is filled up with zeros."""
    piece = vector[_GROUP * first : _GROUP * (first + _GROUPS)]
    return np.pad(piece, (0, -len(piece) % _GROUP)).reshape(-1, _GROUP)


def _places(bits: int) -> Iterator[tuple[int, int, int]]:
    """For each pair of elements its number, the word that it begins in, and the bit."""
    for pair in range(_GROUP // 2):
        yield pair, *divmod(2 * bits * pair, _WORD)


def _pack_groups(elements: Ring, words: NDArray[np.uint64], bits: int) -> None:
    low = (elements & np.uint32((1 << bits) - 1)).astype(np.uint64)
    pairs = low[:, 0::2] | low[:, 1::2] << np.uint64(bits)
    for pair, word, bit in _places(bits):
        words[:, word] |= pairs[:, pair] << np.uint64(bit)
        if bit + 2 * bits > _WORD:
            words[:, word + 1] |= pairs[:, pair] >> np.uint64(_WORD - bit)


def _unpack_lanes(data: bytes, lanes: Ring, bits: int) -> None:
    """Elements by eight: each eighth lies at a stride of `bits` bytes. A word must follow the last one."""
    word = np.dtype("<u4" if bits + 7 <= BITS else "<u8")  # an element begins at any bit of its first byte
    for lane in range(_LANES):
        byte, bit = divmod(lane * bits, 8)
        words = np.ndarray((len(lanes),), word, data, byte, (bits,))
        low = words >> word.type(bit) & word.type((1 << bits) - 1)
        lanes[:, lane] = low
