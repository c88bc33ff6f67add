"""A member of a private sum whose messages are right and cheap: a crowd for the few real ones that are timed.

The server cannot tell it from a real device, and neither can its real neighbours; docs/performance.md says
where it saves work. What it saves is its own work, never the server's or a real device's.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from covey import ring
from covey.identity import public_of, sign, signer
from covey.secagg import dealing
from covey.secagg.dealing import Secrets
from covey.secagg.keys import KeyPair, commitment
from covey.secagg.masks import Mask, add_masks
from covey.secagg.members import Neighbourhood, Peer
from covey.secagg.messages import (
    Advert,
    Advertised,
    Agreed,
    Deal,
    Held,
    Masked,
    OpenShare,
    Revealed,
    Shared,
    encode,
)
from covey.secagg.stages import Session
from covey.secagg.terms import Terms, input_statement, set_digest, vote_statement

# For other synthetic members, who never open it. Bytes of the right length.
_NO_BOX, _NO_HASH, _NO_SIGNATURE = b"\x55" * 155, b"\x55" * 32, b"\x55" * 64


def label(*name: object) -> bytes:
    """32 bytes that follow from a name: a benchmark's keys need not be secret."""
    return hashlib.sha256(repr(name).encode()).digest()


def device_name(index: int) -> str:
    """Names sort as the indices do, so index and position are one while nobody is missing."""
    return f"d{index:05d}"


def identity(index: int) -> bytes:
    """A member's Ed25519 private key."""
    return label("identity", index)


@dataclass
class Crowd:
    """What synthetic members of one session know of each other.

    Attributes:
        terms: The session's.
        values: Everybody's answer, in the ring.
        real: Positions of real devices.
        gone: Positions that drop out after sharing keys.
        session: U1; None before it stands.
        held: Shares that real devices dealt, by holder, then dealer.
    """

    terms: Terms
    values: ring.Ring
    real: frozenset[int]
    gone: frozenset[int]
    session: Session | None = None
    held: dict[int, dict[int, Held]] = field(default_factory=dict)

    def stands(self) -> Session:
        """U1, which every stage but the first needs."""
        if self.session is None:
            raise TypeError("no member has advertised yet")
        return self.session

    def digest(self, positions: tuple[int, ...]) -> bytes:
        """Of a set in this session."""
        return set_digest(self.stands().root, positions)


@dataclass
class Synthetic:
    """One member.

    Attributes:
        position: Its place; its index, too.
        crowd: The others.
    """

    position: int
    crowd: Crowd

    @cached_property
    def secrets(self) -> Secrets:
        """Derived as a real device does."""
        return Secrets.of(self.crowd.terms, label("seed", self.position))

    @cached_property
    def masking(self) -> KeyPair:
        """Keys of pair masks, as a real device's."""
        return self.secrets.mask_keys(self.crowd.terms)

    @cached_property
    def sealing(self) -> KeyPair:
        """Keys of shares on their way, as a real device's."""
        return self.secrets.seal_keys()

    @cached_property
    def constant(self) -> Held:
        """Everybody's share of its secrets: those themselves, as on a polynomial without a slope."""
        r, b = b"\0" + self.secrets.r, b"\0" + self.secrets.b
        return Held(r, b, _NO_HASH, _NO_HASH)

    @cached_property
    def open_shares(self) -> tuple[OpenShare, OpenShare]:
        """Of r and of b."""
        return (
            OpenShare(self.position, self.constant.share_r, _NO_HASH),
            OpenShare(self.position, self.constant.share_b, _NO_HASH),
        )

    def advertise(self) -> bytes:
        """As a real device does."""
        body = encode(
            Advert(
                plan=self.crowd.terms.digest,
                device=device_name(self.position),
                seal_key=self.sealing.public,
                mask_key=self.masking.public,
                commitment=commitment(self.secrets.b),
                counter=1,
                leaf=label("leaf", self.position),
            )
        )
        return encode(Advertised(body, sign(identity(self.position), "advert", body)))

    def share(self) -> bytes:
        """Sealed and signed for real neighbours, as much of anything for synthetic ones."""
        session, sign_deal = self.crowd.stands(), signer(identity(self.position))
        view = Neighbourhood(len(session.members), session.root, self.position, ())
        deals = tuple(
            dealing._sealed(  # noqa: SLF001 - one box, without the sharing around it
                self.crowd.terms, self.sealing, view, _peer(session, near), self.constant, sign_deal
            )
            if near in self.crowd.real
            else Deal(near, _NO_BOX, _NO_HASH, _NO_HASH, _NO_SIGNATURE)
            for near in session.graph[self.position]
        )
        return encode(Shared(session.root, deals))

    def receive(self, deals: Mapping[int, Mapping[int, Deal]]) -> None:
        """Open what real neighbours dealt; nobody else's share needs opening."""
        session = self.crowd.stands()
        dealers = sorted(self.crowd.real & set(session.graph[self.position]))
        peers = tuple(_peer(session, dealer) for dealer in dealers)
        view = Neighbourhood(len(session.members), session.root, self.position, peers)
        self.crowd.held[self.position] = {
            dealer: dealing.receive(
                self.crowd.terms, self.sealing, view, _from(dealer, deals[dealer][self.position])
            )
            for dealer in dealers
        }

    def answer(self, u2: tuple[int, ...], among: frozenset[int]) -> bytes:
        """The vector under its self mask and those pair masks that synthetic survivors do not cancel."""
        session, terms = self.crowd.stands(), self.crowd.terms
        vector = self.crowd.values.copy()
        masks = [Mask(terms.self_mask(self.secrets.b), 1), *self._pair_masks(session)]
        add_masks(vector, masks, terms.suite.cipher, workers=2)
        packed = ring.pack(vector, terms.suite.bits)
        known = self.crowd.digest(u2 if terms.complete else session.known(self.position, among))
        statement = input_statement(terms, session.root, known, hashlib.sha256(packed).digest())
        return encode(Masked(packed, sign(identity(self.position), "mi", statement)))

    def _pair_masks(self, session: Session) -> list[Mask]:
        own = self.position, self.masking.public
        masks = []
        for near in session.graph[self.position]:
            if near in self.crowd.real or near in self.crowd.gone:
                key = session.members[near].advert.mask_key
                shared = self.masking.agree(key, blame=device_name(near))
                masks.append(self.crowd.terms.pair_mask(shared, own, (near, key)))
        return masks

    def agree(self, u2: tuple[int, ...], u3: tuple[int, ...]) -> bytes:
        """A vote, without a look at anything."""
        root, digest = self.crowd.stands().root, self.crowd.digest
        statement = vote_statement(self.crowd.terms, root, digest(u2), digest(u3))
        return encode(Agreed(sign(identity(self.position), "cc", statement)))

    def reveal(
        self, shared: Collection[int], u3: Collection[int], others: Mapping[int, "Synthetic"]
    ) -> bytes:
        """The shares asked for: real devices' as received, synthetic ones' as they all are."""
        r, b = list[OpenShare](), list[OpenShare]()
        for dealer in self.crowd.stands().known(self.position, shared):
            if dealer == self.position and not self.crowd.terms.complete:
                continue
            share_r, share_b = self._share_of(dealer, others)
            if dealer in u3:
                b.append(share_b)
            else:
                r.append(share_r)
        return encode(Revealed(tuple(b), tuple(r), None))

    def _share_of(self, dealer: int, others: Mapping[int, "Synthetic"]) -> tuple[OpenShare, OpenShare]:
        if dealer in others:
            return others[dealer].open_shares
        held = self.crowd.held[self.position][dealer]
        return (
            OpenShare(dealer, held.share_r, held.blind_r),
            OpenShare(dealer, held.share_b, held.blind_b),
        )


def _peer(session: Session, position: int) -> Peer:
    advert = session.members[position].advert
    identity_key = session.members[position].identity
    return Peer(position, advert.device, identity_key, advert.seal_key, advert.mask_key)


def _from(dealer: int, deal: Deal) -> Deal:
    return Deal(dealer, deal.box, deal.commitment_r, deal.commitment_b, deal.signature)


def certified(index: int) -> bytes:
    """A member's public key."""
    return public_of(identity(index))


def answers(length: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Everybody's answer."""
    return np.random.Generator(np.random.PCG64(0)).integers(-400, 400, length)
