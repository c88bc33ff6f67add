"""Keys of signed notes (c2sp.org/signed-note): a public key has a name, and one word that says all of it."""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from covey.errors import InputError
from covey.identity import check_key, public_of

ED25519: Final = 0x01
ECDSA_P256: Final = 0x02
COSIGNATURE: Final = 0x04
"""Signature types, as signed-note assigns them."""

MAX_TIME: Final = (1 << 63) - 1
"""The latest second that a cosignature can name."""

PEM: Final = "-----BEGIN"
"""What files of private keys begin with (RFC 7468); no public key that is read here has it."""

MOST_SHOWN: Final = 80
"""Characters of a key's name that an error shows."""

ID_BYTES: Final = 4
TIME_BYTES: Final = 8

_KEY_ID: Final = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Verifier:
    """A public key under a name: what a reader of notes knows beforehand.

    Attributes:
        name: Not empty, without white space and "+".
        algorithm: `ED25519`, `ECDSA_P256` or `COSIGNATURE`.
        key: The public key: 32 bytes (RFC 8032), for `ECDSA_P256` a SubjectPublicKeyInfo in DER.

    Raises:
        ValueError: Such a key can verify nothing, or the name cannot stand in a signature line.
    """

    name: str
    algorithm: int
    key: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        match self.algorithm:
            case 0x01 | 0x04:
                check_key(self.key)
            case 0x02:
                _p256(self.key)
            case _:
                raise ValueError(f"a key of unknown type 0x{self.algorithm:02x}")

    @property
    def key_id(self) -> bytes:
        """The 4 bytes with which this key's signatures begin (signed-note, "Signatures")."""
        if self.algorithm == ECDSA_P256:
            return hashlib.sha256(self.key).digest()[:ID_BYTES]
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.key
        return hashlib.sha256(named).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        """This key as one word: name, id and key, with a "+" between them."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.algorithm]) + self.key)}"

    def holds(self, text: bytes, data: bytes) -> bool:
        """Whether `data` is this key's signature on `text`.

        Args:
            text: A note's text.
            data: A signature without the key's id; for a cosignature, its time and then the signature.
        """
        try:
            self._verify(text, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def _verify(self, text: bytes, data: bytes) -> None:
        if self.algorithm == ECDSA_P256:
            _p256(self.key).verify(data, text, ECDSA(SHA256()))
            return
        if self.algorithm == COSIGNATURE:
            time, data = int.from_bytes(data[:TIME_BYTES]), data[TIME_BYTES:]
            text = cosigned(text, time)
        Ed25519PublicKey.from_public_bytes(self.key).verify(data, text)


def read_vkey(text: str) -> Verifier:
    """A public key from the word that `Verifier.vkey` gives; white space around it is ignored.

    What is given may be a private key by mistake: an error shows at most the name in it.

    Raises:
        InputError: It is no such word, its id is another key's, or a signature under it says nothing.
    """
    if PEM in text:
        raise InputError(
            "that is no public key: it looks like a private one",
            hint="give the .vkey file, and show the private key to nobody",
        )
    hint = "give the key's whole line, as its owner published it"
    name, *rest = text.strip().split("+", 2)
    if len(rest) != 2 or _KEY_ID.fullmatch(rest[0]) is None:  # noqa: PLR2004 - an id and a key
        raise InputError("that is no public key: expected NAME+ID+KEY", hint=hint)
    shown = repr(name[:MOST_SHOWN])
    try:
        data = from_base64(rest[1])
        verifier = Verifier(name, data[0] if data else 0, data[1:])
    except ValueError as error:
        raise InputError(f"{shown} is no public key: {error}", hint=hint) from error
    if not hmac.compare_digest(verifier.key_id.hex(), rest[0]):
        raise InputError(f"{shown}: the id is another key's", hint=hint)
    return verifier


class Signer(Protocol):
    """Whatever can sign a text for a key: a file's private key or a token."""

    @property
    def verifier(self) -> Verifier:
        """The public half."""

    def sign(self, text: bytes) -> bytes:
        """The signature on a note's text, without the key's id."""


@dataclass(frozen=True)
class Ed25519Signer:
    """Signs with an Ed25519 key (RFC 8032).

    Attributes:
        name: The key's name.
        private: 32 bytes; never shown.
    """

    name: str
    private: bytes = field(repr=False)

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, ED25519, public_of(self.private))

    def sign(self, text: bytes) -> bytes:
        """64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.private).sign(text)


@dataclass(frozen=True)
class Cosigner:
    """Says of a checkpoint that at some time it was the largest seen (c2sp.org/tlog-cosignature, Ed25519).

    Attributes:
        name: The witness's name.
        private: 32 bytes; never shown. One key for one witness: what is signed does not hold the name.
        time: Unix time, seconds.
    """

    name: str
    private: bytes = field(repr=False)
    time: int

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, COSIGNATURE, public_of(self.private))

    def sign(self, text: bytes) -> bytes:
        """72 bytes: the time, big-endian, and the signature."""
        signature = Ed25519PrivateKey.from_private_bytes(self.private).sign(cosigned(text, self.time))
        return self.time.to_bytes(TIME_BYTES) + signature


def cosigned(text: bytes, time: int) -> bytes:
    """The message that a cosignature signs (tlog-cosignature, "Ed25519 signed message").

    Raises:
        ValueError: Not a time that a cosignature can name.
    """
    if not 0 <= time <= MAX_TIME:
        raise ValueError(f"a cosignature at {time} seconds")
    return b"cosignature/v1\ntime %d\n" % time + text


def check_name(name: str) -> None:
    """Refuse what cannot name a key in a signature line.

    Raises:
        ValueError: Empty, or with white space or "+" in it.
    """
    if not name or "+" in name or any(char.isspace() for char in name):
        raise ValueError(f"{name!r} cannot name a key")


def _p256(der: bytes) -> EllipticCurvePublicKey:
    """A P-256 key; one spelling of every key, for its id is a hash of the spelling."""
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm as error:
        raise ValueError("a key of an unknown kind") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("not a key on the curve P-256")  # noqa: TRY004 - a value from outside
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise ValueError("not in its plain form")
    return key


def from_base64(text: str) -> bytes:
    """Base64 (RFC 4648, section 4) in its one canonical spelling.

    Raises:
        ValueError: Another spelling, or none.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if to_base64(data) != text:
        raise ValueError("not base64 in its plain form")
    return data


def to_base64(data: bytes) -> str:
    """Base64 (RFC 4648, section 4)."""
    return base64.b64encode(data).decode()
