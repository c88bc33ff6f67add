"""Who is online: those whose battery is full enough.

A battery fills from a panel and a charger and is drained by idling and by the work it was asked to do. Its
level is worked out anew whenever somebody asks: from half full, `MEMORY` hours ago, hour by hour. What was
before hardly counts, since a battery that was once full or empty forgets; so a device has no state beside
what it was asked to do lately. A model, not a measurement: the sun is a half sine from 6 to 18 o'clock, and
clouds take a share of each day by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from covey_simulations.availability.keyed import Flags, Floats, Nodes, Times, uniform
from covey_simulations.availability.traces import HOUR, Diurnal

MEMORY: Final = 72
"""Hours."""
DARKEST: Final = 0.2
"""Share of the sun that the darkest day leaves. Assumed."""

Drains = Callable[[Nodes], tuple[Nodes, Floats, Floats]]
"""What work has lately taken of some devices: places in the array of their numbers, seconds, joules."""


def undrained(nodes: Nodes) -> tuple[Nodes, Floats, Floats]:
    """Nobody was asked anything."""
    del nodes
    return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)


@dataclass(frozen=True)
class Battery:
    """Batteries, all alike.

    Attributes:
        seed: The run's.
        capacity: Joules.
        least: A device takes part while its battery is at least so full, a share.
        panel: Watts of its solar panel under a full sun.
        charger: Watts of its charger.
        plugged: When it is at its charger, and where its clock is.
        idle: Watts of each device that is on.
        drains: What work has taken.
    """

    seed: int
    capacity: float
    least: float
    panel: float
    charger: float
    plugged: Diurnal
    idle: Callable[[Nodes], Floats]
    drains: Drains = undrained

    def online(self, nodes: Nodes, at: Times) -> Flags:
        """See `Trace`."""
        return np.asarray(self.levels(nodes, at) >= self.least, np.bool_)

    def levels(self, nodes: Nodes, at: Times) -> Floats:
        """How full each battery is, a share."""
        held, idle = np.full(len(nodes), self.capacity / 2), self.idle(nodes)
        drained = self._drained(nodes, at)
        for hour in range(MEMORY):
            middle = at + (hour - MEMORY + 0.5) * HOUR
            gained = (self._watts(nodes, middle) - idle) * HOUR
            held = np.clip(held + gained - drained[hour], 0.0, self.capacity)
        return np.asarray(held / self.capacity, np.float64)

    def _drained(self, nodes: Nodes, at: Times) -> Floats:
        """Joules that work has taken, shape (MEMORY, devices)."""
        places, times, joules = self.drains(nodes)
        found = np.zeros((MEMORY, len(nodes)))
        hours = np.floor((times - np.broadcast_to(at, nodes.shape)[places]) / HOUR).astype(np.int64) + MEMORY
        within = (hours >= 0) & (hours < MEMORY)
        np.add.at(found, (hours[within], places[within]), joules[within])
        return found

    def _watts(self, nodes: Nodes, at: Times) -> Floats:
        """What fills it."""
        found = np.zeros(len(nodes))
        if self.panel:
            local = self.plugged.local_hours(nodes, at)
            sun = np.maximum(0.0, np.sin(np.pi * ((local % 24) - 6) / 12))
            day = np.floor(local / 24).astype(np.int64)
            clear = DARKEST + (1 - DARKEST) * uniform(self.seed, "clouds", nodes, day)
            found += self.panel * sun * clear
        if self.charger:
            found += self.charger * self.plugged.online(nodes, at)
        return found
