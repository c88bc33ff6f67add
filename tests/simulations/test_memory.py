"""What simulated devices keep: by round, in files that are whole or told to be damaged."""

from pathlib import Path

import numpy as np
import pytest

from covey.arrays import Parameters
from covey.errors import StateError
from covey_simulations.memory import MEMORIES, FolderMemory, check
from covey_strategies.queries.memory import InMemory, Memory


def arrays(value: float) -> Parameters:
    return {"a": np.array([[value, 1.5]], np.float32), "b": np.array(value, np.float32)}


@pytest.fixture(params=["folder", "process"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    """Both kinds keep alike."""
    return FolderMemory(tmp_path / MEMORIES / "one.memory") if request.param == "folder" else InMemory()


def found(memory: Memory, before: int, name: str = "n") -> float | None:
    kept = memory.read(name, before)
    if kept is None:
        return None
    for name_, value in arrays(float(kept["b"])).items():
        np.testing.assert_array_equal(kept[name_], value)
    return float(kept["b"])


def test_a_round_finds_what_the_last_before_it_left(memory: Memory) -> None:
    assert found(memory, 1) is None
    memory.write("n", 3, arrays(3.0))
    memory.write("n", 7, arrays(7.0))
    assert [found(memory, before) for before in (3, 4, 7, 8, 99)] == [None, 3.0, 3.0, 7.0, 7.0]
    assert found(memory, 99, "other") is None


def test_a_round_that_is_asked_again_finds_what_it_found(memory: Memory) -> None:
    memory.write("n", 3, arrays(3.0))
    memory.write("n", 4, arrays(4.0))
    assert found(memory, 4) == 3.0
    memory.write("n", 4, arrays(4.5))
    assert [found(memory, before) for before in (4, 5)] == [3.0, 4.5]


def test_going_back_forgets_what_came_after(memory: Memory) -> None:
    for number in (3, 4, 5):
        memory.write("n", number, arrays(number))
    memory.write("n", 5, arrays(5.5))
    memory.write("n", 4, arrays(4.5))
    assert found(memory, 99) == 4.5


def test_names_are_apart(memory: Memory) -> None:
    memory.write("n", 1, arrays(1.0))
    memory.write("m", 1, arrays(2.0))
    assert (found(memory, 2), found(memory, 2, "m")) == (1.0, 2.0)


def test_another_process_finds_it(tmp_path: Path) -> None:
    path = tmp_path / MEMORIES / "one.memory"
    FolderMemory(path).write("n", 1, arrays(1.0))
    assert found(FolderMemory(path), 2) == 1.0
    assert [each.name for each in path.parent.iterdir()] == ["one.memory"]


@pytest.mark.parametrize("spoilt", [b"", b"x" * 40, None])
def test_damage_is_told(tmp_path: Path, spoilt: bytes | None) -> None:
    path = tmp_path / MEMORIES / "one.memory"
    memory = FolderMemory(path)
    memory.write("n", 1, arrays(1.0))
    data = path.read_bytes()
    path.write_bytes(data[:-1] if spoilt is None else spoilt)
    with pytest.raises(StateError, match="is damaged"):
        memory.read("n", 2)
    with pytest.raises(StateError, match="is damaged"):
        check(tmp_path, 1)


@pytest.mark.parametrize(
    ("rounds", "done", "fine"),
    [
        ((), 0, True),
        ((1, 2, 3), 3, True),
        ((1, 2, 3), 2, True),  # the round that is asked again
        ((1, 2, 3), 1, False),  # what round 1 left is gone
        ((2, 7, 9), 8, True),
        ((2, 7, 9), 7, True),
        ((2, 7, 9), 6, False),
        ((5,), 4, True),  # it had nothing before
        ((5, 6), 3, True),
        ((5, 6, 7), 3, True),
        ((5, 6, 7), 5, False),
    ],
)
def test_a_run_goes_on_only_with_what_its_devices_had(
    tmp_path: Path, rounds: tuple[int, ...], done: int, fine: bool
) -> None:
    memory = FolderMemory(tmp_path / MEMORIES / "one.memory")
    for number in rounds:
        memory.write("n", number, arrays(number))
    if fine:
        check(tmp_path, done)
        expected = max((number for number in rounds if number <= done), default=None)
        assert found(memory, done + 1) == expected
    else:
        with pytest.raises(StateError, match="gone, and the run goes on") as caught:
            check(tmp_path, done)
        assert "start a new run" in caught.value.hint
