"""A person's own data: a folder with one `.npz` file per device.

`kitchen.npz` is the device "kitchen". Arrays: `x`, floats of shape (n, *input_shape), axis 1 the channels;
`y`, whole numbers of shape (n,); and, if the device has a test part of its own, `held_x` and `held_y`.
Without them the last quarter in order is held out. An optional `labels.txt` names the classes, one a line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from covey.errors import DataError
from covey.examples import LocalData
from covey_client.local_data import read
from covey_simulations.data.federated import FederatedData

MAX_UNNAMED_CLASSES: Final = 1000
"""Without `labels.txt`, a larger label is taken for a mistake."""


def load(folder: Path) -> FederatedData:
    """Read every device of `folder`.

    Raises:
        DataError: Names the file and the array: missing, empty, not finite, of another shape than the first
            device's, or labelled out of range.
    """
    paths = _device_files(folder)
    names = _named_labels(folder)
    devices = {path.stem: read(path, len(names) or MAX_UNNAMED_CLASSES) for path in paths}
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


def _check_shapes(devices: Mapping[Path, LocalData]) -> None:
    first, local = next(iter(devices.items()))
    shape = local.train.x.shape[1:]
    for path, local in devices.items():
        for name, part in (("x", local.train), ("held_x", local.held_out)):
            if part.x.shape[1:] != shape:
                raise DataError(
                    f"{path}: {name}: inputs of shape {part.x.shape[1:]}, but {shape} in {first.name}"
                )
