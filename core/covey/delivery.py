"""What a device is sent and what it says back, apart from how it travels: every transport carries the same.

Flower's messages, the agent's socket and the session service all bring a device one of two things, a plan
with its model or a later request, and take back one of two, the bytes of a protocol message or a refusal.
Whoever only carries them needs to understand nothing else.
"""

from types import UnionType
from typing import Annotated, Any, Final

import msgspec

from covey import plan as plans
from covey.arrays import Parameters
from covey.errors import PackageError, ProtocolError
from covey.package import npy
from covey.plan import Digest, Plan

CATEGORIES: Final = {
    "train": "train",
    "gradient": "train",
    "validate": "evaluate",
    "compare": "evaluate",
    "statistics": "query",
    "calibrate": "query",
    "health": "query",
}
"""Flower's kind of message for each kind of query."""

PLAN: Final = "plan"
ENVELOPE: Final = "envelope"

FIRST_STAGES: Final = {PLAN: "answer", ENVELOPE: "advertise"}
LATER_STAGES: Final = ("share", "masked", "consistency", "unmask", "removal")
STAGES: Final = (*FIRST_STAGES.values(), *LATER_STAGES)

MAX_BYTES: Final = 64 << 20
"""Largest delivery that is read, in bytes: a model of 16 million parameters."""

MOST_ARRAYS: Final = 4096
NOT_SET_UP: Final = "this device cannot answer; its own log says why"
"""Said for whatever goes wrong on a device and is no refusal."""

LONGEST_REASON: Final = 200
"""Characters of a refusal that are shown."""

Category = Annotated[str, msgspec.Meta(max_length=16)]
Stage = Annotated[str, msgspec.Meta(max_length=16)]
Named = tuple[Annotated[str, msgspec.Meta(max_length=256)], bytes]
Arrays = Annotated[tuple[Named, ...], msgspec.Meta(max_length=MOST_ARRAYS)]


class Asked(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """A first message: a plan and the model to answer it with.

    Attributes:
        category: The kind of message that it came as; one of `CATEGORIES`.
        plan: The plan's bytes; None in an envelope.
        envelope: The envelope's bytes; None in clear.
        model: Names and .npy files of the parameters, not yet decoded.
    """

    category: Category
    plan: bytes | None
    envelope: bytes | None
    model: Arrays


class Requested(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """A later message: a request of a session.

    Attributes:
        plan: H(plan), hexadecimal.
        stage: What it answers to; part of the message's type.
        data: The request.
    """

    plan: Digest
    stage: Stage
    data: bytes


Delivery = Asked | Requested


class Reply(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """A device's reply: the bytes of one protocol message, and nothing beside it."""

    data: bytes


class Refusal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """Why a device does not reply; depends on the plan and the model alone, never on data."""

    reason: Annotated[str, msgspec.Meta(max_length=4 * LONGEST_REASON)]


Answer = Reply | Refusal


def to_bytes(carried: Delivery | Answer) -> bytes:
    """As it travels (msgpack)."""
    return msgspec.msgpack.encode(carried)


def delivery(data: bytes) -> Delivery:
    """What a device was sent.

    Raises:
        ProtocolError: Too long, malformed, or of a stage that is none. Blames the server.
    """
    found: Delivery = _decoded(data, Delivery, "server")
    if isinstance(found, Asked):
        if (found.plan is None) == (found.envelope is None) or found.category not in CATEGORIES.values():
            raise ProtocolError("neither a plan with a model nor a request", blame="server")
    elif found.stage not in LATER_STAGES:
        raise ProtocolError("a request at a stage that is none", blame="server")
    return found


def answer(data: bytes, *, blame: str) -> Answer:
    """What a device said.

    Raises:
        ProtocolError: Too long, malformed, or more or less than one message.
    """
    found: Answer = _decoded(data, Answer, blame)
    return found


def _decoded(data: bytes, kind: UnionType, blame: str) -> Any:
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"a message of {len(data)} bytes, at most {MAX_BYTES}", blame=blame)
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed message: {error}", blame=blame) from error


def check_kind(category: str, plan: Plan) -> None:
    """Refuse a plan under another kind of message.

    Raises:
        ProtocolError: Blames the server.
    """
    if category != CATEGORIES[plans.kind(plan)]:
        raise ProtocolError("a plan under another kind of message", blame="server")


def to_arrays(parameters: Parameters) -> Arrays:
    """Parameters as they travel."""
    return tuple((name, npy.encode(value)) for name, value in parameters.items())


def parameters(arrays: Arrays) -> Parameters:
    """What a server sent, in order of names; whether it fits a model is for the caller to check.

    Raises:
        ProtocolError: A name twice, another type than float32, or numbers that are not finite. Blames the
            server.
    """
    if len({name for name, _ in arrays}) != len(arrays):
        raise ProtocolError("an array is there twice", blame="server")
    try:
        return {name: npy.decode(name, data).copy() for name, data in sorted(arrays)}
    except PackageError as error:
        raise ProtocolError(f"a malformed array: {error.message}", blame="server") from error
