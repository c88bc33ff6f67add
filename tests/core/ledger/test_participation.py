"""Leaves of who took part: the same in any order, opened by their device alone, and linked by nobody."""

import hashlib
import hmac
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import merkle
from covey.ledger import participation
from covey.ledger.participation import leaf, opening, prove, root

SALT = hashlib.sha256(b"salt").digest()
salts = st.binary(min_size=32, max_size=32)
sums = st.integers(0, (1 << 63) - 1)


def taken(count: int, serial: int = 1) -> list[bytes]:
    """Leaves of so many devices."""
    names = [f"d{index:03d}" for index in range(count)]
    return [leaf(opening(hashlib.sha256(name.encode()).digest(), "run", serial), name) for name in names]


def prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def test_a_leaf_is_two_macs() -> None:
    """Computed once more, with nothing of covey."""
    inner = prefixed(b"leaf") + prefixed(b"run") + prefixed((7).to_bytes(8, "big"))
    opened = hmac.new(SALT, inner, "sha256").digest()
    assert opening(SALT, "run", 7) == opened
    assert leaf(opened, "d003") == hmac.new(opened, prefixed(b"d003"), "sha256").digest()


def test_the_root_does_not_tell_names_by_their_order() -> None:
    leaves = taken(5)
    assert {root(order) for order in permutations(leaves)} == {merkle.root(sorted(leaves))}
    assert root(leaves) != root(leaves[1:])
    assert root([]) == merkle.EMPTY_ROOT


@given(st.integers(1, 40), st.data())
def test_each_device_proves_its_own_leaf(count: int, data: st.DataObject) -> None:
    leaves = taken(count)
    own = data.draw(st.sampled_from(leaves))
    shuffled = data.draw(st.permutations(leaves))
    place, path = prove(shuffled, own)
    assert merkle.verify_path(own, place, count, path, root(leaves))
    other = taken(1, serial=2)[0]
    assert not merkle.verify_path(other, place, count, path, root(leaves))
    with pytest.raises(ValueError, match="not in list"):
        prove(leaves, other)


def test_an_opening_shows_its_leaf_and_no_other() -> None:
    """To reveal the inner value of one sum shows that sum, and says nothing of another."""
    first, second = (opening(SALT, "run", serial) for serial in (1, 2))
    mine = leaf(first, "d003")
    assert mine in {leaf(first, f"d{index:03d}") for index in range(9)}
    assert leaf(second, "d003") not in {leaf(first, f"d{index:03d}") for index in range(9)}
    # an opening is not a salt from which the next would follow
    assert opening(first, "run", 2) != second


@given(salts, st.text(max_size=20), st.text(max_size=20), sums, sums)
def test_two_sums_have_nothing_in_common(salt: bytes, one: str, other: str, first: int, second: int) -> None:
    if (one, first) == (other, second):
        return
    openings = opening(salt, one, first), opening(salt, other, second)
    assert openings[0] != openings[1]
    assert leaf(openings[0], "d003") != leaf(openings[1], "d003")


@given(salts, salts, st.text(max_size=20), st.text(max_size=20))
def test_two_devices_have_nothing_in_common(first: bytes, second: bytes, one: str, other: str) -> None:
    if (first, one) != (second, other):
        assert leaf(opening(first, "run", 1), one) != leaf(opening(second, "run", 1), other)


def test_names_and_runs_do_not_run_into_each_other() -> None:
    """Every field is prefixed by its length."""
    assert opening(SALT, "run1", 1) != opening(SALT, "run", 11)
    assert opening(SALT, "run\0", 1) != opening(SALT, "run", 1)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_salt_is_of_one_length(size: int) -> None:
    with pytest.raises(ValueError, match=f"a salt of {size} bytes"):
        opening(bytes(size), "run", 1)
    assert participation.SALT_BYTES == 32
