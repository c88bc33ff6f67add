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
