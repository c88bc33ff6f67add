"""Asking a witness for its cosignature: one in a folder on this machine, or one behind an address."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from covey.errors import CoveyError, InputError, StateError
from covey.ledger.checkpoint import read_size
from covey.ledger.note import MAX_NOTE_BYTES
from covey.ledger.witness import Cosigned, request_of
from covey_io.witness_store import WitnessFolder

MAX_ANSWER_BYTES: Final = 64 << 10
_HINTS: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "the witness does not understand the request: compare the versions of both",
    HTTPStatus.FORBIDDEN: "the witness knows another key for this log: give its owner the log's present one",
    HTTPStatus.NOT_FOUND: "ask the witness's owner to add the log: covey witness add-log DIR VKEY",
}


@dataclass(frozen=True)
class Conflict:
    """The witness last cosigned another size than was thought: prove from there.

    Attributes:
        size: The size that it cosigned last; larger than the log if that was set back.
    """

    size: int


Answer = str | Conflict
"""Signature lines, to be checked with `covey.ledger.checkpoint.cosignatures_in`, or where to start from."""


class Witness(Protocol):
    """Whoever cosigns checkpoints."""

    def cosign(self, old: int, proof: tuple[bytes, ...], note: bytes) -> Answer:
        """Ask for a cosignature.

        Args:
            old: The size of the checkpoint that the witness is thought to have cosigned last, 0 if none.
            proof: The consistency proof from there, nodes of 32 bytes.
            note: The new checkpoint, signed by the log.

        Raises:
            StateError: The witness saw another history of this log: it was forked, changed or set back.
            CoveyError: No cosignature, for any other reason.
        """

    def latest(self, origin: str) -> bytes | None:
        """The largest checkpoint of a log that the witness cosigned, a note; None if it knows none.

        Raises:
            CoveyError: The witness cannot be asked.
        """


@dataclass(frozen=True)
class LocalWitness:
    """A witness in a folder of this machine: for trying out, and for a witness that shares its disk.

    Attributes:
        folder: As `covey witness init` made it.
    """

    folder: Path

    def cosign(self, old: int, proof: tuple[bytes, ...], note: bytes) -> Answer:
        """See `Witness`."""
        answer = WitnessFolder.open(self.folder).answer(request_of(old, proof, note), int(time.time()))
        status = HTTPStatus.OK if isinstance(answer, Cosigned) else answer.status
        return _answer(str(self.folder), old, status, answer.body)

    def latest(self, origin: str) -> bytes | None:
        """See `Witness`."""
        seen = WitnessFolder.open(self.folder).latest(origin)
        return seen.note if seen else None


@dataclass(frozen=True)
class HttpWitness:
    """A witness behind an address (c2sp.org/tlog-witness).

    Attributes:
        url: Its submission prefix, http or https, without a query.
        timeout: Seconds that it may be silent.

    Raises:
        InputError: Not such an address.
    """

    url: str
    timeout: float = 10.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if (
            not usable
            or parts.query
            or parts.fragment
            or parts.username is not None
            or not self.url.isascii()
        ):
            raise InputError(f"{self.url!r} is no witness's address", hint="write https://HOST[:PORT][/PATH]")

    def cosign(self, old: int, proof: tuple[bytes, ...], note: bytes) -> Answer:
        """See `Witness`."""
        status, body = self._ask("POST", "/add-checkpoint", request_of(old, proof, note), MAX_ANSWER_BYTES)
        return _answer(self.url, old, status, body)

    def latest(self, origin: str) -> bytes | None:
        """See `Witness`. Covey's witnesses serve this; the specification leaves it open."""
        path = f"/latest?origin={quote(origin, safe='')}"
        status, body = self._ask("GET", path, None, MAX_NOTE_BYTES)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise _failed(self.url, status, body)
        return body

    def _ask(self, method: str, path: str, body: bytes | None, most: int) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        try:
            connection.request(method, parts.path.rstrip("/") + path, body)
            return _received(connection.getresponse(), most)
        except (OSError, HTTPException, ValueError) as error:
            reason = (
                (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
            )
            raise CoveyError(
                f"{self.url}: no answer from the witness: {_printable(reason)}",
                hint="start it (covey witness serve DIR), or correct its address",
            ) from error
        finally:
            connection.close()


def _received(response: HTTPResponse, most: int) -> tuple[int, bytes]:
    body = response.read(most + 1)
    if len(body) > most:
        raise HTTPException(f"more than {most} bytes")
    return response.status, body


def _answer(where: str, old: int, status: int, body: bytes) -> Answer:
    if status == HTTPStatus.OK:
        return body.decode("utf-8", "replace")
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise StateError(
            f"{where}: the log does not continue what the witness saw of it: {_why(body)}",
            hint="an entry that was announced is changed or gone: find out which, and bring it back",
        )
    if status != HTTPStatus.CONFLICT:
        raise _failed(where, status, body)
    try:
        size = read_size(body.decode("ascii").removesuffix("\n"))
    except ValueError as error:
        raise _failed(where, status, body) from error
    if size == old:  # it is not the size, then, that the witness objects to
        raise StateError(
            f"{where}: the witness has seen another log of {size} entries under this name: a fork",
            hint="the log was set back or written in two places: find the other one before going on",
        )
    return Conflict(size)


def _failed(where: str, status: int, body: bytes) -> CoveyError:
    hint = _HINTS.get(status, "ask the witness's owner")
    return CoveyError(f"{where}: the witness refused ({int(status)}): {_why(body)}", hint=hint)


def _why(body: bytes) -> str:
    return _printable(body[:200].decode("utf-8", "replace").strip())


def _printable(text: str) -> str:
    """Without what could drive a terminal: somebody else wrote it."""
    return "".join(char for char in text if char.isprintable())
