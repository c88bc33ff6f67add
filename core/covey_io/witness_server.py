"""A witness behind an address: `add-checkpoint` of c2sp.org/tlog-witness over plain HTTP.

POST /add-checkpoint       a checkpoint and its proof; the answer is the cosignature
GET  /latest?origin=LOG    the largest checkpoint of a log that was cosigned, a note; for reviewers

Nothing secret goes over the line, and a log proves who it is by its signature. An address that everybody can
reach belongs behind a web server that speaks TLS and limits how often one asks.
"""

import socket
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import BoundedSemaphore
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from covey.errors import CoveyError, InputError
from covey.ledger.witness import MAX_REQUEST_BYTES, Cosigned
from covey_io.witness_store import WitnessFolder

MOST_CONNECTIONS: Final = 64
"""Connections answered at once; a further one is closed."""

SILENCE: Final = 30.0
"""Seconds after which a silent connection is closed."""

_PLAIN: Final = "text/plain; charset=utf-8"
_SIZE: Final = "text/x.tlog.size"


class WitnessServer(ThreadingTCPServer):
    """Answers for one witness.

    Args:
        witness: Whose folder.
        host: The address to listen on.
        port: 0 takes a free one.
        say: Told a line, printable, of every checkpoint and of what went wrong.

    Raises:
        InputError: The address cannot be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True  # a connection that was cut off has nothing to lose: what is cosigned is on disk
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, witness: WitnessFolder, host: str, port: int, say: Callable[[str], None]) -> None:
        self.witness = witness
        self._say = say
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = BoundedSemaphore(MOST_CONNECTIONS)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"cannot listen on {host} port {port}: {reason}", hint="choose another --host or --port"
            ) from error

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return (
            f"http://[{host!s}]:{port}"
            if self.address_family == socket.AF_INET6
            else f"http://{host!s}:{port}"
        )

    def tell(self, line: str) -> None:
        """A line for the witness's owner. It may quote a stranger: it must not drive the terminal."""
        self._say("".join(char if char.isprintable() else "?" for char in line))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as the base class has it
        """A connection that broke is nobody's fault and gets no traceback."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.tell(f"unexpected {type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "covey"
    sys_version = ""
    timeout = SILENCE
    disable_nagle_algorithm = True  # head and body leave one after the other

    def do_POST(self) -> None:
        """`add-checkpoint`."""
        if urlsplit(self.path).path != "/add-checkpoint":
            self._refuse(HTTPStatus.NOT_FOUND, "POST /add-checkpoint")
            return
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "say how long the request is")
            return
        if len(length) > len(str(MAX_REQUEST_BYTES)) or int(length) > MAX_REQUEST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_REQUEST_BYTES} bytes")
            return
        request = self.rfile.read(int(length))
        if len(request) == int(length):  # else the caller hung up
            self._guarded(lambda: self._add(request))

    def do_GET(self) -> None:
        """`latest`."""
        parts = urlsplit(self.path)
        origins = parse_qs(parts.query).get("origin", [])
        if parts.path != "/latest" or len(origins) != 1:
            self._refuse(HTTPStatus.NOT_FOUND, "GET /latest?origin=LOG")
            return
        self._guarded(lambda: self._latest(origins[0]))

    def _add(self, request: bytes) -> None:
        answer = self.server.witness.answer(request, int(time.time()))
        if isinstance(answer, Cosigned):
            self.server.tell(f"cosigned {answer.seen.origin} at {answer.seen.size} entries")
            self._send(HTTPStatus.OK, answer.body, _PLAIN)
            return
        self.server.tell(f"refused ({int(answer.status)}): {answer.why}")
        self._send(answer.status, answer.body, _SIZE if answer.status == HTTPStatus.CONFLICT else _PLAIN)

    def _latest(self, origin: str) -> None:
        seen = self.server.witness.latest(origin)
        if seen is None:
            self._send(HTTPStatus.NOT_FOUND, b"nothing was cosigned of this log\n", _PLAIN)
        else:
            self._send(HTTPStatus.OK, seen.note, _PLAIN)

    def _guarded(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except CoveyError as error:
            self.server.tell(str(error))
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness cannot answer")
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        except OSError as error:
            self.server.tell(f"{error.filename}: {error.strerror}")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness cannot answer")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Refuse a request of which a part may still be on its way."""
        self.close_connection = True
        self._send(status, f"{why}\n".encode(), _PLAIN)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
        """Requests are told of by what became of them."""
