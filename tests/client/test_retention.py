"""How long recorded examples stay."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from covey_client.data_folder import FolderData
from covey_client.recorder import Recorder
from covey_client.retention import DAY, recorded_shards, remove, retain
from covey_client.segments import OPEN

BEGAN = 1_700_000_000.0


def record(folder: Path, days: range, waiting: int = 0) -> list[Path]:
    """One shard a day, of two examples; their paths."""
    now = [0.0]
    with Recorder(folder, (1,), clock=lambda: now[0]) as recorder:
        for day in days:
            now[0] = BEGAN + day * DAY
            for _ in range(2):
                recorder.append([day], 0)
            recorder.seal()
        for _ in range(waiting):
            recorder.append([0], 0)
    return sorted(folder.glob("*.npz"))


def test_shards_that_are_too_old_are_removed_the_oldest_first(tmp_path: Path) -> None:
    shards = record(tmp_path, range(5))
    removed = retain(tmp_path, days=2, megabytes=0, now=BEGAN + 4 * DAY)
    assert [(each.recorded.path, each.why) for each in removed] == [
        (shards[0], "older than 2 days"),
        (shards[1], "older than 2 days"),
    ]
    assert sorted(tmp_path.glob("*.npz")) == shards[2:]
    assert retain(tmp_path, days=2, megabytes=0, now=BEGAN + 4 * DAY) == []


def test_the_oldest_shards_are_removed_while_all_are_too_large(tmp_path: Path) -> None:
    shards = record(tmp_path, range(5))
    size = shards[0].stat().st_size
    removed = retain(tmp_path, days=0, megabytes=3.5 * size / 1e6, now=BEGAN)
    assert [each.recorded.path for each in removed] == shards[:2]
    assert removed[0].why.startswith("more than 0.00")
    assert removed[0].recorded.size == size


def test_without_limits_everything_stays(tmp_path: Path) -> None:
    shards = record(tmp_path, range(3))
    assert retain(tmp_path, days=0, megabytes=0, now=BEGAN + 1e9) == []
    assert sorted(tmp_path.glob("*.npz")) == shards
    assert retain(tmp_path / "nowhere", days=1, megabytes=1, now=BEGAN) == []


def test_files_of_other_names_are_their_owners(tmp_path: Path) -> None:
    record(tmp_path, range(1))
    for name in ("mine.npz", "00000001-x-00000000.npz", "a.csv"):
        (tmp_path / name).write_bytes(b"kept")
    retain(tmp_path, days=1, megabytes=0.000001, now=BEGAN + 1e9)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00000001-x-00000000.npz",
        "a.csv",
        "mine.npz",
    ]


def test_an_open_segment_that_is_too_old_goes_unless_it_is_being_recorded_to(tmp_path: Path) -> None:
    record(tmp_path, range(1), waiting=1)
    with Recorder(tmp_path, (1,)):
        retain(tmp_path, days=1, megabytes=0, now=BEGAN + 9 * DAY)
        assert (tmp_path / OPEN).exists()
    (removed,) = retain(tmp_path, days=1, megabytes=0, now=BEGAN + 9 * DAY)
    assert removed.recorded.path == tmp_path / OPEN
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_was_removed_does_not_come_back_from_its_segment(tmp_path: Path) -> None:
    with Recorder(tmp_path, (1,)) as recorder:
        recorder.append([1], 0)
        kept = (tmp_path / OPEN).read_bytes()
        recorder.seal()
    (tmp_path / OPEN).write_bytes(kept)  # as if the recorder had died between sealing and this file's removal
    remove(recorded_shards(tmp_path)[0].path)
    with Recorder(tmp_path, (1,)) as recorder:
        assert recorder.waiting == 0
    assert recorded_shards(tmp_path) == []


def test_names_are_never_given_twice(tmp_path: Path) -> None:
    first = {path.name for path in record(tmp_path, range(3))}
    retain(tmp_path, days=1, megabytes=0, now=BEGAN + 1e9)
    assert not first & {path.name for path in record(tmp_path, range(3))}


def test_what_is_left_is_divided_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    record(folder, range(6))

    def sides() -> tuple[set[float], set[float]]:
        data = FolderData(folder, 2, tmp_path / "division.json", None, print)
        return set(data.train.x.ravel().tolist()), set(data.held_out.x.ravel().tolist())

    before = sides()
    retain(folder, days=3, megabytes=0, now=BEGAN + 5 * DAY)
    record(folder, range(10, 12))
    after = sides()
    assert after[0] & {*range(6)} == before[0] & {2, 3, 4, 5}
    assert after[1] & {*range(6)} == before[1] & {2, 3, 4, 5}


RETAINER = """
import sys
from pathlib import Path
from covey_client.retention import retain
print("ready", flush=True)
retain(Path(sys.argv[1]), 0, 1e-9, 0)
"""


@pytest.mark.parametrize("step", range(3))
def test_a_retainer_that_is_killed_leaves_whole_shards(tmp_path: Path, step: int) -> None:
    shards = record(tmp_path, range(40))
    argv = [sys.executable, "-c", RETAINER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as retainer:
        assert retainer.stdout
        retainer.stdout.readline()
        while len(list(tmp_path.glob("*.npz"))) > 30 - 10 * step and retainer.poll() is None:
            pass
        retainer.send_signal(signal.SIGKILL)
    left = sorted(tmp_path.glob("*.npz"))
    assert left == shards[len(shards) - len(left) :]
    for path in left:
        with np.load(path) as arrays:
            assert len(arrays["x"]) == 2
