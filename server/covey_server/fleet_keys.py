"""Keys for a pilot's fleet, made in one place and carried to where they belong.

DIR/enrolment/enrolment.key   certifies devices; keep it away from the server and from devices
DIR/operator/                 for the server's host; see `covey_server.operator`
DIR/devices/NAME/             for one device each; see `covey_io.device_keys`
DIR/reviewer/                 a reviewer's key, where no reviewer brought one: for somebody who is not the
operator DIR/witness/                  a witness, where none was named: to be run where the operator cannot
write
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from covey.errors import InputError
from covey.identity import Certificate, Roster, private_pem, public_of, sign_roster
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Ed25519Signer, Verifier, read_vkey
from covey.policy.signed import Reviewers
from covey.secagg.states import Me
from covey_io import durable
from covey_io.device_keys import Keys, reviewers_json, write_keys
from covey_io.witness_store import WitnessFolder

DAY = 24 * 3600


@dataclass(frozen=True)
class Outsiders:
    """Who is not the operator.

    Attributes:
        reviewers: Who sign policies, and how many must; None to make a key for one.
        witnesses: Keys and addresses of who cosigns the ledger; empty to make one.
    """

    reviewers: Reviewers | None = None
    witnesses: tuple[tuple[Verifier, str], ...] = ()


def outsiders_of(reviewers: Sequence[Path], threshold: int, witnesses: Sequence[str]) -> Outsiders:
    """Who is not the operator, as the command line names them.

    Args:
        reviewers: Files with a public key each; none for a key to be made.
        threshold: So many of them must sign a policy.
        witnesses: FILE.vkey=ADDRESS each; none for one to be made.

    Raises:
        InputError: A file cannot be read as a key, or the threshold cannot be reached.
    """
    keys = tuple(_vkey(path) for path in reviewers)
    if not keys and threshold != 1:
        raise InputError(
            f"{threshold} reviewers must sign, and one key would be made",
            hint="give each reviewer's --reviewer",
        )
    named = []
    for each in witnesses:
        path, separator, address = each.partition("=")
        if not separator or not address:
            raise InputError(f"--witness {each}", hint="write FILE.vkey=ADDRESS")
        named.append((_vkey(Path(path)), address))
    return Outsiders(Reviewers(keys, threshold) if keys else None, tuple(named))


def _vkey(path: Path) -> Verifier:
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="name a file with one public key") from error
    return read_vkey(text)


def make_fleet(
    folder: Path, name: str, devices: Sequence[str], days: int, outsiders: Outsiders | None = None
) -> None:
    """Make all keys of a fleet.

    Args:
        folder: Must not exist.
        name: The fleet's.
        devices: Names, 1 to 64 characters each.
        days: The roster and its certificates hold so long.
        outsiders: Reviewers and witnesses that are known; None to make a key for one of each.

    Raises:
        InputError: The folder is there, a name is unusable or given twice, or an outsider's key cannot be
            used. Nothing was written.
    """
    outsiders = outsiders or Outsiders()
    if folder.exists():
        raise InputError(f"{folder} is there already", hint="keys are never overwritten: name another folder")
    if unusable := [device for device in devices if Path(device).name != device or not device.isprintable()]:
        raise InputError(f"{unusable[0]!r} cannot name a device's folder", hint="use letters, digits and -")
    if len(set(devices)) != len(devices):
        raise InputError("a device is named twice", hint="give each a name of its own")
    enrolment, operator, log = os.urandom(32), os.urandom(32), os.urandom(32)
    identities = {device: os.urandom(32) for device in sorted(devices)}
    roster = _roster(name, identities, int(time.time()) + days * DAY)
    signed = sign_roster(roster, enrolment)
    log_key = Ed25519Signer(origin_of(name), log).verifier
    LogTrust(log_key.name, log_key, tuple(key for key, _ in outsiders.witnesses), 0)
    durable.make_folder(folder, mode=0o700)
    _private(folder / "enrolment" / "enrolment.key", enrolment)
    _private(folder / "operator" / "operator.key", operator)
    _public(folder / "operator" / "enrolment.pub", enrolment)
    durable.replace(folder / "operator" / "roster", signed)
    _private(folder / "operator" / "log.key", log)
    durable.replace(folder / "operator" / "log.vkey", log_key.vkey.encode() + b"\n")
    witnesses = outsiders.witnesses or (_new_witness(folder / "witness", name, log_key),)
    lines = b"".join(f"{key.vkey} {address}\n".encode() for key, address in witnesses)
    durable.replace(folder / "operator" / "witnesses", lines)
    reviewers = outsiders.reviewers or _new_reviewer(folder / "reviewer", name)
    durable.replace(folder / "operator" / "reviewers.json", reviewers_json(reviewers))
    for device, identity in identities.items():
        me = Me(device, identity, public_of(enrolment))
        keys = Keys(me, public_of(operator), os.urandom(32), reviewers)
        write_keys(folder / "devices" / device, keys)


def origin_of(fleet: str) -> str:
    """The ledger's name: of a fleet, without what a note's key cannot be called."""
    return "covey/" + "".join(char if char.isalnum() or char in "-._" else "-" for char in fleet)


def _new_reviewer(folder: Path, fleet: str) -> Reviewers:
    """A reviewer's key in the format of `covey policy key`."""
    private = os.urandom(32)
    key = Ed25519Signer(f"{origin_of(fleet)}/reviewer", private).verifier
    durable.make_folder(folder, mode=0o700)
    durable.replace(folder / "reviewer.pem", private_pem(private), mode=0o600)
    durable.replace(folder / "reviewer.vkey", key.vkey.encode() + b"\n")
    return Reviewers((key,), 1)


def _new_witness(folder: Path, fleet: str, log: Verifier) -> tuple[Verifier, str]:
    made = WitnessFolder.make(folder, f"{origin_of(fleet)}/witness", (log,))
    return made.key.verifier, str(folder.resolve())


def _roster(name: str, identities: dict[str, bytes], until: int) -> Roster:
    certificates = tuple(
        Certificate(device, public_of(identity), until) for device, identity in identities.items()
    )
    return Roster(name, 1, until, False, certificates)


def _private(path: Path, key: bytes) -> None:
    durable.make_folder(path.parent, mode=0o700)
    durable.replace(path, key.hex().encode() + b"\n", mode=0o600)


def _public(path: Path, private: bytes) -> None:
    durable.replace(path, public_of(private).hex().encode() + b"\n")
