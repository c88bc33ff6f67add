"""Checkpoints (c2sp.org/tlog-checkpoint): a log's size and root, signed by its key, cosigned by witnesses.

The log's signature says who wrote the log. The witnesses' say that it only grew: without them a log could
show a different history to everybody.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from covey.errors import InputError, ProtocolError
from covey.ledger.keys import from_base64, to_base64
from covey.ledger.note import (
    COSIGNATURE,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Cosigner,
    Note,
    Signature,
    Signer,
    Verifier,
    holders,
    parse,
    read_line,
    signature_of,
    signed,
    verified,
)

MAX_SIZE: Final = (1 << 63) - 1
_ROOT_BYTES: Final = 32
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says. Extension lines are not accepted: nobody could audit them.

    Attributes:
        origin: The log's name, one line.
        size: The number of leaves.
        root: The Merkle tree hash over them (RFC 6962), 32 bytes.

    Raises:
        ValueError: No checkpoint can say this.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or "\n" in self.origin:
            raise ValueError(f"an origin {self.origin!r}")
        if not 0 <= self.size <= MAX_SIZE:
            raise ValueError(f"a tree of {self.size} leaves")
        if len(self.root) != _ROOT_BYTES:
            raise ValueError(f"a root of {len(self.root)} bytes")

    @property
    def text(self) -> str:
        """The text that is signed: three lines."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"


@dataclass(frozen=True)
class LogTrust:
    """Whose checkpoints are believed. The signed policy says so, not the server.

    Attributes:
        origin: The log's name.
        log: The key of the log, Ed25519 or ECDSA.
        witnesses: Keys of witnesses, each of another owner.
        cosignatures: How many of them must have cosigned.

    Raises:
        InputError: A key stands twice or is of the wrong kind, or more cosignatures than witnesses.
    """

    origin: str
    log: Verifier
    witnesses: tuple[Verifier, ...]
    cosignatures: int

    def __post_init__(self) -> None:
        if self.log.algorithm == COSIGNATURE:
            raise InputError(f"{self.log.name}: a witness's key as the log's", hint="give the log's own key")
        for each in self.witnesses:
            if each.algorithm != COSIGNATURE:
                raise InputError(
                    f"{each.name}: not a witness's key", hint="give the key as the witness published it"
                )
        # A cosignature does not say its witness's name: one key under two names would count as two.
        if len({each.key for each in (self.log, *self.witnesses)}) != 1 + len(self.witnesses):
            raise InputError(
                "one key stands for two", hint="each witness has a key of its own, not the log's"
            )
        if not 0 <= self.cosignatures <= len(self.witnesses):
            raise InputError(
                f"{self.cosignatures} cosignatures of {len(self.witnesses)} witnesses",
                hint="ask for at most as many as there are witnesses",
            )


@dataclass(frozen=True)
class Witnessed:
    """A checkpoint that was verified.

    Attributes:
        checkpoint: What it says.
        note: The note's bytes as they came.
        time: Unix time, seconds: at this time or later, as many witnesses as were asked for had seen no
            larger tree. 0 if no cosignature was asked for.
    """

    checkpoint: Checkpoint
    note: bytes
    time: int


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """A checkpoint as a note with the log's signature.

    Raises:
        InputError: The origin cannot stand in a note.
    """
    return signed(checkpoint.text, signer)


def cosign(data: bytes, witness_name: str, private: bytes, now: int) -> str:
    """A witness's cosignature on a checkpoint, as one signature line. Checks nothing but the form.

    Args:
        data: The checkpoint, a note.
        witness_name: The name of the witness's key.
        private: The witness's Ed25519 key, 32 bytes.
        now: Unix time, seconds.

    Raises:
        ProtocolError: It is no checkpoint. Blames the server.
        ValueError: Not a key, a name or a time.
    """
    claimed(data, blame="server")
    note = parse(data, blame="server")
    return signature_of(Cosigner(witness_name, private, now), note.text).line


def with_cosignatures(data: bytes, lines: Iterable[str]) -> bytes:
    """A checkpoint with more signature lines; a line that is there already is not added.

    Args:
        data: The checkpoint, a note.
        lines: Signature lines, one or more in a string, each with its newline. What a witness answered goes
            through `cosignatures_in` first.

    Raises:
        ProtocolError: A line is no signature, or there are too many. Blames "witness".
    """
    note = parse(data, blame="server")
    added = [signature for each in lines for signature in _signatures(each)]
    full = Note(note.text, tuple(dict.fromkeys((*note.signatures, *added))))
    if len(full.signatures) > MAX_SIGNATURES or len(full.data) > MAX_NOTE_BYTES:
        raise ProtocolError(f"{len(full.signatures)} signatures on a checkpoint", blame="witness")
    return full.data


def cosignatures_in(answer: str, data: bytes, witnesses: Sequence[Verifier]) -> tuple[str, ...]:
    """The lines of a witness's answer that are cosignatures of these witnesses and hold.

    All others are dropped (c2sp.org/tlog-witness: a client ignores cosignatures of unknown keys): one bad
    line would spoil the whole note for every reader.

    Args:
        answer: Signature lines, each with its newline.
        data: The checkpoint that was to be cosigned, a note.
        witnesses: Keys of the witnesses.

    Raises:
        ProtocolError: The answer does not consist of signature lines. Blames "witness".
    """
    text = parse(data, blame="server").text.encode()
    return tuple(
        each.line
        for each in _signatures(answer)
        if any(
            (key.name, key.key_id) == (each.name, each.key_id) and key.holds(text, each.data)
            for key in witnesses
        )
    )


def claimed(data: bytes, *, blame: str) -> Checkpoint:
    """What a checkpoint says, with no signature verified.

    Args:
        data: A note.
        blame: Who is named if it is malformed.

    Raises:
        ProtocolError: Not a note, or its text is no checkpoint.
    """
    return _read(parse(data, blame=blame), blame)


def open_checkpoint(data: bytes, trust: LogTrust, *, blame: str) -> Witnessed:
    """Verify a checkpoint: its origin, the log's signature, and the cosignatures that are asked for.

    Args:
        data: A note.
        trust: Whose checkpoints are believed.
        blame: Who is named if this is none of them.

    Raises:
        ProtocolError: Malformed, of another log, not signed by the log's key, cosigned by too few, or with a
            signature of a known key that does not hold.
    """
    note = parse(data, blame=blame)
    checkpoint = _read(note, blame)
    if checkpoint.origin != trust.origin:
        raise ProtocolError(f"a checkpoint of {checkpoint.origin!r}, not of {trust.origin!r}", blame=blame)
    if not holders(note, (trust.log,), blame=blame):
        raise ProtocolError(f"a checkpoint that {trust.log.name!r} did not sign", blame=blame)
    newest: dict[Verifier, int] = {}
    for witness, signature in verified(note, trust.witnesses, blame=blame):
        newest[witness] = max(newest.get(witness, 0), signature.time)
    if len(newest) < trust.cosignatures:
        raise ProtocolError(f"{len(newest)} of {trust.cosignatures} cosignatures", blame=blame)
    times = sorted(newest.values(), reverse=True)[: trust.cosignatures]
    return Witnessed(checkpoint, data, min(times, default=0))


def _read(note: Note, blame: str) -> Checkpoint:
    try:
        return _checkpoint(note.text)
    except ValueError as error:
        raise ProtocolError(f"a malformed checkpoint: {error}", blame=blame) from error


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or lines[-1]:  # noqa: PLR2004 - three, and nothing after the last newline
        raise ValueError(f"{len(lines) - 1} lines instead of three")
    origin, size, root, _ = lines
    number = read_size(size)
    try:
        decoded = from_base64(root)
    except ValueError as error:
        raise ValueError(f"a root that is {error}") from error
    return Checkpoint(origin, number, decoded)


def read_size(text: str) -> int:
    """A number of leaves as checkpoints write it: decimal, without leading zeros.

    Raises:
        ValueError: It is none.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"a size {text[:32]!r}")
    return int(text)


def _signatures(lines: str) -> list[Signature]:
    *each, rest = lines.split("\n")
    try:
        if rest or not each:
            raise ValueError("not complete lines")  # noqa: TRY301 - as the lines' own errors
        return [read_line(line) for line in each]
    except ValueError as error:
        raise ProtocolError(f"an answer that is no cosignature: {error}", blame="witness") from error
