"""The session service: agents attend over mutual TLS, and a stage takes as long as the network does.

One bidirectional gRPC stream a device, opened by the device, so that no router in between must let anything
in. The name in the client certificate says who attends; only who is in the roster may, and who leaves it is
cut off at the next question. What was asked and not answered waits for a device that comes back; what it
answers twice, or under a ticket of another device's, counts for nothing.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Final

import grpc

from covey import delivery, session
from covey.delivery import Answer, Delivery
from covey.errors import InputError, ProtocolError
from covey.session import Ask

MOST_STREAMS: Final = 1000
MOST_WAITING: Final = 8
"""Frames that wait for a device that does not read; one sum needs one."""

OPTIONS: Final = (
    ("grpc.max_receive_message_length", session.FRAME),
    ("grpc.max_send_message_length", session.FRAME),
    ("grpc.keepalive_time_ms", 30_000),  # below what routers forget an idle connection after
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),  # two runs on one address are an error, not a lottery
)

Members = Callable[[], frozenset[str]]
"""Names in the roster now."""


@dataclass(eq=False)
class Stream:
    """A device that attends.

    Attributes:
        device: Its name.
        frames: On their way to it; None ends the stream.
    """

    device: str
    frames: "Queue[bytes | None]" = field(default_factory=lambda: Queue(MOST_WAITING))


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
        """Devices with a stream that are in the roster, sorted."""
        members = self._members()
        with self._changed:
            for device in self._streams.keys() - members:
                self._end(self._streams.pop(device))
            return sorted(self._streams)

    def ask(self, device: str, asked: Delivery) -> bytes:
        """Ask a device, now or when it comes back; gives the ticket."""
        ticket = secrets.token_bytes(session.TICKET)
        frame = session.encode(Ask(ticket, delivery.to_bytes(asked)))
        with self._changed:
            self._asked[ticket] = device, frame
            if device in self._streams:
                self._send(self._streams[device], frame)
        return ticket

    def answers(self, tickets: list[bytes], seconds: float | None) -> dict[bytes, Answer]:
        """What was said to these, once all have or the time is over; later answers are dropped."""
        with self._changed:
            self._changed.wait_for(lambda: all(each in self._said for each in tickets), seconds)
            for each in tickets:
                self._asked.pop(each, None)
            return {each: self._said.pop(each) for each in tickets if each in self._said}

    def attend(self, device: str) -> Stream:
        """A device comes, perhaps again: its newest stream is the one that counts.

        Raises:
            ProtocolError: It is not in the roster.
        """
        if device not in self._members():
            raise ProtocolError(f"{device!r} is not in the roster", blame=device)
        stream = Stream(device)
        with self._changed:
            if device in self._streams:
                self._end(self._streams[device])
            self._streams[device] = stream
            for name, frame in self._asked.values():
                if name == device:
                    self._send(stream, frame)
            self._changed.notify_all()
        return stream

    def leave(self, stream: Stream) -> None:
        """A stream has ended."""
        with self._changed:
            if self._streams.get(stream.device) is stream:
                del self._streams[stream.device]
            self._end(stream)

    def heard(self, device: str, data: bytes) -> None:
        """A device said something; under a ticket that is not its own it counts for nothing.

        Raises:
            ProtocolError: Malformed.
        """
        found = session.said(data, blame=device)
        with self._changed:
            asked = self._asked.get(found.ticket)
            if asked is None or asked[0] != device or found.ticket in self._said:
                return
            self._said[found.ticket] = delivery.answer(found.answer, blame=device)
            self._changed.notify_all()

    def close(self) -> None:
        """Everybody is sent away."""
        with self._changed:
            for each in self._streams.values():
                self._end(each)
            self._streams.clear()

    def _send(self, stream: Stream, frame: bytes) -> None:
        try:
            stream.frames.put_nowait(frame)
        except Full:  # it does not read: what it has not seen waits until it comes back
            del self._streams[stream.device]
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        with suppress(Empty):
            while stream.frames.full():
                stream.frames.get_nowait()
        with suppress(Full):
            stream.frames.put_nowait(None)


@dataclass(frozen=True)
class Certificates:
    """What the service shows, and whom it believes; PEM.

    Attributes:
        certificate: The server's.
        key: Its private key. Not shown when printed.
        authority: That signed the devices' certificates.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    authority: bytes


def certificates(operator: Path) -> Certificates:
    """Of the operator's folder.

    Raises:
        InputError: A file is missing.
    """
    try:
        shown, key, authority = ((operator / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
    except OSError as error:
        raise InputError(
            f"{error.filename}: {(error.strerror or str(error)).lower()}",
            hint="the session service needs what `covey fleet init` made for the server's host",
        ) from error
    return Certificates(shown, key, authority)


class SessionServer:
    """The service on an address, until it is closed.

    Args:
        address: Host and port; port 0 for any.
        shown: Certificates.
        sessions: Who attends.

    Raises:
        InputError: The address is taken, or cannot be listened on.
    """

    def __init__(self, address: str, shown: Certificates, sessions: Sessions) -> None:
        self._sessions = sessions
        self._server = grpc.server(
            ThreadPoolExecutor(MOST_STREAMS, thread_name_prefix="session"),
            options=OPTIONS,
            maximum_concurrent_rpcs=MOST_STREAMS,
        )
        attend = grpc.stream_stream_rpc_method_handler(self._attend)
        handlers = {session.METHOD: attend}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(session.SERVICE, handlers),)
        )
        credentials = grpc.ssl_server_credentials(
            [(shown.key, shown.certificate)], shown.authority, require_client_auth=True
        )
        try:
            self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise InputError(
                f"sessions cannot listen on {address}", hint="is another run going on? name another port"
            ) from error
        self._server.start()

    def close(self) -> None:
        """All streams end."""
        self._sessions.close()
        self._server.stop(1).wait()

    def _attend(self, said: Iterator[bytes], context: Any) -> Iterator[bytes]:
        names = context.auth_context().get("x509_common_name", [])
        device = names[0].decode("utf-8", "replace") if len(names) == 1 else ""
        try:
            stream = self._sessions.attend(device)
        except ProtocolError as error:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, error.message)
            return
        reader = threading.Thread(target=self._hear, args=(stream, said, context), daemon=True)
        context.add_callback(lambda: self._sessions.leave(stream))
        reader.start()
        while (frame := stream.frames.get()) is not None:
            yield frame

    def _hear(self, stream: Stream, said: Iterator[bytes], context: Any) -> None:
        """What a device says; whatever is no answer ends its stream."""
        try:
            for data in said:
                self._sessions.heard(stream.device, data)
        except ProtocolError:
            context.cancel()
        except Exception:  # noqa: BLE001 - gRPC raises whatever ended the stream, which `leave` is told of
            return
        finally:
            self._sessions.leave(stream)
