"""Enrolling over a network: the device asks the server, and waits for the fleet's owner.

What a device has beforehand is a token, and in it a hash of the fleet's keys. It fetches them over a
connection that it does not trust, compares, and from then on speaks to a server that the fleet's authority
certified only; what the owner answers is signed. So nobody in between can enrol it elsewhere, or hold more
than its time. Run again, it goes on where it was.
"""

import hmac
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from covey.enrolment import MAX_ADMISSION_BYTES, Admitted, Asked, decode, read_admission
from covey.errors import CoveyError, InputError, ProtocolError
from covey.invitation import Anchors, Submission, Token, proof
from covey_io import device_enrolment

TIMEOUT: Final = 20.0
"""Seconds that a server may be silent."""

SOONEST: Final = 2.0
LATEST: Final = 15.0
"""Seconds between two questions: longer and longer."""

_ANEW: Final = "ask the fleet's owner for another: covey fleet invite"


class UnreachableError(CoveyError):
    """Nobody answered: the network's fault, or a server's that is down."""


@dataclass(frozen=True)
class Waits:
    """The owner has not answered yet.

    Attributes:
        why: In words.
    """

    why: str


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how.

    Attributes:
        seconds: For the owner's answer.
        say: Told a line when something changes.
        clock: Seconds that only grow.
        sleep: Waits so many seconds.
    """

    seconds: float
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def times(self) -> Iterator[None]:
        """Whenever it is time to ask again, at least once."""
        until, pause = self.clock() + self.seconds, SOONEST
        while True:
            yield
            left = until - self.clock()
            if left <= 0:
                return
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, LATEST)


@dataclass(frozen=True)
class Endpoint:
    """The server's enrolment endpoint.

    Attributes:
        url: Of the server.
        anchors: The fleet's keys, that are believed; None to believe nothing, which is enough to fetch them.

    Raises:
        InputError: Not a URL, or one over which anybody could read along.
    """

    url: str
    anchors: Anchors | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not self.url.isascii() or parts.query or parts.fragment:
            raise InputError(f"{self.url!r} is no server's URL", hint="write https://HOST[:PORT]")
        if parts.scheme == "http" and not _is_here(parts.hostname or ""):
            raise InputError(
                f"{self.url}: whoever is in between could take the token", hint="write https://…"
            )

    def keys(self) -> Anchors:
        """The fleet's keys, as the server shows them: nothing is proved by that.

        Raises:
            CoveyError: No answer, or none that can be read.
        """
        status, body = self.ask("GET", "/enrol/ca", None)
        if status != HTTPStatus.OK:
            raise CoveyError(
                f"{self.url}: no enrolment here ({status}): {_words(body)}", hint="check --server"
            )
        return decode(body, Anchors, "server")

    def ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Ask once.

        Returns:
            The HTTP status and what was answered.

        Raises:
            UnreachableError: No answer.
            CoveyError: A certificate that is not the fleet's.
        """
        connection = self._connection()
        try:
            connection.request(method, urlsplit(self.url).path.rstrip("/") + path, body)
            return _received(connection.getresponse())
        except ssl.SSLCertVerificationError as error:
            raise CoveyError(
                f"{self.url}: its certificate does not hold: {error.verify_message}",
                hint="check the device's clock (date), and that the URL names a host of the fleet's server",
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = (
                (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
            )
            raise UnreachableError(
                f"{self.url}: no answer: {_printable(reason)}", hint="check network and URL, and run it again"
            ) from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return HTTPConnection(host, parts.port, timeout=TIMEOUT)
        return HTTPSConnection(host, parts.port, timeout=TIMEOUT, context=self._context())

    def _context(self) -> ssl.SSLContext:
        if self.anchors is None:  # for what is public, and compared with the token
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        context = ssl.create_default_context(cadata=self.anchors.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context


def enrol(url: str, asked: Asked, keys: Path, token: Token | None, patience: Patience) -> Admitted:
    """Ask to be admitted, wait, and enrol the device.

    Args:
        url: Of the server.
        asked: The device's request, as it made it in `keys`.
        keys: The device's folder.
        token: As the owner gave it; None for a device that is enrolled and wants its newest admission.
        patience: How long to wait.

    Raises:
        InputError: The token is of another fleet, used or expired; or there is none.
        CoveyError: No answer, refused, or not answered yet.
        ProtocolError: The server shows what this fleet did not sign.
    """
    anchors = pinned(Endpoint(url).keys(), token) if token is not None else own_anchors(keys)
    endpoint, told = Endpoint(url, anchors), ""
    for _ in patience.times():
        found = ask(endpoint, asked, token)
        if isinstance(found, Admitted):
            device_enrolment.accept(keys, found)
            return found
        if found.why != told:
            patience.say(found.why)
            told = found.why
    raise CoveyError("not admitted yet: the fleet's owner has not answered", hint="run the same again later")


def pinned(shown: Anchors, token: Token) -> Anchors:
    """The fleet's keys, if they are those that the token names.

    Raises:
        ProtocolError: They are others.
    """
    if not hmac.compare_digest(shown.pin, token.pin):
        raise ProtocolError(
            "the server shows keys of another fleet than the token's",
            blame="server",
            hint="check --server; if it is right, somebody stands in between: tell the fleet's owner",
        )
    return shown


def own_anchors(keys: Path) -> Anchors:
    """The fleet's keys, as an enrolled device has them.

    Raises:
        InputError: The device is not enrolled.
    """
    before = device_enrolment.own_admission(keys)
    if before is None:
        raise InputError("a token is needed to enrol", hint="add --token-file FILE; " + _ANEW)
    return Anchors(enrolment=before.enrolment.hex(), ca=before.admission.ca)


def ask(endpoint: Endpoint, asked: Asked, token: Token | None) -> Admitted | Waits:
    """What became of a request; it is handed in where the server does not know it.

    Raises:
        InputError: The token was refused.
        CoveyError: A refusal, or a certificate that is not the fleet's.
        ProtocolError: An admission that this fleet did not sign.
    """
    try:
        status, body = endpoint.ask("GET", f"/enrol/{asked.digest}", None)
        if status == HTTPStatus.NOT_FOUND and token is not None:
            status, body = _submit(endpoint, asked, token)
    except UnreachableError as error:
        return Waits(f"{error.message}; trying again")
    return _read(endpoint, status, body)


def _submit(endpoint: Endpoint, asked: Asked, token: Token) -> tuple[int, bytes]:
    told = Submission(
        request=asked.data.decode(), gate=token.gate.hex(), proof=proof(token.proof_key, asked.data)
    )
    status, body = endpoint.ask("POST", "/enrol", msgspec.json.encode(told) + b"\n")
    if status == HTTPStatus.FORBIDDEN:
        raise InputError(f"the server refused the token: {_words(body)}", hint=_ANEW)
    return status, body


def _read(endpoint: Endpoint, status: int, body: bytes) -> Admitted | Waits:
    """What an answer says.

    Raises:
        ProtocolError: An admission that this fleet did not sign.
        CoveyError: A refusal.
    """
    match status:
        case HTTPStatus.OK if endpoint.anchors is not None:
            admitted = read_admission(body, bytes.fromhex(endpoint.anchors.enrolment))
            if admitted.admission.ca != endpoint.anchors.ca:
                raise ProtocolError("an admission with another certificate authority", blame="server")
            return admitted
        case HTTPStatus.ACCEPTED | HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            return Waits(_words(body))
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.GATEWAY_TIMEOUT | HTTPStatus.INTERNAL_SERVER_ERROR:
            return Waits(f"the server has a fault ({int(status)}); trying again")
        case HTTPStatus.GONE:
            raise CoveyError("the fleet's owner refused this device", hint="ask them why")
        case HTTPStatus.NOT_FOUND:
            raise CoveyError(f"the server does not know this request: {_words(body)}", hint=_ANEW)
        case _:
            raise CoveyError(f"{endpoint.url} answered {int(status)}: {_words(body)}", hint="check --server")


def _received(response: HTTPResponse) -> tuple[int, bytes]:
    body = response.read(MAX_ADMISSION_BYTES + 1)
    if len(body) > MAX_ADMISSION_BYTES:
        raise HTTPException(f"more than {MAX_ADMISSION_BYTES} bytes")
    return response.status, body


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(body: bytes) -> str:
    return _printable(body[:200].decode("utf-8", "replace").strip())


def _printable(text: str) -> str:
    """Without what could drive a terminal: somebody else wrote it."""
    return "".join(char for char in text if char.isprintable())
