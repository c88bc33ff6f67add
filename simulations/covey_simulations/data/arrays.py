"""Anyone's arrays as a federation's data.

`from_arrays` takes one pool of examples, and either whose each one is or how to deal them; `from_devices`
takes what each device holds. Both refuse what a federation cannot work with, and note what is merely odd. The
licence and what to cite are the caller's to add: `dataclasses.replace(data, licence="CC-BY-4.0")`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covey.errors import DataError, InputError
from covey.examples import Examples, LocalData
from covey.seeds import generator
from covey.tables import convert
from covey_simulations.data.checking import class_names, examples
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.local import hold_out_from, together
from covey_simulations.data.partitions import Index, natural
from covey_simulations.data.remarks import remarks
from covey_simulations.data.settings import DEVICES, EXAMPLES_PER_DEVICE, DataSettings, check
from covey_simulations.data.sharing import share_out

Partition = Literal["iid", "dirichlet", "dirichlet-classes", "time", "resampled"]
Pair = tuple[ArrayLike, ArrayLike]
Mask = NDArray[np.bool_]

QUARTER: Final = 0.25
NAME: Final = re.compile(r"[\w@+][\w@+. -]{0,99}")
"""Of a device: it names files."""


def from_arrays(  # noqa: PLR0913 - what it is, whose it is, how it is dealt
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    held_out: float | Sequence[bool] | Mask | Pair = QUARTER,
    labels: Sequence[str] | None = None,
    partition: Partition = "dirichlet",
    devices: int = DEVICES,
    alpha: float = 0.5,
    examples_per_device: tuple[int, int] = EXAMPLES_PER_DEVICE,
    seed: int = 0,
    name: str = "arrays",
) -> FederatedData:
    """One pool of examples, on the devices that it names or dealt to as many as are asked for.

    Args:
        x: Inputs, shape (n, *input_shape), axis 1 the channels; converted to float32, not scaled.
        y: Classes 0 to k - 1, shape (n,).
        groups: Whose each example is, shape (n,): a device for each owner that occurs, called by it. None:
            the examples are dealt.
        held_out: Never trained on. A share from 0 to below 1: the last in order of each owner, or without
            owners so many of each class at random. Or a mask of shape (n,), true for held out. Or without
            owners a test part of its own, (x, y), which is dealt likewise.
        labels: One name per class; None: they are called by their numbers.
        partition: How a pool is dealt; see `DataSettings`.
        devices: To how many; see `DataSettings`.
        alpha: Concentration for "dirichlet", "dirichlet-classes" and "resampled".
        examples_per_device: Fewest and most, for "resampled".
        seed: Decides what is held out at random and who gets what.
        name: Of the data, in reports.

    Raises:
        DataError: Names the array, how many rows are wrong and which comes first.
        InputError: Values that are out of range or do not fit together; more devices than examples.
    """
    pool = examples(x, y)
    if groups is not None:
        owners = _owners(groups, len(pool))
        if isinstance(held_out, tuple):
            raise InputError(
                "held_out: with groups, a test part of its own has no owners",
                hint="append it to x, y and groups, and give a mask of what is held out",
            )
        out = _held_out(held_out, list(owners.values()), len(pool))
        return federated({owner: _divided(pool, index, out) for owner, index in owners.items()}, labels, name)
    data = federated({"pool": _pool(pool, held_out, seed)}, labels, name)
    settings = _settings(partition, devices, alpha, examples_per_device)
    dealt = share_out(data, settings, generator(seed, "data"))
    return replace(dealt, notes=(*dealt.notes, *remarks(dealt)))


def from_devices(
    devices: Mapping[str, Pair | LocalData],
    *,
    groups: Mapping[str, str] | None = None,
    held_out: float = QUARTER,
    labels: Sequence[str] | None = None,
    name: str = "arrays",
) -> FederatedData:
    """What each device holds, by its name.

    Args:
        devices: Inputs (n, *input_shape) and labels (n,), both empty for a device that holds nothing; or
            `LocalData`, which says what is held out.
        groups: Whom each device belongs to; None: each is its own.
        held_out: Share of the pairs that is never trained on, the last in order.
        labels: One name per class; None: they are called by their numbers.
        name: Of the data, in reports.

    Raises:
        DataError: Names the device and the array, how many rows are wrong and which comes first.
        InputError: Values out of range, a name that is no file's, or groups of other devices.
    """
    start = _start(held_out)
    held = {each: _local(each, pair, start) for each, pair in devices.items()}
    if groups is not None and groups.keys() != held.keys():
        raise InputError("groups: names other devices than devices does", hint="name each device once")
    return replace(federated(held, labels, name), groups=dict(groups or {each: each for each in held}))


def federated(devices: Mapping[str, LocalData], labels: Sequence[str] | None, name: str) -> FederatedData:
    """Devices whose arrays were checked one by one, held against one another; in the order of their names."""
    shape = _one_shape(devices)
    held = {each: _of_shape(devices[each], shape) for each in sorted(devices)}
    _check_names(held)
    parts = [part for local in held.values() for part in (local.train, local.held_out)]
    data = FederatedData(
        name=name,
        licence="not stated",
        citation="",
        labels=class_names(together(parts).y, labels),
        input_shape=shape,
        devices=held,
        groups={each: each for each in held},
        synthetic=False,
        notes=(f"Devices as given: {len(held)}.",),
    )
    return replace(data, notes=(*data.notes, *remarks(data)))


def _local(name: str, held: Pair | LocalData, start: Fraction) -> LocalData:
    if isinstance(held, LocalData):
        train, out = held.train, held.held_out
        return LocalData(examples(train.x, train.y, name), examples(out.x, out.y, f"{name}: held out"))
    return hold_out_from(start, examples(*held, name))


def _one_shape(devices: Mapping[str, LocalData]) -> tuple[int, ...]:
    """Of every input, whoever holds it."""
    first, shape = "", ()
    for name, local in devices.items():
        for part in (local.train, local.held_out):
            if not len(part):
                continue
            if first and part.x.shape[1:] != shape:
                raise DataError(
                    f"{name}: inputs of shape {part.x.shape[1:]}, but {shape} in {first}",
                    hint="give every device inputs of one shape",
                )
            first, shape = first or name, part.x.shape[1:]
    if not first:
        raise DataError("no device holds an example")
    return shape


def _of_shape(local: LocalData, shape: tuple[int, ...]) -> LocalData:
    """Nothing has the same shape as everything else."""
    train, out = (
        part if len(part) else Examples(np.zeros((0, *shape), np.float32), part.y)
        for part in (local.train, local.held_out)
    )
    return LocalData(train, out)


def _check_names(devices: Mapping[str, LocalData]) -> None:
    for name in devices:
        if not NAME.fullmatch(name):
            raise InputError(
                f"device {name!r}: not a name that a file may have",
                hint="letters, digits, and . _ - @ + or spaces inside, at most 100",
            )


def _owners(groups: Sequence[Any] | NDArray[Any], count: int) -> dict[str, Index]:
    owners = np.asarray(groups)
    if owners.shape != (count,):
        raise DataError(f"groups: shape {owners.shape}, expected ({count},): an owner for each example")
    return natural(owners.astype(np.str_).tolist())


def _pool(pool: Examples, held_out: float | Sequence[bool] | Mask | Pair, seed: int) -> LocalData:
    if isinstance(held_out, tuple):
        x, y = held_out
        return LocalData(pool, examples(x, y, "held_out"))
    rng = generator(seed, "held out")
    classes = [rng.permutation(np.flatnonzero(pool.y == label)) for label in np.unique(pool.y)]
    return _divided(pool, np.arange(len(pool)), _held_out(held_out, classes, len(pool)))


def _divided(pool: Examples, index: Index, out: Mask) -> LocalData:
    return LocalData(pool.take(index[~out[index]]), pool.take(index[out[index]]))


def _held_out(held_out: float | Sequence[bool] | Mask, parts: Sequence[Index], count: int) -> Mask:
    """Which examples are held out: the mask as given, or the last of each part."""
    if np.ndim(held_out):
        mask = np.asarray(held_out)
        if mask.shape != (count,) or mask.dtype != np.bool_:
            raise DataError(
                f"held_out: {mask.dtype} of shape {mask.shape}, expected bool of shape ({count},)"
            )
        return mask
    mask, start = np.zeros(count, np.bool_), _start(held_out)
    for part in parts:
        mask[part[int(len(part) * start) :]] = True
    return mask


def _start(held_out: Any) -> Fraction:
    """Where the held-out share begins; exactly, so that it does not depend on rounding."""
    if not 0 <= held_out < 1:
        raise InputError(f"held_out: {held_out}, expected a share from 0 to below 1, such as {QUARTER}")
    return 1 - Fraction(str(held_out))


def _settings(
    partition: str, devices: int, alpha: float, examples_per_device: tuple[int, int]
) -> DataSettings:
    table = {
        "source": "python",
        "file": "arrays",
        "partition": partition,
        "devices": devices,
        "alpha": alpha,
        "examples_per_device": examples_per_device,
    }
    settings = convert(table, DataSettings, "data")
    check(settings)
    return settings
