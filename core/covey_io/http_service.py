"""Answering HTTP for strangers: so many connections, so many bytes, so much time, and no more.

The floor of a witness and of the enrolment endpoint: Python's own server, which has none of these limits.
"""

import io
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import BoundedSemaphore, Lock
from typing import Any, ClassVar, Final

from covey.errors import CoveyError, InputError

MOST_CONNECTIONS: Final = 64
"""Connections answered at once; a further one is closed."""

SILENCE: Final = 30.0
"""Seconds after which a silent connection is closed."""

PATIENCE: Final = 30.0
"""Seconds that a request may take to arrive, however busily it trickles in."""

MOST_HEAD_BYTES: Final = 16 << 10
"""Of a request line and its headers."""

PLAIN: Final = "text/plain; charset=utf-8"


class BoundedServer(ThreadingTCPServer):
    """A server that a flood cannot fill.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        handler: Answers a connection.
        say: Told lines for the server's owner.
        most: Connections at once.
        per_address: Of them from one address; None for as many.
        tls: The server's certificate; None for plain HTTP.

    Raises:
        InputError: The address cannot be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True  # a connection that was cut off has nothing to lose: what was promised is on disk
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(  # noqa: PLR0913 - each limit is named at the call
        self,
        host: str,
        port: int,
        handler: "type[BoundedHandler]",
        say: Callable[[str], None],
        *,
        most: int = MOST_CONNECTIONS,
        per_address: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._say = say
        self._tls = tls
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = _Room(most, most if per_address is None else per_address)
        try:
            super().__init__((host, port), handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"cannot listen on {host} port {port}: {reason}", hint="choose another --host or --port"
            ) from error

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else f"{host!s}"
        return f"{'http' if self._tls is None else 'https'}://{shown}:{port}"

    def tell(self, line: str) -> None:
        """A line for the server's owner. It may quote a stranger: it must not drive the terminal."""
        self._say("".join(char if char.isprintable() else "?" for char in line))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there is room."""
        if not self._room.enter(client_address[0]):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self._room.leave(client_address[0])
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.leave(client_address[0])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection; the handshake is its own thread's affair, and has its time as well."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(SILENCE)
        with self._tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as the base class has it
        """A connection that broke is nobody's fault and gets no traceback."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.tell(f"unexpected {type(error).__name__}: {error}")


class BoundedHandler(BaseHTTPRequestHandler):
    """One connection: a subclass has `do_GET` and `do_POST`, which use `body`, `guarded`, `send`."""

    server: BoundedServer
    protocol_version = "HTTP/1.1"
    server_version = "covey"
    sys_version = ""
    timeout = SILENCE
    patience: ClassVar[float] = PATIENCE
    most_bytes: ClassVar[int] = 0
    """Of a request's body."""
    wrong: ClassVar[str] = "the server cannot answer"
    """What strangers are told of a fault here."""
    disable_nagle_algorithm = True  # head and body leave one after the other

    def setup(self) -> None:
        """Read through something that counts bytes and seconds."""
        super().setup()
        self.rfile.close()
        self._arriving = _Arriving(self.connection, self.timeout)
        self.rfile = io.BufferedReader(self._arriving)

    def handle_one_request(self) -> None:
        """One request, within its time and size."""
        self._arriving.begin(self.patience, MOST_HEAD_BYTES + self.most_bytes)
        super().handle_one_request()

    def body(self) -> bytes | None:
        """What was posted; None if it was refused, or the caller hung up."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self.refuse(HTTPStatus.LENGTH_REQUIRED, "say how long the request is")
            return None
        if len(length) > len(str(self.most_bytes)) or int(length) > self.most_bytes:
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {self.most_bytes} bytes")
            return None
        data = self.rfile.read(int(length))
        return data if len(data) == int(length) else None

    def guarded(self, answer: Callable[[], None]) -> None:
        """Answer; what goes wrong here is told to the server's owner, and not to the stranger."""
        try:
            answer()
        except CoveyError as error:
            self.server.tell(str(error))
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, self.wrong)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except OSError as error:
            self.server.tell(f"{error.filename}: {error.strerror}")
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, self.wrong)

    def refuse(self, status: HTTPStatus, why: str) -> None:
        """Refuse a request of which a part may still be on its way."""
        self.close_connection = True
        self.send(status, f"{why}\n".encode(), PLAIN)

    def send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        """Requests are told of by what became of them."""


class _Room:
    """Who is in: so many at once, and so many of one address."""

    def __init__(self, most: int, per_address: int) -> None:
        self._all = BoundedSemaphore(most)
        self._most = per_address
        self._lock = Lock()
        self._of: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        if not self._all.acquire(blocking=False):
            return False
        with self._lock:
            if self._of[address] < self._most:
                self._of[address] += 1
                return True
        self._all.release()
        return False

    def leave(self, address: str) -> None:
        with self._lock:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]
        self._all.release()


class _Arriving(io.RawIOBase):
    """What a connection sends, as far as one request may take."""

    def __init__(self, connection: socket.socket, silence: float) -> None:
        super().__init__()
        self._connection = connection
        self._silence = silence
        self._until = time.monotonic()
        self._left = 0

    def begin(self, seconds: float, most: int) -> None:
        """A request may take so long, and so many bytes."""
        self._until = time.monotonic() + seconds
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long to arrive")
        if self._left <= 0:
            raise ConnectionAbortedError("the request is too large")
        self._connection.settimeout(min(left, self._silence))
        try:
            count = self._connection.recv_into(memoryview(buffer)[: self._left])
        finally:
            self._connection.settimeout(self._silence)
        self._left -= count
        return count
