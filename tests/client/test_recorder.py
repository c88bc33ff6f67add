"""A recorder that is killed again and again, a full disk, and training that reads meanwhile."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covey.errors import CoveyError, DataError, InputError, StateError
from covey_client import segments
from covey_client.data_folder import FolderData
from covey_client.recorder import Recorder
from covey_client.segments import OPEN

SHAPE = (2, 3)


def example(number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full(SHAPE, number, np.float32)


def sealed(folder: Path) -> list[int]:
    found: list[int] = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            assert (arrays["x"] == arrays["x"][:, :1, :1]).all()
            assert arrays["x"].dtype == np.float32
            assert (arrays["x"][:, 0, 0] == arrays["y"]).all()
            found += arrays["y"].tolist()
    return found


def waiting(folder: Path) -> list[int]:
    if not (folder / OPEN).exists():
        return []
    examples = segments.read((folder / OPEN).read_bytes(), "a").examples
    assert (examples.x[:, 0, 0] == examples.y).all()
    found: list[int] = examples.y.tolist()
    return found


def test_examples_are_sealed_into_shards_of_one_size(tmp_path: Path) -> None:
    with Recorder(tmp_path, SHAPE, seal_examples=4) as recorder:
        for number in range(10):
            recorder.append(example(number), number)
        assert recorder.waiting == 2
        assert sealed(tmp_path) == [*range(8)]
        assert recorder.seal()
        assert recorder.seal() is None
    assert sealed(tmp_path) == [*range(10)]
    assert [path.name[:9] for path in sorted(tmp_path.glob("*.npz"))] == [
        "00000001-",
        "00000002-",
        "00000003-",
    ]
    assert not (tmp_path / OPEN).exists()


def test_what_waits_is_gone_on_with_by_the_next_recorder(tmp_path: Path) -> None:
    for number in range(6):
        with Recorder(tmp_path, SHAPE, seal_examples=4) as recorder:
            recorder.append(example(number), number)
    assert (sealed(tmp_path), waiting(tmp_path)) == ([0, 1, 2, 3], [4, 5])


def test_a_shard_is_sealed_when_it_is_old_enough_or_the_clock_jumps(tmp_path: Path) -> None:
    now = [1_000_000.0]
    with Recorder(tmp_path, SHAPE, seal_seconds=60, clock=lambda: now[0]) as recorder:
        for number, later in enumerate((0, 59, 1, 0, -500_000, 0)):
            now[0] += later
            recorder.append(example(number), number)
    assert (sealed(tmp_path), waiting(tmp_path)) == ([0, 1, 2, 3], [4, 5])
    begun = [path.name.split("-")[1] for path in sorted(tmp_path.glob("*.npz"))]
    assert begun == ["1000000", "1000060"]


def test_one_recorder_at_a_time(tmp_path: Path) -> None:
    with Recorder(tmp_path, SHAPE), pytest.raises(StateError, match="another recorder writes here"):
        Recorder(tmp_path, SHAPE)
    Recorder(tmp_path, SHAPE).close()


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((3, 2)), 0),
        (np.full(SHAPE, np.nan), 0),
        (np.full(SHAPE, 1e39), 0),
        ("words", 0),
        (np.zeros(SHAPE), -1),
        (np.zeros(SHAPE), 1.5),
        (np.zeros(SHAPE), 1 << 63),
    ],
)
def test_what_is_no_example_is_refused_and_not_recorded(tmp_path: Path, x: Any, y: Any) -> None:
    with Recorder(tmp_path, SHAPE) as recorder:
        with pytest.raises(DataError):
            recorder.append(x, y)
        assert recorder.waiting == 0


def test_inputs_of_another_shape_wait_for_their_own_recorder(tmp_path: Path) -> None:
    with Recorder(tmp_path, SHAPE) as recorder:
        recorder.append(example(1), 1)
    with pytest.raises(InputError, match=r"inputs of shape \(2, 3\) wait here, not \(6,\)"):
        Recorder(tmp_path, (6,))
    with Recorder(tmp_path, SHAPE) as recorder:  # and the folder is not locked
        recorder.seal()
    Recorder(tmp_path, (6,)).close()


def test_at_whatever_byte_a_write_was_cut_what_was_whole_is_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path, SHAPE) as recorder:
        for number in range(3):
            recorder.append(example(number), number)
    whole = (tmp_path / OPEN).read_bytes()
    size = segments.read(whole, "a").header.record_bytes
    for cut in range(len(whole) - 2 * size, len(whole)):
        (tmp_path / OPEN).write_bytes(whole[:cut])
        with Recorder(tmp_path, SHAPE) as recorder:
            kept = recorder.waiting
            assert kept == 3 - -(-(len(whole) - cut) // size)
            recorder.append(example(9), 9)
        assert waiting(tmp_path) == [*range(kept), 9]


def test_a_damaged_record_is_left_out_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    with Recorder(tmp_path, SHAPE) as recorder:
        for number in range(4):
            recorder.append(example(number), number)
    data = bytearray((tmp_path / OPEN).read_bytes())
    size = segments.read(bytes(data), "a").header.record_bytes
    data[-2 * size - 5] ^= 1
    (tmp_path / OPEN).write_bytes(data)
    with Recorder(tmp_path, SHAPE, log=told.append) as recorder:
        recorder.append(example(4), 4)
        recorder.seal()
    assert sealed(tmp_path) == [0, 2, 3, 4]
    assert told == [f"{tmp_path}/.open: 1 examples are damaged and left out"]


def test_records_are_no_good_in_another_place(tmp_path: Path) -> None:
    with Recorder(tmp_path, SHAPE) as recorder:
        for number in range(3):
            recorder.append(example(number), number)
    data = (tmp_path / OPEN).read_bytes()
    size = segments.read(data, "a").header.record_bytes
    assert segments.read(data[: -2 * size] + data[-size:] + data[-2 * size : -size], "a").places == 1
    assert segments.read(data[:-size] + bytes(size), "a").places == 2


@pytest.mark.parametrize("data", [b"", b"COVEYREC", b"x" * 200])
def test_a_damaged_header_is_not_written_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / OPEN).write_bytes(data)
    with pytest.raises(StateError, match="header is damaged"):
        Recorder(tmp_path, SHAPE)
    assert (tmp_path / OPEN).read_bytes() == data


def test_a_shard_that_was_sealed_before_a_crash_is_not_sealed_again(tmp_path: Path) -> None:
    with Recorder(tmp_path, SHAPE) as recorder:
        recorder.append(example(1), 1)
        kept = (tmp_path / OPEN).read_bytes()
        recorder.seal()
    (tmp_path / OPEN).write_bytes(kept)  # as if the crash had come before it was removed
    with Recorder(tmp_path, SHAPE) as recorder:
        assert recorder.waiting == 0
    assert sealed(tmp_path) == [1]


def test_a_seal_that_failed_makes_the_same_shard_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Recorder(tmp_path, SHAPE, seal_examples=2) as recorder:
        with monkeypatch.context() as patched:
            patched.setattr("covey_client.recorder.durable.replace", full)
            with pytest.raises(CoveyError, match="not recorded: no space left on device"):
                recorder.append(example(0), 0)
        recorder.append(example(0), 0)
        with monkeypatch.context() as patched:
            patched.setattr("covey_client.recorder.durable.replace", full)
            recorder.append(example(1), 1)  # recorded, though not sealed
            assert recorder.waiting == 2
            with pytest.raises(CoveyError, match="not recorded"):
                recorder.append(example(2), 2)
        recorder.append(example(2), 2)
    assert (sealed(tmp_path), waiting(tmp_path)) == ([0, 1], [2])


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from covey.errors import CoveyError
from covey_client.recorder import Recorder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Recorder(Path(sys.argv[1]), (2, 3)) as recorder:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    refused = 0
    for number in range(60):
        try:
            recorder.append(np.full((2, 3), number), number)
        except CoveyError:
            refused += 1
            if refused == 10:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            print(number)
"""


def test_a_full_disk_refuses_examples_and_takes_them_again_when_there_is_room(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], check=True, capture_output=True, timeout=60
    )
    acknowledged = [int(line) for line in ran.stdout.split()]
    assert len(acknowledged) == 50
    assert waiting(tmp_path) == acknowledged


WRITER = """
import sys
from pathlib import Path
import numpy as np
from covey_client.recorder import Recorder
folder, first, sync = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with Recorder(folder, (2, 3), seal_examples=7, sync_seconds=sync) as recorder:
    for number in range(first, first + 100_000):
        recorder.append(np.full((2, 3), number), number)
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


def killed_writer(folder: Path, first: int, lines: int, sync: float) -> list[int]:
    """What a writer acknowledged until it was killed, some time after so many lines."""
    argv = [sys.executable, "-c", WRITER, str(folder), str(first), str(sync)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        said = b"".join(writer.stdout.readline() for _ in range(lines))
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read()
    return [int(line) for line in said.split(b"\n")[:-1]]


@pytest.mark.parametrize("sync", [0.0, 60.0])
def test_nothing_acknowledged_is_lost_however_often_the_writer_is_killed(tmp_path: Path, sync: float) -> None:
    folder, acknowledged, chance = tmp_path / "data", list[int](), random.Random(int(sync))
    done, faults, reads = threading.Event(), list[BaseException](), list[int]()

    def train() -> None:
        while not done.is_set():
            try:
                data = FolderData(folder, 1 << 40, tmp_path / "division.json", None, print)
                trained, held_out = set(data.train.y.tolist()), set(data.held_out.y.tolist())
                assert not trained & held_out
                reads.append(len(trained) + len(held_out))
            except DataError as error:
                if "expected two or more" not in error.message and "No such file" not in error.message:
                    faults.append(error)
            except BaseException as error:  # noqa: BLE001 - told in the test's own thread
                faults.append(error)
            time.sleep(0.01)

    reader = threading.Thread(target=train)
    reader.start()
    for life in range(5):
        acknowledged += killed_writer(folder, life * 1_000_000, chance.randrange(1, 40), sync)
    done.set()
    reader.join()
    recorded = sealed(folder) + waiting(folder)
    assert recorded == sorted(set(recorded))
    assert set(acknowledged) <= set(recorded)
    assert len(recorded) <= len(acknowledged) + 5  # one in each life that was written and not yet told
    assert not faults
    assert reads
    assert max(reads) <= len(sealed(folder))
    with Recorder(folder, SHAPE) as recorder:
        recorder.seal()
    assert sealed(folder) == recorded
    assert leaves_hidden_files_only(folder)


def leaves_hidden_files_only(folder: Path) -> bool:
    """A shard that was being written when its writer was killed leaves a hidden file, which nothing reads."""
    others = [path for path in folder.iterdir() if path.suffix != ".npz"]
    return all(path.name.startswith(".") and path.suffix == ".tmp" for path in others)


def test_a_recorder_needs_no_rights_on_a_shard_for_others(tmp_path: Path) -> None:
    with Recorder(tmp_path / "new", SHAPE) as recorder:
        recorder.append(example(0), 0)
        assert (tmp_path / "new" / OPEN).stat().st_mode & 0o007 == 0
        recorder.seal()
    (shard,) = (tmp_path / "new").glob("*.npz")
    assert shard.stat().st_mode & 0o007 == 0
    assert (tmp_path / "new").stat().st_mode & 0o007 == 0


def test_a_writer_holds_few_files(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted
    with Recorder(tmp_path, SHAPE, seal_examples=1) as recorder:
        for number in range(20):
            recorder.append(example(number), number)
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208 - counted
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - counted
