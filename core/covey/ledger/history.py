"""A Merkle tree that grows: every root and every proof that it ever had, at the cost of a few hashes.

The hashes of all whole subtrees are kept, two for a leaf: they never change. Only the right edge of a tree of
some size lies outside them, and folding it takes one hash a level.
"""

from collections.abc import Iterable
from typing import Self

from covey.merkle import EMPTY_ROOT, leaf_hash, node_hash


class History:
    """An append-only list of leaves, of which the hashes are kept (RFC 6962, section 2.1)."""

    def __init__(self) -> None:
        # Level k holds the hashes of the leaves [i 2^k, (i + 1) 2^k), as far as they are whole.
        self._levels: list[list[bytes]] = [[]]

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> Self:
        """The history of some leaves, in their order."""
        history = cls()
        for leaf in leaves:
            history.append(leaf)
        return history

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf, given by its content."""
        node = leaf_hash(leaf)
        for level in self._levels:
            level.append(node)
            if len(level) & 1:
                return
            node = node_hash(level[-2], level[-1])
        self._levels.append([node])

    def root(self, size: int | None = None) -> bytes:
        """The Merkle tree hash over the first `size` leaves, all of them if None; 32 bytes.

        Raises:
            IndexError: There are fewer leaves.
        """
        size = self.size if size is None else size
        self._check(0, size)
        return self._span(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """The audit path of leaf `index` (0-based) in the tree of the first `size` leaves (section 2.1.1).

        Raises:
            IndexError: There is no such leaf or no such tree.
        """
        self._check(index + 1, size)
        if index < 0:
            raise IndexError(f"leaf {index}")
        path = []
        for height in range((size - 1).bit_length()):
            start = (index >> height ^ 1) << height
            if start < size:  # the last node of a level may have no sibling
                path.append(self._span(start, min(start + (1 << height), size)))
        return tuple(path)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof that the tree of `new` leaves begins with the `old` first ones (section 2.1.2).

        Empty for no leaves, and for as many as before.

        Raises:
            IndexError: There are fewer leaves, or the old tree is the larger one.
        """
        self._check(old, new)
        if old in {0, new}:
            return ()
        # The largest whole subtree that ends where the old tree does; known to whoever has the old root,
        # if it is all of it.
        node, start = self._last_whole(0, old)
        height = _ruler(old)
        proof = [node] if start else []
        for above in range(height, (new - 1).bit_length()):
            sibling = (start >> above ^ 1) << above
            if sibling < new:
                proof.append(self._span(sibling, min(sibling + (1 << above), new)))
        return tuple(proof)

    def _check(self, part: int, size: int) -> None:
        if not 0 <= part <= size <= self.size:
            raise IndexError(f"{part} of {size} leaves, in a history of {self.size}")

    def _span(self, start: int, end: int) -> bytes:
        """The hash of the leaves [start, end): a subtree of the tree over the first `end`, not empty."""
        node, end = self._last_whole(start, end)
        while start < end:
            whole, end = self._last_whole(start, end)
            node = node_hash(whole, node)
        return node

    def _last_whole(self, start: int, end: int) -> tuple[bytes, int]:
        """The hash of the whole subtree with which [start, end) ends, and the leaf it begins with."""
        height = _ruler(end - start)
        begin = end - (1 << height)
        return self._levels[height][begin >> height], begin


def _ruler(number: int) -> int:
    """How often 2 divides a positive number."""
    return (number & -number).bit_length() - 1
