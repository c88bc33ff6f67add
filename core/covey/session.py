"""What server and agent say to each other over a session stream: one ask, one answer to it, nothing else.

The server asks; the agent answers under the same ticket. Who the agent is stands in its certificate, never in
a message. A ticket is the server's own random word for one delivery to one device: after a stream has broken,
whatever was not answered is asked again under it, and a device gives the same bytes again.
"""

from types import UnionType
from typing import Annotated, Any, Final

import msgspec

from covey.delivery import MAX_BYTES
from covey.errors import ProtocolError

SERVICE: Final = "covey.Sessions"
METHOD: Final = "Attend"
TICKET: Final = 16
FRAME: Final = MAX_BYTES + 1024
"""Largest message on a stream, bytes."""

Ticket = Annotated[bytes, msgspec.Meta(min_length=TICKET, max_length=TICKET)]


class Ask(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """A delivery, as `covey.delivery.to_bytes` gives it."""

    ticket: Ticket
    delivery: bytes


class Said(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """An answer to it, as `covey.delivery.to_bytes` gives it."""

    ticket: Ticket
    answer: bytes


def encode(message: Ask | Said) -> bytes:
    """As it travels (msgpack)."""
    return msgspec.msgpack.encode(message)


def ask(data: bytes) -> Ask:
    """What a device is asked.

    Raises:
        ProtocolError: Too long or malformed. Blames the server.
    """
    found: Ask = _decoded(data, Ask, "server")
    return found


def said(data: bytes, *, blame: str) -> Said:
    """What a device said.

    Raises:
        ProtocolError: Too long or malformed. Blames the device.
    """
    found: Said = _decoded(data, Said, blame)
    return found


def _decoded(data: bytes, kind: type | UnionType, blame: str) -> Any:
    if len(data) > FRAME:
        raise ProtocolError(f"a message of {len(data)} bytes, at most {FRAME}", blame=blame)
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed message: {error}", blame=blame) from error
