"""Arrays in a package: NumPy's .npy format (NEP 1), float32 alone, never pickled."""

import io

import numpy as np

from covey.errors import PackageError
from covey.examples import Floats


def encode(array: Floats) -> bytes:
    """The .npy file that holds `array` (any shape; stored as float32, C order)."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return buffer.getvalue()


def decode(name: str, data: bytes) -> Floats:
    """The array in a .npy file.

    Args:
        name: The file's name, for the message.
        data: Its content.

    Returns:
        A float32 array of any shape, all of it finite.

    Raises:
        PackageError: Not a .npy file, not float32, not finite, or with bytes after its end.
    """
    buffer = io.BytesIO(data)
    try:
        array = np.load(buffer, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise PackageError(f"{name}: not a NumPy array file") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or buffer.read(1):
        raise PackageError(f"{name}: expected one array of float32")
    if not np.isfinite(array).all():
        raise PackageError(f"{name}: holds a value that is not a finite number")
    return array
