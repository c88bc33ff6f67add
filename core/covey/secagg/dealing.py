"""Shares of a device's two seeds, sealed for its peers, and what a peer makes of them.

r gives the private key of all its pair masks and is opened if the device drops out; b gives its self mask and
is opened if it does not. Each box has a key of its own direction, one message and one nonce (zero).
Commitments to the shares, signed by the dealer, let the server tell later who lied, the holder or the dealer;
random blinds keep them from saying anything before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from covey.errors import ProtocolError
from covey.fields import fields
from covey.identity import Signer, signer, verify
from covey.secagg import shamir
from covey.secagg.keys import KeyPair, share_commitment
from covey.secagg.members import Neighbourhood, Peer
from covey.secagg.messages import OVERHEAD, Deal, Held, Key, decode, encode
from covey.secagg.terms import Terms, deal_statement
from covey.stream import Stream

NONCE: Final = bytes(12)


class Secrets(msgspec.Struct, frozen=True, array_like=True):
    """Everything secret about a session, from one 32-byte seed; forgotten once the vector is sent.

    Attributes:
        r: Seed of the mask key; shared.
        b: Seed of the self mask; shared.
        seal: X25519 private key.
        dealing: Gives the key of the stream that coefficients and blinds come from.
    """

    r: Key
    b: Key
    seal: Key
    dealing: Key

    def __repr__(self) -> str:
        return "<Secrets>"

    @classmethod
    def of(cls, terms: Terms, seed: bytes) -> "Secrets":
        """Derived from the session's seed, which must come from the operating system's generator."""
        return cls(*(terms.derive(seed, purpose) for purpose in ("r", "b", "seal", "dealing")))

    def mask_keys(self, terms: Terms) -> KeyPair:
        """The keys of the pair masks."""
        return mask_keys(terms, self.r)

    def seal_keys(self) -> KeyPair:
        """The keys of shares on their way."""
        return KeyPair(self.seal)


def mask_keys(terms: Terms, r: bytes) -> KeyPair:
    """The keys of a device's pair masks, from its seed r."""
    return KeyPair(terms.derive(r, "mask-key"))


@dataclass(frozen=True)
class Dealt:
    """What a device deals.

    Attributes:
        deals: One for each peer, in order.
        own: What it keeps for itself; None on a sparse graph, where only neighbours hold shares.
    """

    deals: tuple[Deal, ...]
    own: Held | None


def deal(terms: Terms, secrets: Secrets, view: Neighbourhood, private: bytes) -> Dealt:
    """Share r and b among the peers and, where all are peers, oneself.

    Args:
        terms: The session.
        secrets: The dealer's.
        view: U1 as the dealer sees it.
        private: The dealer's identity key.
    """
    holders = sorted([peer.position for peer in view.peers] + [view.position] * terms.complete)
    held = dict(zip(holders, _shares(terms, secrets, view, holders), strict=True))
    keys, sign = secrets.seal_keys(), signer(private)
    deals = tuple(_sealed(terms, keys, view, peer, held[peer.position], sign) for peer in view.peers)
    return Dealt(deals, held.get(view.position))


def _shares(terms: Terms, secrets: Secrets, view: Neighbourhood, holders: Sequence[int]) -> Iterator[Held]:
    # A key for this U1: a device that is made to forget that it dealt does not use a polynomial for two.
    stream = Stream(terms.derive(secrets.dealing, "shares", view.root))
    threshold, xs = terms.threshold(view.size), [holder + 1 for holder in holders]
    r = shamir.split(secrets.r, threshold, xs, stream)
    b = shamir.split(secrets.b, threshold, xs, stream)
    for share_r, share_b in zip(r, b, strict=True):
        yield Held(share_r, share_b, stream.take(32), stream.take(32))


def _sealed(  # noqa: PLR0913, PLR0917 - a box is bound to everything around it
    terms: Terms, keys: KeyPair, view: Neighbourhood, peer: Peer, held: Held, sign: Signer
) -> Deal:
    ends = view.position, peer.position
    shared = keys.agree(peer.seal_key, blame=peer.device)
    key = terms.derive(shared, "seal", view.root, *ends, keys.public, peer.seal_key)
    box = ChaCha20Poly1305(key).encrypt(NONCE, encode(held), _bound_to(terms, view, ends))
    commitments = commitments_of(held, peer.position)
    signature = sign("deal", deal_statement(terms, view.root, ends, box, commitments))
    return Deal(peer.position, box, *commitments, signature)


def receive(terms: Terms, keys: KeyPair, view: Neighbourhood, dealt: Deal) -> Held:
    """Open a box and hold it against what its dealer signed.

    Args:
        terms: The session.
        keys: The receiver's, of shares on their way.
        view: U1 as the receiver sees it.
        dealt: As relayed; its position is the dealer's.

    Raises:
        ProtocolError: Not the dealer's signature: blames the server. A box that is signed and does not open,
            holds no shares, or other shares than committed to: blames the dealer by name.
    """
    peer = view.peer(dealt.position)
    ends = peer.position, view.position
    commitments = dealt.commitment_r, dealt.commitment_b
    statement = deal_statement(terms, view.root, ends, dealt.box, commitments)
    verify(peer.identity, "deal", statement, dealt.signature, blame="server")
    shared = keys.agree(peer.seal_key, blame=peer.device)
    key = terms.derive(shared, "seal", view.root, *ends, peer.seal_key, keys.public)
    try:
        opened = ChaCha20Poly1305(key).decrypt(NONCE, dealt.box, _bound_to(terms, view, ends))
    except InvalidTag as error:
        raise ProtocolError(f"{peer.device} dealt shares that do not open", blame=peer.device) from error
    held = decode(opened, Held, blame=peer.device, limit=OVERHEAD)
    if commitments_of(held, view.position) != commitments:
        raise ProtocolError(f"{peer.device} dealt other shares than it signed", blame=peer.device)
    _check_elements(held, blame=peer.device)
    return held


def _check_elements(held: Held, *, blame: str) -> None:
    try:
        shamir.element(held.share_r), shamir.element(held.share_b)
    except ValueError as error:
        raise ProtocolError(f"{blame} dealt what is no share", blame=blame) from error


def commitments_of(held: Held, position: int) -> tuple[bytes, bytes]:
    """To the shares of r and b that the holder at `position` has."""
    return (
        share_commitment("r", position + 1, held.share_r, held.blind_r),
        share_commitment("b", position + 1, held.share_b, held.blind_b),
    )


def _bound_to(terms: Terms, view: Neighbourhood, ends: tuple[int, int]) -> bytes:
    """What a box is good for: this suite, plan and U1, from this dealer to this receiver."""
    suite, plan = terms.suite, terms.plan
    return fields(suite.profile, suite.cipher, terms.digest, plan.run, plan.sum, *ends, view.root)
