"""The fleet's private keys on disk: PKCS #8 in PEM (RFC 5958), encrypted where a passphrase was given."""

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from covey.errors import InputError
from covey_io import durable

ENVIRONMENT: Final = "COVEY_PASSPHRASE"
LEAST_PASSPHRASE: Final = 8
"""Characters. The file is all that an attacker needs to try passphrases: more is better."""

_MAX_KEY_BYTES: Final = 64 << 10

Passphrase = Callable[[], str]
"""Gets the passphrase, at the moment it is needed."""

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey


def new_passphrase(file: Path | None, *, ask: bool) -> str | None:
    """For keys that are about to be made; None for none.

    Args:
        file: Its first line is the passphrase; None to look into COVEY_PASSPHRASE.
        ask: Ask for it, twice, if it is nowhere.

    Raises:
        InputError: Too short, or nobody is there to ask.
    """
    found = _given(file)
    if found is None and ask:
        _check_someone()
        found = str(
            typer.prompt("passphrase for the new keys", hide_input=True, confirmation_prompt=True, err=True)
        )
    if found is not None and len(found) < LEAST_PASSPHRASE:
        raise InputError(
            f"a passphrase of fewer than {LEAST_PASSPHRASE} characters", hint="choose five words or more"
        )
    return found


def passphrase(file: Path | None) -> Passphrase:
    """For keys that are there: from a file, else from COVEY_PASSPHRASE, else by asking; at most once.

    Args:
        file: Its first line is the passphrase.
    """

    @cache
    def get() -> str:
        found = _given(file)
        if found is not None:
            return found
        _check_someone()
        return str(typer.prompt("passphrase of the fleet's keys", hide_input=True, err=True))

    return get


def write_private(path: Path, key: PrivateKey, secret: str | None) -> None:
    """Write a private key for its owner only.

    Args:
        path: Where.
        key: The key.
        secret: Encrypts it; None leaves it readable to whoever reads the file.
    """
    encryption: KeySerializationEncryption = NoEncryption()
    if secret is not None:
        encryption = BestAvailableEncryption(secret.encode())
    durable.make_folder(path.parent, mode=0o700)
    durable.replace(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), mode=0o600)


def new_p256() -> EllipticCurvePrivateKey:
    """A new ECDSA P-256 key."""
    return generate_private_key(SECP256R1())


def read_p256(path: Path, secret: Passphrase) -> EllipticCurvePrivateKey:
    """An ECDSA key.

    Args:
        path: Where.
        secret: Asked only if the key is encrypted.

    Raises:
        InputError: Not there, not such a key, or a wrong passphrase. Shows nothing of the content.
    """
    key = _read_private(path, secret)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise _other_kind(path)
    return key


def read_ed25519(path: Path, secret: Passphrase) -> Ed25519PrivateKey:
    """An Ed25519 key; see `read_p256`."""
    key = _read_private(path, secret)
    if not isinstance(key, Ed25519PrivateKey):
        raise _other_kind(path)
    return key


def _read_private(path: Path, secret: Passphrase) -> object:
    data = _read(path)
    try:
        return load_pem_private_key(data, secret().encode() if is_encrypted(data) else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        wrong = "not with this passphrase" if is_encrypted(data) else "it is no private key in PEM"
        raise InputError(f"{path} cannot be read: {wrong}", hint="check passphrase and file") from error


def _other_kind(path: Path) -> InputError:
    return InputError(f"{path} is a key of another kind", hint="put the right one there")


def is_encrypted(data: bytes) -> bool:
    """Whether a key in PEM needs a passphrase (RFC 7468, section 11)."""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data


def _given(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(ENVIRONMENT)
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {type(error).__name__}", hint="name a file with the passphrase") from error
    if not lines or not lines[0]:
        raise InputError(f"{file}: its first line is empty", hint="write the passphrase there")
    return lines[0]


def _check_someone() -> None:
    if not sys.stdin.isatty():
        raise InputError(
            "a passphrase is needed and nobody is there to ask",
            hint=f"add --passphrase-file FILE, or set {ENVIRONMENT}",
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise InputError(
            f"{path}: {type(error).__name__}", hint="bring the key, or name its folder"
        ) from error
