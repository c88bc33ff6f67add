"""Derivation, agreement, commitments."""

from itertools import combinations

import pytest

from covey.errors import ProtocolError
from covey.secagg.keys import KeyPair, check_public, commitment, derive, share_commitment
from secagg_fleet import key


def test_both_ends_agree_on_one_secret() -> None:
    one, two = KeyPair(key("one")), KeyPair(key("two"))
    assert one.agree(two.public, blame="test") == two.agree(one.public, blame="test")
    assert one.agree(two.public, blame="test") != one.agree(one.public, blame="test")


def test_a_key_names_its_purpose_its_fields_and_their_lengths() -> None:
    uses = [
        derive(b"secret", b"salt", "purpose"),
        derive(b"secret", b"salt", "purpose", b""),
        derive(b"secret", b"salt", "purpose", b"a", b"bc"),
        derive(b"secret", b"salt", "purpose", b"ab", b"c"),
        derive(b"secret", b"salt", "purposea", b"bc"),
        derive(b"secret", b"tlas", "purpose"),
        derive(b"other!", b"salt", "purpose"),
    ]
    assert all(one != two for one, two in combinations(uses, 2))


def test_low_order_is_refused_at_the_exchange_as_well() -> None:
    with pytest.raises(ProtocolError, match="d003: a key of low order") as caught:
        KeyPair(key("one")).agree(bytes(32), blame="d003")
    assert caught.value.blame == "d003"


def test_what_an_honest_device_makes_is_a_right_key() -> None:
    for number in range(200):
        check_public(KeyPair(key(number)).public, blame="test")
    for wrong in (b"", bytes(31), bytes(33), b"\xff" * 32):
        with pytest.raises(ProtocolError):
            check_public(wrong, blame="test")


def test_commitments_differ_in_everything_they_bind() -> None:
    share, blind = bytes(33), bytes(32)
    made = [
        share_commitment("r", 1, share, blind),
        share_commitment("b", 1, share, blind),
        share_commitment("r", 2, share, blind),
        share_commitment("r", 1, b"\1" + share[1:], blind),
        share_commitment("r", 1, share, b"\1" + blind[1:]),
        commitment(bytes(32)),
    ]
    assert len(set(made)) == len(made)


def test_a_key_pair_does_not_show_its_private_key() -> None:
    assert key("one").hex() not in repr(KeyPair(key("one")))
    assert repr(key("one")) not in repr(vars(KeyPair(key("one"))))
