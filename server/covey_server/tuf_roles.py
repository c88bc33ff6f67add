"""Who signs what in a fleet's TUF repository, for how long, and where the keys lie.

    role       keys                    holds     by whom
    root       tuf/root-1 … root-3     1 year    two of three people, offline
    targets    tuf/targets             6 months  who delegates, offline
    models     tuf/models              3 months  who releases models: `models/NAME/VERSION.covey`
    policy     the reviewers' own      1 year    the privacy reviewers: `policy/*`
    roster     enrolment/enrolment     6 months  the fleet's owner: `roster/*`
    rollout    tuf/rollout             7 days    the server, by itself: `rollout/*`
    snapshot   tuf/snapshot            7 days    the server, by itself
    timestamp  tuf/timestamp           1 day     the server, by itself

`roster` is signed with the owner's enrolment key and not with one of its own: who signs the roster can let
any device into the fleet already, so another key would only be one more to lose. What that key signs
elsewhere begins with a domain and can be no metadata, which begins with "{".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from covey.errors import InputError
from covey.rollout.published import MODELS, PATHS, POLICY, ROLLOUT, ROSTER
from covey_io.device_keys import read_reviewers
from covey_io.tuf_metadata import CryptoSigner, Key, Root, Signer, Snapshot, SSlibKey, Targets, Timestamp
from covey_server.key_files import Passphrase, PrivateKey, read_ed25519, read_p256

ROOT: Final = Root.type
TARGETS: Final = Targets.type
SNAPSHOT: Final = Snapshot.type
TIMESTAMP: Final = Timestamp.type
TOP: Final = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
ONLINE: Final = (SNAPSHOT, TIMESTAMP, ROLLOUT)
DELEGATED: Final = tuple(PATHS)

ROOT_DAYS: Final = 365
TARGETS_DAYS: Final = 182
MODELS_DAYS: Final = 91
POLICY_DAYS: Final = 365
ROSTER_DAYS: Final = 182
ROLLOUT_DAYS: Final = 7
SNAPSHOT_DAYS: Final = 7
TIMESTAMP_DAYS: Final = 1
DAYS: Final = {
    ROOT: ROOT_DAYS,
    TARGETS: TARGETS_DAYS,
    MODELS: MODELS_DAYS,
    POLICY: POLICY_DAYS,
    ROSTER: ROSTER_DAYS,
    ROLLOUT: ROLLOUT_DAYS,
    SNAPSHOT: SNAPSHOT_DAYS,
    TIMESTAMP: TIMESTAMP_DAYS,
}

NAME: Final = "x-covey-name"
"""Beside a public key: what people call it."""
ROOT_KEYS: Final = ("root-1", "root-2", "root-3")


@dataclass(frozen=True)
class Holders:
    """Whose keys speak for a role.

    Attributes:
        keys: Public keys.
        threshold: So many of them must sign.
    """

    keys: tuple[Key, ...]
    threshold: int = 1


def holders_of(fleet: Path) -> dict[str, Holders]:
    """Who holds each role, by the public keys in a folder that `covey fleet init` made.

    Raises:
        InputError: A key is missing or cannot be read.
    """
    folder = fleet / "tuf"
    single = {role: Holders((public_key(folder / f"{role}.pub"),)) for role in (*ONLINE, TARGETS, MODELS)}
    reviewers = read_reviewers(fleet / "operator/reviewers.json")
    if reviewers is None:
        raise InputError(f"{fleet} names no reviewers", hint="make the fleet with `covey fleet init`")
    return {
        ROOT: Holders(tuple(public_key(folder / f"{name}.pub") for name in ROOT_KEYS), 2),
        POLICY: Holders(tuple(_ed25519(key.key, key.name) for key in reviewers.keys), reviewers.threshold),
        ROSTER: Holders((_enrolment(fleet / "operator/enrolment.pub"),)),
        **single,
    }


def public_key(path: Path) -> Key:
    """A public key in PEM, called as its file is.

    Raises:
        InputError: Not there, or not such a key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
        return _called(SSlibKey.from_crypto(key), path.stem)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no public key in PEM: {type(error).__name__}", hint="name a .pub file"
        ) from error


def signers_in(folders: Sequence[Path], secret: Passphrase) -> tuple[Signer, ...]:
    """Every private key in some folders; each signs what its role lets it.

    Args:
        folders: With `NAME.key` or `NAME.pem`; or such a file itself.
        secret: Asked if one of them is encrypted.

    Raises:
        InputError: There is none, or one cannot be read.
    """
    paths = [path for folder in folders for path in _private(folder)]
    if folders and not paths:
        raise InputError("no private keys there", hint="name a folder with .key files")
    return tuple(signer_of(path, secret) for path in paths)


def signer_of(path: Path, secret: Passphrase) -> Signer:
    """A private key in PEM that can sign metadata: ECDSA P-256 or Ed25519.

    Raises:
        InputError: Not there, of another kind, or a wrong passphrase.
    """
    key: PrivateKey
    try:
        key = read_p256(path, secret)
    except InputError:
        key = read_ed25519(path, secret)
    return CryptoSigner(key, _called(SSlibKey.from_crypto(key.public_key()), path.stem))


def called(key: Key) -> str:
    """What people call a key: its name and the beginning of its identifier."""
    return f"{key.unrecognized_fields.get(NAME, 'key')} ({key.keyid[:8]})"


def _private(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    # a fleet's folders hold other secrets beside: its authority's key signs certificates, never metadata
    return [
        path for path in sorted(folder.glob("*")) if path.suffix in {".key", ".pem"} and path.stem != "ca"
    ]


def _enrolment(path: Path) -> Key:
    try:
        return _ed25519(bytes.fromhex(path.read_text("ascii").strip()), "enrolment")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="made by `covey fleet init`") from error


def _ed25519(public: bytes, name: str) -> Key:
    return _called(SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public)), name)


def _called(key: SSlibKey, name: str) -> SSlibKey:
    key.unrecognized_fields[NAME] = name
    return key
