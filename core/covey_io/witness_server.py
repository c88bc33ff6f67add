"""A witness behind an address: `add-checkpoint` of c2sp.org/tlog-witness over plain HTTP.

POST /add-checkpoint       a checkpoint and its proof; the answer is the cosignature
GET  /latest?origin=LOG    the largest checkpoint of a log that was cosigned, a note; for reviewers

Nothing secret goes over the line, and a log proves who it is by its signature. An address that everybody can
reach belongs behind a web server that speaks TLS and limits how often one asks.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from covey.ledger.witness import MAX_REQUEST_BYTES, Cosigned
from covey_io.http_service import PLAIN, BoundedHandler, BoundedServer
from covey_io.witness_store import WitnessFolder

MOST_CONNECTIONS: Final = 64
"""Connections answered at once; a further one is closed."""

_SIZE: Final = "text/x.tlog.size"


class WitnessServer(BoundedServer):
    """Answers for one witness.

    Args:
        witness: Whose folder.
        host: The address to listen on.
        port: 0 takes a free one.
        say: Told a line, printable, of every checkpoint and of what went wrong.

    Raises:
        InputError: The address cannot be listened on.
    """

    def __init__(self, witness: WitnessFolder, host: str, port: int, say: Callable[[str], None]) -> None:
        self.witness = witness
        super().__init__(host, port, _Handler, say, most=MOST_CONNECTIONS)


class _Handler(BoundedHandler):
    server: WitnessServer
    most_bytes = MAX_REQUEST_BYTES
    wrong = "the witness cannot answer"

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        """`add-checkpoint`."""
        if urlsplit(self.path).path != "/add-checkpoint":
            self.refuse(HTTPStatus.NOT_FOUND, "POST /add-checkpoint")
            return
        request = self.body()
        if request is not None:
            self.guarded(lambda: self._add(request))

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """`latest`."""
        parts = urlsplit(self.path)
        origins = parse_qs(parts.query).get("origin", [])
        if parts.path != "/latest" or len(origins) != 1:
            self.refuse(HTTPStatus.NOT_FOUND, "GET /latest?origin=LOG")
            return
        self.guarded(lambda: self._latest(origins[0]))

    def _add(self, request: bytes) -> None:
        answer = self.server.witness.answer(request, int(time.time()))
        if isinstance(answer, Cosigned):
            self.server.tell(f"cosigned {answer.seen.origin} at {answer.seen.size} entries")
            self.send(HTTPStatus.OK, answer.body, PLAIN)
            return
        self.server.tell(f"refused ({int(answer.status)}): {answer.why}")
        self.send(answer.status, answer.body, _SIZE if answer.status == HTTPStatus.CONFLICT else PLAIN)

    def _latest(self, origin: str) -> None:
        seen = self.server.witness.latest(origin)
        if seen is None:
            self.send(HTTPStatus.NOT_FOUND, b"nothing was cosigned of this log\n", PLAIN)
        else:
            self.send(HTTPStatus.OK, seen.note, PLAIN)
