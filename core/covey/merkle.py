"""The Merkle tree of Certificate Transparency (RFC 6962, section 2.1; the same in RFC 9162), over SHA-256.

Leaves and inner nodes are hashed with different first bytes, so a node can never be passed off as a leaf. The
tree over n leaves splits at the largest power of two below n: it never pads, and no two lists share a root.
"""

import hashlib
import hmac
from collections.abc import Sequence

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
        return self._levels[-1][0] if self.size else hashlib.sha256().digest()

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
    if not 0 <= index < size or any(len(node) != _HASH_BYTES for node in path):
        return False
    climbed = _climb(leaf_hash(leaf), index, size - 1, path)
    return climbed is not None and hmac.compare_digest(climbed, root)


def _climb(node: bytes, place: int, last: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to; None when the path is too short or too long for the tree."""
    for sibling in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = _node_hash(sibling, node)
            while not place & 1:  # levels at which this node was the last, without a sibling
                place, last = place >> 1, last >> 1
        else:
            node = _node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def _parents(level: Sequence[bytes]) -> list[bytes]:
    paired = len(level) & ~1
    parents = [_node_hash(level[i], level[i + 1]) for i in range(0, paired, 2)]
    return [*parents, *level[paired:]]


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
