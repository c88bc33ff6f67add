"""What an update takes of a device: seconds, joules and bytes, phase by phase, and whether it drops out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from covey_simulations.availability.keyed import Flags, Floats, Nodes, normal, uniform
from covey_simulations.availability.settings import Law
from covey_simulations.availability.tiers import EFFICIENCY, LINK_WATTS, ROUND_TRIP, Tier
from covey_simulations.availability.work import Attempts, Work


@dataclass(frozen=True)
class Hardware:
    """A fleet's devices, each of one tier and slower than that by a factor of its own.

    Attributes:
        seed: The run's.
        tiers: Kinds of devices.
        shares: Of each kind; they add up to 1.
        law: Of the factors. "lognormal": exp(spread·z), half of the devices are slower than their tier.
            "pareto": u^(-1/spread), all are, and a few by much: the smaller spread, the heavier the tail.
        spread: Of the law; 0 for no differences.
        jitter: Of a log-normal factor drawn anew each time; 0 for none.
        dropouts: Probability that a device drops out of what it was asked, somewhere on the way. Bonawitz et
            al., arXiv:1902.01046, section 9, see 6 to 10 %.
    """

    seed: int
    tiers: Sequence[Tier]
    shares: Sequence[float]
    law: Law = "lognormal"
    spread: float = 0.0
    jitter: float = 0.0
    dropouts: float = 0.0

    def kinds(self, nodes: Nodes) -> Nodes:
        """Which tier each device is of, as its place in `tiers`."""
        edges = np.cumsum(self.shares)[:-1]
        return np.searchsorted(edges, uniform(self.seed, "tier", nodes), side="right").astype(np.int64)

    def idle_watts(self, nodes: Nodes) -> Floats:
        """Of each device."""
        return np.array([tier.idle_watts.value for tier in self.tiers])[self.kinds(nodes)]

    def slowness(self, nodes: Nodes) -> Floats:
        """How much longer than its tier each device computes."""
        if not self.spread:
            return np.ones(len(nodes))
        if self.law == "pareto":
            return np.asarray((1 - uniform(self.seed, "slow", nodes)) ** (-1 / self.spread), np.float64)
        return np.asarray(np.exp(self.spread * normal(self.seed, "slow", nodes)), np.float64)

    def attempts(self, nodes: Nodes, work: Work, key: int) -> Attempts:
        """How a piece of work goes, as far as hardware decides; see `Availability`."""
        kinds = self.kinds(nodes)
        flops, busy, idle, link = (
            np.array([figure.value for figure in column])[kinds]
            for column in zip(
                *((each.gflops, each.busy_watts, each.idle_watts, each.link_mbit) for each in self.tiers),
                strict=True,
            )
        )
        slower = self.slowness(nodes) * np.exp(self.jitter * normal(self.seed, "jitter", nodes, key))
        compute = np.broadcast_to(work.flops, nodes.shape) / (flops * 1e9 * EFFICIENCY) * slower
        down, up = (8 * size / (link * 1e6) + ROUND_TRIP / 2 for size in (work.down_bytes, work.up_bytes))
        phases = np.stack([down, compute, up])
        moving = np.full(len(nodes), LINK_WATTS)
        return self._dropped(
            nodes,
            key,
            Attempts(
                finished=np.ones(len(nodes), np.bool_),
                ends=phases.sum(axis=0),
                phases=phases,
                watts=np.stack([moving, busy - idle, moving]),
                moved=np.stack(
                    [np.full(len(nodes), work.down_bytes), 0 * compute, 0 * compute + work.up_bytes]
                ),
            ),
        )

    def _dropped(self, nodes: Nodes, key: int, attempts: Attempts) -> Attempts:
        return cut_short(
            self.seed, nodes, key, attempts, uniform(self.seed, "drops", nodes, key) < self.dropouts
        )


def cut_short(seed: int, nodes: Nodes, key: int, attempts: Attempts, which: Flags) -> Attempts:
    """Some of the devices drop out on the way, when by chance."""
    part = np.where(which, uniform(seed, "drops at", nodes, key), 1.0)
    return Attempts(
        finished=attempts.finished & ~which,
        ends=attempts.ends * part,
        phases=attempts.phases,
        watts=attempts.watts,
        moved=attempts.moved,
    )
