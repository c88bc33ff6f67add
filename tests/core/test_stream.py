import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import stream
from covey.stream import Stream

KEY = bytes(range(32))


def rotated(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF


def quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for target, source, turned, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[target] = (x[target] + x[source]) & 0xFFFFFFFF
        x[turned] = rotated(x[turned] ^ x[target], by)


def block(key: bytes, counter: int) -> bytes:
    """RFC 8439 §2.3 in plain Python, zero nonce."""
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter, 0, 0, 0]
    x = list(start)
    for _ in range(10):
        for column in range(4):
            quarter_round(x, column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            a = diagonal
            quarter_round(x, a, 4 + (a + 1) % 4, 8 + (a + 2) % 4, 12 + (a + 3) % 4)
    return struct.pack("<16I", *((word + first) & 0xFFFFFFFF for word, first in zip(x, start, strict=True)))


def test_the_keystream_of_the_rfcs_first_test_vector() -> None:
    # RFC 8439 appendix A.1, vector 1: zero key, zero nonce, counter 0.
    assert Stream(bytes(32)).take(64) == bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )


def test_the_keystream_of_a_plain_implementation() -> None:
    assert Stream(KEY).take(320) == b"".join(block(KEY, counter) for counter in range(5))


def test_long_reads_cross_the_chunks_in_order() -> None:
    count = 3 * len(stream._ZEROS) + 64
    read = Stream(KEY).take(count)
    for number in (0, 1023, 1024, 2047, 2048, 3072):
        assert read[64 * number : 64 * (number + 1)] == block(KEY, number)


def test_words_are_little_endian() -> None:
    data = Stream(KEY).take(16)
    assert Stream(KEY).words32(4).tolist() == list(struct.unpack("<4I", data))
    assert Stream(KEY).words64(2).tolist() == list(struct.unpack("<2Q", data))


def test_words_have_the_machines_types() -> None:
    assert Stream(KEY).words32(1).dtype == np.dtype("uint32")
    assert Stream(KEY).words64(1).dtype == np.dtype("uint64")


@given(st.lists(st.integers(0, 40_000), max_size=5))
def test_any_split_of_reads_gives_the_same_words(cuts: list[int]) -> None:
    whole, split = Stream(KEY).words32(40_000), Stream(KEY)
    parts = [split.words32(end - start) for start, end in pairwise([0, *sorted(cuts), 40_000])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_bytes_and_words_share_one_stream() -> None:
    reader, data = Stream(KEY), Stream(KEY).take(24)
    assert reader.take(5) + reader.words64(2).astype("<u8").tobytes() + reader.take(3) == data


def test_an_empty_read_takes_nothing() -> None:
    reader = Stream(KEY)
    assert (reader.take(0), reader.words32(0).shape, reader.words64(0).shape) == (b"", (0,), (0,))
    assert reader.take(4) == Stream(KEY).take(4)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Stream(bytes(length))


@pytest.mark.parametrize("count", [-1, stream.LIMIT + 1])
def test_impossible_lengths_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="of a stream"):
        Stream(KEY).take(count)


def test_the_block_counter_never_repeats() -> None:
    reader = Stream(KEY)
    reader._taken = stream.LIMIT - 8  # as if nearly all had been read
    reader.take(8)
    with pytest.raises(ValueError, match="of a stream"):
        reader.take(1)
