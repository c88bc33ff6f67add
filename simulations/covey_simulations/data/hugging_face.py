"""Any Hugging Face `datasets.Dataset` as a federation's data, with flwr-datasets' partitioners if wanted.

Neither package is imported here: who has a data set has them. They come with `pip install 'covey[datasets]'`.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covey.errors import DataError, InputError
from covey_simulations.data.arrays import QUARTER, Partition, from_arrays, from_devices
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.names import Numbered
from covey_simulations.data.settings import DEVICES

Transform = Callable[[Any], ArrayLike]

_EXTRA: Final = "pip install 'covey[datasets]'"
_INDEX: Final = "covey_index"
_GREY_AXES: Final = 3


def from_dataset(  # noqa: PLR0913 - which columns, whose they are, how they are dealt
    dataset: Any,
    *,
    x: str = "image",
    y: str = "label",
    by: Any = None,
    test: Any = None,
    held_out: float = QUARTER,
    transform: Transform | None = None,
    partition: Partition = "dirichlet",
    devices: int = DEVICES,
    alpha: float = 0.5,
    seed: int = 0,
    name: str = "dataset",
) -> FederatedData:
    """A data set's rows on devices.

    Args:
        dataset: A `datasets.Dataset`, in memory or on disk; nothing is downloaded.
        x: The column of inputs: images (which become floats in 0..1, shape (channels, height, width)), arrays
            or lists of one shape (taken as they are).
        y: The column of classes: `ClassLabel`, whole numbers from 0, or texts.
        by: A column whose value says whose a row is: a device for each. Or a partitioner of flwr-datasets
            that has no data set yet. None: the rows are dealt.
        test: Another `Dataset` with the same columns, to be held out; not with a partitioner.
        held_out: Without `test`, the share to hold out; see `from_arrays`.
        transform: Makes one input from one value of the column: resizes an image, computes features.
        partition: How rows are dealt; see `from_arrays`.
        devices: See `from_arrays`.
        alpha: See `from_arrays`.
        seed: See `from_arrays`.
        name: Of the data, in reports.

    Raises:
        DataError: Not a data set, no such column, or values that make no array: names the column and the row.
        InputError: See `from_arrays`.
    """
    rows = [dataset] if test is None else [dataset, test]
    for each in rows:
        _check(each, {x, y} | ({by} if isinstance(by, str) else set()))
    inputs = _joined([_inputs(each, x, transform) for each in rows], x)
    found, labels = _labels(rows, y)
    if by is not None and not isinstance(by, str):
        if test is not None:
            raise InputError("test: a partitioner divides one data set", hint="leave test out, or by")
        held = {each: (inputs[index], found[index]) for each, index in _partitions(by, dataset).items()}
        return from_devices(held, held_out=held_out, labels=labels, name=name)
    return from_arrays(
        inputs,
        found,
        groups=None if by is None else [str(owner) for each in rows for owner in each[by]],
        held_out=held_out if test is None else np.arange(len(found)) >= len(dataset),
        labels=labels,
        partition=partition,
        devices=devices,
        alpha=alpha,
        seed=seed,
        name=name,
    )


def _check(dataset: Any, columns: set[str]) -> None:
    module = sys.modules.get("datasets")
    if module is None or not isinstance(dataset, module.Dataset):
        hint = "take one of its splits" if find_spec("datasets") else _EXTRA
        raise DataError(f"expected a datasets.Dataset, not {type(dataset).__name__}", hint=hint)
    missing = sorted(columns - set(dataset.column_names))
    if missing:
        raise DataError(
            f"no column {missing[0]!r} in the data set", hint=f"columns: {', '.join(dataset.column_names)}"
        )


def _inputs(dataset: Any, column: str, transform: Transform | None) -> NDArray[Any]:
    """All inputs, axis 1 the channels."""
    kind = type(dataset.features[column]).__name__
    if transform is not None:
        return _array([np.asarray(transform(value)) for value in dataset[column]], column)
    if kind == "Image":
        return _pixels(_array([np.asarray(image) for image in dataset[column]], column))
    if kind in {"Audio", "Video"}:
        raise DataError(
            f"column {column!r} holds {kind.lower()}, not inputs of one shape",
            hint="give transform=, a function that computes features from one value",
        )
    return _array(dataset.select_columns([column]).with_format("numpy")[:][column], column)


def _array(values: Any, column: str) -> NDArray[Any]:
    """Of one shape; the first row that differs is named."""
    if not isinstance(values, np.ndarray) or values.dtype == np.object_:
        shapes = [np.shape(value) for value in values]
        wrong = next((row for row, shape in enumerate(shapes) if shape != shapes[0]), None)
        if wrong is not None:
            raise DataError(
                f"column {column!r}: row {wrong} has the shape {shapes[wrong]}, and row 0 {shapes[0]}",
                hint="give transform=, a function that makes them alike, or leave rows out",
            )
    return np.asarray(list(values))


def _pixels(images: NDArray[Any]) -> NDArray[np.float32]:
    """(n, height, width) or (n, height, width, channels) to (n, channels, height, width) in 0..1."""
    channels_first = images[:, np.newaxis] if images.ndim == _GREY_AXES else np.moveaxis(images, -1, 1)
    brightest = np.iinfo(images.dtype).max if images.dtype.kind == "u" else 1
    return np.ascontiguousarray(channels_first, np.float32) / np.float32(brightest)


def _joined(parts: Sequence[NDArray[Any]], column: str) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = " and ".join(str(part.shape[1:]) for part in parts)
        raise DataError(f"column {column!r}: inputs of shape {shapes} in the data set and in test")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _labels(rows: Sequence[Any], column: str) -> tuple[NDArray[Any], Sequence[str] | None]:
    """Classes as numbers, and their names where the data set knows any."""
    found = np.array([value for each in rows for value in each[column]])
    if found.dtype.kind == "U":
        names, numbers = np.unique(found, return_inverse=True)
        return numbers, names.tolist()
    return found, getattr(rows[0].features[column], "names", None)


def _partitions(partitioner: Any, dataset: Any) -> dict[str, NDArray[np.int64]]:
    """The rows of each device, called by the partitioner's own name for it if it has one."""
    if partitioner.is_dataset_assigned():
        raise InputError("by: this partitioner has a data set already", hint="give a new partitioner")
    partitioner.dataset = dataset.add_column(_INDEX, np.arange(len(dataset)))
    parts = [partitioner.load_partition(number) for number in range(partitioner.num_partitions)]
    if any(_INDEX not in part.column_names for part in parts):
        raise InputError("by: this partitioner divides columns, not rows", hint="give one that divides rows")
    names = getattr(partitioner, "partition_id_to_natural_id", None) or Numbered(len(parts))
    return {str(names[number]): np.array(part[_INDEX], np.int64) for number, part in enumerate(parts)}
