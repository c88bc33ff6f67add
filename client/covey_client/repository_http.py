"""Fetches static files over HTTP for TUF: bounded in size and in time, however slowly somebody answers.

Over `http.client`: the time of a whole answer is bounded, its head included, and an answer that is cut off is
never taken for a complete one. Nothing is redirected, and no proxy is looked for in the environment.
"""

import io
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface

from covey.errors import InputError
from covey_io.tuf_client import gathered

_CHUNK: Final = 1 << 16
_OK: Final = 200
_PARTIAL: Final = 206
_MOST_OF_A_REFUSAL: Final = 1 << 16


@dataclass(frozen=True)
class Patience:
    """How long an answer may take.

    Attributes:
        silence: Seconds without a byte.
        grace: Seconds for an answer, before its rate counts.
        least_rate: Bytes a second that it must reach after that, on the average.
    """

    silence: float = 20
    grace: float = 30
    least_rate: float = 512


class HttpFetcher(FetcherInterface):
    """One connection to one server, for one poll.

    Args:
        address: http or https URL; only its scheme, host and port are used here.
        patience: How long an answer may take.
        ca: Who is believed to certify the server, beside whom the system believes.

    Raises:
        InputError: Not an address, or the certificates cannot be read.
    """

    def __init__(self, address: str, patience: Patience, ca: Path | None = None) -> None:
        self._connection = _connection(address, patience, ca)
        self.requests = 0

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """As the interface says; in memory, where it has a temporary file."""
        return gathered(self.fetch(url), max_length)

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._body(self._asked(url, {}))

    def ranged(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """A file from byte `start` on, or from where the server begins: where, and what follows.

        Raises:
            DownloadError: No usable answer.
        """
        response = self._asked(url, {"Range": f"bytes={start}-"} if start else {})
        if response.status != _PARTIAL:
            return 0, self._body(response)
        if not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            self.close()
            raise DownloadError(f"{url}: another part of it than was asked for")
        return start, self._body(response)

    def _asked(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        fresh = self._connection.sock is None
        try:
            response = self._ask(target, headers)
        except (ConnectionError, HTTPException) as error:
            if fresh:
                raise self._failure(url, error) from error
            self.close()  # kept open since the last request, and closed by the server meanwhile
            response = self._again(url, target, headers)
        except OSError as error:
            raise self._failure(url, error) from error
        wanted = (_OK, _PARTIAL) if headers else (_OK,)
        if response.status not in wanted:
            self._drop(response)
            raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
        return response

    def _again(self, url: str, target: str, headers: dict[str, str]) -> HTTPResponse:
        try:
            return self._ask(target, headers)
        except (OSError, HTTPException) as error:
            raise self._failure(url, error) from error

    def _ask(self, target: str, headers: dict[str, str]) -> HTTPResponse:
        self.requests += 1
        self._connection.request("GET", target, headers=headers)
        return self._connection.getresponse()

    def _body(self, response: HTTPResponse) -> Iterator[bytes]:
        try:
            while chunk := response.read1(_CHUNK):
                yield chunk
            if response.length:
                raise DownloadError(f"cut off, {response.length} bytes before the end")
            response.read()  # at its end: lets the connection be used again
        except (OSError, HTTPException) as error:
            raise self._failure("an answer", error) from error
        finally:
            if not response.isclosed():
                self.close()

    def _drop(self, response: HTTPResponse) -> None:
        """Read a refusal's text away, if that is short: the next request needs no new connection."""
        if response.length is not None and response.length <= _MOST_OF_A_REFUSAL:
            try:
                response.read()
            except (OSError, HTTPException):
                self.close()
        else:
            self.close()

    def _failure(self, what: str, error: Exception) -> DownloadError:
        self.close()
        if isinstance(error, TimeoutError):
            return SlowRetrievalError(f"{what}: too slow")
        return DownloadError(f"{what}: {type(error).__name__}: {error}")


class _Paced(io.RawIOBase):
    """What a socket receives for one answer, until the time for that is over."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open for as long as it is read
        self._patience = patience
        self._began = time.monotonic()
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        allowed = self._patience.grace + self._received / self._patience.least_rate
        left = self._began + allowed - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(left, self._patience.silence))
        count = self._raw.readinto(buffer)
        self._received += count or 0
        return count

    def close(self) -> None:
        super().close()
        self._raw.close()


class _PacedSocket:
    """As much of a socket as `http.client` uses."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock = sock
        self._patience = patience
        self.sendall = sock.sendall
        self.close = sock.close

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Paced(self._sock, self._patience))


class _Plain(HTTPConnection):
    patience: Patience

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _PacedSocket(self.sock, self.patience)


class _Encrypted(HTTPSConnection):
    patience: Patience

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _PacedSocket(self.sock, self.patience)


def _connection(address: str, patience: Patience, ca: Path | None) -> _Plain | _Encrypted:
    hint = "write https://HOST[:PORT]/PATH"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{address!r} is no address", hint=hint) from error
    if not host or parts.username is not None:
        raise InputError(f"{address!r} is no address", hint=hint)
    made: _Plain | _Encrypted
    if parts.scheme == "https":
        made = _Encrypted(host, port, timeout=patience.silence, context=_context(ca))
    else:
        made = _Plain(host, port, timeout=patience.silence)
    made.patience = patience
    return made


def _context(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is None:
        return context
    try:
        context.load_verify_locations(cafile=str(ca))
    except OSError as error:
        raise InputError(f"{ca}: {error.strerror}", hint="name the fleet's ca.crt") from error
    return context
