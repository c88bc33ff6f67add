"""Where a device's randomness comes from: the operating system, or a simulation's seed.

Whatever a claim of privacy rests on (noise, the coins that choose examples) is drawn from the operating
system, unless a plan says that its noise is seeded. Such a plan is a simulation's, and a device of a real
fleet refuses it.
"""

import os
from dataclasses import dataclass
from typing import Protocol

from covey import plan as plans
from covey import seeds
from covey.plan import Plan

KEY_BYTES = 32


class Seeds(Protocol):
    """Keys for one plan, 32 bytes each; see `covey.secagg.states.Open`."""

    def session(self) -> bytes:
        """Everything secret about masks follows from it."""

    def noise(self, plan: Plan) -> bytes:
        """Of the noise."""

    def coins(self, plan: Plan) -> bytes:
        """Of the coins that choose examples and round."""


class SystemSeeds:
    """The operating system's generator, for everything."""

    def session(self) -> bytes:
        """See `Seeds`."""
        return os.urandom(KEY_BYTES)

    def noise(self, plan: Plan) -> bytes:
        """See `Seeds`."""
        del plan
        return os.urandom(KEY_BYTES)

    def coins(self, plan: Plan) -> bytes:
        """See `Seeds`."""
        del plan
        return os.urandom(KEY_BYTES)


@dataclass(frozen=True)
class SimulatedSeeds(SystemSeeds):
    """Repeatable noise and coins, where nothing is claimed for them: no noise, or seeded noise.

    They are keyed by round and kind and not by the sum's serial number: a simulation that is resumed after a
    crash asks again, under another number, and must come to the same model.

    Attributes:
        seed: The simulated device's.
    """

    seed: int

    def noise(self, plan: Plan) -> bytes:
        """See `Seeds`."""
        return self._key("noise", plan) if _is_repeatable(plan) else super().noise(plan)

    def coins(self, plan: Plan) -> bytes:
        """See `Seeds`."""
        return self._key("coins", plan) if _is_repeatable(plan) else super().coins(plan)

    def _key(self, purpose: str, plan: Plan) -> bytes:
        return seeds.key(self.seed, purpose, plan.round, plans.kind(plan))


def _is_repeatable(plan: Plan) -> bool:
    return plan.noise is None or plan.noise.seeded
