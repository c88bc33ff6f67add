"""The server's half of a private sum, as a machine without I/O: `step(state, replies) -> (state, effects)`.

It relays, adds up, and opens the sum of those who are left. A stage ends when its replies are handed in, all
at once; who has not answered by then has dropped out:

    Advertising --adverts-->  Sharing     U1: whose adverts hold
    Sharing     --shares-->   Masking     U2: who dealt to all its neighbours
    Masking     --vectors-->  Agreeing    U3: whose vector arrived and is signed
    Agreeing    --votes-->    Unmasking   a quorum of U3 saw these sets (malicious-server profile only)
    Unmasking   --reveals-->  Finished    the sum over U3
    any         --too few-->  Aborted     nothing is opened

Nothing that a device sends can raise here: it is left out and blamed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from covey import merkle
from covey.encode import Integers
from covey.errors import ProtocolError
from covey.identity import Roster, verify
from covey.secagg.members import leaf, read_advert
from covey.secagg.messages import (
    OVERHEAD,
    Advert,
    Advertised,
    Agreed,
    Cohort,
    Deal,
    Entry,
    InputProof,
    Masked,
    Partners,
    Revealed,
    Shared,
    Survivors,
    Unmask,
    Vote,
    decode,
    encode,
)
from covey.secagg.opening import Inputs, open_sum
from covey.secagg.states import Stage
from covey.secagg.terms import Terms, input_statement, set_digest, vote_statement

Sender = int
Replies = Iterable[tuple[Sender, bytes]]


@dataclass(frozen=True)
class Member:
    """A device in U1.

    Attributes:
        sender: Whom to send to.
        advertised: Its advert as sent.
        advert: Its advert.
        identity: Its public key.
    """

    sender: Sender
    advertised: Advertised
    advert: Advert
    identity: bytes


@dataclass(frozen=True)
class Deliver:
    """Send to each its request; collect what answers to `stage`."""

    stage: Stage
    requests: Mapping[Sender, bytes]


@dataclass(frozen=True)
class Blame:
    """A reply was left out, and whose it was."""

    sender: Sender
    reason: str


Effect = Deliver | Blame


@dataclass(frozen=True)
class Advertising:
    """Waits for adverts.

    Attributes:
        terms: The session.
        roster: That the plan names.
        senders: Who was asked.
        now: Unix time, seconds.
    """

    terms: Terms
    roster: Roster
    senders: frozenset[Sender]
    now: int


@dataclass(frozen=True)
class Session:
    """What stands once U1 does. Positions index `members`; sets are sorted tuples of positions."""

    terms: Terms
    members: tuple[Member, ...]
    root: bytes
    graph: tuple[tuple[int, ...], ...]

    @property
    def position_of(self) -> dict[Sender, int]:
        """Positions by sender."""
        return {member.sender: position for position, member in enumerate(self.members)}

    def name(self, position: int) -> str:
        """A member's name."""
        return self.members[position].advert.device

    def known(self, position: int, members: Sequence[int]) -> tuple[int, ...]:
        """Of `members`, itself and its neighbours."""
        if self.terms.complete:
            return tuple(members)
        near = {*self.graph[position], position}
        return tuple(member for member in members if member in near)


@dataclass(frozen=True)
class Sharing:
    """Waits for shares."""

    session: Session


@dataclass(frozen=True)
class Masking:
    """Waits for vectors; `deals` by dealer, then receiver."""

    session: Session
    u2: tuple[int, ...]
    deals: Mapping[int, Mapping[int, Deal]]


@dataclass(frozen=True)
class Agreeing:
    """Waits for votes."""

    session: Session
    u2: tuple[int, ...]
    u3: tuple[int, ...]
    deals: Mapping[int, Mapping[int, Deal]]
    masked: Mapping[int, Masked]


@dataclass(frozen=True)
class Unmasking(Agreeing):
    """Waits for reveals."""


@dataclass(frozen=True)
class Finished:
    """The sum.

    Attributes:
        total: int64 (length,), rows and what noise is left, centred.
        u1: Names of who advertised.
        u2: Of who shared keys.
        u3: Of who is in the sum.
        root: Of U1's adverts.
        noise_left: Survivors whose removable noise is still in the sum.
    """

    total: Integers
    u1: tuple[str, ...]
    u2: tuple[str, ...]
    u3: tuple[str, ...]
    root: bytes
    noise_left: int


@dataclass(frozen=True)
class Aborted:
    """Nothing was opened, and why."""

    stage: Stage
    reason: str


State = Advertising | Sharing | Masking | Agreeing | Unmasking | Finished | Aborted

STAGES: Final[Mapping[type, Stage]] = {
    Advertising: "advertise",
    Sharing: "share",
    Masking: "masked",
    Agreeing: "consistency",
    Unmasking: "unmask",
}


def step(state: State, replies: Replies, *, workers: int = 1) -> tuple[State, tuple[Effect, ...]]:
    """End a stage with what has arrived.

    Args:
        state: A state that waits.
        replies: In any order; duplicates, strangers' and other stages' are left out and blamed.
        workers: Threads that expand masks.

    Returns:
        The next state, then whom to blame and what to send.
    """
    match state:
        case Advertising():
            return _advertised(state, replies)
        case Sharing():
            return _shared(state, replies)
        case Masking():
            return _masked(state, replies)
        case Unmasking():
            return _revealed(state, replies, workers)
        case Agreeing():
            return _agreed(state, replies)
        case Finished() | Aborted():
            return state, tuple(Blame(sender, "answered after the end") for sender, _ in replies)


# --- stages
# ----------------------------------------------------------------------------------------------------


def _advertised(state: Advertising, replies: Replies) -> tuple[State, tuple[Effect, ...]]:
    terms = state.terms

    def read(sender: Sender, data: bytes) -> Member:
        advertised = decode(data, Advertised, blame=f"node {sender}")
        advert = read_advert(advertised, terms, state.roster, state.now, blame=f"node {sender}")
        return Member(sender, advertised, advert, state.roster.key_of(advert.device, state.now))

    found, blamed = _sorted_out(replies, state.senders, read)
    members, doubles = _distinct(found.values())
    blamed += doubles
    needed = max(terms.plan.minimum, terms.suite.neighbours + 1)
    if len(members) < needed:
        return _aborted("advertise", len(members), needed, blamed)
    tree = merkle.Tree([leaf(member.advertised) for member in members])
    session = Session(terms, members, tree.root, _graph(terms, len(members), tree.root))
    requests = {
        member.sender: encode(_cohort(session, tree, position)) for position, member in enumerate(members)
    }
    return Sharing(session), (*blamed, Deliver("share", requests))


def _shared(state: Sharing, replies: Replies) -> tuple[State, tuple[Effect, ...]]:
    session = state.session
    position_of = session.position_of

    def read(sender: Sender, data: bytes) -> tuple[Deal, ...]:
        shared = decode(data, Shared, blame=f"node {sender}")
        if shared.root != session.root:
            raise ProtocolError("shares for another cohort", blame=f"node {sender}")
        if tuple(deal.position for deal in shared.deals) != session.graph[position_of[sender]]:
            raise ProtocolError("not one share for every neighbour", blame=f"node {sender}")
        return shared.deals

    found, blamed = _sorted_out(replies, position_of.keys(), read)
    dealt = {position_of[sender]: deals for sender, deals in found.items()}
    u2 = tuple(sorted(dealt))
    if len(u2) < session.terms.plan.minimum:
        return _aborted("share", len(u2), session.terms.plan.minimum, blamed)
    deals = {dealer: {deal.position: deal for deal in dealt[dealer]} for dealer in u2}
    requests = {session.members[place].sender: encode(_partners(session, u2, deals, place)) for place in u2}
    return Masking(session, u2, deals), (*blamed, Deliver("masked", requests))


def _masked(state: Masking, replies: Replies) -> tuple[State, tuple[Effect, ...]]:
    session, terms = state.session, state.session.terms
    senders = {session.members[place].sender: place for place in state.u2}
    size = (terms.plan.length * terms.suite.bits + 7) // 8

    def read(sender: Sender, data: bytes) -> Masked:
        masked = decode(data, Masked, blame=f"node {sender}", limit=size + OVERHEAD)
        place = senders[sender]
        if len(masked.vector) != size:
            raise ProtocolError(f"a vector of {len(masked.vector)} bytes, not {size}", blame=f"node {sender}")
        u2 = set_digest(session.root, session.known(place, state.u2))
        statement = input_statement(terms, session.root, u2, hashlib.sha256(masked.vector).digest())
        verify(session.members[place].identity, "mi", statement, masked.signature, blame=f"node {sender}")
        return masked

    found, blamed = _sorted_out(replies, senders.keys(), read)
    masked = {senders[sender]: each for sender, each in found.items()}
    u3 = tuple(sorted(masked))
    if len(u3) < terms.plan.minimum:
        return _aborted("masked", len(u3), terms.plan.minimum, blamed)
    after = Agreeing(session, state.u2, u3, state.deals, masked)
    if not terms.complete:
        return _ask_to_unmask(after, {}, blamed)
    request = encode(Survivors(session.root, state.u2, u3))
    requests = {session.members[place].sender: request for place in u3}
    return after, (*blamed, Deliver("consistency", requests))


def _agreed(state: Agreeing, replies: Replies) -> tuple[State, tuple[Effect, ...]]:
    session, terms = state.session, state.session.terms
    senders = {session.members[place].sender: place for place in state.u3}
    u2, u3 = set_digest(session.root, state.u2), set_digest(session.root, state.u3)
    statement = vote_statement(terms, session.root, u2, u3)

    def read(sender: Sender, data: bytes) -> bytes:
        agreed = decode(data, Agreed, blame=f"node {sender}")
        identity = session.members[senders[sender]].identity
        verify(identity, "cc", statement, agreed.signature, blame=f"node {sender}")
        return agreed.signature

    found, blamed = _sorted_out(replies, senders.keys(), read)
    votes = {senders[sender]: signature for sender, signature in found.items()}
    quorum = terms.threshold(len(session.members))
    if len(votes) < quorum:
        return _aborted("consistency", len(votes), quorum, blamed)
    return _ask_to_unmask(state, votes, blamed)


def _revealed(state: Unmasking, replies: Replies, workers: int) -> tuple[State, tuple[Effect, ...]]:
    session = state.session
    senders = {session.members[place].sender: place for place in state.u3}
    dropped = set(state.u2) - set(state.u3)

    def read(sender: Sender, data: bytes) -> Revealed:
        revealed = decode(data, Revealed, blame=f"node {sender}")
        near = {*session.graph[senders[sender]]} | ({senders[sender]} if session.terms.complete else set())
        b, r = ([share.position for share in shares] for shares in (revealed.b, revealed.r))
        if b != sorted(near & set(state.u3)) or r != sorted(near & dropped):
            raise ProtocolError("other shares than were asked for", blame=f"node {sender}")
        return revealed

    found, blamed = _sorted_out(replies, senders.keys(), read)
    reveals = {senders[sender]: revealed for sender, revealed in found.items()}
    inputs = Inputs(
        terms=session.terms,
        adverts=[member.advert for member in session.members],
        graph=session.graph,
        u2=state.u2,
        vectors={place: masked.vector for place, masked in state.masked.items()},
        deals=state.deals,
        reveals=reveals,
    )
    try:
        opened = open_sum(inputs, workers=workers)
    except ProtocolError as error:
        return Aborted("unmask", f"{error.message} (blames {error.blame})"), tuple(blamed)
    blamed += [Blame(session.members[place].sender, reason) for place, reason in opened.blamed]
    names = (tuple(map(session.name, each)) for each in (range(len(session.members)), state.u2, state.u3))
    u1, u2, u3 = names
    return Finished(opened.total, u1, u2, u3, session.root, opened.noise_left), tuple(blamed)


# --- what is sent
# ----------------------------------------------------------------------------------------------


def _cohort(session: Session, tree: merkle.Tree, position: int) -> Cohort:
    near = session.known(position, range(len(session.members)))
    entries = tuple(
        Entry(place, session.members[place].advertised, () if session.terms.complete else tree.path(place))
        for place in near
    )
    return Cohort(len(session.members), session.root, position, entries)


def _partners(
    session: Session, u2: tuple[int, ...], deals: Mapping[int, Mapping[int, Deal]], position: int
) -> Partners:
    near = session.known(position, u2)
    relayed = tuple(_relayed(dealer, deals[dealer][position]) for dealer in near if dealer != position)
    return Partners(near, len(u2), relayed)


def _relayed(dealer: int, deal: Deal) -> Deal:
    return Deal(dealer, deal.box, deal.commitment_r, deal.commitment_b, deal.signature)


def _ask_to_unmask(
    state: Agreeing, votes: Mapping[int, bytes], blamed: list[Blame]
) -> tuple[State, tuple[Effect, ...]]:
    """To those who voted; in the semi-honest-server profile to all of U3."""
    session = state.session
    asked = sorted(votes) if session.terms.complete else state.u3
    proofs, ballots = _proofs(state, votes) if session.terms.complete else ((), ())
    requests = {
        session.members[place].sender: encode(
            Unmask(session.known(place, state.u3), len(state.u3), proofs, ballots)
        )
        for place in asked
    }
    after = Unmasking(session, state.u2, state.u3, state.deals, state.masked)
    return after, (*blamed, Deliver("unmask", requests))


def _proofs(state: Agreeing, votes: Mapping[int, bytes]) -> tuple[tuple[InputProof, ...], tuple[Vote, ...]]:
    inputs = tuple(
        InputProof(place, hashlib.sha256(state.masked[place].vector).digest(), state.masked[place].signature)
        for place in state.u3
    )
    quorum = state.session.terms.threshold(len(state.session.members))
    return inputs, tuple(Vote(place, votes[place]) for place in sorted(votes)[:quorum])


# --- what is read
# ----------------------------------------------------------------------------------------------

_Read = TypeVar("_Read")


def _sorted_out(
    replies: Replies, expected: Iterable[Sender], read: Callable[[Sender, bytes], _Read]
) -> tuple[dict[Sender, _Read], list[Blame]]:
    """Each expected sender's first reply that holds, and whom to blame."""
    waiting, found, seen, blamed = set(expected), dict[Sender, _Read](), dict[Sender, bytes](), list[Blame]()
    for sender, data in replies:
        if sender not in waiting:
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


def _distinct(found: Iterable[Member]) -> tuple[tuple[Member, ...], list[Blame]]:
    """Members by name; of two with one name or key neither counts: who is real cannot be told."""
    members = sorted(found, key=lambda member: member.advert.device)
    marks: dict[bytes | str, int] = {}
    for member in members:
        for mark in _marks(member.advert):
            marks[mark] = marks.get(mark, 0) + 1
    kept = tuple(member for member in members if all(marks[mark] == 1 for mark in _marks(member.advert)))
    blamed = [
        Blame(member.sender, "shares a name or a key with another")
        for member in members
        if member not in kept
    ]
    return kept, blamed


def _marks(advert: Advert) -> tuple[bytes | str, ...]:
    return advert.device, advert.seal_key, advert.mask_key, advert.commitment


def _graph(terms: Terms, size: int, root: bytes) -> tuple[tuple[int, ...], ...]:
    if terms.complete:
        return tuple(terms.neighbours(size, root, position) for position in range(size))
    drawn = terms.graph(size, root)
    return tuple(drawn.neighbours(position) for position in range(size))


def _aborted(stage: Stage, count: int, needed: int, blamed: list[Blame]) -> tuple[State, tuple[Effect, ...]]:
    first = f"; first refusal: {blamed[0].reason}" if blamed else ""
    return Aborted(stage, f"{count} devices are left at stage {stage}, {needed} are needed{first}"), tuple(
        blamed
    )
