"""Adding masks to a vector: the keystream of each key, read as little-endian words, added or subtracted.

ChaCha20 (RFC 8439, section 2.4) or AES-256 in counter mode (NIST SP 800-38A, section 6.5), both from counter
zero under a zero nonce, which is sound because a key makes one mask only.

The vector is walked in blocks, and every mask is added to a block before the next: block and keystream stay
in a core's cache, and memory does not grow with the number of masks.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal, assert_never

import numpy as np
from cryptography.hazmat.primitives import ciphers
from cryptography.hazmat.primitives.ciphers import CipherContext, algorithms, modes

from covey.ring import Ring

Cipher = Literal["chacha20", "aes-256-ctr"]

KEY_BYTES: Final = 32
BLOCK: Final = 1 << 15
"""Elements added at a time: 128 KiB, a whole number of either cipher's blocks."""

# Encrypted, they give the keystream.
_ZEROS: Final = bytes(4 * BLOCK)

# Ciphers kept open together: some hundred bytes each.
_AT_A_TIME: Final = 256

_OPERATIONS: Final = {1: np.add, -1: np.subtract}


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask.

    Attributes:
        key: 32 bytes, used for this mask only. Not shown when printed.
        sign: 1 to add it, -1 to subtract it.
    """

    key: bytes = field(repr=False)
    sign: Literal[1, -1]

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES or self.sign not in {1, -1}:
            raise ValueError("a mask has a key of 32 bytes and a sign of 1 or -1")


def add_masks(vector: Ring, masks: Sequence[Mask], cipher: Cipher, *, workers: int = 1) -> None:
    """Add masks in place, modulo 2^32. The result does not depend on `workers`.

    Args:
        vector: uint32, shape (length,); changed in place.
        masks: Any number. The memory used beside the vector does not grow with it.
        cipher: The same on all devices of a round.
        workers: Threads, each with its own stretch of the vector, ≥ 1. The ciphers run without Python's lock.

    Raises:
        ValueError: The vector is not one-dimensional uint32, or there is no worker. Nothing was added.
    """
    if vector.dtype != np.uint32 or vector.ndim != 1 or workers < 1:
        raise ValueError("masks are added to a vector of uint32, by one worker or more")
    stretch = BLOCK * max(1, -(-len(vector) // (BLOCK * workers)))
    starts = range(0, len(vector), stretch)
    if len(starts) <= 1:  # a thread costs more than a short vector
        _add_from(0, vector, masks, cipher)
        return
    with ThreadPoolExecutor(len(starts)) as pool:
        done = [
            pool.submit(_add_from, start, vector[start : start + stretch], masks, cipher) for start in starts
        ]
        for each in done:
            each.result()


def _add_from(start: int, part: Ring, masks: Sequence[Mask], cipher: Cipher) -> None:
    """Add masks to `part`, which begins at element `start` of the whole vector."""
    for first in range(0, len(masks), _AT_A_TIME):
        _add_some(start, part, masks[first : first + _AT_A_TIME], cipher)


def _add_some(start: int, part: Ring, masks: Sequence[Mask], cipher: Cipher) -> None:
    streams = [(_OPERATIONS[mask.sign], _keystream(mask.key, cipher, 4 * start)) for mask in masks]
    keystream, zeros = memoryview(bytearray(4 * min(BLOCK, len(part)))), memoryview(_ZEROS)
    for begin in range(0, len(part), BLOCK):
        block = part[begin : begin + BLOCK]
        size = block.nbytes
        words = np.frombuffer(keystream[:size], "<u4")
        for operation, stream in streams:
            stream.update_into(zeros[:size], keystream[:size])
            operation(block, words, out=block)


def _keystream(key: bytes, cipher: Cipher, offset: int) -> CipherContext:
    """A cipher whose output for zeros is the keystream from byte `offset`, a multiple of 64, on."""
    match cipher:
        case "chacha20":  # the counter in front of the nonce, RFC 8439, section 2.3
            counter = (offset // 64).to_bytes(4, "little") + bytes(12)
            return ciphers.Cipher(algorithms.ChaCha20(key, counter), mode=None).encryptor()
        case "aes-256-ctr":  # the whole block counts, SP 800-38A, appendix B.1
            counter = (offset // 16).to_bytes(16, "big")
            return ciphers.Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor()
        case _:
            assert_never(cipher)
