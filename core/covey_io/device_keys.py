"""A device's keys on its disk.

device.json        its name in the roster
identity.key       its Ed25519 private key, hexadecimal; for its owner only
operator.pub       whose plans it answers
enrolment.pub      who certifies its peers
claims.json        what it never does twice; see `covey_client.claims`
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from covey.errors import InputError
from covey.secagg.states import Me
from covey_io import durable

KEY_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """A device's identity and whom it believes.

    Attributes:
        me: Its name and identity key.
        operator: Public key that signs plans.
    """

    me: Me
    operator: bytes


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`device.json`."""

    device: str


def read_keys(folder: Path) -> Keys:
    """The keys in a folder.

    Raises:
        InputError: A file is missing or is not what it should be; its content is not shown.
    """
    try:
        name = msgspec.json.decode((folder / "device.json").read_bytes(), type=Name).device
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder / 'device.json'}: {type(error).__name__}",
            hint="enrol the device, or name another folder",
        ) from error
    identity, operator, enrolment = (
        _key(folder / each) for each in ("identity.key", "operator.pub", "enrolment.pub")
    )
    return Keys(Me(name, identity, enrolment), operator)


def write_keys(folder: Path, keys: Keys) -> None:
    """Write a device's keys; the private one is readable by its owner only."""
    durable.make_folder(folder, mode=0o700)
    durable.replace(folder / "identity.key", keys.me.private.hex().encode() + b"\n", mode=0o600)
    durable.replace(folder / "operator.pub", keys.operator.hex().encode() + b"\n")
    durable.replace(folder / "enrolment.pub", keys.me.enrolment.hex().encode() + b"\n")
    durable.replace(folder / "device.json", msgspec.json.encode(Name(keys.me.device)) + b"\n")


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a key", hint="enrol the device anew") from error
    if len(key) != KEY_BYTES:
        raise InputError(f"{path} is no key of {KEY_BYTES} bytes", hint="enrol the device anew")
    return key
