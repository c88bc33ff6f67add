"""Arrays in a package: NumPy's .npy format (NEP 1), version 1.0, little-endian float32 in C order alone.

Decoded here rather than by NumPy, whose header parser evaluates Python literals and fails in as many ways as
Python's tokenizer does: what stands in a package may come from anyone until its signature is checked.
"""

import io
import math
import re

import numpy as np

from covey.errors import PackageError
from covey.examples import Floats

_PREFIX = b"\x93NUMPY\x01\x00"
_START = len(_PREFIX) + 2  # two bytes of header length
_HEADER = re.compile(rb"\{'descr': '<f4', 'fortran_order': False, 'shape': \(((?:\d{1,9},? ?)*)\), \} *\n")


def encode(array: Floats) -> bytes:
    """The .npy file that holds `array` (any shape; stored as float32, C order)."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, "<f4", order="C"), allow_pickle=False)
    return buffer.getvalue()


def decode(name: str, data: bytes) -> Floats:
    """The array in a .npy file.

    Args:
        name: The file's name, for the message.
        data: Its content.

    Returns:
        A float32 array of any shape, all of it finite, read-only.

    Raises:
        PackageError: Not such a file, of another type, not finite, or longer or shorter than its shape says.
    """
    end = _START + int.from_bytes(data[len(_PREFIX) : _START], "little")
    header = _HEADER.fullmatch(data[_START:end])
    if not data.startswith(_PREFIX) or header is None:
        raise PackageError(f"{name}: not a NumPy array of float32", hint="numpy.save one in C order")
    shape = tuple(int(axis) for axis in re.findall(rb"\d+", header[1]))
    if len(data) - end != 4 * math.prod(shape):
        raise PackageError(f"{name}: has {len(data) - end} bytes of values, not what shape {shape} needs")
    array = np.frombuffer(data, "<f4", offset=end).reshape(shape)
    if not np.isfinite(array).all():
        raise PackageError(f"{name}: holds a value that is not a finite number")
    return array
