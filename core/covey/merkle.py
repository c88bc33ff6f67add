"""The Merkle tree of Certificate Transparency (RFC 6962, section 2.1; the same in RFC 9162), over SHA-256.

Leaves and inner nodes are hashed with different first bytes, so a node can never be passed off as a leaf. The
tree over n leaves splits at the largest power of two below n: it never pads, and no two lists share a root.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256().digest()
"""The root of the tree without leaves."""

_HASH_BYTES = 32


class Tree:
    """All hashes of the tree over some leaves, computed once: then every path is a look-up.

    Args:
        leaves: The leaves' content, any number of any lengths.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        levels = [[leaf_hash(leaf) for leaf in leaves]]
        while len(levels[-1]) > 1:
            levels.append(_parents(levels[-1]))
        self._levels = levels

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """The Merkle tree hash, 32 bytes; for no leaves, that of the empty string."""
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def path(self, index: int) -> tuple[bytes, ...]:
        """The audit path of leaf `index` (0-based), from the leaf's sibling up (section 2.1.1).

        Raises:
            IndexError: There is no such leaf.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of a tree of {self.size}")
        path = []
        for level in self._levels:
            sibling = index ^ 1
            if sibling < len(level):  # the last node of an odd level has none and moves up as it is
                path.append(level[sibling])
            index >>= 1
        return tuple(path)


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of some leaves, 32 bytes."""
    return Tree(leaves).root


def path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """One leaf's audit path; for more than one leaf, keep a `Tree`."""
    return Tree(leaves).path(index)


def verify_path(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` stands at `index` in the tree of `size` leaves with this root.

    RFC 9162, section 2.1.3.2. The size must come from where the root comes from: the path does not prove it.

    Args:
        leaf: The leaf's content (not its hash).
        index: Its place, 0-based.
        size: The number of leaves of the tree.
        path: The audit path, from the leaf's sibling up.
        root: The trusted root.
    """
    return verify_leaf_hash(leaf_hash(leaf), index, size, path, root)


def verify_leaf_hash(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """As `verify_path`, of a leaf of which only the hash (`leaf_hash`, 32 bytes) is at hand."""
    if not 0 <= index < size or any(len(node) != _HASH_BYTES for node in (leaf, *path)):
        return False
    climbed = _climb(leaf, index, size - 1, path)
    return climbed is not None and hmac.compare_digest(climbed, root)


def verify_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Whether `proof` proves that the new tree begins with all leaves of the old one, in their order.

    RFC 9162, section 2.1.4.2. Of no leaves, and of as many leaves as before, the proof is empty. The sizes
    must come from where the roots come from: the proof does not prove them.

    Args:
        old_size: The number of leaves of the old tree.
        new_size: The number of leaves of the new tree.
        proof: Nodes of the two trees, 32 bytes each.
        old_root: The old root; of no leaves, `EMPTY_ROOT`.
        new_root: The new root.
    """
    if not 0 <= old_size <= new_size or any(len(node) != _HASH_BYTES for node in proof):
        return False
    if old_size == new_size:
        same = hmac.compare_digest(old_root, new_root)
        return same and not proof and (old_size > 0 or hmac.compare_digest(old_root, EMPTY_ROOT))
    if old_size == 0:
        return not proof and hmac.compare_digest(old_root, EMPTY_ROOT)
    if not proof:
        return False
    grown = _grow(old_size - 1, new_size - 1, proof, old_root)
    if grown is None:
        return False
    old, new = grown
    return hmac.compare_digest(old, old_root) and hmac.compare_digest(new, new_root)


def _grow(place: int, last: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes] | None:
    """The two roots that a consistency proof leads to; None when it is too short or too long.

    Climbs from the largest whole subtree that ends with the old tree's last leaf, `place`: its hash is the
    proof's first node, or the old root where the old tree is that subtree.
    """
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = proof[0] if place else old_root
    for node in proof[1 if place else 0 :]:
        if last == 0:
            return None
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while place and not place & 1:  # levels at which this node was the last, without a sibling
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    return (old, new) if last == 0 else None


def _climb(node: bytes, place: int, last: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to; None when the path is too short or too long for the tree."""
    for sibling in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1:  # levels at which this node was the last, without a sibling
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def _parents(level: Sequence[bytes]) -> list[bytes]:
    paired = len(level) & ~1
    parents = [node_hash(level[i], level[i + 1]) for i in range(0, paired, 2)]
    return [*parents, *level[paired:]]


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\1" + left + right).digest()
