"""What the server makes of the replies at each stage: who is counted, and who is blamed and left out."""

import hashlib
from collections.abc import Callable, Container, Iterable
from typing import TypeVar

from covey import ring
from covey.errors import ProtocolError
from covey.identity import verify
from covey.secagg.members import read_advert
from covey.secagg.messages import (
    OVERHEAD,
    Advert,
    Advertised,
    Agreed,
    Deal,
    InputProof,
    Masked,
    Revealed,
    Shared,
    decode,
)
from covey.secagg.stages import Advertising, Agreeing, Blame, Masking, Member, Sender, Session, Unmasking
from covey.secagg.terms import input_statement, set_digest, vote_statement

Replies = Iterable[tuple[Sender, bytes]]
_Read = TypeVar("_Read")


def sort_out(
    replies: Replies, expected: Container[Sender], read: Callable[[Sender, bytes], _Read]
) -> tuple[dict[Sender, _Read], list[Blame]]:
    """Each expected sender's first reply that holds, and whom to blame.

    Args:
        replies: In any order, any number from anyone.
        expected: Whose replies count.
        read: Raises ProtocolError on a reply that does not hold.
    """
    # The bytes themselves, which the caller holds anyway: hashing a vector takes longer than its mask.
    found, seen, blamed = dict[Sender, _Read](), dict[Sender, bytes](), list[Blame]()
    for sender, data in replies:
        if sender not in expected:
            blamed.append(Blame(sender, "was not asked at this stage"))
        elif sender in found:
            if seen[sender] != data:
                blamed.append(Blame(sender, "answered twice, differently; the first counts"))
        else:
            try:
                found[sender] = read(sender, data)
                seen[sender] = data
            except ProtocolError as error:
                blamed.append(Blame(sender, error.message))
    return found, blamed


def read_member(state: Advertising, sender: Sender, data: bytes) -> Member:
    """An advert that holds."""
    blame = f"node {sender}"
    advertised = decode(data, Advertised, blame=blame, limit=state.terms.limit)
    advert = read_advert(advertised, state.terms, state.roster, state.now, blame=blame)
    return Member(sender, advertised, advert, state.roster.key_of(advert.device, state.now))


def distinct(found: Iterable[Member]) -> tuple[tuple[Member, ...], list[Blame]]:
    """Members by name; of two with one name or key neither counts: who is real cannot be told."""
    members = sorted(found, key=lambda member: member.advert.device)
    marks: dict[bytes | str, int] = {}
    for member in members:
        for mark in _marks(member.advert):
            marks[mark] = marks.get(mark, 0) + 1
    kept, blamed = list[Member](), list[Blame]()
    for member in members:
        if all(marks[mark] == 1 for mark in _marks(member.advert)):
            kept.append(member)
        else:
            blamed.append(Blame(member.sender, "shares a name or a key with another"))
    return tuple(kept), blamed


def _marks(advert: Advert) -> tuple[bytes | str, ...]:
    return advert.device, advert.seal_key, advert.mask_key, advert.commitment


def read_deals(session: Session, position: int, data: bytes) -> tuple[Deal, ...]:
    """Shares for every neighbour. What is in the boxes only their receivers can tell."""
    blame = f"node {session.members[position].sender}"
    shared = decode(data, Shared, blame=blame, limit=session.terms.limit)
    if shared.root != session.root:
        raise ProtocolError(f"{blame}: shares for another cohort", blame=blame)
    if tuple(deal.position for deal in shared.deals) != session.graph[position]:
        raise ProtocolError(f"{blame}: not one share for every neighbour", blame=blame)
    return shared.deals


def read_vector(state: Masking, total: ring.Ring, position: int, data: bytes) -> InputProof:
    """Add a signed vector to `total`, in place, if it holds; keep the proof that it was sent."""
    session, terms = state.session, state.session.terms
    blame, bits = f"node {session.members[position].sender}", terms.suite.bits
    size = ring.packed_size(terms.plan.length, bits)
    masked = decode(data, Masked, blame=blame, limit=size + OVERHEAD)
    digest = hashlib.sha256(masked.vector).digest()
    u2 = state.digest if terms.complete else set_digest(session.root, session.known(position, state.sharing))
    statement = input_statement(terms, session.root, u2, digest)
    verify(session.members[position].identity, "mi", statement, masked.signature, blame=blame)
    try:
        ring.add_packed(total, masked.vector, bits)
    except ValueError as error:
        raise ProtocolError(f"{blame}: {error}", blame=blame) from error
    return InputProof(position, digest, masked.signature)


def read_vote(state: Agreeing, position: int, data: bytes) -> bytes:
    """A signature on these very sets."""
    session = state.session
    blame = f"node {session.members[position].sender}"
    agreed = decode(data, Agreed, blame=blame, limit=session.terms.limit)
    statement = vote_statement(session.terms, session.root, *state.digests)
    verify(session.members[position].identity, "cc", statement, agreed.signature, blame=blame)
    return agreed.signature


def read_reveal(state: Unmasking, position: int, data: bytes) -> Revealed:
    """Shares of the right secrets of all neighbours; of each other one the other."""
    session = state.session
    blame = f"node {session.members[position].sender}"
    revealed = decode(data, Revealed, blame=blame, limit=session.terms.limit)
    u3, holds = state.surviving, session.known(position, state.sharing)
    dealers = [place for place in holds if place != position or session.terms.complete]
    b, r = ([share.position for share in shares] for shares in (revealed.b, revealed.r))
    if b != [each for each in dealers if each in u3] or r != [each for each in dealers if each not in u3]:
        raise ProtocolError(f"{blame}: other shares than were asked for", blame=blame)
    return revealed
