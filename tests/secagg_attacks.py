"""What a server or a device may try: requests changed in one place, and what a refusal leaves."""

from typing import Any, TypeVar

import msgspec
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
