"""The server's side of a session: its states, what it does, and what may follow what."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from covey.encode import Integers
from covey.identity import Roster
from covey.ring import Ring
from covey.secagg.diagram import Transition
from covey.secagg.evidence import Evidence
from covey.secagg.messages import Advert, Advertised, Deal, InputProof, Vote
from covey.secagg.states import Stage
from covey.secagg.terms import Terms, set_digest

Sender = int


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
    requests: Mapping[Sender, bytes] = field(repr=False)


@dataclass(frozen=True)
class Blame:
    """A reply was left out, or was wrong, and whose it was."""

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
        before: By device, its advert with the greatest counter on record: shown to it, so that a device whose
            disk was restored sees it.
    """

    terms: Terms
    roster: Roster
    senders: frozenset[Sender]
    now: int
    before: Mapping[str, Advertised] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Session:
    """What stands once U1 does. Positions index `members`; sets are sorted tuples of positions.

    Attributes:
        terms: The session's.
        members: U1, by device name.
        root: Of their adverts.
        graph: Neighbours of each.
    """

    terms: Terms
    members: tuple[Member, ...]
    root: bytes
    graph: tuple[tuple[int, ...], ...]

    def senders(self, positions: tuple[int, ...] | range) -> dict[Sender, int]:
        """Positions by sender."""
        return {self.members[position].sender: position for position in positions}

    def name(self, position: int) -> str:
        """A member's name."""
        return self.members[position].advert.device

    def known(self, position: int, members: Container[int]) -> tuple[int, ...]:
        """Of `members`, itself and its neighbours, in order."""
        return tuple(near for near in sorted((*self.graph[position], position)) if near in members)


Deals = Mapping[int, Mapping[int, Deal]]
"""By dealer, then receiver."""


@dataclass(frozen=True)
class Sharing:
    """Waits for shares."""

    session: Session


@dataclass(frozen=True)
class Masking:
    """Waits for vectors from U2."""

    session: Session
    u2: tuple[int, ...]
    deals: Deals = field(repr=False)

    @cached_property
    def sharing(self) -> frozenset[int]:
        """U2."""
        return frozenset(self.u2)

    @cached_property
    def digest(self) -> bytes:
        """Of U2."""
        return set_digest(self.session.root, self.u2)


@dataclass(frozen=True)
class Agreeing:
    """Waits for votes from U3.

    Attributes:
        session: What stands.
        u2: Who shared keys.
        u3: Whose vectors arrived.
        deals: What U2 dealt.
        total: The sum of U3's masked vectors.
        inputs: That they are U3's, in order.
    """

    session: Session
    u2: tuple[int, ...]
    u3: tuple[int, ...]
    deals: Deals = field(repr=False)
    total: Ring = field(repr=False)
    inputs: tuple[InputProof, ...]

    @cached_property
    def sharing(self) -> frozenset[int]:
        """U2."""
        return frozenset(self.u2)

    @cached_property
    def surviving(self) -> frozenset[int]:
        """U3."""
        return frozenset(self.u3)

    @cached_property
    def digests(self) -> tuple[bytes, bytes]:
        """Of U2 and of U3."""
        return set_digest(self.session.root, self.u2), set_digest(self.session.root, self.u3)


@dataclass(frozen=True)
class Unmasking(Agreeing):
    """Waits for reveals.

    Attributes:
        votes: A quorum of U3 for these sets; empty in the semi-honest-server profile.
    """

    votes: tuple[Vote, ...]


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
        evidence: What shows somebody else who they were.
    """

    total: Integers
    u1: tuple[str, ...]
    u2: tuple[str, ...]
    u3: tuple[str, ...]
    root: bytes
    noise_left: int
    evidence: Evidence = field(repr=False)


@dataclass(frozen=True)
class Aborted:
    """Nothing was opened, and why."""

    stage: Stage
    reason: str


State = Advertising | Sharing | Masking | Agreeing | Unmasking | Finished | Aborted

TRANSITIONS: Final = (
    Transition(Advertising, "adverts", Sharing),
    Transition(Sharing, "shares", Masking),
    Transition(Masking, "vectors", Agreeing, "malicious-server"),
    Transition(Masking, "vectors", Unmasking, "semi-honest-server"),
    Transition(Agreeing, "votes", Unmasking),
    Transition(Unmasking, "reveals", Finished),
    *(Transition(each, "too few", Aborted) for each in (Advertising, Sharing, Masking, Agreeing, Unmasking)),
)
"""Every step's outcome is held against this."""
