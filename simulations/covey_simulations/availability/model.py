"""A trace and hardware together: who can be asked, and how it goes."""

from dataclasses import dataclass

import numpy as np

from covey_simulations.availability.hardware import Hardware, cut_short
from covey_simulations.availability.keyed import Nodes
from covey_simulations.availability.work import Attempt, Attempts, Trace, Work


@dataclass(frozen=True)
class Modelled:
    """See `Availability`.

    Attributes:
        trace: Who is online.
        hardware: What work takes.
    """

    trace: Trace
    hardware: Hardware

    def online(self, nodes: Nodes, at: float) -> Nodes:
        """See `Availability`."""
        return nodes[self.trace.online(nodes, at)]

    def attempts(self, nodes: Nodes, at: float, work: Work, key: int) -> Attempts:
        """See `Availability`. A device that would be offline at the end drops out before it."""
        found = self.hardware.attempts(nodes, work, key)
        gone = found.finished & ~self.trace.online(nodes, at + found.ends)
        return cut_short(self.hardware.seed, nodes, key, found, gone)

    def attempt(self, node: int, at: float, work: Work) -> Attempt:
        """See `Availability`."""
        return self.attempts(np.array([node]), at, work, round(1000 * at)).one(0)
