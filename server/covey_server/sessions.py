"""Who attends the session service, and what is being asked; apart from gRPC.

Only who is in the roster may attend, and who leaves it is cut off at the next question. What was asked and
not answered waits for a device that comes back; what it answers twice, or under a ticket of another device's,
counts for nothing.

What a device can hold of the server's is its newest stream, with one piece on its way, and an answer that it
was asked for, up to that question's end.
"""

import secrets
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import Final

from covey import delivery, session
from covey.delivery import MAX_BYTES, Answer
from covey.errors import ProtocolError
from covey.session import Joining

MOST_WAITING: Final = 8
"""Questions that wait for a device that does not read; one sum needs one."""

Members = Callable[[], frozenset[str]]
"""Names in the roster now."""

Asked = tuple[bytes, bytes]
"""A ticket, and what is asked under it."""


def _nothing() -> None:
    return


@dataclass(eq=False)
class Stream:
    """A device that attends.

    Attributes:
        device: Its name.
        cut: Ends it on the wire, whether or not the device reads.
        asked: On its way to the device; None ends the stream.
        joining: What the device is saying.
        gone: Whether it has ended on the wire.
    """

    device: str
    cut: Callable[[], None] = _nothing
    asked: "Queue[Asked | None]" = field(default_factory=lambda: Queue(MOST_WAITING))
    joining: Joining = field(init=False)
    gone: bool = False

    def __post_init__(self) -> None:
        self.joining = Joining(self.device)

    def end(self) -> None:
        """Nothing more is asked on it."""
        with suppress(Empty):
            while self.asked.full():
                self.asked.get_nowait()
        with suppress(Full):
            self.asked.put_nowait(None)


class Sessions:
    """Who attends, and what is being asked.

    Args:
        members: Who may attend; asked for every device that comes.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._changed = threading.Condition()
        self._streams: dict[str, Stream] = {}
        self._asked: dict[bytes, tuple[str, bytes]] = {}
        self._said: dict[bytes, Answer] = {}

    def attending(self) -> list[str]:
        """Devices with a stream that are in the roster, sorted; any other is cut off."""
        members = self._members()
        with self._changed:
            for device in self._streams.keys() - members:
                self._cut(self._streams.pop(device))
            return sorted(self._streams)

    def attends(self, device: str) -> bool:
        """Whether it has a stream."""
        with self._changed:
            return device in self._streams

    def ask(self, device: str, asked: bytes) -> bytes:
        """Ask a device, now or when it comes back, until `forget`; gives the ticket.

        Args:
            device: Its name.
            asked: A delivery; the same bytes for many devices are held once.

        Raises:
            ProtocolError: Too long for any device to read.
        """
        if len(asked) > MAX_BYTES:
            raise ProtocolError(f"a message of {len(asked)} bytes, at most {MAX_BYTES}", blame="local")
        ticket = secrets.token_bytes(session.TICKET)
        with self._changed:
            self._asked[ticket] = device, asked
            if device in self._streams:
                self._send(self._streams[device], ticket)
        return ticket

    def answers(self, tickets: Iterable[bytes], seconds: float | None) -> dict[bytes, Answer]:
        """What was said to these, once all have been answered or the time is over."""
        wanted = list(tickets)
        with self._changed:
            self._changed.wait_for(lambda: all(each in self._said for each in wanted), seconds)
            return {each: self._said[each] for each in wanted if each in self._said}

    def forget(self, tickets: Iterable[bytes]) -> None:
        """These are not asked any more; what is still said to them, or half said, is dropped."""
        with self._changed:
            for each in tickets:
                device, _ = self._asked.pop(each, ("", b""))
                self._said.pop(each, None)
                stream = self._streams.get(device)
                if stream is not None and stream.joining.ticket == each:
                    stream.joining.forget()

    def is_asked(self, ticket: bytes) -> bool:
        """Whether it waits for an answer."""
        with self._changed:
            return ticket in self._asked and ticket not in self._said

    def is_being_said(self, ticket: bytes) -> bool:
        """Whether a part of the answer has come, and the stream is there that it comes over."""
        with self._changed:
            stream = self._streams.get(self._asked.get(ticket, ("", b""))[0])
            return stream is not None and stream.joining.ticket == ticket

    def attend(self, stream: Stream) -> None:
        """A device comes, perhaps again: its newest stream is the one that counts.

        Raises:
            ProtocolError: It is not in the roster.
        """
        device = stream.device
        if device not in self._members():
            raise ProtocolError(f"{device!r} is not in the roster", blame=device)
        with self._changed:
            if stream.gone:
                return
            if device in self._streams:
                self._cut(self._streams[device])
            self._streams[device] = stream
            for ticket, (name, _) in self._asked.items():
                if name == device and ticket not in self._said:
                    self._send(stream, ticket)
            self._changed.notify_all()

    def leave(self, stream: Stream) -> None:
        """A stream has ended."""
        with self._changed:
            stream.gone = True
            if self._streams.get(stream.device) is stream:
                del self._streams[stream.device]
            stream.joining.forget()
            stream.end()

    def heard(self, stream: Stream, data: bytes) -> None:
        """A device said something; under a ticket that is not its own it counts for nothing, and is not kept.

        Raises:
            ProtocolError: Malformed.
        """
        piece = session.said(data, blame=stream.device)
        with self._changed:
            device, _ = self._asked.get(piece.ticket, ("", b""))
            current = self._streams.get(stream.device) is stream
            if not current or device != stream.device or piece.ticket in self._said:
                return
            whole = stream.joining.add(piece)
            if whole is not None:
                self._said[piece.ticket] = delivery.answer(whole, blame=stream.device)
                self._changed.notify_all()

    def close(self) -> None:
        """Everybody is sent away."""
        with self._changed:
            for each in self._streams.values():
                each.end()
            self._streams.clear()

    def _send(self, stream: Stream, ticket: bytes) -> None:
        try:
            stream.asked.put_nowait((ticket, self._asked[ticket][1]))
        except Full:  # it does not read: what it has not seen waits until it comes back
            self._streams.pop(stream.device, None)
            self._cut(stream)

    def _cut(self, stream: Stream) -> None:
        stream.end()
        stream.cut()
