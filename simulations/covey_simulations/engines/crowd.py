"""A simulated fleet's devices, each made when it is asked and kept while there is room.

A million devices cost what their data set's index costs; only those of the last cohorts are in memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from covey.examples import LocalData
from covey_simulations.data.devices import LazyDevices
from covey_simulations.grid import SERVER
from covey_strategies.queries.device import Device

KEPT: Final = 256 << 20
"""Bytes of examples that are kept, about."""

Make = Callable[[str, LocalData], Device]


@dataclass(frozen=True)
class Crowd:
    """Devices by node id.

    Attributes:
        data: What each holds, by name.
        make: A device from its name and what it holds.
        kept: Bytes of examples to keep, about, of devices that are made on demand.
    """

    data: Mapping[str, LocalData]
    make: Make
    kept: int = KEPT
    _devices: OrderedDict[int, Device] = field(default_factory=OrderedDict, repr=False)
    _bytes: list[int] = field(default_factory=lambda: [0], repr=False)

    @cached_property
    def names(self) -> Sequence[str]:
        """In the order of the nodes."""
        return self.data.names if isinstance(self.data, LazyDevices) else tuple(self.data)

    @property
    def nodes(self) -> range:
        """Node ids, from 2: 1 is the server's."""
        return range(SERVER + 1, SERVER + 1 + len(self.data))

    def __getitem__(self, node: int) -> Device:
        """A device.

        Raises:
            IndexError: No such node.
        """
        found = self._devices.get(node)
        if found is not None:
            self._devices.move_to_end(node)
            return found
        if node not in self.nodes:
            raise IndexError(f"no node {node}")
        name = self.names[node - SERVER - 1]
        device = self.make(name, self.data[name])
        self._devices[node] = device
        self._bytes[0] += _bytes_of(device)
        while self._bytes[0] > self.kept and len(self._devices) > 1:
            _, oldest = self._devices.popitem(last=False)
            self._bytes[0] -= _bytes_of(oldest)
        return device


def _bytes_of(device: Device) -> int:
    data = device.data
    return sum(each.x.nbytes + each.y.nbytes for each in (data.train, data.held_out))
