"""A Flower Grid over two transports: the session service where a device attends, Flower's messages elsewhere.

A node is a device, whichever way it is reached. One that has a SuperNode goes by that node's id, which the
SuperLink gave to the key that the device's owner handed in under its name; any other by a hash of its name.
What was asked over a stream that is gone, or says nothing, is asked over Flower as well: a device gives the
same bytes to the same question, and the first answer is the one that counts.
"""

import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from covey.delivery import FIRST_STAGES, Answer, Refusal, to_bytes
from covey.errors import ProtocolError
from covey_server.flower_way import FlowerWay, Waiting
from covey_server.sessions import Sessions
from covey_strategies.wire import REFUSED, read, reply_message


def node_of(device: str) -> int:
    """The node id that stands for a device without a SuperNode: 62 bits of a hash of its name."""
    return int.from_bytes(hashlib.sha256(b"covey/v1/node\0" + device.encode()).digest()[:8], "big") >> 2


class SessionGrid(Grid):
    """Delivers to agents.

    Args:
        sessions: Who attends.
        run: The run in whose name messages are sent.
        flower: The other way; None if there is none.
    """

    def __init__(self, sessions: Sessions, run: Run, flower: FlowerWay | None = None) -> None:
        self._sessions = sessions
        self._run = run
        self._flower = flower
        self._devices: dict[int, str] = {}
        self._attended: set[str] = set()
        self._waiting: dict[str, Waiting] = {}

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Name the run."""
        self._run = run

    def get_node_ids(self) -> Iterable[int]:
        """Of the devices that attend, and of the SuperNodes that are connected; each device once."""
        attending = self._sessions.attending()
        registered = self._flower.nodes() if self._flower else {}
        nodes = {registered.get(device, node_of(device)): device for device in attending}
        self._attended.update(attending)
        self._devices |= {node: device for device, node in registered.items()} | nodes
        return sorted(nodes.keys() | set(self._flower.grid.get_node_ids() if self._flower else ()))

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
            ProtocolError: A message is for a node that was never there, or is none of ours.
        """
        sent = list(messages)
        contents = {id(each.content): each for each in sent}  # a model that goes to many is encoded once
        encoded = {content: to_bytes(read(each)) for content, each in contents.items()}
        pushed = {secrets.token_hex(16): self._asked(each, encoded[id(each.content)]) for each in sent}
        if self._flower is not None:
            self._flower.push([each for each in pushed.values() if each.away is not None])
        self._waiting |= pushed
        return list(pushed)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that have come, each once."""
        wanted = {each: self._waiting[each] for each in message_ids if each in self._waiting}
        found = self._come(wanted, 0.0)
        self._forget(found)
        return list(found.values())

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Replies that come in time; whatever has not is not waited for any more."""
        identifiers = list(self.push_messages(messages))
        wanted = {each: self._waiting[each] for each in identifiers}
        end = None if timeout is None else time.monotonic() + timeout
        found: dict[str, Message] = {}
        while wanted:
            left = None if end is None else max(end - time.monotonic(), 0.0)
            found |= self._come(wanted, self._pause(left))
            wanted = {each: waiting for each, waiting in wanted.items() if each not in found}
            if left == 0:
                break
            self._turn_to_flower(wanted.values())
        self._forget(identifiers)
        held = {each: _named(waiting.held, each) for each, waiting in wanted.items() if waiting.held}
        return [(found | held)[each] for each in identifiers if each in found | held]

    def _asked(self, message: Message, data: bytes) -> Waiting:
        """Asked by the session service, if the device has attended in this run."""
        now, node = time.monotonic(), message.metadata.dst_node_id
        device = self._devices.get(node)
        attends = device is not None and self._sessions.attends(device)
        if device is not None and (attends or device in self._attended):
            ticket = self._sessions.ask(device, data)
            return Waiting(message, device, ticket, now, away=None if attends else now)
        if self._flower is None:
            raise ProtocolError(f"node {node} never attended", blame="local")
        return Waiting(message, device, None, now, away=now)

    def _come(self, wanted: Mapping[str, Waiting], seconds: float | None) -> dict[str, Message]:
        """Replies to these by either way, waited for so long unless all have come."""
        tickets = {waiting.ticket: each for each, waiting in wanted.items() if waiting.ticket is not None}
        if not tickets and seconds:
            time.sleep(seconds)
        said = self._sessions.answers(tickets, seconds)
        found = {tickets[ticket]: _reply(answer, wanted[tickets[ticket]]) for ticket, answer in said.items()}
        left = {waiting.flower: each for each, waiting in wanted.items() if each not in found}
        for waiting, message in (
            self._flower.pull(wanted[each] for each in left.values()) if self._flower else ()
        ):
            if self._counts(waiting, message):
                found[left[waiting.flower]] = message
            else:
                waiting.held = message
        return {each: _named(message, each) for each, message in found.items()}

    def _counts(self, waiting: Waiting, message: Message) -> bool:
        """Whether what came over Flower is the answer: not an error, where a stream may still bring one."""
        if waiting.ticket is None or not message.has_error():
            return True
        return message.error.code == REFUSED and not self._sessions.attends(waiting.device or "")

    def _pause(self, left: float | None) -> float | None:
        """How long to wait before looking again."""
        if self._flower is None:
            return left
        return self._flower.poll if left is None else min(self._flower.poll, left)

    def _turn_to_flower(self, waiting: Iterable[Waiting]) -> None:
        """Ask over Flower as well, where a stream stays away or is silent."""
        if self._flower is None:
            return
        for each in waiting:
            each.away = None if self._sessions.attends(each.device or "") else each.away or time.monotonic()
        self._flower.push([each for each in waiting if not each.flower and self._is_late(each, self._flower)])

    def _is_late(self, waiting: Waiting, flower: FlowerWay) -> bool:
        now = time.monotonic()
        if waiting.away is not None:
            return now - waiting.away >= flower.grace
        if _may_train(waiting.message) or self._sessions.is_being_said(waiting.ticket or b""):
            return False  # a long answer over a slow line is no silence
        return now - waiting.asked >= flower.silent

    def _forget(self, identifiers: Iterable[str]) -> None:
        gone = [self._waiting.pop(each) for each in identifiers if each in self._waiting]
        self._sessions.forget(each.ticket for each in gone if each.ticket is not None)


def _may_train(message: Message) -> bool:
    """Whether answering takes as long as it takes."""
    return message.metadata.message_type.rpartition(".")[2] in FIRST_STAGES.values()


def _reply(answer: Answer, waiting: Waiting) -> Message:
    if isinstance(answer, Refusal):
        return Message(Error(REFUSED, answer.reason), reply_to=waiting.message)
    return reply_message(answer.data, waiting.message)


def _named(reply: Message, identifier: str) -> Message:
    """A reply to what the grid's user knows the message as."""
    reply.metadata.__dict__["_reply_to_message_id"] = identifier
    return reply
