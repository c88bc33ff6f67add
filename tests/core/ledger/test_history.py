"""The growing tree: as RFC 6962 defines it, at every size that it ever had."""

import time

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import merkle
from covey.ledger.history import History
from covey.merkle import EMPTY_ROOT, Tree, verify_consistency, verify_path

# The vectors of Certificate Transparency's merkle_tree_test.cc, as far as test_merkle does not have them.
LEAVES = tuple(
    map(
        bytes.fromhex,
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"],
    )
)
ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
PROOF_6_8 = (
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
)
SIZE = 40


def leaves_of(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def defined_proof(old: int, leaves: list[bytes], *, known: bool = True) -> list[bytes]:
    """RFC 6962, section 2.1.2, as it is written: SUBPROOF of the first `old` leaves."""
    if old == len(leaves):
        return [] if known else [merkle.root(leaves)]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if old <= split:
        return [*defined_proof(old, leaves[:split], known=known), merkle.root(leaves[split:])]
    return [*defined_proof(old - split, leaves[split:], known=False), merkle.root(leaves[:split])]


def test_published_root_and_proof() -> None:
    history = History.of(LEAVES)
    assert history.root().hex() == ROOT_OF_8
    assert tuple(node.hex() for node in history.consistency(6, 8)) == PROOF_6_8


def test_it_has_every_root_that_it_ever_had() -> None:
    history, leaves, seen = History(), leaves_of(SIZE), [EMPTY_ROOT]
    assert (history.size, history.root()) == (0, EMPTY_ROOT)
    for size, leaf in enumerate(leaves, 1):
        history.append(leaf)
        seen.append(history.root())
        assert (history.size, history.root()) == (size, merkle.root(leaves[:size]))
    assert [history.root(size) for size in range(SIZE + 1)] == seen


@pytest.mark.parametrize("size", range(1, SIZE + 1))
def test_paths_are_those_of_a_tree_of_that_size(size: int) -> None:
    leaves = leaves_of(SIZE)
    history, tree = History.of(leaves), Tree(leaves[:size])
    for index in range(size):
        path = history.inclusion(index, size)
        assert path == tree.path(index)
        assert verify_path(leaves[index], index, size, path, history.root(size))


@pytest.mark.parametrize("new", range(SIZE + 1))
def test_consistency_proofs_are_as_defined(new: int) -> None:
    leaves = leaves_of(SIZE)
    history = History.of(leaves)
    for old in range(new + 1):
        proof = history.consistency(old, new)
        assert list(proof) == (defined_proof(old, leaves[:new]) if old else [])
        assert verify_consistency(old, new, proof, history.root(old), history.root(new))


@given(st.integers(1, 300), st.data())
def test_any_two_trees_of_one_history_are_consistent(size: int, data: st.DataObject) -> None:
    new = data.draw(st.integers(0, size))
    old = data.draw(st.integers(0, new))
    history = History.of(leaves_of(size))
    assert verify_consistency(old, new, history.consistency(old, new), history.root(old), history.root(new))


@pytest.mark.parametrize(("old", "new"), [(0, 6), (4, 3), (-1, 3), (-1, -1)])
def test_trees_that_there_never_were_have_neither_proof_nor_root(old: int, new: int) -> None:
    history = History.of(leaves_of(5))
    with pytest.raises(IndexError, match="leaves, in a history of 5"):
        history.consistency(old, new)
    if new != 3:
        with pytest.raises(IndexError):
            history.root(new)


@pytest.mark.parametrize(("index", "size"), [(3, 3), (-1, 3), (0, 0), (0, 6), (5, 5), (-7, -6)])
def test_a_leaf_that_is_not_there_has_no_path(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        History.of(leaves_of(5)).inclusion(index, size)


def test_pymerkle_agrees() -> None:
    leaves = leaves_of(70)
    history, other = History.of(leaves), pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        other.append_entry(leaf)
    for new in range(1, 71):
        assert history.root(new) == other.get_root(new)
        for old in range(1, new + 1):
            # the same nodes in another order and form; what they prove is the same
            other.prove_consistency(old, new).verify(history.root(old), history.root(new), old, new)
            path = other.prove_inclusion(old, new).path
            assert tuple(path) == (merkle.leaf_hash(leaves[old - 1]), *history.inclusion(old - 1, new))


def test_a_long_ledger_takes_no_time_to_speak_of() -> None:
    start = time.process_time()
    history = History()
    for number in range(20_000):
        history.append(b"%d" % number)
        history.root()
        history.inclusion(number // 2, number + 1)
        history.consistency(number // 3, number + 1)
    assert time.process_time() - start < 10  # half a second on a quick machine
    leaves = [b"%d" % number for number in range(20_000)]
    assert history.root() == merkle.root(leaves)
    assert sum(len(level) for level in history._levels) < 2 * 20_000
