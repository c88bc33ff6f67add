"""What a device keeps from one round to a later one: never sent, and of no meaning to the server.

Kept by round, because a round may be asked twice: after a crash, the second time goes by what the device had
before the first.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from covey.arrays import Parameters

KEPT: Final = 2
"""Rounds of one name that are kept: the newest, and the one to fall back on when it is asked again."""


class Memory(Protocol):
    """Named arrays that outlive a round."""

    def read(self, name: str, before: int) -> Parameters | None:
        """What the last round before another one left.

        Args:
            name: Of what is kept.
            before: A round.

        Returns:
            None if no earlier round left anything.
        """

    def write(self, name: str, server_round: int, arrays: Parameters) -> None:
        """Keep what a round leaves, in the place of what the same round left before.

        Args:
            name: Of what is kept.
            server_round: The round.
            arrays: What it leaves.
        """


Rounds = dict[int, Parameters]


@dataclass(frozen=True)
class InMemory:
    """A memory that lasts as long as its process."""

    _rounds: dict[str, Rounds] = field(default_factory=dict)

    def read(self, name: str, before: int) -> Parameters | None:
        """See `Memory`."""
        return newest(self._rounds.get(name, {}), before)

    def write(self, name: str, server_round: int, arrays: Parameters) -> None:
        """See `Memory`."""
        self._rounds[name] = added(self._rounds.get(name, {}), server_round, arrays)


def newest(rounds: Rounds, before: int) -> Parameters | None:
    """What the last of some rounds before another one left; None if there is none."""
    earlier = [number for number in rounds if number < before]
    return rounds[max(earlier)] if earlier else None


def added(rounds: Rounds, server_round: int, arrays: Parameters) -> Rounds:
    """Rounds with one more, the last `KEPT` of them; those after it never were."""
    kept = {number: each for number, each in rounds.items() if number < server_round}
    kept[server_round] = arrays
    return {number: kept[number] for number in sorted(kept)[-KEPT:]}
