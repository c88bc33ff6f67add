"""Model parameters as named arrays, as one flat vector, and as a digest.

Parameters are kept in order of their names, so that both ends of a connection lay them out alike.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Parameters = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Layout:
    """Where each named array lies in the flat vector.

    Attributes:
        shapes: Name and shape of each array, in vector order.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(prod(shape) for _, shape in self.shapes)

    def flatten(self, arrays: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        """One float64 vector of length `size`.

        Raises:
            ValueError: Names or shapes differ from the layout's.
        """
        if layout_of(arrays) != self:
            raise ValueError("arrays do not have this layout")
        return np.concatenate([arrays[name].astype(np.float64).ravel() for name, _ in self.shapes])

    def unflatten(self, vector: NDArray[np.float64]) -> Parameters:
        """Cut a vector of length `size` into float32 arrays.

        Raises:
            ValueError: The vector has another length.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"a vector of shape {vector.shape} for a layout of {self.size}")
        arrays, start = {}, 0
        for name, shape in self.shapes:
            stop = start + prod(shape)
            arrays[name] = vector[start:stop].reshape(shape).astype(np.float32)
            start = stop
        return arrays


def layout_of(arrays: Mapping[str, NDArray[np.float32]]) -> Layout:
    """The layout of `arrays` in their own order."""
    return Layout(tuple((name, array.shape) for name, array in arrays.items()))


def digest(arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over names, shapes and little-endian float32 values, each length-prefixed, in order.

    Returns:
        64 hexadecimal digits. This is `model_sha256` in a run's summary.
    """
    total = hashlib.sha256()
    for name, array in arrays.items():
        for field in (name.encode(), repr(array.shape).encode(), array.astype("<f4").tobytes()):
            total.update(len(field).to_bytes(8, "little"))
            total.update(field)
    return total.hexdigest()
