"""Devices that train side by side, each from the model it fetched: what arrives, and when.

Of FedBuff (Nguyen et al., AISTATS 2022, arXiv:2106.06639, algorithm 1) all but the sums: so many devices
train at a time; whenever one has ended, another one fetches the newest model. A device whose answer waits in
the buffer is not asked again until the buffer's sum is taken, so that it is in a sum at most once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from covey.errors import TooFewDevices
from covey.seeds import derive, generator
from covey_simulations.availability.clockwork import PATIENCE, STEP, Clockwork, some_of
from covey_simulations.availability.keyed import Floats, Nodes
from covey_simulations.availability.traces import HOUR
from covey_simulations.availability.work import Work

LOOKED_AT: Final = 256
"""Devices that are looked at for one that is free and online; all, if there is none among them."""


class Job(NamedTuple):
    """A device's training. A row of numbers, so that a checkpoint can have it.

    Attributes:
        node: Who trains.
        version: From which model.
        ends: Virtual hours at which it ends, or drops out.
        finished: Whether it gets to the end: 1, else 0.
        joules: It takes.
        bytes: Likewise.
    """

    node: int
    version: int
    ends: float
    finished: int
    joules: float
    bytes: float


@dataclass
class Jobs:
    """Who trains.

    Attributes:
        clockwork: The run's clock.
        nodes: The fleet's.
        concurrency: So many train at a time, M.
        work: What training asks of some devices.
        open: Those that train.
        started: How many ever did.
    """

    clockwork: Clockwork
    nodes: Sequence[int]
    concurrency: int
    work: Callable[[Nodes], Work]
    open: list[Job] = field(default_factory=list)
    started: int = 0

    def arrivals(self, size: int, version: int) -> tuple[list[Job], list[Job]]:
        """Time passes until a buffer is full.

        Args:
            size: Of the buffer, K.
            version: Of the model that whoever begins now fetches.

        Returns:
            Jobs in the order of their arrival, and those that dropped out meanwhile.

        Raises:
            TooFewDevices: Nobody trains, and nobody could begin in a whole week.
        """
        arrived, lost = list[Job](), list[Job]()
        self._fill(version, arrived)
        while len(arrived) < size:
            if not self.open:
                self._wait(version, arrived, size)
            job = min(self.open, key=lambda each: (each.ends, each.node))
            self.open.remove(job)
            self.clockwork.hours = max(self.clockwork.hours, job.ends)
            (arrived if job.finished else lost).append(job)
            if len(arrived) < size:
                self._fill(version, arrived)
        return arrived, lost

    def _fill(self, version: int, arrived: Sequence[Job]) -> None:
        while len(self.open) < self.concurrency and self._start(version, arrived):
            pass

    def _start(self, version: int, arrived: Sequence[Job]) -> bool:
        """One more device begins, if one is free and online."""
        clock, rules = self.clockwork, self.clockwork.rules
        busy = np.array([job.node for job in (*self.open, *arrived)], np.int64)
        for most in (LOOKED_AT, len(self.nodes)):
            looked = some_of(self.nodes, most, rules.seed, self.started)
            free = clock.availability.online(looked[~np.isin(looked, busy)], clock.at)
            if len(free):
                break
        else:
            return False
        node = free[[int(generator(rules.seed, "job", self.started).integers(len(free)))]]
        attempts = clock.availability.attempts(
            node, clock.at, self.work(node), derive(0, "job", self.started)
        )
        self.started += 1
        seconds = min(float(attempts.ends[0]), rules.timeout)
        joules, moved = attempts.spent(seconds)
        self.open.append(
            Job(
                node=int(node[0]),
                version=version,
                ends=clock.after(seconds),
                finished=int(attempts.finished[0] and attempts.ends[0] <= rules.timeout),
                joules=float(joules[0]),
                bytes=float(moved[0]),
            )
        )
        return True

    def _wait(self, version: int, arrived: Sequence[Job], size: int) -> None:
        began = self.clockwork.hours
        while not self.open:
            if self.clockwork.hours - began >= PATIENCE:
                raise TooFewDevices(
                    f"{len(arrived)} answers are in a buffer of {size}, and no other device could begin "
                    "in a simulated week",
                    hint="lower strategy.buffer, or change [availability]",
                )
            self.clockwork.advance(STEP * HOUR)
            self._fill(version, arrived)
        self.clockwork.has_waited(
            began, f"a device to be online for a buffer that had {len(arrived)} of {size}"
        )

    def saved(self) -> Floats:
        """As an array; the first row has the number of those that ever started."""
        rows = [(float(self.started), *[0.0] * 5), *(tuple(map(float, job)) for job in self.open)]
        return np.array(rows, np.float64)

    def restore(self, saved: Floats) -> None:
        """The inverse of `saved`."""
        (started, *_), *rows = saved.tolist()
        self.started = int(started)
        self.open = [
            Job(int(node), int(version), ends, int(finished), joules, moved)
            for node, version, ends, finished, joules, moved in rows
        ]
