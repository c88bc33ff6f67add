"""Signed notes (c2sp.org/signed-note): a text, a blank line, and a line for each signature on the text.

The text is signed as it stands: nothing is encoded anew. A signature line names its key by a name and a short
id, neither of which proves anything: a reader knows its keys beforehand and ignores the lines of all others.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from covey.errors import InputError, ProtocolError
from covey.ledger.keys import (
    COSIGNATURE,
    ECDSA_P256,
    ED25519,
    ID_BYTES,
    TIME_BYTES,
    Cosigner,
    Ed25519Signer,
    Signer,
    Verifier,
    check_name,
    from_base64,
    read_vkey,
    to_base64,
)

__all__ = [
    "COSIGNATURE",
    "ECDSA_P256",
    "ED25519",
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "Cosigner",
    "Ed25519Signer",
    "Note",
    "Signature",
    "Signer",
    "Verifier",
    "check_name",
    "countersigned",
    "holders",
    "parse",
    "read_line",
    "read_vkey",
    "signature_of",
    "signed",
    "verified",
]

MAX_NOTE_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 32
"""The specification asks for at least 16."""

_DASH: Final = "\N{EM DASH} "
_CONTROL: Final = re.compile(rb"[\0-\x09\x0b-\x1f]")


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
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.data)}\n"

    @property
    def time(self) -> int:
        """For a cosignature: when it was made, unix time, seconds."""
        return int.from_bytes(self.data[:TIME_BYTES])


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
    blob = from_base64(data)
    if len(blob) <= ID_BYTES:
        raise ValueError("an empty signature")
    return Signature(name, blob[:ID_BYTES], blob[ID_BYTES:])


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
