"""No example is ever trained on and held out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import DataError
from covey_client.local_data import FileData, read
from covey_client.split import LEAST_NEW, Stretch, divided, indices, kept_division

growth = st.lists(st.integers(0, 40), max_size=12)


def sides(stretches: tuple[Stretch, ...]) -> tuple[set[int], set[int]]:
    trained, held_out = indices(stretches)
    return set(trained.tolist()), set(held_out.tolist())


@given(st.integers(2, 50), growth)
def test_however_a_file_grows_no_example_changes_sides(first: int, more: list[int]) -> None:
    kept = divided((), first)
    count, trained, held_out = first, *sides(kept)
    for added in more:
        count += added
        kept = divided(kept, count)
        now_trained, now_held_out = sides(kept)
        assert trained <= now_trained
        assert held_out <= now_held_out
        assert not now_trained & now_held_out
        assert count - len(now_trained) - len(now_held_out) < LEAST_NEW
        trained, held_out = now_trained, now_held_out
    assert trained
    assert held_out


def test_the_last_quarter_is_held_out_and_of_what_is_new_its_last_quarter() -> None:
    kept = divided(divided((), 100), 180)
    assert kept == (Stretch(0, 75, 100), Stretch(100, 160, 180))
    assert divided(kept, 180 + LEAST_NEW - 1) == kept


def write(path: Path, count: int) -> Path:
    np.savez(path, x=np.arange(count, dtype=np.float32)[:, None, None], y=np.zeros(count, np.int64))
    return path


def test_a_file_that_grew_is_divided_as_it_was_before(tmp_path: Path) -> None:
    data, split = write(tmp_path / "a.npz", 100), tmp_path / "keys" / "a.split.json"
    before = FileData(data, 2, split)
    assert before.train.x.ravel().tolist() == list(range(75))
    write(data, 200)
    after = FileData(data, 2, split)
    assert after.train.x.ravel().tolist() == [*range(75), *range(100, 175)]
    assert after.held_out.x.ravel().tolist() == [*range(75, 100), *range(175, 200)]


def test_the_division_is_durable_before_an_example_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("covey_io.durable.replace", full)
    with pytest.raises(OSError, match="no space"):
        read(write(tmp_path / "a.npz", 100), 2, tmp_path / "a.split.json")


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    data, split = write(tmp_path / "a.npz", 100), tmp_path / "a.split.json"
    read(data, 2, split)
    with pytest.raises(DataError, match="99 examples, 100 were divided") as caught:
        read(write(data, 99), 2, split)
    assert str(split) in caught.value.hint


def test_a_damaged_record_is_no_new_beginning(tmp_path: Path) -> None:
    split = tmp_path / "a.split.json"
    split.write_text("[[0, 75")
    with pytest.raises(DataError, match="is damaged"):
        kept_division(split, tmp_path / "a.npz", 100)
