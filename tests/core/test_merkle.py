"""Trees and audit paths, with the vectors of Certificate Transparency's merkle_tree_test.cc."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import merkle
from covey.merkle import EMPTY_ROOT, Tree, leaf_hash, verify_consistency, verify_leaf_hash, verify_path

LEAVES = tuple(
    map(
        bytes.fromhex,
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"],
    )
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
FIRST = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
FIRST_TWO = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
SECOND = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
THIRD_AND_FOURTH = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
PATHS = {  # (index, size): path
    (0, 1): (),
    (0, 8): (SECOND, THIRD_AND_FOURTH, "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): (FIRST_TWO,),
    (1, 5): (
        FIRST,
        THIRD_AND_FOURTH,
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CONSISTENCY = {  # (old size, new size): proof
    (1, 1): (),
    (1, 8): (SECOND, THIRD_AND_FOURTH, "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (THIRD_AND_FOURTH, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
}

sizes = st.integers(1, 70)


def leaves_of(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def defined_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if len(leaves) <= 1:
        return hashlib.sha256(b"".join(b"\0" + leaf for leaf in leaves)).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


def defined_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1, as it is written."""
    if len(leaves) == 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*defined_path(index, leaves[:split]), defined_root(leaves[split:])]
    return [*defined_path(index - split, leaves[split:]), defined_root(leaves[:split])]


def defined_proof(old: int, leaves: list[bytes], *, known: bool = True) -> list[bytes]:
    """RFC 6962, section 2.1.2, as it is written: SUBPROOF of the first `old` leaves."""
    if old == len(leaves):
        return [] if known else [defined_root(leaves)]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if old <= split:
        return [*defined_proof(old, leaves[:split], known=known), defined_root(leaves[split:])]
    return [*defined_proof(old - split, leaves[split:], known=False), defined_root(leaves[:split])]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_published_paths(index: int, size: int) -> None:
    path = merkle.path(LEAVES[:size], index)
    assert tuple(node.hex() for node in path) == PATHS[index, size]
    assert verify_path(LEAVES[index], index, size, path, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize("size", [*range(1, 34), 63, 64, 65, 100])
def test_trees_are_as_defined_and_every_path_holds(size: int) -> None:
    leaves = leaves_of(size)
    tree = Tree(leaves)
    assert (tree.size, tree.root) == (size, defined_root(leaves))
    for index, leaf in enumerate(leaves):
        path = tree.path(index)
        assert path == tuple(defined_path(index, leaves))
        assert verify_path(leaf, index, size, path, tree.root)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_leaf_that_is_not_there_has_no_path(index: int) -> None:
    with pytest.raises(IndexError, match=f"leaf {index} of a tree of 3"):
        merkle.path(leaves_of(3), index)


def test_the_empty_tree_has_no_leaves_to_prove() -> None:
    assert not verify_path(b"", 0, 0, (), EMPTY_ROOT)


@given(sizes, st.data())
def test_a_path_proves_one_leaf_at_one_place_only(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    place = data.draw(st.integers(-1, size + 1))
    leaf = data.draw(st.integers(0, size - 1))
    tree = Tree(leaves_of(size))
    holds = verify_path(leaves_of(size)[leaf], place, size, tree.path(index), tree.root)
    assert holds == (leaf == place == index)


@given(sizes, st.data())
def test_a_changed_bit_of_the_path_or_the_root_proves_nothing(size: int, data: st.DataObject) -> None:
    tree = Tree(leaves_of(size))
    index = data.draw(st.integers(0, size - 1))
    proof = [*tree.path(index), tree.root]
    node, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    proof[node] = (int.from_bytes(proof[node]) ^ 1 << bit).to_bytes(32)
    assert not verify_path(leaves_of(size)[index], index, size, proof[:-1], proof[-1])


@given(sizes, st.data())
def test_a_path_of_another_length_proves_nothing(size: int, data: st.DataObject) -> None:
    tree = Tree(leaves_of(size))
    index = data.draw(st.integers(0, size - 1))
    path, leaf = tree.path(index), leaves_of(size)[index]
    for other in (path[1:], path[:-1], (*path, tree.root), (tree.root, *path)):
        if len(other) != len(path):
            assert not verify_path(leaf, index, size, other, tree.root)


@pytest.mark.parametrize("size", [31, 33])
def test_nodes_of_another_length_prove_nothing(size: int) -> None:
    tree = Tree(leaves_of(2))
    assert not verify_path(b"leaf 0", 0, 2, [tree.path(0)[0].ljust(33, b"\0")[:size]], tree.root)
    assert not verify_path(b"leaf 0", 0, 2, tree.path(0), tree.root.ljust(33, b"\0")[:size])


def test_a_short_path_does_not_prove_a_leaf_under_an_inner_node() -> None:
    tree = Tree(leaves_of(4))
    assert verify_path(b"leaf 0", 0, 2, tree.path(0)[:1], merkle.root(leaves_of(2)))
    assert not verify_path(b"leaf 0", 0, 4, tree.path(0)[:1], merkle.root(leaves_of(2)))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_node_of_another_length_proves_nothing_even_if_the_hash_fits(size: int) -> None:
    root = hashlib.sha256(b"\1" + merkle.leaf_hash(b"leaf 0") + bytes(size)).digest()
    assert not verify_path(b"leaf 0", 0, 2, [bytes(size)], root)


def test_an_inner_node_is_not_a_leaf() -> None:
    tree = Tree(leaves_of(4))
    node = merkle.leaf_hash(b"leaf 0") + merkle.leaf_hash(b"leaf 1")
    assert not verify_path(node, 0, 2, tree.path(0)[1:], tree.root)
    assert merkle.root([node, *leaves_of(4)[2:]]) != tree.root


@given(st.lists(st.binary(max_size=2), max_size=6), st.lists(st.binary(max_size=2), max_size=6))
def test_other_leaves_have_another_root(first: list[bytes], second: list[bytes]) -> None:
    assert (merkle.root(first) == merkle.root(second)) == (first == second)


def test_a_leaf_proves_itself_by_its_hash_alone() -> None:
    tree = Tree(leaves_of(7))
    assert verify_leaf_hash(leaf_hash(b"leaf 3"), 3, 7, tree.path(3), tree.root)
    assert not verify_leaf_hash(leaf_hash(b"leaf 4"), 3, 7, tree.path(3), tree.root)
    assert not verify_leaf_hash(b"leaf 3", 3, 7, tree.path(3), tree.root)


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_published_consistency_proofs_hold(old: int, new: int) -> None:
    proof = [bytes.fromhex(node) for node in CONSISTENCY[old, new]]
    assert proof == defined_proof(old, list(LEAVES[:new]))
    assert verify_consistency(old, new, proof, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]))


@pytest.mark.parametrize("new", [*range(1, 41), 64, 65])
def test_a_proof_as_defined_holds_between_its_two_trees_only(new: int) -> None:
    leaves = leaves_of(new)
    roots = [defined_root(leaves[:size]) for size in range(new + 1)]
    for old in range(1, new + 1):
        proof = defined_proof(old, leaves)
        assert verify_consistency(old, new, proof, roots[old], roots[new])
        for other in range(new + 1):
            if other != old:
                assert not verify_consistency(old, new, proof, roots[other], roots[new])
                assert not verify_consistency(other, new, proof, roots[old], roots[new])
            if other != new:
                assert not verify_consistency(old, new, proof, roots[old], roots[other])


def test_every_tree_grew_from_the_empty_one_without_a_proof() -> None:
    root = merkle.root(leaves_of(3))
    assert verify_consistency(0, 3, (), EMPTY_ROOT, root)
    assert verify_consistency(0, 0, (), EMPTY_ROOT, EMPTY_ROOT)
    assert not verify_consistency(0, 3, (root,), EMPTY_ROOT, root)
    assert not verify_consistency(0, 3, (), root, root)
    assert not verify_consistency(0, 0, (), root, root)
    assert not verify_consistency(0, 0, (), EMPTY_ROOT, root)


def test_the_same_size_has_the_same_root_and_no_proof() -> None:
    root, other = merkle.root(leaves_of(3)), merkle.root(leaves_of(4))
    assert verify_consistency(3, 3, (), root, root)
    assert not verify_consistency(3, 3, (), root, other)
    assert not verify_consistency(3, 3, (root,), root, root)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (3, -1), (-2, -1)])
def test_sizes_that_no_growth_has_prove_nothing(old: int, new: int) -> None:
    root = merkle.root(leaves_of(3))
    assert not verify_consistency(old, new, (), root, root)


@given(sizes, st.data())
def test_a_changed_bit_or_node_of_a_consistency_proof_proves_nothing(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    leaves = leaves_of(new)
    nodes = [*defined_proof(old, leaves), defined_root(leaves[:old]), defined_root(leaves)]
    place, bit = data.draw(st.integers(0, len(nodes) - 1)), data.draw(st.integers(0, 255))
    nodes[place] = (int.from_bytes(nodes[place]) ^ 1 << bit).to_bytes(32)
    *proof, old_root, new_root = nodes
    assert not verify_consistency(old, new, proof, old_root, new_root)


@given(st.integers(2, 70), st.data())
def test_a_consistency_proof_of_another_length_or_order_proves_nothing(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    leaves = leaves_of(new)
    proof, roots = defined_proof(old, leaves), (defined_root(leaves[:old]), defined_root(leaves))
    turned = [*proof[1:], *proof[:1]]
    for other in (proof[1:], proof[:-1], [*proof, roots[1]], [roots[0], *proof], [], turned):
        if other != proof:
            assert not verify_consistency(old, new, other, *roots)
    for width in (0, 31, 33):
        assert not verify_consistency(old, new, [proof[0].ljust(width, b"\0")[:width], *proof[1:]], *roots)


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=20), st.data())
def test_a_changed_past_has_no_proof(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    place = data.draw(st.integers(0, old - 1))
    forged = [*leaves[:place], leaves[place] + b"!", *leaves[place + 1 :]]
    roots = merkle.root(leaves[:old]), merkle.root(forged)
    for proof in (defined_proof(old, leaves), defined_proof(old, forged)):
        assert not verify_consistency(old, len(leaves), proof, *roots)


@given(
    st.integers(0, 1 << 64),
    st.integers(0, 1 << 64),
    st.lists(st.binary(min_size=32, max_size=32), max_size=70),
    st.binary(max_size=33),
    st.binary(max_size=33),
)
def test_no_made_up_proof_holds_and_none_goes_on_for_ever(
    old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
) -> None:
    expected = 0 < old == new and not proof and old_root == new_root
    assert verify_consistency(old, new, proof, old_root, new_root) == expected


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_node_of_another_length_proves_no_growth_even_if_the_hash_fits(size: int) -> None:
    old = leaf_hash(b"leaf 0")
    new = hashlib.sha256(b"\1" + old + bytes(size)).digest()
    assert not verify_consistency(1, 2, [bytes(size)], old, new)
