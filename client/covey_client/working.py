"""What the agent and its training worker say to each other: two questions and their answers.

    agent → worker   Prepare    a plan and its model: can this device answer it?
    worker → agent   Ready | Refused
    agent → worker   Go         the budget is reserved; here are the coins
    worker → agent   Vector     before noise and masks, which the agent adds

The worker is the device's own code, but what it runs is large: the agent reads its answers as strictly as a
server's.
"""

from types import UnionType
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from covey.delivery import Arrays
from covey.encode import Integers
from covey.errors import ProtocolError

COINS: Final = 32

Coins = Annotated[bytes, msgspec.Meta(min_length=COINS, max_length=COINS)]


class Prepare(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """A plan, as `covey.plan.to_bytes` gives it, and the model that came with it."""

    plan: bytes
    model: Arrays


class Ready(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """The plan is one for this device's model."""


class Refused(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """It is not; the reason depends on plan and model alone."""

    reason: str


class Go(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """Compute the answer, with these coins. Not shown when printed: they are secret."""

    coins: Coins

    def __repr__(self) -> str:
        return "<Go>"


class Vector(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """Little-endian int64. Not shown when printed: nothing protects it yet."""

    data: bytes

    def __repr__(self) -> str:
        return "<Vector>"


def encode(message: Prepare | Ready | Refused | Go | Vector) -> bytes:
    """As it goes through the pipe (msgpack)."""
    return msgspec.msgpack.encode(message)


def decode(data: bytes, kind: type | UnionType) -> Any:
    """The message in `data`.

    Raises:
        ProtocolError: Malformed, or another message.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"between agent and worker: {error}", blame="local") from error


def to_vector(integers: Integers) -> Vector:
    """An answer on its way to the agent."""
    return Vector(integers.astype("<i8").tobytes())


def from_vector(vector: Vector, length: int) -> Integers:
    """An answer as it arrived.

    Raises:
        ProtocolError: Of another length than the plan's.
    """
    if len(vector.data) != 8 * length:
        raise ProtocolError(f"an answer of {len(vector.data)} bytes to a plan of {length}", blame="local")
    return np.frombuffer(vector.data, "<i8").astype(np.int64)
