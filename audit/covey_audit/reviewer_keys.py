"""A reviewer's key on disk: the private half in PEM, the public half beside it as one line.

reviewer.pem     Ed25519, PKCS #8 (RFC 8410), encrypted if a passphrase was given; for its owner only
reviewer.vkey    name, id and public key: what devices and auditors are given
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer
from cryptography.exceptions import UnsupportedAlgorithm
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
from covey.ledger.note import Ed25519Signer, Verifier, check_name, read_vkey
from covey_io import durable

MAX_KEY_BYTES: Final = 64 << 10
_LONGEST: Final = 4096
_SUFFIXES: Final = {".vkey", ".pub", ".key", ".pem", ".txt"}
"""Of files in which keys are kept."""

Secret = Callable[[], str]
"""Gets a passphrase or PIN, at the moment it is needed."""


def verifier_of(given: str) -> Verifier:
    """A public key: the word itself, or a file that holds it.

    Raises:
        InputError: Neither. Shows a file's path, but nothing of a key beside its name.
    """
    hint = "give the .vkey file, or the line in it"
    if not is_file(given):
        if is_path(given):
            raise InputError(f"{given} is no public key, and no file", hint=hint)
        return read_vkey(given)
    try:
        return read_vkey(_read(Path(given)).decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{given} is no public key", hint=hint) from error
    except InputError as error:
        raise InputError(f"{given}: {error.message.removeprefix(f'{given}: ')}", hint=error.hint) from error


def is_file(given: str) -> bool:
    """Whether a word from the command line names a file that is there."""
    try:
        return Path(given).is_file()
    except (OSError, ValueError):  # longer than a path may be, or with a null in it
        return False


def is_path(given: str) -> bool:
    """Whether it reads like the path of a key's file; a key's own text, public or private, does not."""
    return len(given) <= _LONGEST and Path(given).suffix in _SUFFIXES and "+" not in given


def public_path(private: Path) -> Path:
    """Where the public half of a private key's file is kept."""
    return private.with_suffix(".vkey")


def write_public(path: Path, verifier: Verifier) -> None:
    """Write a public key, over nothing.

    Raises:
        InputError: The file exists.
    """
    check_free(path)
    durable.replace(path, f"{verifier.vkey}\n".encode())


def make_key(path: Path, name: str, passphrase: str | None) -> Verifier:
    """Make a key and write both halves.

    Args:
        path: Of the private half.
        name: What signatures call the key.
        passphrase: Encrypts the private half; None leaves it readable to whoever reads the file.

    Raises:
        InputError: A file exists, or the name cannot stand in a signature.
    """
    key_name(name)
    for each in (path, public_path(path)):
        check_free(each)
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    durable.replace(path, pem, mode=0o600)
    verifier = Ed25519Signer(name, key.private_bytes_raw()).verifier
    write_public(public_path(path), verifier)
    return verifier


def load_signer(path: Path, name: str | None, passphrase: Secret) -> Ed25519Signer:
    """A key that can sign.

    Args:
        path: The private half.
        name: What the signature calls the key; None for the name in the public half beside it.
        passphrase: Asked only if the key is encrypted.

    Raises:
        InputError: Not an Ed25519 key in PEM, a wrong passphrase, or no name. Shows nothing of the content.
    """
    private = _private(path, passphrase).private_bytes_raw()
    beside = public_path(path)
    if name is None and beside.is_file():
        name = verifier_of(str(beside)).name
    if name is None:
        raise InputError(f"{beside} is not there to say the key's name", hint="add --name NAME")
    signer = Ed25519Signer(key_name(name), private)
    if beside.is_file() and (found := verifier_of(str(beside))) != signer.verifier:
        raise InputError(
            f"{path} is not the private half of {found.name} in {beside}",
            hint=f"give the key that belongs to {beside}",
        )
    return signer


def _private(path: Path, passphrase: Secret) -> Ed25519PrivateKey:
    pem = _read(path)
    try:
        key = _loaded(pem, passphrase)
    except (ValueError, UnsupportedAlgorithm) as error:
        fault = "the passphrase is wrong" if _is_encrypted(pem) else "not a private key in PEM"
        raise InputError(f"{path}: {fault}", hint="covey policy key FILE makes a key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{path}: not an Ed25519 key", hint="covey policy key FILE makes one; for a token, see --pkcs11"
        )
    return key


def _loaded(pem: bytes, passphrase: Secret) -> object:
    if not _is_encrypted(pem):
        return load_pem_private_key(pem, password=None)
    return load_pem_private_key(pem, password=passphrase().encode())


def _is_encrypted(pem: bytes) -> bool:
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem


def key_name(name: str) -> str:
    """A name that can stand in a signature line.

    Raises:
        InputError: It cannot.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise InputError(
            f"{error}", hint="write it without spaces and '+', as privacy.example.com"
        ) from error
    return name


def check_free(path: Path) -> None:
    """Refuse to write over a file.

    Raises:
        InputError: It exists.
    """
    if path.exists():
        raise InputError(f"{path} exists", hint="name another file, or move this one away")


def secret(what: str, file: Path | None, option: str) -> Secret:
    """How a passphrase or PIN is got: from a file's first line, or by asking the person at the terminal.

    Args:
        what: What is asked for.
        file: The file; None to ask.
        option: The option that names a file, for when there is nobody to ask.
    """

    def get() -> str:
        if file is not None:
            return _first_line(file)
        if not someone_is_there():
            raise InputError(f"{what} is needed and nobody is there to ask", hint=f"add {option} FILE")
        return str(typer.prompt(what, hide_input=True, err=True))

    return get


def someone_is_there() -> bool:
    """Whether a question would be read by a person."""
    return sys.stdin.isatty()


def _first_line(path: Path) -> str:
    try:
        return _read(path).decode().partition("\n")[0].removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text", hint="put the secret into the file's first line") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", hint="give the path of a file that can be read"
        ) from error
    if len(data) > MAX_KEY_BYTES:
        raise InputError(f"{path} is longer than any key", hint="give the key's file")
    return data
