"""What server and agent say to each other over a session stream: one ask, one answer to it, nothing else.

The server asks; the agent answers under the same ticket. Who the agent is stands in its certificate, never in
a message. A ticket is the server's own random word for one delivery to one device: after a stream has broken,
whatever was not answered is asked again under it, and a device gives the same bytes again.

Both travel in pieces of a mebibyte, in order, so that nothing longer is ever read from a peer at once, and a
model that goes to a hundred devices is held once.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from covey.delivery import MAX_BYTES
from covey.errors import ProtocolError

SERVICE: Final = "covey.Sessions"
METHOD: Final = "Attend"
TICKET: Final = 16
PIECE: Final = 1 << 20
"""Bytes of a delivery or an answer in one message on a stream."""

FRAME: Final = PIECE + 256
"""Largest message on a stream, bytes."""

Ticket = Annotated[bytes, msgspec.Meta(min_length=TICKET, max_length=TICKET)]
Place = Annotated[int, msgspec.Meta(ge=0, le=MAX_BYTES)]
Some = Annotated[bytes, msgspec.Meta(max_length=PIECE)]


class Piece(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A part of what is said.

    Attributes:
        ticket: Of what is asked.
        size: Of the whole, bytes.
        offset: Where in it this part begins.
        data: The part: `PIECE` bytes, or what is left.
    """

    ticket: Ticket
    size: Place
    offset: Place
    data: Some

    def __post_init__(self) -> None:
        """Refuse a part that is not the one that begins there.

        Raises:
            ValueError: msgspec makes a ValidationError of it.
        """
        if self.offset % PIECE or len(self.data) != min(PIECE, self.size - self.offset):
            raise ValueError("a piece of another size")
        if self.offset and not self.data:
            raise ValueError("a piece with nothing in it")


class Ask(Piece, frozen=True, tag=True):
    """Server to agent, of a delivery as `covey.delivery.to_bytes` gives it."""


class Said(Piece, frozen=True, tag=True):
    """Agent to server, of an answer as `covey.delivery.to_bytes` gives it."""


def asks(ticket: bytes, delivery: bytes) -> Iterator[bytes]:
    """A delivery as it travels."""
    return _pieces(Ask, ticket, delivery)


def says(ticket: bytes, answer: bytes) -> Iterator[bytes]:
    """An answer as it travels."""
    return _pieces(Said, ticket, answer)


def _pieces(kind: type[Ask | Said], ticket: bytes, data: bytes) -> Iterator[bytes]:
    for offset in range(0, max(len(data), 1), PIECE):
        yield msgspec.msgpack.encode(kind(ticket, len(data), offset, data[offset : offset + PIECE]))


def ask(data: bytes) -> Ask:
    """A message to a device.

    Raises:
        ProtocolError: Too long or malformed. Blames the server.
    """
    found: Ask = _decoded(data, Ask, "server")
    return found


def said(data: bytes, *, blame: str) -> Said:
    """A message of a device's.

    Raises:
        ProtocolError: Too long or malformed. Blames the device.
    """
    found: Said = _decoded(data, Said, blame)
    return found


def _decoded(data: bytes, kind: type[Ask | Said], blame: str) -> Any:
    if len(data) > FRAME:
        raise ProtocolError(f"a message of {len(data)} bytes, at most {FRAME}", blame=blame)
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed message: {error}", blame=blame) from error


class Joining:
    """One thing that is said on a stream, as far as it has come.

    Args:
        blame: Who says it.
    """

    def __init__(self, blame: str) -> None:
        self._blame = blame
        self._pieces: list[bytes] = []
        self._ticket = b""
        self._size = 0

    @property
    def ticket(self) -> bytes:
        """Of what has come in part; empty between two."""
        return self._ticket

    def add(self, piece: Piece) -> bytes | None:
        """The whole, if this was the last of its pieces.

        Raises:
            ProtocolError: Another piece was to come.
        """
        expected = (self._ticket, self._size) if self._pieces else (piece.ticket, piece.size)
        if (piece.ticket, piece.size) != expected or piece.offset != PIECE * len(self._pieces):
            raise ProtocolError("a piece out of order", blame=self._blame)
        self._ticket, self._size = expected
        self._pieces.append(piece.data)
        if piece.offset + len(piece.data) < piece.size:
            return None
        whole = b"".join(self._pieces)
        self.forget()
        return whole

    def forget(self) -> None:
        """Whatever has come in part."""
        self._pieces, self._ticket, self._size = [], b"", 0
