"""Signed notes (c2sp.org/signed-note): a text, a blank line, and a line for each signature on the text.

The text is signed as it stands: nothing is encoded anew. A signature line names its key by a name and a short
id, neither of which proves anything: a reader knows its keys beforehand and ignores the lines of all others.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from covey.errors import InputError, ProtocolError
from covey.identity import check_key, public_of

MAX_NOTE_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 32
"""The specification asks for at least 16."""

ED25519: Final = 0x01
ECDSA_P256: Final = 0x02
COSIGNATURE: Final = 0x04
"""Signature types, as signed-note assigns them."""

MAX_TIME: Final = (1 << 63) - 1
"""The latest second that a cosignature can name."""

_DASH: Final = "\N{EM DASH} "
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_CONTROL: Final = re.compile(rb"[\0-\x09\x0b-\x1f]")
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
            return hashlib.sha256(self.key).digest()[:_ID_BYTES]
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.key
        return hashlib.sha256(named).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        """This key as one word: name, id and key, with a "+" between them."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes([self.algorithm]) + self.key)}"

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
            time, data = int.from_bytes(data[:_TIME_BYTES]), data[_TIME_BYTES:]
            text = cosigned(text, time)
        Ed25519PublicKey.from_public_bytes(self.key).verify(data, text)


def read_vkey(text: str) -> Verifier:
    """A public key from the word that `Verifier.vkey` gives; white space around it is ignored.

    Raises:
        InputError: It is no such word, its id is another key's, or a signature under it says nothing.
    """
    hint = "give the key's whole line, as its owner published it"
    name, *rest = text.strip().split("+", 2)
    if len(rest) != 2:  # noqa: PLR2004 - an id and a key
        raise InputError(f"{_shown(text)} is no public key: expected NAME+ID+KEY", hint=hint)
    try:
        data = _bytes(rest[1])
        verifier = Verifier(name, data[0] if data else 0, data[1:])
    except ValueError as error:
        raise InputError(f"{_shown(text)} is no public key: {error}", hint=hint) from error
    if _KEY_ID.fullmatch(rest[0]) is None or not hmac.compare_digest(verifier.key_id.hex(), rest[0]):
        raise InputError(f"{_shown(text)}: the id is another key's", hint=hint)
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
        return self.time.to_bytes(_TIME_BYTES) + signature


def cosigned(text: bytes, time: int) -> bytes:
    """The message that a cosignature signs (tlog-cosignature, "Ed25519 signed message").

    Raises:
        ValueError: Not a time that a cosignature can name.
    """
    if not 0 <= time <= MAX_TIME:
        raise ValueError(f"a cosignature at {time} seconds")
    return b"cosignature/v1\ntime %d\n" % time + text


@dataclass(frozen=True)
class Signature:
    """One signature line, verified or not.

    Attributes:
        name: The name of the key.
        key_id: 4 bytes.
        data: What the key's algorithm made, at least one byte.
    """

    name: str
    key_id: bytes
    data: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, with its newline."""
        return f"{_DASH}{self.name} {_base64(self.key_id + self.data)}\n"

    @property
    def time(self) -> int:
        """For a cosignature: when it was made, unix time, seconds."""
        return int.from_bytes(self.data[:_TIME_BYTES])


@dataclass(frozen=True)
class Note:
    """A note as parsed: nothing in it is true before a signature of a known key holds.

    Attributes:
        text: Ends in a newline.
        signatures: 1 to 32, in their order.
    """

    text: str
    signatures: tuple[Signature, ...]

    @property
    def data(self) -> bytes:
        """The note as it is sent."""
        return f"{self.text}\n{''.join(each.line for each in self.signatures)}".encode()


def parse(data: bytes, *, blame: str) -> Note:
    """A note from its bytes. No signature is verified: `holders` does.

    Args:
        data: The whole note.
        blame: Who is named if it is malformed.

    Raises:
        ProtocolError: Not what signed-note, "Format", describes; or too large.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise ProtocolError(f"a note of {len(data)} bytes, at most {MAX_NOTE_BYTES}", blame=blame)
    try:
        return _parsed(data)
    except ValueError as error:
        raise ProtocolError(f"a malformed note: {error}", blame=blame) from error


def _parsed(data: bytes) -> Note:
    if _CONTROL.search(data):
        raise ValueError("a control character")
    text, blank, signatures = data.decode().rpartition("\n\n")
    *lines, rest = signatures.split("\n")
    if not blank or rest or not lines:
        raise ValueError("no lines of signatures after its last blank line")
    if len(lines) > MAX_SIGNATURES:
        raise ValueError(f"{len(lines)} signatures, at most {MAX_SIGNATURES}")
    return Note(text + "\n", tuple(read_line(line) for line in lines))


def read_line(line: str) -> Signature:
    """A signature line without its newline.

    Raises:
        ValueError: It is none.
    """
    name, space, data = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise ValueError("a line that is no signature")
    check_name(name)
    blob = _bytes(data)
    if len(blob) <= _ID_BYTES:
        raise ValueError("an empty signature")
    return Signature(name, blob[:_ID_BYTES], blob[_ID_BYTES:])


def signed(text: str, *signers: Signer) -> bytes:
    """A text with signatures on it, as a note.

    Raises:
        InputError: The text cannot stand in a note, or there are no signers, or too many.
    """
    _check_text(text)
    note = Note(text, tuple(signature_of(signer, text) for signer in signers))
    if not 0 < len(signers) <= MAX_SIGNATURES:
        raise InputError(f"{len(signers)} signatures: a note has 1 to {MAX_SIGNATURES}")
    if len(note.data) > MAX_NOTE_BYTES:
        raise InputError(f"{len(note.data)} bytes are too many for a note", hint=f"at most {MAX_NOTE_BYTES}")
    return note.data


def countersigned(data: bytes, signer: Signer) -> bytes:
    """A note with one more signature on its text; an earlier one of the same key is replaced.

    Raises:
        ProtocolError: It is no note. Blames "local".
        InputError: It is full.
    """
    note = parse(data, blame="local")
    added = signature_of(signer, note.text)
    kept = [each for each in note.signatures if (each.name, each.key_id) != (added.name, added.key_id)]
    full = Note(note.text, (*kept, added))
    if len(full.signatures) > MAX_SIGNATURES or len(full.data) > MAX_NOTE_BYTES:
        raise InputError("the note has no room for another signature", hint="remove one that nobody needs")
    return full.data


def signature_of(signer: Signer, text: str) -> Signature:
    """A signer's signature on a text."""
    verifier = signer.verifier
    return Signature(verifier.name, verifier.key_id, signer.sign(text.encode()))


def holders(note: Note, verifiers: Sequence[Verifier], *, blame: str) -> tuple[Verifier, ...]:
    """Who of these keys' owners signed the note, each once, in the order of `verifiers`.

    Args:
        note: As parsed.
        verifiers: The keys that the caller knows. Signatures of others are ignored.
        blame: Who is named if a signature does not hold.

    Raises:
        ProtocolError: A signature by name and id of a known key does not hold.
    """
    found = {verifier for verifier, _ in verified(note, verifiers, blame=blame)}
    return tuple(dict.fromkeys(each for each in verifiers if each in found))


def verified(
    note: Note, verifiers: Sequence[Verifier], *, blame: str
) -> tuple[tuple[Verifier, Signature], ...]:
    """The signatures of known keys, each with its key; see `holders`."""
    text = note.text.encode()
    known: dict[tuple[str, bytes], list[Verifier]] = {}
    for each in dict.fromkeys(verifiers):
        known.setdefault((each.name, each.key_id), []).append(each)
    found = []
    for signature in note.signatures:
        named = known.get((signature.name, signature.key_id), [])  # two, if their ids collide
        held = [verifier for verifier in named if verifier.holds(text, signature.data)]
        if named and not held:
            raise ProtocolError(f"a signature of {signature.name!r} that does not hold", blame=blame)
        found += [(verifier, signature) for verifier in held]
    return tuple(found)


def check_name(name: str) -> None:
    """Refuse what cannot name a key in a signature line.

    Raises:
        ValueError: Empty, or with white space or "+" in it.
    """
    if not name or "+" in name or any(char.isspace() for char in name):
        raise ValueError(f"{name!r} cannot name a key")


def _check_text(text: str) -> None:
    """Refuse a text that no note can hold; a person may have written it."""
    if not text.endswith("\n"):
        raise InputError("a note's text ends in a newline", hint="end its last line")
    for number, line in enumerate(text.encode("utf-8", "surrogatepass").split(b"\n"), 1):
        if _CONTROL.search(line):
            raise InputError(
                f"line {number} has a control character",
                hint="write spaces for tabs, and end lines with a newline alone",
            )
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InputError("a text that is not Unicode", hint="save it as UTF-8")


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


def _bytes(text: str) -> bytes:
    """Base64 (RFC 4648, section 4) in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if _base64(data) != text:
        raise ValueError("not base64 in its plain form")
    return data


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _shown(text: str) -> str:
    """The start of what somebody gave."""
    return repr(text.strip()[:80])
