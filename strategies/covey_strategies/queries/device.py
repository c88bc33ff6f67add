"""What the device halves of the queries see of a device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import nn

from covey.examples import Examples, Standardise
from covey.rollout.outcome import Outcome
from covey_models.model import Model
from covey_strategies.queries.memory import Memory

Log = Callable[[str], None]


class Data(Protocol):
    """Examples, in memory or read when they are first asked for; `covey.examples.LocalData` is one."""

    @property
    def train(self) -> Examples:
        """Trained on."""

    @property
    def held_out(self) -> Examples:
        """Never trained on."""


@dataclass(frozen=True)
class Device:
    """A device's own side: its data, its model, its log. Nothing of it is visible to the server.

    Attributes:
        name: What the device's owner calls it.
        model: The model it is willing to train.
        data: Its examples; whatever goes wrong in reading them stays on the device.
        seed: Decides the order of training, never the answer's privacy.
        log: Takes one line for the device's owner.
        outcome: What became of the newest rollout here; None if there was none.
        group: Which of the fleet's groups of devices it belongs to; empty for none.
        memory: What it keeps between rounds; None for a device that keeps nothing, as all of a real fleet.
    """

    name: str
    model: Model
    data: Data
    seed: int
    log: Log
    outcome: Callable[[], Outcome | None] = lambda: None
    group: str = ""
    memory: Memory | None = None

    @cached_property
    def network(self) -> nn.Module:
        """A network of this device's own; its parameters are overwritten by every plan."""
        return self.model.build()


def scaled_inputs(examples: Examples, preprocessing: Standardise | None) -> Examples:
    """Examples as the network wants them; untouched when the plan names no preprocessing."""
    return examples if preprocessing is None else Examples(preprocessing.apply(examples.x), examples.y)
