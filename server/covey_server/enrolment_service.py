"""The enrolment endpoint: what invited devices ask, over HTTP.

GET  /enrol/ca       the fleet's enrolment key and certificate authority: to compare with a token
POST /enrol          a request and what shows the invitation: 202
GET  /enrol/HASH     what became of a request: 202 it waits, 200 its admission, 410 it was refused

It stands on loopback behind a reverse proxy, or speaks TLS itself. What it hands out is signed, so that a
server that lies can keep a device waiting, and no more.
"""

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from covey.errors import InputError
from covey.invitation import MAX_SUBMISSION_BYTES
from covey_io.http_service import PLAIN, BoundedHandler, BoundedServer
from covey_server.enrolment_desk import Answer, EnrolmentDesk

CALLS_PER_MINUTE: Final = 600
"""Of one address: a hundred devices behind one router ask six times a minute each."""

REQUESTS_PER_MINUTE: Final = 30
"""Of one address."""

ALL_PER_MINUTE: Final = 6000
"""Calls of everybody."""

MOST_ADDRESSES: Final = 4096
"""Remembered at once; beyond, the one that was silent longest is forgotten."""

PER_ADDRESS: Final = 16
"""Connections at once, where addresses are devices' own and not a proxy's."""

_MINUTE: Final = 60.0
_JSON: Final = "application/json"


@dataclass(frozen=True)
class Place:
    """Where the endpoint listens.

    Attributes:
        host: The address.
        port: 0 takes a free one.
        tls: The folder with tls.key and tls.crt; None for plain HTTP, behind a reverse proxy.
        proxied: Whether whoever calls is a reverse proxy that says, last in X-Forwarded-For, for whom.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: Path | None = None
    proxied: bool = False


class EnrolmentServer(BoundedServer):
    """Answers devices that want to be enrolled.

    Args:
        desk: Where requests wait.
        place: Where to listen.
        say: Told a line, printable, of every new request and of what went wrong.

    Raises:
        InputError: The address cannot be listened on, or the certificate cannot be used.
    """

    def __init__(self, desk: EnrolmentDesk, place: Place, say: Callable[[str], None]) -> None:
        desk.anchors()
        self.desk = desk
        self.proxied = place.proxied
        self.calls = Rates(CALLS_PER_MINUTE)
        self.requests = Rates(REQUESTS_PER_MINUTE)
        self.everybody = Rates(ALL_PER_MINUTE)
        super().__init__(
            place.host,
            place.port,
            _Handler,
            say,
            per_address=None if place.proxied else PER_ADDRESS,
            tls=None if place.tls is None else server_context(place.tls),
        )


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS with the operator's tls.key and tls.crt.

    Raises:
        InputError: They are not there, or do not fit each other.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no tls.crt and tls.key that fit: {type(error).__name__}",
            hint="bring them from the fleet's folder: covey fleet init, covey fleet renew",
        ) from error
    return context


@dataclass
class Rates:
    """How often each address may do something: a bucket that fills steadily.

    Attributes:
        per_minute: As often.
        most: Addresses remembered.
        clock: Seconds that only grow.
    """

    per_minute: int
    most: int = MOST_ADDRESSES
    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def allow(self, address: str) -> bool:
        """Whether this address may do it now; if so, it did."""
        with self._lock:
            now = self.clock()
            left, before = self._left.pop(address, (float(self.per_minute), now))
            left = min(self.per_minute, left + (now - before) * self.per_minute / _MINUTE)
            allowed = left >= 1
            self._left[address] = (left - 1 if allowed else left, now)
            while len(self._left) > self.most:
                self._left.popitem(last=False)
            return allowed


class _Handler(BoundedHandler):
    server: EnrolmentServer
    most_bytes = MAX_SUBMISSION_BYTES
    wrong = "the server cannot answer: tell the fleet's owner"

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        """A device's request."""
        if self._path() != "/enrol":
            self.refuse(HTTPStatus.NOT_FOUND, "POST /enrol")
            return
        if not self._is_allowed(requests=True):
            return
        data = self.body()
        if data is not None:
            self.guarded(lambda: self._say(self.server.desk.submit(data, int(time.time()))))

    def do_GET(self) -> None:  # noqa: N802 - as above
        """The fleet's keys, or what became of a request."""
        name = self._path().removeprefix("/enrol/")
        if not self._is_allowed(requests=False):
            return
        if name == "ca":
            self.guarded(lambda: self.send(HTTPStatus.OK, self.server.desk.anchors(), _JSON))
            return
        self.guarded(lambda: self._say(self.server.desk.answer(name)))

    def _say(self, answer: Answer) -> None:
        if answer.said:
            self.server.tell(answer.said)
        self.send(answer.status, answer.body, _JSON if answer.status == HTTPStatus.OK else PLAIN)

    def _is_allowed(self, *, requests: bool) -> bool:
        server, address = self.server, self._address()
        here = server.proxied and "X-Forwarded-For" not in self.headers  # looks whether the endpoint is well
        allowed = (here or server.everybody.allow("")) and server.calls.allow(address)
        if allowed and (not requests or server.requests.allow(address)):
            return True
        self.close_connection = True
        self.send(HTTPStatus.TOO_MANY_REQUESTS, b"too often: wait a minute\n", PLAIN, Retry_After="60")
        return False

    def _address(self) -> str:
        """Whose call it is. The proxy added what stands last; what stands before, anybody may claim."""
        told = self.headers.get("X-Forwarded-For", "") if self.server.proxied else ""
        return told.rpartition(",")[2].strip()[:64] or str(self.client_address[0])

    def _path(self) -> str:
        return urlsplit(self.path).path
