"""The keystream that everything random on a device is read from: ChaCha20 under one key.

Source: RFC 8439 §2.4, block counter from 0, nonce of zeros. Sound because a key serves one stream only.
"""

from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

KEY_BYTES: Final = 32
LIMIT: Final = 1 << 38
"""Bytes in one stream: 2^32 blocks of 64, after which the block counter would repeat."""

# Encrypted to give the keystream; short enough to stay in a core's cache with its output.
_ZEROS: Final = bytes(1 << 16)


class Stream:
    """Consecutive bytes of the ChaCha20 keystream of `key`.

    Reads follow one another without gaps: any split of a read gives the same bytes.

    Args:
        key: 32 bytes, uniformly random, used for nothing else.

    Raises:
        ValueError: Not 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a stream's key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
        self._taken = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        return self._next(count).tobytes()

    def words32(self, count: int) -> NDArray[np.uint32]:
        """The next 4·count bytes as little-endian words, shape (count,)."""
        return self._next(4 * count).view("<u4").astype(np.uint32, copy=False)

    def words64(self, count: int) -> NDArray[np.uint64]:
        """The next 8·count bytes as little-endian words, shape (count,)."""
        return self._next(8 * count).view("<u8").astype(np.uint64, copy=False)

    def _next(self, count: int) -> NDArray[np.uint8]:
        if not 0 <= count <= LIMIT - self._taken:
            raise ValueError(f"{count} bytes of a stream of {LIMIT}, {self._taken} of them taken")
        self._taken += count
        out = np.empty(count, np.uint8)
        view, zeros = out.data, memoryview(_ZEROS)
        for start in range(0, count, len(zeros)):
            piece = view[start : start + len(zeros)]
            self._cipher.update_into(zeros[: len(piece)], piece)
        return out
