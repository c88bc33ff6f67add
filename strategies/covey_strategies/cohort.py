"""Who is asked in a round, and the view of a Grid that holds only them."""

from collections.abc import Iterable, Sequence

import numpy as np
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from covey.errors import InputError, TooFewDevices
from covey.plan import SMALLEST_SUM
from covey.planner.cohort import minimum_for
from covey.seeds import generator
from covey_strategies.protection import Protection


def draw(nodes: Iterable[int], size: int, minimum: int, seed: int, server_round: int) -> list[int]:
    """A cohort: all nodes, or `size` of them drawn without replacement.

    Args:
        nodes: Connected nodes.
        size: How many to ask; 0 for all.
        minimum: Fewest that can be asked.
        seed: The run's seed.
        server_round: Keys the draw, so that a resumed run draws the same cohort.

    Raises:
        TooFewDevices: Fewer connected than the minimum.
    """
    connected = nodes if isinstance(nodes, range) else sorted(nodes)
    if len(connected) < max(minimum, 1):
        raise TooFewDevices(
            f"{len(connected)} devices are connected, the minimum is {minimum}",
            hint="bring devices up, or start anew with a lower federation.minimum_devices",
        )
    if not 0 < size < len(connected):
        return list(connected)
    chosen = generator(seed, "cohort", server_round).choice(
        len(connected), size=max(size, minimum), replace=False
    )
    return sorted(connected[index] for index in chosen)


def in_turn(nodes: Iterable[int], size: int, separation: int, seed: int, server_round: int) -> list[int]:
    """A cohort of a fixed order, so that nobody is asked twice within `separation` rounds.

    Round t takes the next `size` of a random order of all nodes, over and over: whoever was asked is asked
    again after n // size rounds at the earliest, of n nodes.

    Args:
        nodes: Connected nodes; the same in all rounds.
        size: How many to ask.
        separation: Rounds.
        seed: The run's seed.
        server_round: Which of the rounds.

    Raises:
        InputError: There are too few nodes for it.
    """
    connected = sorted(nodes)
    rest = len(connected) // size
    if rest < separation:
        raise InputError(
            f"of {len(connected)} devices {size} a round are asked every {rest} rounds, and"
            f" privacy.noise_separation is {separation}",
            hint=f"lower federation.devices_per_round to {max(len(connected) // separation, 1)}, or"
            f" noise_separation and noise_bands to {rest}",
        )
    order = generator(seed, "turns").permutation(len(connected))
    places = (server_round * size + np.arange(size)) % len(connected)
    return sorted(connected[index] for index in order[places])


def divide(cohort: Sequence[int], largest: int, seed: int, server_round: int) -> list[list[int]]:
    """A cohort in parts of at most `largest`, as equal as can be, at random: each has a sum of its own."""
    parts = max(1, -(-len(cohort) // largest))
    if parts == 1:
        return [list(cohort)]
    order = generator(seed, "division", server_round).permutation(len(cohort))
    return [sorted(cohort[index] for index in part) for part in np.array_split(order, parts)]


def minimum_of(devices: int, minimum: int, dropouts: float, protection: Protection) -> int:
    """The fewest devices whose sum is opened, of a cohort of `devices`.

    Args:
        devices: Asked.
        minimum: As decided; 0 to follow from `dropouts`.
        dropouts: Share of the cohort that may drop out.
        protection: With masks or noise a sum has a safe minimum of its own.

    Raises:
        InputError: So many drop-outs would leave too few devices.
    """
    if minimum:
        return minimum
    if protection.masks == "on":
        return minimum_for(devices, protection.corrupt, dropouts)
    return max(SMALLEST_SUM, protection.corrupt + 1, devices - int(dropouts * devices))


class CohortGrid(Grid):
    """A grid that knows the cohort's nodes only; for a strategy that wants to count and sample them."""

    def __init__(self, grid: Grid, cohort: list[int]) -> None:
        self._grid = grid
        self._cohort = cohort

    def get_node_ids(self) -> Iterable[int]:
        """The cohort."""
        return list(self._cohort)

    @property
    def run(self) -> Run:
        """The run of the grid behind this one."""
        return self._grid.run

    def set_run(self, run: Run) -> None:
        """Refused: the run is the grid's."""
        raise NotImplementedError

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """As the grid behind this one."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As the grid behind this one."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """As the grid behind this one."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """As the grid behind this one."""
        return self._grid.send_and_receive(messages, timeout=timeout)
