"""What a device is asked to do, and how it goes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from covey_simulations.availability.keyed import Flags, Floats, Nodes, Times


@dataclass(frozen=True)
class Work:
    """What one plan asks of each device.

    Attributes:
        flops: Floating-point operations; one number for all, or one a device.
        down_bytes: Received first.
        up_bytes: Sent last.
    """

    flops: float | Floats
    down_bytes: float
    up_bytes: float


@dataclass(frozen=True)
class Attempt:
    """How it goes on one device.

    Attributes:
        finished: Whether it gets to its end.
        seconds: Until it ends, or drops out.
        joules: That it takes above idling.
        bytes: Received and sent.
    """

    finished: bool
    seconds: float
    joules: float
    bytes: float


@dataclass(frozen=True)
class Attempts:
    """How it goes on several devices: they receive, compute, and send. All arrays have one element a device.

    Attributes:
        finished: Who gets to the end.
        ends: When each ends or drops out, seconds from the start.
        phases: Seconds of each of the three phases, shape (3, devices), if nothing comes between.
        watts: Above idling in each phase, shape (3, devices).
        moved: Bytes moved in each phase, shape (3, devices).
    """

    finished: Flags
    ends: Floats
    phases: Floats
    watts: Floats
    moved: Floats

    def spent(self, until: float = np.inf) -> tuple[Floats, Floats]:
        """Joules and bytes of each device up to a time, seconds from the start."""
        left = np.minimum(self.ends, until)
        joules, moved = np.zeros_like(left), np.zeros_like(left)
        for seconds, watts, size in zip(self.phases, self.watts, self.moved, strict=True):
            in_it = np.clip(left, 0.0, seconds)
            joules += in_it * watts
            moved += size * np.divide(in_it, seconds, out=np.ones_like(in_it), where=seconds > 0)
            left = left - seconds
        return joules, moved

    def one(self, index: int) -> Attempt:
        """How it goes on one of them."""
        joules, moved = self.spent()
        return Attempt(
            bool(self.finished[index]), float(self.ends[index]), float(joules[index]), float(moved[index])
        )


class Trace(Protocol):
    """Who is online, by number and time; no state a device."""

    def online(self, nodes: Nodes, at: Times) -> Flags:
        """Which of the devices can be asked.

        Args:
            nodes: Their numbers.
            at: Seconds since midnight, UTC, of the first day; one time for all, or one a device.
        """


class Availability(Protocol):
    """Who can be asked, and how it goes."""

    def online(self, nodes: Nodes, at: float) -> Nodes:
        """Those of the devices that can be asked; the cost is of `nodes`, whatever the fleet's size."""

    def attempts(self, nodes: Nodes, at: float, work: Work, key: int) -> Attempts:
        """How a piece of work goes on several devices.

        Args:
            nodes: Who is asked.
            at: When.
            work: What.
            key: Tells this time from others: the same key goes the same way.
        """

    def attempt(self, node: int, at: float, work: Work) -> Attempt:
        """How it goes on one; keyed by the time."""
