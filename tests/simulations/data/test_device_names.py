from collections.abc import Container

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey_simulations.data.names import Alone, Numbered


@given(st.integers(1, 300))
def test_names_are_those_of_a_list(count: int) -> None:
    names = Numbered(count)
    listed = [f"device-{number:0{len(str(count))}d}" for number in range(1, count + 1)]
    assert list(names) == listed == sorted(listed)
    assert [names[position] for position in range(count)] == names[:] == listed
    assert [names.position(name) for name in listed] == list(range(count))
    assert names[-1] == listed[-1]
    assert all(name in names for name in listed)


@pytest.mark.parametrize(
    "name",
    [
        "device-00",
        "device-13",
        "device-1",
        "device-001",
        "device--1",
        "device-+1",
        "device-1_",
        "02",
        "",
        "pool",
    ],
)
def test_what_no_device_is_called(name: str) -> None:
    names = Numbered(12)
    assert name not in names
    with pytest.raises(KeyError):
        names.position(name)


def test_a_name_is_text() -> None:
    named: Container[object] = Numbered(12)
    assert 1 not in named


def test_a_position_beyond_the_last_ends_a_search() -> None:
    with pytest.raises(IndexError):
        Numbered(3)[3]


def test_the_same_count_gives_the_same_names() -> None:
    assert Numbered(4) == Numbered(4) != Numbered(5)


def test_each_device_is_its_own_group() -> None:
    groups = Alone(Numbered(3))
    assert groups == {name: name for name in groups.names}
    assert (len(groups), "device-3" in groups, "device-4" in groups) == (3, True, False)
    with pytest.raises(KeyError):
        groups["device-4"]
