"""Every key of a fleet in the owner's folder: what it is for, which one it is, and where it should live."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from covey.enrolment import fingerprint
from covey.errors import InputError
from covey.identity import public_of
from covey.ledger.note import read_vkey
from covey_server.key_files import is_encrypted

State = Literal["encrypted", "readable", "not here"]

OWNER: Final = "with the fleet's owner, offline"
SERVER: Final = "the server's host"


@dataclass(frozen=True)
class Role:
    """What a key is for.

    Attributes:
        name: Of the role.
        private: File of the private key, in the fleet's folder.
        public: File that shows the public one; may be the same.
        where: Where the private key should live.
    """

    name: str
    private: str
    public: str
    where: str


ROLES: Final[Sequence[Role]] = (
    Role("admits devices", "enrolment/enrolment.key", "enrolment/enrolment.pub", OWNER),
    Role("certifies connections", "enrolment/ca.key", "enrolment/ca.crt", OWNER),
    Role("signs plans", "operator/operator.key", "operator/operator.key", SERVER),
    Role("signs the ledger", "operator/log.key", "operator/log.vkey", SERVER),
    Role("the server's TLS", "operator/tls.key", "operator/tls.crt", SERVER),
    Role("releases: root 1", "tuf/root-1.key", "tuf/root-1.pub", "offline, with one person"),
    Role("releases: root 2", "tuf/root-2.key", "tuf/root-2.pub", "offline, with a second person"),
    Role("releases: root 3", "tuf/root-3.key", "tuf/root-3.pub", "offline, with a third person"),
    Role("releases: targets", "tuf/targets.key", "tuf/targets.pub", OWNER),
    Role("releases: models", "tuf/models.key", "tuf/models.pub", "with who releases models"),
    Role("releases: snapshot", "tuf/snapshot.key", "tuf/snapshot.pub", SERVER),
    Role("releases: timestamp", "tuf/timestamp.key", "tuf/timestamp.pub", SERVER),
    Role("releases: rollout", "tuf/rollout.key", "tuf/rollout.pub", SERVER),
    Role("signs policies", "reviewer/reviewer.pem", "reviewer/reviewer.vkey", "with a reviewer"),
    Role("a witness", "witness/witness.key", "witness/witness.vkey", "a machine of somebody else"),
)


@dataclass(frozen=True)
class Row:
    """A key.

    Attributes:
        role: What it is for.
        file: Its private half, in the fleet's folder.
        fingerprint: Of the public key; None where that is not here either.
        state: Of the private half's file.
        where: Where it should live.
    """

    role: str
    file: str
    fingerprint: str | None
    state: State
    where: str


def rows(folder: Path) -> list[Row]:
    """Every key that the fleet has, or whose public half is in the folder.

    Raises:
        InputError: A file is not what it should be.
    """
    return [
        Row(
            role.name,
            role.private,
            _fingerprint(folder / role.public),
            _state(folder / role.private),
            role.where,
        )
        for role in ROLES
        if any((folder / each).exists() for each in (role.private, role.public))
    ]


def lines(found: Sequence[Row]) -> list[str]:
    """The keys as a table."""
    head = ("role", "file", "fingerprint", "file is", "should live")
    cells = [
        head,
        *((each.role, each.file, each.fingerprint or "unknown", each.state, each.where) for each in found),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _state(path: Path) -> State:
    try:
        return "encrypted" if is_encrypted(path.read_bytes()) else "readable"
    except FileNotFoundError:
        return "not here"
    except OSError as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="run it as the folder's owner") from error


def _fingerprint(path: Path) -> str | None:
    try:
        return fingerprint(_public(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, InputError) as error:
        raise InputError(f"{path} is no key", hint="put it back as it was") from error


def _public(path: Path) -> bytes:
    """Of an Ed25519 key its 32 bytes, as devices show it; of others their SubjectPublicKeyInfo."""
    data = path.read_bytes()
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    match path.suffix:
        case ".key":
            return public_of(bytes.fromhex(data.decode("ascii").strip()))
        case ".vkey":
            return read_vkey(data.decode().strip()).key
        case ".crt":
            return x509.load_pem_x509_certificate(data).public_key().public_bytes(*form)
        case _ if b"BEGIN PUBLIC KEY" in data:
            return load_pem_public_key(data).public_bytes(*form)
        case _:
            return bytes.fromhex(data.decode("ascii").strip())
