"""Arithmetic of integer vectors modulo R = 2^32: what devices send and the server adds.

A sum of signed values is read back exactly as long as its magnitude stays below R / 2.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.uint32]

BITS = 32
HALF = 1 << (BITS - 1)


def wrap(values: NDArray[np.int64]) -> Ring:
    """Signed integers into the ring."""
    return (values & ((1 << BITS) - 1)).astype(np.uint32)


def centre(values: Ring) -> NDArray[np.int64]:
    """The representative of each element in [-R/2, R/2)."""
    return values.view(np.int32).astype(np.int64)


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
