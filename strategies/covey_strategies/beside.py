"""What a server keeps of an algorithm beside its inner strategy, from one training round to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Vectors
from covey.plan import Train

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Round:
    """A training round whose sum was opened.

    Attributes:
        sent: What went to the devices.
        sums: Decoded, by part.
        devices: In the sum.
        fleet: Devices that could have been asked.
    """

    sent: Parameters
    sums: Vectors
    devices: int
    fleet: int


class Beside(Protocol):
    """An algorithm's state on the server; a new one after every round."""

    def asked(self, task: Train, parameters: Parameters) -> tuple[Train, Parameters]:
        """What is asked and sent in a round.

        Args:
            task: As the federation's file has it.
            parameters: The model.
        """

    def learnt(self, round_: Round) -> Self:
        """The state after a round."""

    def saved(self) -> Arrays:
        """For a checkpoint; names are this algorithm's alone."""

    def restored(self, state: Arrays) -> Self:
        """The state that is among what a checkpoint has; as it is, where there is none."""
