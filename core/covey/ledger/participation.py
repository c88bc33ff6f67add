"""Who took part, so that only each device can show it of itself.

A device gives every sum it takes part in a leaf, HMAC(HMAC(salt, "leaf" ‖ run ‖ sum), device), under a salt
that never leaves it. To everyone else leaves are unrelated random numbers: two sums of one device cannot be
linked, also not after the device has opened one of them by revealing the inner value, since the inner value
of another sum does not follow from it.
"""

import hashlib
import hmac
from collections.abc import Sequence

from covey import merkle
from covey.fields import fields

SALT_BYTES = 32


def opening(salt: bytes, run: str, serial: int) -> bytes:
    """The inner value, 32 bytes: what a device reveals in order to show that it took part in one sum.

    Args:
        salt: The device's own secret, 32 bytes.
        run: The run's identifier.
        serial: The sum's serial number in it.

    Raises:
        ValueError: The salt is not 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt of {len(salt)} bytes")
    return hmac.digest(salt, fields("leaf", run, serial), hashlib.sha256)


def leaf(opened: bytes, device: str) -> bytes:
    """The leaf that an opening stands for, 32 bytes.

    Args:
        opened: See `opening`.
        device: The device's name in the roster.
    """
    return hmac.digest(opened, fields(device), hashlib.sha256)


def root(leaves: Sequence[bytes]) -> bytes:
    """Over the leaves of a sum's participants, in order of the leaves: their order must not tell names."""
    return merkle.root(sorted(leaves))


def prove(leaves: Sequence[bytes], own: bytes) -> tuple[int, tuple[bytes, ...]]:
    """Place and audit path of one's own leaf.

    Raises:
        ValueError: It is not among them.
    """
    ordered = sorted(leaves)
    place = ordered.index(own)
    return place, merkle.path(ordered, place)
