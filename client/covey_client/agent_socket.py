"""The agent's socket: who asks is told by the kernel, and nobody can keep others from asking.

A Unix socket of frames. The peer's user comes from SO_PEERCRED (unix(7)), taken at connect(2): what the
SuperNode's user says of itself counts for nothing. Every connection carries one question at a time; how many
there are, how long a frame takes to arrive and how often one user may ask have bounds.
"""

import os
import pwd
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from covey import delivery
from covey.errors import ConfigError, ProtocolError, StateError
from covey_client import frames
from covey_client.participant import Log

CREDENTIALS: Final = struct.Struct("3i")
MOST_CONNECTIONS: Final = 8
FRAME_SECONDS: Final = 30.0
MINUTE: Final = 60.0

Handle = Callable[[bytes], bytes]
"""Answers one frame."""


class Rate:
    """At most so many events within a minute.

    Args:
        most: So many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Whether one more may happen; counts it if so."""
        while self._times and self._times[0] <= now - MINUTE:
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now)
        return True


def uids(users: Iterable[str | int]) -> frozenset[int]:
    """User numbers of who may ask: those named, this process's own, and root.

    Raises:
        ConfigError: No such user.
    """
    found = {0, os.geteuid()}
    for user in users:
        try:
            found.add(user if isinstance(user, int) else pwd.getpwnam(user).pw_uid)
        except KeyError as error:
            raise ConfigError("[socket]", "users", f"there is no user {user!r}") from error
    return frozenset(found)


class AgentSocket:
    """Listens until it is closed.

    Args:
        path: Of the socket; its folder must be there.
        allowed: User numbers that may ask.
        per_minute: So many frames at most, of all together.
        handle: Answers a frame.
        log: For the owner.
        mode: Permission bits of the socket: the first bar, before the kernel's word on who asks.

    Raises:
        StateError: Another agent listens there.
        OSError: The socket cannot be made.
    """

    def __init__(  # noqa: PLR0913 - each named at the call
        self, path: Path, *, allowed: frozenset[int], per_minute: int, handle: Handle, log: Log, mode: int
    ) -> None:
        self._path = path
        self._allowed = allowed
        self._rate = Rate(per_minute)
        self._handle = handle
        self._log = log
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening = _bound(path, mode)
        self._thread = threading.Thread(target=self._accept, name=f"socket {path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No connection is left open, and the socket's file is gone."""
        self._path.unlink(missing_ok=True)
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            if not self._admitted(connection):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _admitted(self, connection: socket.socket) -> bool:
        uid = peer_of(connection)
        if uid not in self._allowed:
            self._log(f"user {uid} was turned away from {self._path.name}: not in [socket] users")
            return False
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                self._log(f"a connection to {self._path.name} was turned away: {MOST_CONNECTIONS} are open")
                return False
            self._open.add(connection)
        return True

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(FRAME_SECONDS)
            while (data := frames.receive(connection, blame="the ClientApp")) is not None:
                if not self._rate.allows(time.monotonic()):
                    self._log("more messages than [socket] per_minute allows: the connection is closed")
                    return
                frames.send(connection, self._handle(data))
        except (OSError, ProtocolError) as error:
            self._log(f"a connection to {self._path.name} ended: {error}")
        finally:
            with self._lock:
                self._open.discard(connection)
                connection.close()


def peer_of(connection: socket.socket) -> int:
    """The user number of the process that connected."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(data)
    return int(uid)


def answering(answer: Callable[[delivery.Delivery], delivery.Answer]) -> Handle:
    """A handler of deliveries; what is none is refused and not passed on."""

    def handle(data: bytes) -> bytes:
        try:
            return delivery.to_bytes(answer(delivery.delivery(data)))
        except ProtocolError as error:
            return delivery.to_bytes(delivery.Refusal(error.message[: delivery.LONGEST_REASON]))

    return handle


def _bound(path: Path, mode: int) -> socket.socket:
    """A listening socket; what an agent that died has left is cleared away."""
    listening = socket.socket(socket.AF_UNIX)
    early = path.with_name(f"{path.name}~")  # it has its name once somebody listens
    try:
        _clear(path)
        early.unlink(missing_ok=True)
        before = os.umask(0o777 & ~mode)  # no moment at which the socket is open to more than `mode`
        try:
            listening.bind(str(early))
        finally:
            os.umask(before)
        listening.listen(MOST_CONNECTIONS)
        early.rename(path)
    except BaseException:
        listening.close()
        raise
    return listening


def _clear(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise StateError(
                f"another agent listens on {path}", hint="stop it first: systemctl stop covey-agent"
            )
    path.unlink()
