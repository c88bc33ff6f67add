"""The sum of a cohort's answers, worked out where its devices are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from covey import ring
from covey.arrays import Parameters
from covey.encode import Integers
from covey.noise.contribution import contribute
from covey.plan import Plan, noise_shares
from covey_client.seeds import Seeds, SimulatedSeeds
from covey_models.cohort.programs import Chosen
from covey_simulations.engines.crowd import Crowd
from covey_strategies.exchange import Summed
from covey_strategies.queries.cohort import Member, answers


@dataclass(frozen=True)
class Summing:
    """Works out sums over devices in this process.

    Attributes:
        crowd: The devices.
        chosen: How their model is trained.
        memory: Bytes that training may take, about.
    """

    crowd: Crowd
    chosen: Chosen
    memory: int

    def total(self, plan: Plan, parameters: Parameters, nodes: Sequence[int], dropped: int) -> Integers:
        """The sum of rows and of the noise that is left.

        Args:
            plan: Without masks, or with masks elided.
            parameters: The model that goes with it.
            nodes: Who is in it; perhaps a share of a cohort.
            dropped: How many of the whole cohort are not.

        Returns:
            int64 (plan.length,), not reduced: shares of a cohort add up.
        """
        devices = [self.crowd[node] for node in nodes]
        seeds: list[Seeds] = [SimulatedSeeds(device.seed) for device in devices]
        members = [Member(device, seed.coins(plan)) for device, seed in zip(devices, seeds, strict=True)]
        total = np.zeros(plan.length, np.int64)
        for some in answers(plan, parameters, members, self.chosen, self.memory):
            total += some.vectors.sum(axis=0) if len(some.vectors) > 1 else some.vectors[0]
        if plan.noise is not None:
            stays = noise_shares(plan, plan.cohort)[: dropped + 1]
            for seed in seeds:
                total += contribute(plan.noise.mechanism, stays, plan.length, seed.noise(plan)).noise
        return total


def summed(total: Integers, nodes: Sequence[int]) -> Summed:
    """As a server reads it: an element is known modulo 2^32 and centred."""
    return Summed(ring.centre(ring.wrap(total)), frozenset(nodes))
