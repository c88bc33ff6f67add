"""Shares on their way: who can read them, what a changed one leads to, and whom it is held against."""

from itertools import combinations
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from covey.errors import ProtocolError
from covey.identity import sign
from covey.secagg import shamir
from covey.secagg.dealing import NONCE, Secrets, _bound_to, commitments_of, deal, receive
from covey.secagg.keys import KeyPair
from covey.secagg.members import Neighbourhood, Peer
from covey.secagg.messages import Deal, Held, Partners, encode
from covey.secagg.terms import deal_statement
from secagg_attacks import changed, goes_on, read, refused
from secagg_fleet import Fleet, identity, key, make_plan, vectors

VICTIM = 5


def ready() -> tuple[Fleet, bytes, tuple[Deal, ...]]:
    sums = Fleet(make_plan(), vectors(12))
    request = sums.until("masked")[VICTIM]
    return sums, request, read(request, Partners).deals


def with_deal(request: bytes, place: int, **changes: Any) -> bytes:
    deals = list(read(request, Partners).deals)
    deals[place] = msgspec.structs.replace(deals[place], **changes)
    return changed(request, Partners, deals=tuple(deals))


class Dealer:
    """Member 0 as it is, able to sign and seal what it likes for member 3."""

    def __init__(self, sums: Fleet) -> None:
        state = sums.devices[2].state
        assert state is not None
        self.secrets: Secrets = state.secrets  # type: ignore[union-attr]
        self.view: Neighbourhood = state.view  # type: ignore[union-attr]
        self.terms = state.terms
        self.peer: Peer = self.view.peer(3)

    def sealed(
        self, content: bytes, commitments: tuple[bytes, bytes], ends: tuple[int, int] = (0, 3)
    ) -> dict[str, Any]:
        """A box of any content for the peer, and a right signature on it."""
        keys = self.secrets.seal_keys()
        shared = keys.agree(self.peer.seal_key, blame="test")
        sealing = self.terms.derive(shared, "seal", self.view.root, *ends, keys.public, self.peer.seal_key)
        box = ChaCha20Poly1305(sealing).encrypt(NONCE, content, _bound_to(self.terms, self.view, ends))
        return self.signed(box, commitments)

    def signed(self, box: bytes, commitments: tuple[bytes, bytes]) -> dict[str, Any]:
        statement = deal_statement(self.terms, self.view.root, (0, 3), box, commitments)
        return {
            "box": box,
            "commitment_r": commitments[0],
            "commitment_b": commitments[1],
            "signature": sign(identity(0), "deal", statement),
        }


HELD = Held(bytes(33), bytes(33), bytes(32), bytes(32))


# --- what a server can change


@pytest.mark.parametrize("field", ["box", "commitment_r", "commitment_b", "signature"])
@pytest.mark.parametrize("bit", [0, 100, 255])
def test_a_deal_changed_on_its_way_is_refused(field: str, bit: int) -> None:
    sums, request, deals = ready()
    bent = bytearray(getattr(deals[0], field))
    bent[bit // 8] ^= 1 << bit % 8
    refused(sums.devices[VICTIM], with_deal(request, 0, **{field: bytes(bent)}), r"signature \(deal\)")
    goes_on(sums, VICTIM, request)


def test_deals_swapped_between_dealers_are_refused() -> None:
    sums, request, deals = ready()
    swapped = (
        msgspec.structs.replace(deals[1], position=deals[0].position),
        msgspec.structs.replace(deals[0], position=deals[1].position),
        *deals[2:],
    )
    refused(sums.devices[VICTIM], changed(request, Partners, deals=swapped), r"signature \(deal\)")


def test_a_deal_for_another_receiver_is_refused() -> None:
    sums, request, _ = ready()
    others = {deal.position: deal for deal in read(sums.requests["masked"][VICTIM + 1], Partners).deals}
    refused(
        sums.devices[VICTIM],
        changed(request, Partners, deals=(others[0], *read(request, Partners).deals[1:])),
        r"signature \(deal\)",
    )


def test_a_deal_of_another_sum_is_refused() -> None:
    sums, request, deals = ready()
    later = Fleet(make_plan(serial=2), vectors(12))
    old = read(later.until("masked")[VICTIM], Partners).deals[0]
    refused(
        sums.devices[VICTIM],
        changed(request, Partners, deals=(old, *deals[1:])),
        r"signature \(deal\)",
    )


# --- what a dealer can do: it is named


def test_a_box_that_does_not_open_is_held_against_its_dealer() -> None:
    sums, request, _ = ready()
    forged = Dealer(sums).signed(bytes(155), (bytes(32), bytes(32)))
    refused(sums.devices[VICTIM], with_deal(request, 0, **forged), "d000 dealt shares that do not", "d000")


def test_a_box_made_for_the_other_direction_does_not_open() -> None:
    sums, request, _ = ready()
    forged = Dealer(sums).sealed(encode(HELD), commitments_of(HELD, 3), ends=(3, 0))
    refused(sums.devices[VICTIM], with_deal(request, 0, **forged), "d000 dealt shares that do not", "d000")


def test_other_shares_than_committed_to_are_held_against_their_dealer() -> None:
    sums, request, _ = ready()
    dealer = Dealer(sums)
    other = msgspec.structs.replace(HELD, share_b=b"\0" + key("another"))
    for wrong in (commitments_of(other, 3), commitments_of(HELD, 4), commitments_of(HELD, 3)[::-1]):
        forged = dealer.sealed(encode(HELD), wrong)
        refused(sums.devices[VICTIM], with_deal(request, 0, **forged), "d000 dealt other shares", "d000")


def test_what_is_no_share_is_held_against_its_dealer() -> None:
    sums, request, _ = ready()
    dealer = Dealer(sums)
    over = msgspec.structs.replace(HELD, share_r=shamir.PRIME.to_bytes(33, "big"))
    forged = dealer.sealed(encode(over), commitments_of(over, 3))
    refused(sums.devices[VICTIM], with_deal(request, 0, **forged), "d000 dealt what is no share", "d000")
    content = encode(HELD)[:-1] + b"\0"
    junk = dealer.sealed(b"\xc0" * len(content), commitments_of(HELD, 3))
    refused(sums.devices[VICTIM], with_deal(request, 0, **junk), "d000: a malformed", "d000")


# --- keys and coefficients


def opened(sums: Fleet, dealer: int, receiver: int) -> tuple[bytes, bytes]:
    """A box and what is in it."""
    state = sums.devices[receiver + 2].state
    assert state is not None
    deals = {each.position: each for each in read(sums.requests["masked"][receiver + 2], Partners).deals}
    secrets: Secrets = state.secrets  # type: ignore[union-attr]
    view: Neighbourhood = state.view  # type: ignore[union-attr]
    held = receive(state.terms, secrets.seal_keys(), view, deals[dealer])
    return deals[dealer].box[: len(encode(held))], encode(held)


def xor(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


def test_the_two_directions_of_a_pair_have_two_keys() -> None:
    """With one key and a fixed nonce, the XOR of two boxes would be the XOR of the shares in them."""
    sums, _, _ = ready()
    streams = set()
    for one, two in combinations(range(5), 2):
        for box, content in (opened(sums, one, two), opened(sums, two, one)):
            streams.add(xor(box, content))
    assert len(streams) == 20


def test_the_same_secrets_dealt_for_another_u1_repeat_no_keystream_and_no_share() -> None:
    """A device made to forget that it dealt: neither sealing key nor polynomial is used twice."""
    sums, _, _ = ready()
    dealer = Dealer(sums)
    other = msgspec.structs.replace(dealer.view, root=key("another U1"))
    one, two = (deal(dealer.terms, dealer.secrets, view, identity(0)) for view in (dealer.view, other))
    receiver = sums.devices[VICTIM].state
    assert receiver is not None
    keys: KeyPair = receiver.secrets.seal_keys()  # type: ignore[union-attr]
    found = []
    for dealt, root in ((one, dealer.view.root), (two, other.root)):
        view = msgspec.structs.replace(receiver.view, root=root)  # type: ignore[union-attr]
        box = msgspec.structs.replace(dealt.deals[2], position=0)
        held = receive(receiver.terms, keys, view, box)
        found.append((held, xor(box.box[: len(encode(held))], encode(held))))
    (held_one, stream_one), (held_two, stream_two) = found
    assert stream_one != stream_two
    assert held_one.share_r != held_two.share_r
    assert held_one.share_b != held_two.share_b


def test_shares_of_different_peers_say_nothing_of_each_other() -> None:
    """XOR of two shares, of two dealers or two seeds, is never the same twice."""
    sums, _, _ = ready()
    shares = [opened(sums, dealer, 3)[1] for dealer in (0, 1, 2, 4, 5)]
    assert len({xor(one, two) for one, two in combinations(shares, 2)}) == 10


def test_any_threshold_of_the_shares_gives_the_secrets_and_no_fewer() -> None:
    sums, _, _ = ready()
    dealer = Dealer(sums)
    held = {
        receiver: msgspec.msgpack.decode(opened(sums, 0, receiver)[1], type=Held) for receiver in range(1, 12)
    }
    for holders in list(combinations(range(1, 12), 7))[::60]:
        weights = shamir.weights([holder + 1 for holder in holders])
        shares = [held[holder] for holder in holders]
        assert shamir.combine([each.share_r for each in shares], weights) == dealer.secrets.r
        assert shamir.combine([each.share_b for each in shares], weights) == dealer.secrets.b
    few = tuple(range(1, 7))
    try:
        found = shamir.combine(
            [held[each].share_b for each in few], shamir.weights([each + 1 for each in few])
        )
    except ValueError:
        return
    assert found != dealer.secrets.b


def test_the_four_secrets_of_a_session_are_independent_and_bound_to_its_plan() -> None:
    one, two = (Fleet(make_plan(serial=serial), vectors(12)).terms for serial in (1, 2))
    secrets = [Secrets.of(terms, bytes(32)) for terms in (one, two)]
    every = [getattr(each, field) for each in secrets for field in ("r", "b", "seal", "dealing")]
    assert len(set(every)) == 8
    assert repr(secrets[0]) == "<Secrets>"


def test_a_box_of_the_wrong_length_is_malformed() -> None:
    sums, request, deals = ready()
    for box in (deals[0].box[:-1], deals[0].box + b"\0", b""):
        refused(sums.devices[VICTIM], with_deal(request, 0, box=box), "malformed")


def test_a_share_for_a_stranger_has_no_receiver() -> None:
    sums, _, deals = ready()
    state = sums.devices[VICTIM].state
    assert state is not None
    stranger = msgspec.structs.replace(deals[0], position=40)
    with pytest.raises(ProtocolError, match="no neighbour") as caught:
        receive(state.terms, state.secrets.seal_keys(), state.view, stranger)  # type: ignore[union-attr]
    assert caught.value.blame == "server"
