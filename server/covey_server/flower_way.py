"""The way to devices over their SuperNodes, for messages that the session service cannot bring."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.app import Message
from flwr.serverapp import Grid

from covey_server.nodes import read_book

GRACE: Final = 2.0
SILENT: Final = 10.0
POLL: Final = 1.0

Nodes = Callable[[], Mapping[str, int]]
"""The id of each device's SuperNode, by the device's name, as they are registered now."""


@dataclass
class Waiting:
    """A message without an answer yet.

    Attributes:
        message: As it was pushed.
        device: Its device; None for a node that only Flower knows.
        ticket: Of the session service; None where the device has not attended.
        asked: When, monotonic seconds.
        away: Since when its device has had no stream; None while it has.
        flower: Flower's name of the message; empty while it did not go that way.
        held: What came over Flower and is no answer, for want of a better.
    """

    message: Message
    device: str | None
    ticket: bytes | None
    asked: float
    away: float | None = None
    flower: str = ""
    held: Message | None = None


@dataclass(frozen=True)
class FlowerWay:
    """A grid of Flower's, and when it is used beside a stream.

    Attributes:
        grid: Flower's.
        nodes: Whose SuperNode is which.
        grace: Seconds within which a broken stream is expected back.
        silent: Seconds of a stream's silence, at a stage at which nothing is trained.
        poll: Seconds between looks at what came.
    """

    grid: Grid
    nodes: Nodes
    grace: float = GRACE
    silent: float = SILENT
    poll: float = POLL

    def push(self, some: Sequence[Waiting]) -> None:
        """Those whose SuperNode is connected; the others stay as they are."""
        if not some:
            return
        connected = set(self.grid.get_node_ids())
        there = [each for each in some if each.message.metadata.dst_node_id in connected]
        names = self.grid.push_messages([each.message for each in there]) if there else []
        for each, name in zip(there, names, strict=False):  # none at all, where Flower found them too long
            each.flower = name or ""

    def pull(self, waiting: Iterable[Waiting]) -> list[tuple[Waiting, Message]]:
        """What has come for these."""
        out = {each.flower: each for each in waiting if each.flower and each.held is None}
        pulled = self.grid.pull_messages(out) if out else []
        named = [(message.metadata.reply_to_message_id, message) for message in pulled]
        return [(out[name], message) for name, message in named if name in out]


def registered(path: Path) -> Nodes:
    """Whose SuperNode is which, from the book that `covey serve` keeps; see `covey_server.nodes`."""

    def read() -> Mapping[str, int]:
        return {device: int(found.node) for device, found in read_book(path).items()}

    return read
