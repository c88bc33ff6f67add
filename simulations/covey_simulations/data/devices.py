"""Devices that exist only while somebody looks at them.

A fleet of a million devices is a table of how many examples each holds and a rule that makes what one of them
holds from where it stands. What is made is the caller's to keep.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from covey.examples import Examples, LocalData
from covey_simulations.data.names import Alone, Numbered
from covey_simulations.data.partitions import Index


@dataclass(frozen=True, eq=False)
class Sizes:
    """How many examples each device holds.

    Attributes:
        train: Trained on, shape (devices,), in the order of the devices.
        held_out: Held out, likewise.
    """

    train: Index
    held_out: Index

    @classmethod
    def of(cls, devices: Mapping[str, LocalData]) -> "Sizes":
        """Counted, of devices in memory; lazy ones know."""
        if isinstance(devices, LazyDevices):
            return devices.sizes
        pairs = [(len(local.train), len(local.held_out)) for local in devices.values()]
        train, held_out = np.array(pairs, np.int64).reshape(-1, 2).T
        return cls(train, held_out)


class LazyDevices(Mapping[str, LocalData]):
    """Devices by name; what one holds is made anew whenever it is asked for, always alike.

    Attributes:
        names: In order: `names[i]` is the name of `at(i)`, without a list of all.
    """

    names: Numbered

    @property
    @abstractmethod
    def sizes(self) -> Sizes:
        """How many examples each holds."""

    @abstractmethod
    def at(self, position: int) -> LocalData:
        """What the device at a position holds, 0 ≤ position < len(self)."""

    @abstractmethod
    def all_train(self) -> Examples:
        """What all of them train on, in one place; of generated devices, what theirs is drawn from."""

    @abstractmethod
    def all_held_out(self) -> Examples:
        """The same of what they hold out."""

    def __getitem__(self, name: str) -> LocalData:
        return self.at(self.names.position(name))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names


@dataclass(frozen=True)
class OnDemand:
    """One device's examples as `LocalData` has them, made whenever they are read and kept by nobody."""

    devices: LazyDevices
    name: str

    @property
    def train(self) -> Examples:
        """Trained on."""
        return self.devices[self.name].train

    @property
    def held_out(self) -> Examples:
        """Never trained on."""
        return self.devices[self.name].held_out


def readable(devices: Mapping[str, LocalData], name: str) -> LocalData | OnDemand:
    """One device's examples, for someone who keeps this as long as the fleet lives."""
    return OnDemand(devices, name) if isinstance(devices, LazyDevices) else devices[name]


def same_names(devices: Mapping[str, LocalData], groups: Mapping[str, str]) -> bool:
    """Whether both are about the same devices; of lazy ones, without naming any."""
    if isinstance(devices, LazyDevices) and isinstance(groups, Alone):
        return devices.names == groups.names
    return devices.keys() == groups.keys()
