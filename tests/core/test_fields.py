import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.fields import fields

Part = bytes | str | int

parts = st.lists(
    st.one_of(st.binary(max_size=9), st.text(max_size=9), st.integers(0, (1 << 64) - 1)), max_size=6
)


def split(data: bytes) -> list[bytes]:
    """The fields again, by reading the lengths."""
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        found.append(data[4:end])
        data = data[end:]
    return found


def as_bytes(part: Part) -> bytes:
    if isinstance(part, int):
        return part.to_bytes(8, "big")
    return part.encode() if isinstance(part, str) else part


def test_each_field_has_its_length_in_front() -> None:
    expected = "00000003 616263 00000002 c3a9 00000008 0000000000000102 00000000"
    assert fields(b"abc", "é", 0x102, b"").hex() == expected.replace(" ", "")


def test_nothing_is_nothing() -> None:
    assert fields() == b""


@given(parts)
def test_the_fields_can_be_read_back(values: list[Part]) -> None:
    assert split(fields(*values)) == [as_bytes(value) for value in values]


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_other_fields_are_other_bytes(first: list[bytes], second: list[bytes]) -> None:
    assert (fields(*first) == fields(*second)) == (first == second)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_an_integer_that_does_not_fit_is_refused(value: int) -> None:
    with pytest.raises(OverflowError):
        fields(value)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        fields("\ud800")


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_refused(value: bool) -> None:
    with pytest.raises(TypeError, match="truth value"):
        fields(value)
