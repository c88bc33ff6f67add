"""ONNX files on their way to devices that compare them: as arrays, since nothing else travels with a plan.

Each float32 holds two bytes of a file, as a whole number below 65,536; the first one says whether the last
byte is padding. Twice the size, and no second way for bytes to reach a device.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.errors import PackageError
from covey.package.external_data import refuse_external_data
from covey.package.operators import refuse_operators

NEW: Final = "new"
OLD: Final = "old"
MOST_BYTES: Final = 16 << 20
"""Of one file."""
_PAIR: Final = 1 << 16


def to_arrays(new: bytes, old: bytes | None) -> Parameters:
    """Files as arrays, in order of their names.

    Args:
        new: The release that is to be judged.
        old: What it is held against; None for the first.
    """
    files = {NEW: new} if old is None else {NEW: new, OLD: old}
    return {name: _array(data) for name, data in sorted(files.items())}


def from_arrays(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, bytes]:
    """The files, by "new" and "old".

    Raises:
        PackageError: Others, too large, or arrays that hold no file; or weights outside the file, or
            operators whose result may depend on more than one example.
    """
    if set(arrays) not in ({NEW}, {NEW, OLD}):
        raise PackageError(f"files {', '.join(sorted(arrays))} where new and old are compared")
    files = {name: _file(name, array) for name, array in arrays.items()}
    for name, data in files.items():
        refuse_external_data(name, data)
        refuse_operators(name, data)
    return files


def _array(data: bytes) -> NDArray[np.float32]:
    odd = len(data) % 2
    pairs = np.frombuffer(data + bytes(odd), "<u2")
    return np.concatenate([[odd], pairs]).astype(np.float32)


def _file(name: str, array: NDArray[np.float32]) -> bytes:
    if array.ndim != 1 or not 1 < len(array) <= MOST_BYTES // 2 + 1:
        raise PackageError(f"{name}: no file of at most {MOST_BYTES >> 20} MiB")
    if not bool(((array >= 0) & (array < _PAIR) & (array == np.floor(array))).all()) or array[0] > 1:
        raise PackageError(f"{name}: numbers that are no bytes")
    data = array[1:].astype("<u2").tobytes()
    return data[: len(data) - int(array[0])]
