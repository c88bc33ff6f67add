"""The IDX format of MNIST and its successors, read strictly.

Layout: two zero bytes, a type byte (0x08: unsigned bytes), the number of axes, each axis as a big-endian
32-bit integer, then the numbers in row-major order. Source: https://yann.lecun.com/exdb/mnist/.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.errors import DataError

_UNSIGNED_BYTES: Final = 0x08


def read_idx(path: Path, shape: tuple[int, ...], *, hint: str) -> NDArray[np.uint8]:
    """Read a gzipped IDX file that must hold unsigned bytes of exactly `shape`.

    Args:
        path: The file.
        shape: What it has to hold; no more than this is ever unpacked.
        hint: The next step when the file is missing or wrong.

    Raises:
        DataError: Names the file.
    """
    header = struct.pack(f">HBB{len(shape)}I", 0, _UNSIGNED_BYTES, len(shape), *shape)
    expected = len(header) + math.prod(shape)
    content = _unpack(path, expected + 1, hint)
    if content[: len(header)] != header:
        raise DataError(f"{path}: not an IDX file of unsigned bytes of shape {shape}", hint=hint)
    if len(content) != expected:
        size = "shorter" if len(content) < expected else "longer"
        raise DataError(f"{path}: {size} than its own header says", hint=hint)
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def _unpack(path: Path, limit: int, hint: str) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(limit)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file", hint=hint) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}", hint=hint) from error
