"""A device's keys on its disk.

device.json        its name in the roster
identity.key       its Ed25519 private key, hexadecimal; for its owner only
operator.pub       whose plans it answers
enrolment.pub      who certifies its peers
salt               a secret of its own, hexadecimal: with it only this device proves its part in a sum
reviewers.json     who sign policies; without it a device answers nothing that its owner has not allowed
claims.json        what it never does twice; see `covey_client.claims`
budget.jsonl       what it has reserved, seen and answered; see `covey_client.budget`
NAME.split.json    which of its examples are held out, for ever; see `covey_client.split`

A device that was enrolled has more: see `covey_io.device_enrolment`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from covey.errors import InputError
from covey.ledger.note import read_vkey
from covey.policy.signed import Reviewers
from covey.secagg.states import Me
from covey_io import durable

KEY_BYTES = 32
ADMISSION = "admission.json"
"""What a device was admitted by, if it was; named here, since the agent has no memory for what reads it."""


@dataclass(frozen=True)
class Keys:
    """A device's identity and whom it believes.

    Attributes:
        me: Its name and identity key.
        operator: Public key that signs plans.
        salt: Of its participation leaves, 32 bytes. Not shown when printed.
        reviewers: Who sign policies; None for none.
    """

    me: Me
    operator: bytes
    salt: bytes = field(repr=False)
    reviewers: Reviewers | None


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
    identity, operator, enrolment, salt = (
        read_key(folder / each) for each in ("identity.key", "operator.pub", "enrolment.pub", "salt")
    )
    return Keys(Me(name, identity, enrolment), operator, salt, read_reviewers(folder / "reviewers.json"))


def write_keys(folder: Path, keys: Keys) -> None:
    """Write a device's keys; the private one is readable by its owner only."""
    durable.make_folder(folder, mode=0o700)
    durable.replace(folder / "identity.key", keys.me.private.hex().encode() + b"\n", mode=0o600)
    durable.replace(folder / "salt", keys.salt.hex().encode() + b"\n", mode=0o600)
    if keys.reviewers is not None:
        durable.replace(folder / "reviewers.json", reviewers_json(keys.reviewers))
    durable.replace(folder / "operator.pub", keys.operator.hex().encode() + b"\n")
    durable.replace(folder / "enrolment.pub", keys.me.enrolment.hex().encode() + b"\n")
    durable.replace(folder / "device.json", msgspec.json.encode(Name(keys.me.device)) + b"\n")


class _ReviewersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    threshold: int
    keys: list[str]


def reviewers_json(reviewers: Reviewers) -> bytes:
    """`reviewers.json`: how many of which keys must have signed a policy."""
    listed = _ReviewersFile(reviewers.threshold, [key.vkey for key in reviewers.keys])
    return msgspec.json.format(msgspec.json.encode(listed), indent=2) + b"\n"


def read_reviewers(path: Path) -> Reviewers | None:
    """Who sign policies, from `reviewers.json`; None where it is not there.

    Raises:
        InputError: A file that is there cannot be used: never the same as none.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="check the file") from error
    try:
        listed = msgspec.json.decode(data, type=_ReviewersFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", hint='expected {"threshold": 1, "keys": ["…"]}') from error
    return Reviewers(tuple(read_vkey(each) for each in listed.keys), listed.threshold)


def read_key(path: Path) -> bytes:
    """A key of 32 bytes from a file in hexadecimal.

    Raises:
        InputError: There is none; its content is not shown.
    """
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a key", hint="enrol the device anew") from error
    if len(key) != KEY_BYTES:
        raise InputError(f"{path} is no key of {KEY_BYTES} bytes", hint="enrol the device anew")
    return key
