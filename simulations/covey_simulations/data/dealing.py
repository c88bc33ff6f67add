"""Reshaping a federation: fewer examples, other devices, an earlier part held out."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import assert_never

import numpy as np

from covey.errors import InputError
from covey.examples import Examples, LocalData
from covey_simulations.data.dealt import Dealt
from covey_simulations.data.devices import LazyDevices
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.local import hold_out_from
from covey_simulations.data.names import Alone
from covey_simulations.data.partitions import (
    Index,
    Parts,
    by_class_shares,
    by_preference,
    by_time,
    class_shares,
    iid,
    preferences,
)
from covey_simulations.data.settings import DataSettings


def pooled(data: FederatedData) -> FederatedData:
    """The same examples on one device, "pool", in the order of the devices."""
    pool = LocalData(data.all_train(), data.all_held_out())
    return replace(data, devices={"pool": pool}, groups={"pool": "pool"})


def deal(data: FederatedData, settings: DataSettings, rng: np.random.Generator) -> FederatedData:
    """Pool all examples and deal them to `settings.devices` new devices.

    Training and held-out examples are pooled apart and dealt alike: with "dirichlet", a device's held-out
    classes follow the same mix as its training classes. Held-out windows of a recording overlap, so two made
    devices may hold a sample in common there; in training none do.

    Raises:
        InputError: There are fewer training examples than devices. Of held-out ones there may be fewer: the
            last devices then have none.
    """
    pool = LocalData(data.all_train(), data.all_held_out())
    devices = Dealt(pool, *_parts(pool, len(data.labels), settings, rng))
    return replace(data, devices=devices, groups=Alone(devices.names), notes=(_note(settings),))


def thin(data: FederatedData, examples: int | None, rng: np.random.Generator) -> FederatedData:
    """Keep `examples` training examples at random (None: all), each device in proportion to what it has.

    Held-out examples are all kept: figures from a quick run stay comparable.

    Raises:
        InputError: A device would be left with nothing to train on.
    """
    if examples is None or data.training_examples <= examples:
        return data
    sizes = data.sizes.train.tolist()
    quotas = shares(sizes, examples)
    if any(size and not quota for size, quota in zip(sizes, quotas, strict=True)):
        raise InputError(
            f"data.examples: {examples} leaves some of {len(sizes)} devices without any",
            hint="raise data.examples",
        )
    kept = {
        name: LocalData(local.train.take(_sample(len(local.train), quota, rng)), local.held_out)
        for (name, local), quota in zip(data.devices.items(), quotas, strict=True)
    }
    return replace(data, devices=kept)


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """Split `total` in proportion to `sizes`: whole numbers that add up, each within one of its share."""
    ends = np.cumsum([0, *sizes]) * total // sum(sizes)
    return [int(share) for share in np.diff(ends)]


def hold_out_tail(data: FederatedData, start: Fraction) -> FederatedData:
    """Hold out each device's training examples from the fraction `start` on; what was held out is dropped.

    Raises:
        InputError: A device would be left with nothing to train on, or devices are made on demand.
    """
    if isinstance(data.devices, LazyDevices):
        raise InputError(
            f'data.split: "tuning" cannot hold out a part of devices that {data.name} makes on demand',
            hint="hold it out of what they are made from",
        )
    devices = {name: _tail(name, local.train, start) for name, local in data.devices.items()}
    return replace(data, devices=devices)


def hold_out_groups(data: FederatedData, groups: Sequence[str]) -> FederatedData:
    """Hold out everything of the devices of some groups, and train on everything of the others."""
    devices = {}
    for name, local in data.devices.items():
        whole = Examples.join([local.train, local.held_out])
        parts = (whole.first(0), whole) if data.groups[name] in groups else (whole, whole.first(0))
        devices[name] = LocalData(*parts)
    return replace(data, devices=devices)


def _tail(name: str, train: Examples, start: Fraction) -> LocalData:
    local = hold_out_from(start, train)
    if not len(local.train):
        raise InputError(f'data.split: "tuning" leaves {name} nothing to train on', hint="use last-quarter")
    return local


def _parts(
    pool: LocalData, classes: int, settings: DataSettings, rng: np.random.Generator
) -> tuple[Parts, Parts]:
    train, held_out, devices = pool.train.y, pool.held_out.y, settings.devices
    match settings.partition:
        case "dirichlet":
            mixes = preferences(devices, classes, settings.alpha, rng)
            return by_preference(train, mixes, rng), by_preference(held_out, mixes, rng, everyone=False)
        case "dirichlet-classes":
            splits = class_shares(train, classes, devices, settings.alpha, rng)
            return by_class_shares(train, splits, rng), by_class_shares(held_out, splits, rng)
        case "time":
            return by_time(len(train), devices), by_time(len(held_out), devices, everyone=False)
        case "iid":
            return iid(len(train), devices, rng), iid(len(held_out), devices, rng, everyone=False)
        case "natural" | "resampled":
            raise ValueError(f"{settings.partition} devices are not dealt")
        case _:
            assert_never(settings.partition)


def _sample(count: int, size: int, rng: np.random.Generator) -> Index:
    return np.sort(rng.choice(count, size, replace=False))


def _note(settings: DataSettings) -> str:
    skew = f" with alpha {settings.alpha:g}" if settings.partition.startswith("dirichlet") else ""
    return f"The devices are made: pooled examples dealt to {settings.devices} by {settings.partition}{skew}."
