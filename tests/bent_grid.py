"""A network between a server and its devices that loses, repeats, delays and reorders as a test tells it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from flwr.app import Context, Message, RecordDict

from covey_client.participant import Participant
from covey_simulations.grid import InProcessGrid
from digits_fleet import app_of

Bend = Callable[[str, list[Message]], list[Message]]
"""What becomes of the replies at a stage."""

STAGES = ("advertise", "share", "masked", "consistency", "unmask")


def stage_of(message: Message) -> str:
    """Of a message to a device, or of a reply."""
    _, _, stage = message.metadata.message_type.partition(".")
    return stage


@dataclass(frozen=True)
class Losses:
    """Nodes that are not heard of any more, from a stage on.

    Attributes:
        stages: By stage.
        unheard: Whether they receive what is sent at that stage and act on it: only the reply is lost.
    """

    stages: Mapping[str, Iterable[int]] = field(default_factory=dict)
    unheard: bool = False


class BentGrid(InProcessGrid):
    """Remembers all that was sent and received, by stage.

    Args:
        participants: The devices; what they have claimed stays.
        losses: Who is lost.
        bend: Applied to the replies of each stage that arrive.
    """

    def __init__(
        self,
        participants: Mapping[int, Participant],
        losses: Losses | None = None,
        bend: Bend = lambda _, replies: replies,
    ) -> None:
        super().__init__(app_of(participants), participants)
        self.sent: dict[str, list[Message]] = {}
        self.received: dict[str, list[Message]] = {}
        self._losses = losses or Losses()
        self._bend = bend
        self._gone: set[int] = set()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """What arrives of the replies."""
        sent = list(messages)
        stage = stage_of(sent[0])
        new = set(self._losses.stages.get(stage, ()))
        deaf = self._gone if self._losses.unheard else self._gone | new
        self._gone |= new
        heard = [message for message in sent if message.metadata.dst_node_id not in deaf]
        replies = [
            reply
            for reply in super().send_and_receive(heard, timeout=timeout)
            if reply.metadata.src_node_id not in self._gone
        ]
        self.sent.setdefault(stage, []).extend(sent)
        self.received.setdefault(stage, []).extend(replies)
        return self._bend(stage, replies)

    def deliver(self, messages: Iterable[Message]) -> list[Message]:
        """Past all bends."""
        return list(super().send_and_receive(messages))

    def restart(self, node: int) -> None:
        """A device's memory is lost; what it has claimed stays."""
        self._contexts[node] = Context(self.run.run_id, node, {}, RecordDict(), {})

    def remembered(self, node: int) -> RecordDict:
        """A device's memory."""
        return self._context(node).state

    def remember(self, node: int, memory: RecordDict) -> None:
        """Put an older memory back."""
        self._context(node).state = memory
