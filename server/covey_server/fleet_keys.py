"""A fleet's keys, made in one place and carried to where they belong.

DIR/enrolment/     the fleet owner's; keep it away from the server and from devices. See `fleet_owner`
DIR/operator/      for the server's host; see `covey_server.operator`
DIR/tuf/           keys of those who release models: roots for three people, offline
DIR/devices/NAME/  for one device each, where its keys were made here; see `covey_io.device_enrolment`
DIR/reviewer/      a reviewer's key, where no reviewer brought one: for somebody who is not the operator
DIR/witness/       a witness, where none was named: to be run where the operator cannot write
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from covey.enrolment import Url, check_name, read_admission
from covey.errors import InputError
from covey.identity import Roster, private_pem, public_of, sign_roster
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Ed25519Signer, Verifier, read_vkey
from covey.policy.signed import Reviewers
from covey_io import durable
from covey_io.device_enrolment import accept, make_request
from covey_io.device_keys import reviewers_json
from covey_io.witness_store import WitnessFolder
from covey_server.fleet_ca import Authority, general_name, new_authority
from covey_server.fleet_owner import (
    DAY,
    ENROLMENT,
    OPERATOR,
    About,
    OwnedFleet,
    OwnerKeys,
    new_book,
    write_about,
)
from covey_server.key_files import new_p256, write_private

LOCAL: Final = ("localhost", "127.0.0.1")
PEOPLES_ROLES: Final = ("root-1", "root-2", "root-3", "targets", "models")
SERVERS_ROLES: Final = ("snapshot", "timestamp", "rollout")


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


def make_fleet(  # noqa: PLR0913 - what a fleet's owner decides
    folder: Path,
    name: str,
    devices: Sequence[str],
    days: int,
    outsiders: Outsiders | None = None,
    *,
    hosts: Sequence[str] = LOCAL,
    server: str | None = None,
    passphrase: str | None = None,
) -> None:
    """Make all keys of a fleet.

    Args:
        folder: Must not exist.
        name: The fleet's.
        devices: Names of devices whose keys are made here, for trials; a fleet may begin without any.
        days: The roster and the server's certificate hold so long.
        outsiders: Reviewers and witnesses that are known; None to make a key for one of each.
        hosts: Names and addresses under which devices reach the server.
        server: Its URL, as devices are told; None for that of the first host.
        passphrase: Encrypts the keys that people use; None leaves them readable to whoever reads the files.

    Raises:
        InputError: The folder is there, a name is unusable or given twice, or an outsider's key cannot be
            used. Nothing was written.
    """
    outsiders = outsiders or Outsiders()
    now = int(time.time())
    enrolment, operator, log = os.urandom(32), os.urandom(32), os.urandom(32)
    log_key = Ed25519Signer(origin_of(name), log).verifier
    LogTrust(log_key.name, log_key, tuple(key for key, _ in outsiders.witnesses), 0)
    _check(folder, devices, hosts)
    sign_roster(Roster(name, 0, now, False, ()), enrolment)
    url = url_of(server, hosts)
    durable.make_folder(folder, mode=0o700)
    authority = _enrolment(folder, name, enrolment, passphrase, now)
    _operator(folder / OPERATOR, operator, log, log_key)
    tls = new_p256()
    write_private(folder / OPERATOR / "tls.key", tls, None)
    certificate = authority.server(tls.public_key(), hosts, now, now + days * DAY)
    durable.replace(folder / OPERATOR / "tls.crt", certificate)
    make_release_keys(folder / "tuf", passphrase)
    witnesses = outsiders.witnesses or (_new_witness(folder / "witness", name, log_key),)
    lines = b"".join(f"{key.vkey} {address}\n".encode() for key, address in witnesses)
    durable.replace(folder / OPERATOR / "witnesses", lines)
    reviewers = outsiders.reviewers or _new_reviewer(folder / "reviewer", name)
    durable.replace(folder / OPERATOR / "reviewers.json", reviewers_json(reviewers))
    about = About(
        fleet=name,
        operator=public_of(operator).hex(),
        reviewers=tuple(key.vkey for key in reviewers.keys),
        threshold=reviewers.threshold,
        server=url,
        hosts=tuple(hosts),
        days=days,
    )
    write_about(folder, about)
    new_book(folder)
    _admit(OwnedFleet(folder, about), OwnerKeys(enrolment, authority), devices, now)


def _check(folder: Path, devices: Sequence[str], hosts: Sequence[str]) -> None:
    if folder.exists():
        raise InputError(f"{folder} is there already", hint="keys are never overwritten: name another folder")
    for device in devices:
        check_name(device)
    if len(set(devices)) != len(devices):
        raise InputError("a device is named twice", hint="give each a name of its own")
    for host in hosts:
        general_name(host)


def url_of(server: str | None, hosts: Sequence[str]) -> str:
    """What devices are told of where the server is.

    Raises:
        InputError: Not a URL.
    """
    host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    url = f"https://{host}" if server is None else server.rstrip("/")
    try:
        parts = urlsplit(msgspec.convert(url, Url))
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except (ValueError, msgspec.ValidationError):
        usable = False
    if not usable:
        raise InputError(f"{server!r} is no server's URL", hint="write https://HOST[:PORT]")
    return url


def _enrolment(folder: Path, fleet: str, private: bytes, passphrase: str | None, now: int) -> Authority:
    """The keys that stay with the fleet's owner, and their public halves where they are needed."""
    where, authority = folder / ENROLMENT, new_authority(fleet, new_p256(), now)
    write_private(where / "enrolment.key", Ed25519PrivateKey.from_private_bytes(private), passphrase)
    write_private(where / "ca.key", authority.key, passphrase)
    durable.make_folder(folder / OPERATOR, mode=0o700)
    for each in (where, folder / OPERATOR):
        _public(each / "enrolment.pub", private)
        durable.replace(each / "ca.crt", authority.pem)
    return authority


def _operator(folder: Path, operator: bytes, log: bytes, log_key: Verifier) -> None:
    _private(folder / "operator.key", operator)
    _private(folder / "log.key", log)
    durable.replace(folder / "log.vkey", log_key.vkey.encode() + b"\n")


def make_release_keys(folder: Path, passphrase: str | None) -> None:
    """Keys of the roles of a TUF repository. The repository itself is not made here.

    Args:
        folder: Where they go.
        passphrase: Encrypts those that people use; the server uses the others by itself.
    """
    for name in (*PEOPLES_ROLES, *SERVERS_ROLES):
        key = new_p256()
        write_private(folder / f"{name}.key", key, passphrase if name in PEOPLES_ROLES else None)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        durable.replace(folder / f"{name}.pub", public)


def _admit(fleet: OwnedFleet, keys: OwnerKeys, devices: Sequence[str], now: int) -> None:
    """Enrol devices as they would enrol themselves, in folders here."""
    folders = {device: fleet.folder / "devices" / device for device in sorted(devices)}
    asked = [make_request(folder, device) for device, folder in folders.items()]
    for folder, answer in zip(folders.values(), fleet.admit(keys, asked, now), strict=True):
        accept(folder, read_admission(answer, public_of(keys.enrolment)))


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


def _private(path: Path, key: bytes) -> None:
    durable.make_folder(path.parent, mode=0o700)
    durable.replace(path, key.hex().encode() + b"\n", mode=0o600)


def _public(path: Path, private: bytes) -> None:
    durable.replace(path, public_of(private).hex().encode() + b"\n")
