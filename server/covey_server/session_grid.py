"""A Flower Grid over the session service: the same federation, its stages at the speed of the network."""

import hashlib
from collections.abc import Iterable

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from covey.delivery import Answer, Refusal
from covey.errors import ProtocolError
from covey_server.sessions import Sessions
from covey_strategies.wire import REFUSED, read, reply_message


def node_of(device: str) -> int:
    """The node id that stands for a device: 62 bits of a hash of its name."""
    return int.from_bytes(hashlib.sha256(b"covey/v1/node\0" + device.encode()).digest()[:8], "big") >> 2


class SessionGrid(Grid):
    """Delivers to agents that attend; a node is a device.

    Args:
        sessions: Who attends.
        run: The run in whose name messages are sent.
    """

    def __init__(self, sessions: Sessions, run: Run) -> None:
        self._sessions = sessions
        self._run = run
        self._devices: dict[int, str] = {}
        self._waiting: dict[str, tuple[bytes, Message]] = {}

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Name the run."""
        self._run = run

    def get_node_ids(self) -> Iterable[int]:
        """Of the devices that attend."""
        self._devices |= {node_of(device): device for device in self._sessions.attending()}
        return sorted(node_of(device) for device in self._sessions.attending())

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message of this run."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Ask; the answers wait for `pull_messages`.

        Raises:
            ProtocolError: A message is for a node that never attended, or is none of ours.
        """
        identifiers = []
        for message in messages:
            device = self._devices.get(message.metadata.dst_node_id)
            if device is None:
                raise ProtocolError(f"node {message.metadata.dst_node_id} never attended", blame="local")
            ticket = self._sessions.ask(device, read(message))
            identifier = ticket.hex()
            message.metadata.__dict__["_message_id"] = identifier  # as Flower's SuperLink does
            self._waiting[identifier] = ticket, message
            identifiers.append(identifier)
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that have come, each once; whatever has not is not waited for any more."""
        return self._pull(list(message_ids), 0)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Replies that come in time."""
        return self._pull(list(self.push_messages(messages)), timeout)

    def _pull(self, identifiers: list[str], seconds: float | None) -> list[Message]:
        waiting = [self._waiting.pop(each) for each in identifiers if each in self._waiting]
        answers = self._sessions.answers([ticket for ticket, _ in waiting], seconds)
        return [_reply(answers[ticket], message) for ticket, message in waiting if ticket in answers]


def _reply(answer: Answer, message: Message) -> Message:
    if isinstance(answer, Refusal):
        return Message(Error(REFUSED, answer.reason), reply_to=message)
    return reply_message(answer.data, message)
