"""What a device trains on, from one `.npz` file of its owner's.

Arrays: `x`, floats of shape (n, *input_shape), axis 1 the channels; `y`, whole numbers of shape (n,); and, if
the device has a test part of its own, `held_x` and `held_y`. Without them the last quarter in order is held
out; of a file that grows, the last quarter of what is new (`covey_client.split`). Nothing in the file is ever
run: pickled arrays are refused.
"""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from covey.errors import DataError
from covey.examples import Examples, Floats, Labels, LocalData
from covey_client.split import divided, indices, kept_division

_REQUIRED: Final = frozenset({"x", "y"})
_HELD_OUT: Final = frozenset({"held_x", "held_y"})
_LAYOUT: Final = "each file holds x and y, and either both or neither of held_x and held_y"
_INPUT_AXES: Final = 2


@dataclass(frozen=True)
class FileData:
    """A device's file, read when it is first asked for: inside the answer, where a failure stays local.

    Attributes:
        path: The `.npz` file.
        classes: Labels lie below this.
        split: Where it is kept which examples are held out; None for a file that never changes.
    """

    path: Path
    classes: int
    split: Path | None = None

    @cached_property
    def _local(self) -> LocalData:
        return read(self.path, self.classes, self.split)

    @property
    def train(self) -> Examples:
        """Trained on."""
        return self._local.train

    @property
    def held_out(self) -> Examples:
        """Never trained on."""
        return self._local.held_out


def read(path: Path, classes: int, split: Path | None = None) -> LocalData:
    """One device's examples.

    Args:
        path: The file.
        classes: Labels lie below this.
        split: Where it is kept which examples are held out; None for a file that never changes.

    Raises:
        DataError: Names the file and the array: missing, empty, not finite, or labelled out of range; or the
            file has become shorter than it was.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: not an .npz file: {error}", hint=_LAYOUT) from error
    examples, held_out = decoded(data, str(path), classes)
    return _hold_out(path, examples, split) if held_out is None else LocalData(examples, held_out)


def decoded(data: bytes, where: str, classes: int) -> tuple[Examples, Examples | None]:
    """The examples in a file's bytes, and those that it names as held out; None if it names none.

    Args:
        data: An `.npz` file.
        where: What an error calls it.
        classes: Labels lie below this.

    Raises:
        DataError: Names the array.
    """
    arrays = _arrays(data, where)
    examples = _examples(where, arrays, "x", "y", classes)
    if "held_x" in arrays:
        return examples, _examples(where, arrays, "held_x", "held_y", classes)
    return examples, None


def _hold_out(path: Path, examples: Examples, split: Path | None) -> LocalData:
    """The last quarter in order, of each stretch of examples that came together."""
    if len(examples) == 1:
        raise DataError(f"{path}: x: one example, expected two or more", hint="one of them is held out")
    count = len(examples)
    stretches = divided((), count) if split is None else kept_division(split, path, count)
    trained, held_out = indices(stretches)
    return LocalData(examples.take(trained), examples.take(held_out))


def _arrays(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    """All arrays of the file, by name."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{where}: not an .npz file: {error}", hint=_LAYOUT) from error
    if not _REQUIRED <= names <= _REQUIRED | _HELD_OUT or len(names) % 2:
        raise DataError(f"{where}: arrays {sorted(names)}", hint=_LAYOUT)
    return {name: _array(data, name, where) for name in names}


def _array(data: bytes, name: str, where: str) -> NDArray[Any]:
    """One array of the file; a pickled one is refused, since opening it would run what it says."""
    try:
        with np.load(BytesIO(data), allow_pickle=False) as stored:
            array: NDArray[Any] = stored[name]
            return array
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: {name}: cannot be read: {error}", hint=_LAYOUT) from error


def _examples(where: str, arrays: Mapping[str, NDArray[Any]], x: str, y: str, classes: int) -> Examples:
    inputs = _inputs(arrays[x], f"{where}: {x}")
    labels = _labels(arrays[y], f"{where}: {y}", classes)
    if len(inputs) != len(labels):
        raise DataError(f"{where}: {len(inputs)} inputs in {x} and {len(labels)} labels in {y}")
    return Examples(inputs, labels)


def _inputs(array: NDArray[Any], where: str) -> Floats:
    if array.dtype.kind != "f" or array.ndim < _INPUT_AXES:
        found = f"{array.dtype} of shape {array.shape}"
        raise DataError(f"{where}: {found}, expected floats of shape (n, *input_shape)")
    if array.size == 0:
        raise DataError(f"{where}: empty")
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        inputs = array.astype(np.float32)
    if not np.isfinite(inputs).all():
        raise DataError(f"{where}: {np.count_nonzero(~np.isfinite(inputs))} values are not finite in float32")
    return inputs


def _labels(array: NDArray[Any], where: str, classes: int) -> Labels:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(
            f"{where}: {array.dtype} of shape {array.shape}, expected whole numbers of shape (n,)"
        )
    if array.size == 0:
        raise DataError(f"{where}: empty")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        hint = "labels.txt in the same folder names the classes, one a line"
        raise DataError(f"{where}: labels from {low} to {high}, expected 0 to {classes - 1}", hint=hint)
    return array.astype(np.int64)
