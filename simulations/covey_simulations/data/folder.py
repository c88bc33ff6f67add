"""A person's own data: a folder with one `.npz` file per device.

`kitchen.npz` is the device "kitchen". Arrays: `x`, floats of shape (n, *input_shape), axis 1 the channels;
`y`, whole numbers of shape (n,); and, if the device has a test part of its own, `held_x` and `held_y`.
Without them the last quarter in order is held out. An optional `labels.txt` names the classes, one a line.
"""

import zipfile
import zlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from covey.errors import DataError
from covey.examples import Examples, Floats, Labels, LocalData
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.local import hold_out_from

MAX_UNNAMED_CLASSES: Final = 1000
"""Without `labels.txt`, a larger label is taken for a mistake."""
_REQUIRED: Final = frozenset({"x", "y"})
_HELD_OUT: Final = frozenset({"held_x", "held_y"})
_LAYOUT: Final = "each file holds x and y, and either both or neither of held_x and held_y"
_INPUT_AXES: Final = 2


def load(folder: Path) -> FederatedData:
    """Read every device of `folder`.

    Raises:
        DataError: Names the file and the array: missing, empty, not finite, of another shape than the first
            device's, or labelled out of range.
    """
    paths = _device_files(folder)
    names = _named_labels(folder)
    devices = {path.stem: _device(path, len(names) or MAX_UNNAMED_CLASSES) for path in paths}
    _check_shapes(dict(zip(paths, devices.values(), strict=True)))
    return FederatedData(
        name=folder.resolve().name,
        licence="not stated",
        citation="",
        labels=names or _numbered_labels(devices),
        input_shape=next(iter(devices.values())).train.x.shape[1:],
        devices=devices,
        groups={name: name for name in devices},
        synthetic=False,
        notes=(f"Devices as found: {len(devices)} files.",),
    )


def _device_files(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.npz"))
    if len(paths) < 2:  # noqa: PLR2004 - one device is no federation
        raise DataError(
            f"{folder}: {len(paths)} .npz files, expected at least two",
            hint="write one file per device with numpy.savez(path, x=..., y=...)",
        )
    return paths


def _named_labels(folder: Path) -> tuple[str, ...]:
    """The lines of `labels.txt`; empty when there is no such file."""
    path = folder / "labels.txt"
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    labels = tuple(line.strip() for line in lines if line.strip())
    if len(set(labels)) != len(labels) or len(labels) < 2:  # noqa: PLR2004 - one class decides nothing
        raise DataError(f"{path}: expected at least two different names, one a line")
    return labels


def _numbered_labels(devices: Mapping[str, LocalData]) -> tuple[str, ...]:
    highest = max(int(part.y.max()) for local in devices.values() for part in (local.train, local.held_out))
    return tuple(str(label) for label in range(highest + 1))


def _device(path: Path, classes: int) -> LocalData:
    arrays = _arrays(path)
    examples = _examples(path, arrays, "x", "y", classes)
    if "held_x" in arrays:
        return LocalData(examples, _examples(path, arrays, "held_x", "held_y", classes))
    return _hold_out_last_quarter(path, examples)


def _hold_out_last_quarter(path: Path, examples: Examples) -> LocalData:
    local = hold_out_from(Fraction(3, 4), examples)
    if not len(local.train):
        raise DataError(f"{path}: x: one example, expected two or more", hint="one of them is held out")
    return local


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of the file, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
        if not _REQUIRED <= names <= _REQUIRED | _HELD_OUT or len(names) % 2:
            raise DataError(f"{path}: arrays {sorted(names)}", hint=_LAYOUT)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an .npz file: {error}", hint=_LAYOUT) from error
    return {name: _array(path, name) for name in names}


def _array(path: Path, name: str) -> NDArray[Any]:
    """One array of the file; a pickled one is refused, since opening it would run what it says."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            array: NDArray[Any] = stored[name]
            return array
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: {name}: cannot be read: {error}", hint=_LAYOUT) from error


def _examples(path: Path, arrays: Mapping[str, NDArray[Any]], x: str, y: str, classes: int) -> Examples:
    inputs = _inputs(arrays[x], f"{path}: {x}")
    labels = _labels(arrays[y], f"{path}: {y}", classes)
    if len(inputs) != len(labels):
        raise DataError(f"{path}: {len(inputs)} inputs in {x} and {len(labels)} labels in {y}")
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


def _check_shapes(devices: Mapping[Path, LocalData]) -> None:
    first, local = next(iter(devices.items()))
    shape = local.train.x.shape[1:]
    for path, local in devices.items():
        for name, part in (("x", local.train), ("held_x", local.held_out)):
            if part.x.shape[1:] != shape:
                raise DataError(
                    f"{path}: {name}: inputs of shape {part.x.shape[1:]}, but {shape} in {first.name}"
                )
