"""A witness (c2sp.org/tlog-witness): cosigns a log's checkpoints as long as each continues the one before.

One request and one answer, `add-checkpoint`. A witness remembers for each log the largest checkpoint that it
cosigned, and cosigns nothing that does not contain it: then nobody who waits for its cosignature is shown a
fork. The new memory must be durable before the answer leaves, and requests are answered one after the other.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from covey.errors import ProtocolError
from covey.ledger.checkpoint import Checkpoint, claimed, read_size
from covey.ledger.keys import from_base64, to_base64
from covey.ledger.note import Cosigner, Note, Verifier, check_name, parse, signature_of, verified
from covey.merkle import EMPTY_ROOT, verify_consistency

MAX_REQUEST_BYTES: Final = 64 << 10
MAX_PROOF: Final = 63
"""As many nodes as a log of 2^63 leaves can need (tlog-witness, "add-checkpoint")."""

_NODE_BYTES: Final = 32


@dataclass(frozen=True)
class WitnessKey:
    """With what a witness cosigns.

    Attributes:
        name: The witness's name.
        private: Its Ed25519 key, 32 bytes; never shown, and used for nothing else.

    Raises:
        ValueError: The name cannot stand in a signature line.
    """

    name: str
    private: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def verifier(self) -> Verifier:
        """The public half, as policies name it."""
        return self.at(0).verifier

    def at(self, now: int) -> Cosigner:
        """The signer for one moment; unix time, seconds."""
        return Cosigner(self.name, self.private, now)


@dataclass(frozen=True)
class Seen:
    """What a witness remembers of a log: the largest checkpoint that it cosigned.

    Attributes:
        origin: The log's name.
        size: The number of leaves.
        root: 32 bytes.
        note: The checkpoint with the log's signature and the witness's own.
    """

    origin: str
    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True)
class Request:
    """`add-checkpoint`, as parsed; nothing in it is verified.

    Attributes:
        old: The size that the log believes the witness to remember.
        proof: Nodes of 32 bytes, from the old tree to the new one.
        note: The new checkpoint.
        checkpoint: What it says.
    """

    old: int
    proof: tuple[bytes, ...]
    note: bytes
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Cosigned:
    """The answer to a checkpoint that continues the log.

    Attributes:
        seen: What the witness remembers from now on; durable before `body` is sent.
        body: The cosignature, one signature line. HTTP status 200.
    """

    seen: Seen
    body: bytes


@dataclass(frozen=True)
class Refused:
    """The answer to anything else. What the witness remembers stays as it is.

    Attributes:
        status: HTTP status: 400, 403, 404, 409 or 422.
        body: For 409 the remembered size, a decimal line; else the reason, a line.
        why: The reason, for the witness's owner.
    """

    status: int
    body: bytes
    why: str


def request_of(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of `add-checkpoint`.

    Args:
        old: The size of the checkpoint that the witness cosigned last; 0 if none.
        proof: The consistency proof from there, nodes of 32 bytes.
        note: The new checkpoint, signed by the log.
    """
    lines = [f"old {old}", *map(to_base64, proof)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + note


def parse_request(data: bytes) -> Request:
    """The body of `add-checkpoint`, read strictly.

    Raises:
        ProtocolError: Malformed or too large. Blames the log.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise ProtocolError(f"a request of {len(data)} bytes, at most {MAX_REQUEST_BYTES}", blame="log")
    head, _, note = data.partition(b"\n\n")
    try:
        old, *proof = head.decode("ascii").split("\n")
        if not old.startswith("old ") or len(proof) > MAX_PROOF:
            raise ValueError("not an old size and a proof")  # noqa: TRY301 - as the lines' own errors
        size, nodes = read_size(old.removeprefix("old ")), tuple(map(_node, proof))
    except ValueError as error:
        raise ProtocolError(f"a malformed request: {error}", blame="log") from error
    return Request(size, nodes, note, claimed(note, blame="log"))


def step(
    seen: Seen | None, request: bytes, logs: Mapping[str, Verifier], key: WitnessKey, now: int
) -> Cosigned | Refused:
    """Answer one request (tlog-witness, "add-checkpoint"; the checks in the order of the text).

    Args:
        seen: What is remembered of the log that the request is about (`parse_request` says which); None if
            nothing of it was ever cosigned.
        request: The request's body.
        logs: The keys of the logs that this witness cosigns, by origin.
        key: The witness's own.
        now: Unix time, seconds.

    Raises:
        ValueError: `seen` is another log's.
    """
    try:
        asked = parse_request(request)
    except ProtocolError as error:
        return _refused(HTTPStatus.BAD_REQUEST, error.message)
    origin = asked.checkpoint.origin
    if origin not in logs:
        return _refused(HTTPStatus.NOT_FOUND, f"no log {origin!r} is known here")
    if seen is not None and seen.origin != origin:
        raise ValueError(f"what was seen of {seen.origin!r} says nothing about {origin!r}")
    try:
        signed = _signed_by(logs[origin], asked.note)
    except ProtocolError as error:
        return _refused(HTTPStatus.FORBIDDEN, error.message)
    return _fault(seen, asked) or _cosigned(asked.checkpoint, signed, key.at(now))


def _signed_by(log: Verifier, data: bytes) -> Note:
    """The note with the log's signature alone."""
    note = parse(data, blame="log")
    held = [signature for _, signature in verified(note, (log,), blame="log")]
    if not held:
        raise ProtocolError(f"{log.name!r} did not sign this", blame="log")
    return Note(note.text, (held[0],))


def _fault(seen: Seen | None, asked: Request) -> Refused | None:
    """Why a checkpoint that the log did sign does not continue what was seen; None if it does."""
    old, root = (seen.size, seen.root) if seen else (0, EMPTY_ROOT)
    new = asked.checkpoint
    if asked.old > new.size:
        return _refused(HTTPStatus.BAD_REQUEST, f"from {asked.old} leaves to {new.size}")
    if asked.old != old:
        return _conflict(old, f"{old} leaves were seen, not {asked.old}")
    if new.size == old and not hmac.compare_digest(new.root, root):
        return _conflict(old, f"another log of {old} leaves was seen: a fork")
    if not verify_consistency(old, new.size, asked.proof, root, new.root):
        return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{new.size} leaves do not continue the {old} seen")
    return None


def _cosigned(checkpoint: Checkpoint, note: Note, cosigner: Cosigner) -> Cosigned:
    cosignature = signature_of(cosigner, note.text)
    full = Note(note.text, (*note.signatures, cosignature)).data
    seen = Seen(checkpoint.origin, checkpoint.size, checkpoint.root, full)
    return Cosigned(seen, cosignature.line.encode())


def remembered(note: bytes, key: WitnessKey) -> Seen:
    """What a witness remembers, from the note alone; its own signature on it is checked.

    Raises:
        ProtocolError: Not a checkpoint that this witness cosigned. Blames "local".
    """
    checkpoint = claimed(note, blame="local")
    if not verified(parse(note, blame="local"), (key.verifier,), blame="local"):
        raise ProtocolError(f"{key.name!r} did not cosign this", blame="local")
    return Seen(checkpoint.origin, checkpoint.size, checkpoint.root, note)


def _conflict(size: int, why: str) -> Refused:
    return Refused(HTTPStatus.CONFLICT, b"%d\n" % size, why)


def _refused(status: HTTPStatus, why: str) -> Refused:
    return Refused(status, f"{why}\n".encode(), why)


def _node(line: str) -> bytes:
    node = from_base64(line)
    if len(node) != _NODE_BYTES:
        raise ValueError("a line of a proof that is no hash")
    return node
