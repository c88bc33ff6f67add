"""Computes answers in the process that it is in: the training worker's, or a simulation's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from covey import delivery
from covey.arrays import Parameters
from covey.delivery import Arrays
from covey.encode import Integers
from covey.plan import Plan
from covey.stream import Stream
from covey_strategies.queries.answer import answer, check
from covey_strategies.queries.device import Device


@dataclass(frozen=True)
class Computed:
    """A plan that the device's model fits; see `covey_client.participant.Prepared`.

    Attributes:
        plan: The plan.
        parameters: The model that came with it.
        device: Who answers.
    """

    plan: Plan
    parameters: Parameters
    device: Device

    def answer(self, coins: bytes) -> Integers:
        """See `covey_client.participant.Prepared`."""
        return answer(self.plan, self.parameters, self.device, Stream(coins))


@dataclass(frozen=True)
class InProcess:
    """See `covey_client.participant.Trainer`.

    Attributes:
        device: Who answers.
    """

    device: Device

    @contextmanager
    def prepared(self, plan: Plan, model: Arrays) -> Iterator[Computed]:
        """See `covey_client.participant.Trainer`."""
        parameters = delivery.parameters(model)
        check(plan, parameters, self.device)
        yield Computed(plan, parameters, self.device)
