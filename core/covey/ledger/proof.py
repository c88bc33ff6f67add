"""A device's proof that it was in a sum, for anybody who has the ledger's checkpoint, or knows its keys.

The device reveals the inner value of its participation leaf; the leaf is under the settle's commitment,
settle and reserve are in the tree, and the checkpoint signs the tree. Nothing follows about its other sums.
"""

import hmac
from typing import Annotated, Final, Literal

import msgspec

from covey import merkle
from covey import plan as plans
from covey.errors import ProtocolError
from covey.ledger import entries, participation
from covey.ledger.checkpoint import Checkpoint, LogTrust, claimed, open_checkpoint
from covey.ledger.entries import Reserve, Settle
from covey.plan import Plan

FORMAT: Final = "covey-proof/1"
MAX_BYTES: Final = 8 << 20

Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Path = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]
Place = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Logged(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry, and that it is in the tree.

    Attributes:
        index: Its place.
        line: As it stands there.
        path: Its audit path under the checkpoint.
    """

    index: Place
    line: Annotated[str, msgspec.Meta(max_length=entries.MAX_ENTRY_BYTES)]
    path: Path


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of one device and one sum.

    Attributes:
        format: Of this format.
        device: The device's name in the roster.
        opening: `covey.ledger.participation.opening`.
        place: Of its leaf among the leaves of the sum.
        leaves: How many of them there are.
        path: The leaf's audit path.
        reserve: What was asked.
        settle: How it ended.
        checkpoint: The signed note.
    """

    format: Literal["covey-proof/1"] = FORMAT
    device: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    opening: Hash
    place: Place
    leaves: Place
    path: Path
    reserve: Logged
    settle: Logged
    checkpoint: Annotated[str, msgspec.Meta(max_length=1 << 16)]


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof that holds shows.

    Attributes:
        device: Who.
        plan: What it answered.
        reserve: The entry that asked.
        settle: The entry that opened the sum.
        members: Devices in the sum.
        checkpoint: What it was proved under.
    """

    device: str
    plan: Plan
    reserve: int
    settle: int
    members: int
    checkpoint: Checkpoint


def to_bytes(proof: Proof) -> bytes:
    """As kept and handed on: JSON."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def from_bytes(data: bytes) -> Proof:
    """Read a proof strictly; `check` says whether it proves anything.

    Raises:
        ProtocolError: Too large or malformed. Blames "device".
    """
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"a proof of {len(data)} bytes, at most {MAX_BYTES}", blame="device")
    try:
        return msgspec.json.decode(data, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed proof: {error}", blame="device") from error


def check(proof: Proof, trust: LogTrust | None) -> Proved:
    """Verify a proof.

    Args:
        proof: As read.
        trust: Whose checkpoints count; None to take the checkpoint as it is, for somebody who compares it
            by other means.

    Raises:
        ProtocolError: It proves nothing; says at which step. Blames "device".
    """
    data = proof.checkpoint.encode()
    head = (
        claimed(data, blame="device")
        if trust is None
        else open_checkpoint(data, trust, blame="device").checkpoint
    )
    reserve, settle = _logged(proof.reserve, head), _logged(proof.settle, head)
    if not isinstance(reserve, Reserve) or not isinstance(settle, Settle) or settle.sets is None:
        raise _refusal("its entries are not a reserve and the settle of a masked sum")
    if (
        not hmac.compare_digest(plans.digest(reserve.plan), settle.plan)
        or proof.reserve.index >= proof.settle.index
    ):
        raise _refusal("the settle is not that of the reserve")
    own = participation.leaf(proof.opening, proof.device)
    root = bytes.fromhex(settle.sets.participants)
    if proof.leaves != settle.members.survivors or not merkle.verify_path(
        own, proof.place, proof.leaves, proof.path, root
    ):
        raise _refusal("the device's leaf is not among those that the settle commits to")
    return Proved(
        device=proof.device,
        plan=plans.from_bytes(reserve.plan),
        reserve=proof.reserve.index,
        settle=proof.settle.index,
        members=settle.members.survivors,
        checkpoint=head,
    )


def _logged(entry: Logged, head: Checkpoint) -> entries.AnyEntry:
    line = entry.line.encode()
    if not merkle.verify_path(line, entry.index, head.size, entry.path, head.root):
        raise _refusal(f"entry {entry.index} is not in the ledger under that checkpoint")
    return entries.decode(line, blame="device")


def _refusal(fault: str) -> ProtocolError:
    return ProtocolError(f"a proof that does not hold: {fault}", blame="device")
