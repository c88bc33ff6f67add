"""Real folders of real files."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from covey.errors import ConfigError, DataError
from covey_client.csv_windows import CsvSchema
from covey_client.data_folder import DataTable, FolderData, data_of, division_path
from covey_client.local_data import FileData

SCHEMA = CsvSchema(channels=("a",), label="y", window=2)


def put(path: Path, begin: int, count: int) -> Path:
    x = np.arange(begin, begin + count, dtype=np.float32)[:, None, None]
    np.savez(path, x=x, y=np.zeros(count, np.int64))
    return path


def put_csv(path: Path, values: range) -> Path:
    path.write_text("a,y\n" + "".join(f"{value},1\n" for value in values))
    return path


def opened(folder: Path, csv: CsvSchema | None = None, told: list[str] | None = None) -> FolderData:
    table = DataTable(path=str(folder), csv=csv)
    data = data_of(table, 2, folder.parent / "state", ([] if told is None else told).append, "device.toml")
    assert isinstance(data, FolderData)
    return data


def sides(data: FolderData) -> tuple[list[float], list[float]]:
    return data.train.x.ravel().tolist(), data.held_out.x.ravel().tolist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_shards_come_and_go_and_every_example_stays_on_its_side(folder: Path) -> None:
    put(folder / "a.npz", 0, 8)
    assert sides(opened(folder)) == ([*range(6)], [6, 7])
    put(folder / "0.npz", 100, 8)  # before the other by name, after it in time
    assert sides(opened(folder)) == ([*range(100, 106), *range(6)], [106, 107, 6, 7])
    kept = (folder / "a.npz").read_bytes()
    (folder / "a.npz").unlink()
    put(folder / "b.npz", 200, 5)
    assert sides(opened(folder)) == ([*range(100, 106), *range(200, 203)], [106, 107, 203, 204])
    (folder / "again.npz").write_bytes(kept)
    train, held_out = sides(opened(folder))
    assert {*range(6)} <= {*train}
    assert {6, 7} <= {*held_out}


def test_a_shard_that_has_changed_is_refused_by_name(folder: Path) -> None:
    put(folder / "a.npz", 0, 8)
    sides(opened(folder))
    put(folder / "a.npz", 0, 9)
    with pytest.raises(DataError, match=r"data/a.npz: it has changed since it was divided"):
        sides(opened(folder))
    put(folder / "a.npz", 0, 8)
    sides(opened(folder))


def test_a_copy_is_refused_by_name(folder: Path) -> None:
    (folder / "b.npz").write_bytes(put(folder / "a.npz", 0, 8).read_bytes())
    with pytest.raises(DataError, match=r"data/b.npz: it holds the same as a.npz"):
        sides(opened(folder))


def test_the_division_is_durable_before_an_example_is_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    put(folder / "a.npz", 0, 8)
    monkeypatch.setattr("covey_io.durable.replace", full)
    with pytest.raises(OSError, match="no space"):
        sides(opened(folder))


def test_a_shard_may_say_itself_what_is_held_out(folder: Path) -> None:
    put(folder / "a.npz", 0, 4)
    np.savez(
        folder / "b.npz",
        x=np.ones((2, 1, 1), np.float32), y=np.zeros(2, np.int64),
        held_x=np.full((3, 1, 1), 9, np.float32), held_y=np.zeros(3, np.int64),
    )  # fmt: skip
    assert sides(opened(folder)) == ([0, 1, 2, 1, 1], [3, 9, 9, 9])


def test_csv_files_are_shards_too(folder: Path) -> None:
    put_csv(folder / "a.csv", range(8))
    put(folder / "ignored.npz", 0, 8)
    data = opened(folder, SCHEMA)
    assert data.train.x.shape == (3, 1, 2)
    assert sides(data) == ([*range(6)], [6, 7])
    assert data.train.y.tolist() == [1, 1, 1]
    put_csv(folder / "a.csv", range(10))  # an application that appends
    with pytest.raises(DataError, match=r"data/a.csv: it has changed"):
        sides(opened(folder, SCHEMA))


def test_another_window_would_make_other_examples(folder: Path) -> None:
    put_csv(folder / "a.csv", range(24))
    sides(opened(folder, SCHEMA))
    wider = CsvSchema(channels=("a",), label="y", window=3)
    with pytest.raises(DataError, match="were cut from the files by"):
        sides(opened(folder, wider))


def test_bad_rows_are_told_with_file_and_line(folder: Path) -> None:
    path = put_csv(folder / "a.csv", range(8))
    path.write_text(path.read_text() + "?,1\n8,1\n")
    with pytest.raises(DataError, match=r"data/a.csv:10: '\?' is no number"):
        sides(opened(folder, SCHEMA))
    told: list[str] = []
    skipping = CsvSchema(channels=("a",), label="y", window=2, bad_rows="skip")
    assert sides(opened(folder, skipping, told)) == ([*range(6)], [6, 7])
    assert told == [f"rows were skipped: {folder}/a.csv:10: '?' is no number"]


@pytest.mark.parametrize("count", [0, 1])
def test_two_examples_are_needed(folder: Path, count: int) -> None:
    if count:
        put(folder / "a.npz", 0, count)
    with pytest.raises(DataError, match=f"data: {count} examples, expected two or more"):
        sides(opened(folder))


def test_shards_of_single_examples_are_shared_between_the_sides(folder: Path) -> None:
    for number in range(8):
        put(folder / f"{number}.npz", number, 1)
    assert sides(opened(folder)) == ([1, 2, 3, 5, 6, 7], [0, 4])


def test_inputs_have_one_shape(folder: Path) -> None:
    put(folder / "a.npz", 0, 8)
    np.savez(folder / "b.npz", x=np.zeros((4, 2, 1), np.float32), y=np.zeros(4, np.int64))
    with pytest.raises(DataError, match=r"b.npz: inputs of shape \(2, 1\), others have \(1, 1\)"):
        sides(opened(folder))


def test_hidden_files_and_folders_are_no_shards(folder: Path) -> None:
    put(folder / "a.npz", 0, 8)
    (folder / ".b.npz").write_bytes(b"torn")
    (folder / "c.npz").mkdir()
    (folder / "d.txt").write_text("notes")
    assert sides(opened(folder)) == ([*range(6)], [6, 7])


def test_a_shard_that_is_removed_while_it_is_read_is_left_out(folder: Path) -> None:
    put(folder / "a.npz", 0, 8)
    (folder / "b.npz").symlink_to(folder / "gone.npz")
    assert sides(opened(folder)) == ([*range(6)], [6, 7])


def test_a_folder_that_cannot_be_read_is_an_error(folder: Path) -> None:
    data = opened(folder, SCHEMA)
    folder.rmdir()
    with pytest.raises(DataError, match="No such file"):
        sides(data)


def test_two_readers_at_once_agree(folder: Path) -> None:
    for number in range(5):
        put(folder / f"{number}.npz", 10 * number, 7)
    found: list[tuple[list[float], list[float]]] = []
    threads = [threading.Thread(target=lambda: found.append(sides(opened(folder)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 4
    assert os.listdir(folder.parent / "state")  # noqa: PTH208 - names


def test_a_single_file_is_read_as_ever(tmp_path: Path) -> None:
    table = DataTable(path=str(put(tmp_path / "a.npz", 0, 8)))
    data = data_of(table, 2, tmp_path, print, "device.toml")
    assert data == FileData(tmp_path / "a.npz", 2, tmp_path / "a.split.json")
    with pytest.raises(ConfigError, match="expected a folder of CSV files"):
        data_of(DataTable(path=table.path, csv=SCHEMA), 2, tmp_path, print, "device.toml")


def test_windows_that_overlap_are_refused_before_anything_is_read(folder: Path) -> None:
    overlapping = CsvSchema(channels=("a",), label="y", window=4, step=2)
    with pytest.raises(ConfigError, match="unit of privacy"):
        opened(folder, overlapping)


def test_divisions_of_two_folders_are_kept_apart(tmp_path: Path) -> None:
    assert division_path(tmp_path, Path("/a/walks")) != division_path(tmp_path, Path("/a/runs"))
