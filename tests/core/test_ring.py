import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from covey import ring

LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1

signed = st.lists(st.integers(LOWEST, HIGHEST), min_size=1, max_size=20)


def vector(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("value", "element"), [(0, 0), (1, 1), (-1, 0xFFFFFFFF), (HIGHEST, 0x7FFFFFFF), (LOWEST, 0x80000000)]
)
def test_wrap_is_twos_complement(value: int, element: int) -> None:
    wrapped = ring.wrap(vector([value]))
    assert wrapped.dtype == np.uint32
    assert wrapped.tolist() == [element]


@given(signed)
def test_centre_undoes_wrap(values: list[int]) -> None:
    assert ring.centre(ring.wrap(vector(values))).tolist() == values


@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1))
def test_wrap_is_modulo_r(values: list[int]) -> None:
    assert ring.wrap(vector(values)).tolist() == [value % (1 << 32) for value in values]


@given(st.lists(st.lists(st.integers(LOWEST, HIGHEST), min_size=3, max_size=3), max_size=6))
def test_add_is_addition_modulo_r(rows: list[list[int]]) -> None:
    total = ring.add([ring.wrap(vector(row)) for row in rows], 3)
    assert total.tolist() == [sum(row[column] for row in rows) % (1 << 32) for column in range(3)]


def test_add_leaves_its_arguments_alone() -> None:
    first, second = ring.wrap(vector([1, 2])), ring.wrap(vector([3, 4]))
    ring.add([first, second], 2)
    assert (first.tolist(), second.tolist()) == ([1, 2], [3, 4])


def test_add_of_nothing_is_zero() -> None:
    assert ring.add([], 4).tolist() == [0, 0, 0, 0]


def test_add_refuses_another_length() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        ring.add([ring.wrap(vector([1, 2, 3]))], 2)


def test_bytes_are_little_endian() -> None:
    assert ring.to_bytes(np.array([1, 0xA0B0C0D0], np.uint32)) == bytes.fromhex("01000000d0c0b0a0")


@given(signed)
def test_bytes_round_trip(values: list[int]) -> None:
    wrapped = ring.wrap(vector(values))
    assert ring.from_bytes(ring.to_bytes(wrapped), len(values)).tolist() == wrapped.tolist()


def test_what_was_read_can_be_written_to() -> None:
    ring.from_bytes(bytes(8), 2)[0] = 1


@pytest.mark.parametrize("size", [0, 7, 9, 12])
def test_from_bytes_wants_exactly_four_bytes_an_element(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes where 8 were expected"):
        ring.from_bytes(bytes(size), 2)


widths = st.integers(16, 32)
elements = st.lists(st.integers(0, (1 << 32) - 1), max_size=200)


@given(widths, st.data())
def test_centre_undoes_wrap_in_fewer_bits(bits: int, data: st.DataObject) -> None:
    half = 1 << (bits - 1)
    values = data.draw(st.lists(st.integers(-half, half - 1), min_size=1, max_size=9))
    assert ring.centre(ring.wrap(vector(values)), bits).tolist() == values


@given(widths, elements)
def test_centre_ignores_the_bits_above(bits: int, values: list[int]) -> None:
    half = 1 << (bits - 1)
    centred = ring.centre(np.array(values, np.uint32), bits).tolist()
    assert centred == [(value + half) % (2 * half) - half for value in values]


@pytest.mark.parametrize(
    ("bits", "values", "packed"),
    [
        (16, [0x1234, 0xFFFFABCD], "3412cdab"),
        (20, [0x12345, 0x6789A], "4523a18967"),
        (17, [0x1FFFF], "ffff01"),
        (17, [1, 1], "0100020000"),
        (24, [0xAABBCCDD], "ddccbb"),
        (32, [0xA0B0C0D0], "d0c0b0a0"),
        (31, [], ""),
    ],
)
def test_packed_vectors_as_written_down(bits: int, values: list[int], packed: str) -> None:
    assert ring.pack(np.array(values, np.uint32), bits).hex() == packed


@given(widths, elements)
def test_element_i_begins_at_bit_i_times_bits(bits: int, values: list[int]) -> None:
    packed = ring.pack(np.array(values, np.uint32), bits)
    total = sum((value % (1 << bits)) << (bits * place) for place, value in enumerate(values))
    assert packed == total.to_bytes(ring.packed_size(len(values), bits), "little")


@given(widths, elements)
def test_unpack_gives_the_low_bits_back(bits: int, values: list[int]) -> None:
    packed = ring.pack(np.array(values, np.uint32), bits)
    unpacked = ring.unpack(packed, len(values), bits)
    assert unpacked.dtype == np.uint32
    assert unpacked.tolist() == [value % (1 << bits) for value in values]


@pytest.mark.parametrize("bits", [17, 23, 31])
@pytest.mark.parametrize("extra", [-1, 0, 1, 777])
def test_long_vectors_are_packed_without_a_seam(bits: int, extra: int) -> None:
    length = 64 * 2048 + extra
    values = (np.arange(length, dtype=np.uint64) * 2654435761 % (1 << 32)).astype(np.uint32)
    unpacked = ring.unpack(ring.pack(values, bits), length, bits)
    assert np.array_equal(unpacked, values & np.uint32((1 << bits) - 1))


def test_sums_of_packed_vectors_are_sums_modulo_two_to_the_bits() -> None:
    first, second = vector([-5, 70_000]), vector([3, -140_000])
    sent = [ring.unpack(ring.pack(ring.wrap(each), 19), 2, 19) for each in (first, second)]
    assert ring.centre(ring.add(sent, 2), 19).tolist() == [-2, -70_000]


@pytest.mark.parametrize("bits", [16, 25, 26, 32])
@pytest.mark.parametrize("length", [1, 7, 8 * 4096 - 1, 8 * 4096, 8 * 4096 + 1])
def test_add_packed_adds_what_unpack_gives(bits: int, length: int) -> None:
    values = (np.arange(length, dtype=np.uint64) * 2654435761 % (1 << 32)).astype(np.uint32)
    packed, total = ring.pack(values, bits), np.full(length, HIGHEST, np.uint32)
    ring.add_packed(total, packed, bits)
    assert np.array_equal(total, np.uint32(HIGHEST) + ring.unpack(packed, length, bits))


@pytest.mark.parametrize("bits", [17, 32])
def test_a_malformed_vector_is_not_added_even_in_part(bits: int) -> None:
    total = np.zeros(3, np.uint32)
    with pytest.raises(ValueError, match=r"expected|after the last"):
        ring.add_packed(total, b"\xff" * (7 if bits == 17 else 13), bits)
    assert not total.any()


@given(st.integers(16, 31), st.integers(1, 40), st.data())
def test_a_set_bit_after_the_last_element_is_refused(bits: int, length: int, data: st.DataObject) -> None:
    spare = 8 * ring.packed_size(length, bits) - bits * length
    if spare:
        bit = 1 << (bits * length + data.draw(st.integers(0, spare - 1)))
        with pytest.raises(ValueError, match="bits set after the last element"):
            ring.unpack(bit.to_bytes(ring.packed_size(length, bits), "little"), length, bits)


@pytest.mark.parametrize("size", [0, 4, 6])
def test_unpack_wants_exactly_the_packed_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes where 5 were expected"):
        ring.unpack(bytes(size), 2, 17)


def test_what_was_unpacked_can_be_written_to() -> None:
    ring.unpack(bytes(5), 2, 17)[0] = 1


@pytest.mark.parametrize("bits", [-1, 0, 15, 33, 64])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"elements of {bits} bits"):
        ring.pack(np.zeros(1, np.uint32), bits)
    with pytest.raises(ValueError, match=f"elements of {bits} bits"):
        ring.unpack(bytes(4), 1, bits)
    with pytest.raises(ValueError, match=f"elements of {bits} bits"):
        ring.centre(np.zeros(1, np.uint32), bits)
