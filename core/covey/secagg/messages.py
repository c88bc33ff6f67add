"""What devices and server say to each other during a private sum, and the one strict decoder for it.

Frozen structs in msgpack, tagged by name, every field of a fixed type and bounded length. Signatures are over
the bytes as sent: nothing here is encoded again in order to be verified.
"""

from types import UnionType
from typing import Annotated, Any, Final, TypeVar, overload

import msgspec

from covey.errors import ProtocolError
from covey.identity import Device

OVERHEAD: Final = 256
"""Bytes of a message beside what it is made for, at most."""

MEMBER: Final = 1280
"""Bytes that a message says about one member, at most: an advert and its path are the most."""

Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Share = Annotated[bytes, msgspec.Meta(min_length=33, max_length=33)]
Box = Annotated[bytes, msgspec.Meta(min_length=155, max_length=155)]
Position = Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Positions = Annotated[tuple[Position, ...], msgspec.Meta(max_length=1 << 14)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, gc=False):
    """Base of everything that is sent. Its content is not shown when printed: some of it is secret.

    The garbage collector passes over messages: a server holds hundreds of thousands, and none is in a cycle.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Proofs(Message, frozen=True):
    """What a plan appeals to. The plan cannot hold it: it is made of the plan.

    Attributes:
        policy: The signed note.
        entry: The plan's reserve as it stands in the ledger.
        index: Its place there.
        inclusion: Its audit path under the checkpoint.
        checkpoint: The ledger's head, signed and cosigned.
        old: Size of the checkpoint that the device is believed to have seen last; 0 for none.
        consistency: That the ledger has only grown since.
    """

    policy: Annotated[bytes, msgspec.Meta(max_length=1 << 17)]
    entry: Annotated[bytes, msgspec.Meta(max_length=2 << 20)]
    index: Count
    inclusion: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]
    checkpoint: Annotated[bytes, msgspec.Meta(max_length=1 << 16)]
    old: Count
    consistency: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]


class Envelope(Message, frozen=True, tag="envelope"):
    """Server to device, first: the plan and what makes it believable.

    Attributes:
        plan: As signed.
        signature: The operator's, kind "plan".
        roster: As signed by the enrolment key.
        proofs: That a policy allows the plan and the ledger holds it; None for a plan that names no policy.
    """

    plan: Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
    signature: Signature
    roster: Annotated[bytes, msgspec.Meta(max_length=4 << 20)]
    proofs: Proofs | None = None


class Advert(Message, frozen=True, tag="advert"):
    """The body of an advertisement.

    Attributes:
        plan: H(plan).
        device: Whose it is.
        seal_key: X25519 public key for shares on their way to this device.
        mask_key: X25519 public key for pair masks; its private key follows from the shared seed r.
        commitment: To b, the seed of the self mask.
        counter: How many plans the device has reserved budget for in its life, with this one. It only grows:
            a device whose disk was restored or cloned shows it by a number that was there before.
        leaf: Its participation leaf; see `covey.ledger.participation`.
    """

    plan: Hash
    device: Device
    seal_key: Key
    mask_key: Key
    commitment: Hash
    counter: Count
    leaf: Hash


class Advertised(Message, frozen=True, tag="advertised"):
    """Device to server: an advert as signed, kind "advert"."""

    body: Annotated[bytes, msgspec.Meta(max_length=512)]
    signature: Signature


class Behind(Message, frozen=True, tag="behind"):
    """Device to server, instead of an advert: prove that the ledger has only grown since this size.

    Attributes:
        size: Of the last checkpoint that the device has seen.
    """

    size: Count


class Entry(Message, frozen=True):
    """One member as shown to another.

    Attributes:
        position: Place among the adverts in order of device names.
        advert: As the member sent it.
        path: Its inclusion proof under the root of all adverts; empty where all members are shown.
    """

    position: Position
    advert: Advertised
    path: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=16)] = ()


class Cohort(Message, frozen=True, tag="cohort"):
    """Server to device: U1, or the part of it that the device shares masks with.

    Attributes:
        size: |U1|.
        root: Merkle root over all adverts in order.
        position: The receiver's own.
        entries: In order of positions, with the receiver's own among them.
        before: The receiver's advert with the greatest counter that the server has on record; None for none.
    """

    size: Position
    root: Hash
    position: Position
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=1 << 14)]
    before: Advertised | None = None


class Deal(Message, frozen=True):
    """Sealed shares from one device to another.

    Attributes:
        position: Of the other end: the receiver on the way to the server, the dealer on the way from it.
        box: Both shares and their blinds, sealed.
        commitment_r: To the share of r.
        commitment_b: To the share of b.
        signature: The dealer's, kind "deal", over the box and both commitments.
    """

    position: Position
    box: Box
    commitment_r: Hash
    commitment_b: Hash
    signature: Signature


class Shared(Message, frozen=True, tag="shared"):
    """Device to server: shares for each neighbour, and the U1 they are for."""

    root: Hash
    deals: Annotated[tuple[Deal, ...], msgspec.Meta(max_length=1 << 14)]


class Partners(Message, frozen=True, tag="partners"):
    """Server to device: U2, and the shares that its members dealt to the receiver.

    Attributes:
        u2: Positions that shared keys; on a sparse graph the receiver and its neighbours only.
        count: |U2|.
        deals: From each other position in `u2`, in order.
    """

    u2: Positions
    count: Position
    deals: Annotated[tuple[Deal, ...], msgspec.Meta(max_length=1 << 14)]


class Masked(Message, frozen=True, tag="masked"):
    """Device to server: the noisy, masked vector, packed.

    Attributes:
        vector: `covey.ring.pack` of it.
        signature: Kind "mi", over the plan, U1, U2 and the vector's hash.
    """

    vector: bytes
    signature: Signature


class Survivors(Message, frozen=True, tag="survivors"):
    """Server to device: what it says U1, U2 and U3 are."""

    root: Hash
    u2: Positions
    u3: Positions


class Agreed(Message, frozen=True, tag="agreed"):
    """Device to server: it saw these sets. Kind "cc"."""

    signature: Signature


class InputProof(Message, frozen=True):
    """That a member of U3 sent its vector for these sets.

    Attributes:
        position: Whose.
        vector: SHA-256 of its packed vector.
        signature: Its "mi" signature.
    """

    position: Position
    vector: Hash
    signature: Signature


class Vote(Message, frozen=True):
    """A member's "cc" signature."""

    position: Position
    signature: Signature


class Unmask(Message, frozen=True, tag="unmask"):
    """Server to device: open the sum.

    Attributes:
        u3: Positions in the sum; on a sparse graph the receiver and its neighbours only.
        count: |U3|.
        inputs: A proof for each member of U3; empty on a sparse graph.
        votes: A quorum of U3 for the same sets; empty on a sparse graph.
    """

    u3: Positions
    count: Position
    inputs: Annotated[tuple[InputProof, ...], msgspec.Meta(max_length=1 << 10)] = ()
    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=1 << 10)] = ()


class OpenShare(Message, frozen=True):
    """A share revealed: of b for a member of U3, of r for one that dropped out.

    Attributes:
        position: The dealer.
        share: Its value.
        blind: With which the commitment is checked.
    """

    position: Position
    share: Share
    blind: Hash


class Revealed(Message, frozen=True, tag="revealed"):
    """Device to server: what opens the sum, and nothing else.

    Attributes:
        b: Shares of self-mask seeds, of members of U3.
        r: Shares of key seeds, of members of U2 outside U3. No position stands in both.
        noise: Seed of the noise to be removed; None where none is.
    """

    b: Annotated[tuple[OpenShare, ...], msgspec.Meta(max_length=1 << 14)]
    r: Annotated[tuple[OpenShare, ...], msgspec.Meta(max_length=1 << 14)]
    noise: Hash | None


class Held(Message, frozen=True):
    """What a device holds of a dealer's secrets; inside a box, and in a device's memory."""

    share_r: Share
    share_b: Share
    blind_r: Hash
    blind_b: Hash


ToDevice = Cohort | Partners | Survivors | Unmask

_Kind = TypeVar("_Kind")


def encode(message: Message) -> bytes:
    """As sent."""
    return msgspec.msgpack.encode(message)


@overload
def decode(data: bytes, kind: type[_Kind], *, blame: str, limit: int) -> _Kind: ...
@overload
def decode(data: bytes, kind: UnionType, *, blame: str, limit: int) -> Any: ...
def decode(data: bytes, kind: Any, *, blame: str, limit: int) -> Any:
    """The message in `data`.

    Args:
        data: As received.
        kind: The type, or union of types, that may come now.
        blame: Who sent it.
        limit: Longest message in bytes.

    Raises:
        ProtocolError: Too long, malformed, or another message.
    """
    if len(data) > limit:
        raise ProtocolError(f"{blame}: a message of {len(data)} bytes, at most {limit}", blame=blame)
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"{blame}: a malformed message: {error}", blame=blame) from error
