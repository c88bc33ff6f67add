"""What a server or a device may try: requests changed in one place, and what a refusal leaves."""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest

from covey.errors import ProtocolError
from covey.secagg import states
from covey.secagg.messages import Message, decode, encode
from secagg_fleet import Device, Fleet

_Message = TypeVar("_Message", bound=Message)


def read(data: bytes, kind: type[_Message]) -> _Message:
    return decode(data, kind, blame="test", limit=1 << 24)


def changed(data: bytes, kind: type[_Message], **changes: Any) -> bytes:
    """The same message with other fields."""
    return encode(msgspec.structs.replace(read(data, kind), **changes))


def refused(device: Device, request: bytes, match: str, blame: str = "server") -> ProtocolError:
    """The device refuses; its state and its claims are what they were."""
    assert device.state is not None
    before, claims = states.to_bytes(device.state), dict(device.claims)
    with pytest.raises(ProtocolError, match=match) as caught:
        device.ask(request)
    assert caught.value.blame == blame
    assert states.to_bytes(device.state) == before
    assert device.claims == claims
    return caught.value


def goes_on(fleet: Fleet, node: int, request: bytes) -> None:
    """After refusals the right request is still answered: nothing was lost."""
    assert fleet.devices[node].ask(request)


HEADS = bytes((0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, *range(0xC0, 0xE0), 0xFF))


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Bits flipped, heads swapped, pieces cut out, doubled, inserted; lengths that promise too much."""
    random = np.random.Generator(np.random.PCG64(seed))
    ways = random.integers(0, 7, count)
    places = random.integers(0, len(data), (count, 2))
    values = random.integers(0, 1 << 32, (count, 2))
    for way, (first, second), (one, two) in zip(ways, places, values, strict=True):
        begin, end = sorted((int(first), int(second)))
        bent = bytearray(data)
        match int(way):
            case 0:
                bent[begin] ^= 1 << int(one) % 8
            case 1:
                bent[begin] = HEADS[int(one) % len(HEADS)]
            case 2:
                del bent[end:]
            case 3:
                del bent[begin:end]
            case 4:
                bent[begin:begin] = bytes(bent[begin : begin + int(one) % 64])
            case 5:
                bent[begin:begin] = int(one).to_bytes(4, "big")
            case _:
                head = b"\xc6\xdb\xdd\xdf"[int(one) % 4 :][:1]
                bent[begin : begin + 5] = head + int(two).to_bytes(4, "big")
        yield bytes(bent)
