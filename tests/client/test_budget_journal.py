"""A device's budget on its disk: there before anything leaves, whole after any cut, one for all processes."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import policed_fleet
from bent_grid import BentGrid
from covey import budget as budgets
from covey.budget import Adopted, Budget, Locked, Reserved, Row, Saw, Settled
from covey.delivery import NOT_SET_UP
from covey.errors import PlanRefused, StateError
from covey.spending import Asked
from covey_client.budget import FileJournal, Journal, MemoryJournal
from covey_client.claims import FileClaims
from covey_io import durable
from covey_strategies.wire import read_reply
from digits_fleet import VALIDATE, crowd
from policed_fleet import Run
from secagg_fleet import NOW, make_plan

FLEET = crowd(12)
HEX = "ab" * 32
ASKED = Asked.of(make_plan())


def digest(number: int) -> str:
    return hashlib.sha256(b"plan %d" % number).hexdigest()


def reserved(number: int) -> Reserved:
    return Reserved(NOW + number, digest(number), HEX, "validate", ASKED)


def settled(number: int, outcome: Any = "answered") -> Settled:
    return Settled(NOW + number, digest(number), outcome)


WRITES: tuple[tuple[Row, ...], ...] = (
    (Saw("log", 1, HEX, NOW), Adopted(NOW, HEX, 1, "device"), reserved(1)),
    (settled(1),),
    (Saw("log", 3, HEX, NOW + 1), reserved(2)),
    (settled(2, "released"), reserved(3)),
    (settled(3),),
)
"""What a device writes, each at once."""

ROWS: tuple[Row, ...] = tuple(row for rows in WRITES for row in rows)


def written(path: Path, counter: Path | None = None) -> FileJournal:
    journal = FileJournal(path, counter)
    for rows in WRITES:
        journal.write(rows)
    return journal


def lines(rows: tuple[Row, ...]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


# -- in memory and on disk alike


KINDS: dict[str, Callable[[Path], Journal]] = {
    "memory": lambda _: MemoryJournal(),
    "file": lambda folder: FileJournal(folder / "budget.jsonl"),
    "file and counter": lambda folder: FileJournal(folder / "budget.jsonl", folder / "counter"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_is_what_its_rows_come_to(kind: str, tmp_path: Path) -> None:
    journal = KINDS[kind](tmp_path)
    assert journal.budget == Budget()
    done: tuple[Row, ...] = ()
    for rows in WRITES:
        with journal.held():
            assert journal.budget == budgets.read(done)
            journal.write(rows)
        done = (*done, *rows)
        assert journal.budget == budgets.read(done)
    assert (journal.budget.counter, len(journal.budget.reserved)) == (3, 2)


def test_a_budget_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "budget.jsonl"
    first = written(path)
    assert FileJournal(path).budget == first.budget == budgets.read(ROWS)
    assert path.read_bytes() == lines(ROWS)


def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "budget.jsonl"
    FileJournal(path).write([])
    assert not path.exists()


# -- cuts and damage


@pytest.fixture
def _unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small files are written faster."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.usefixtures("_unflushed")
def test_a_cut_at_any_byte_loses_no_complete_row(tmp_path: Path) -> None:
    """The torn one goes: nothing had followed from it. What is written next is read back."""
    path, rows = tmp_path / "budget.jsonl", ROWS[2:5]
    whole = lines(rows)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        journal = FileJournal(path)
        assert journal.budget == budgets.read(rows[:kept])
        assert path.read_bytes() == lines(rows[:kept])
        if cut % 7 == 0:
            journal.write([reserved(9)])
            assert FileJournal(path).budget == budgets.read([*rows[:kept], reserved(9)])


def test_a_locked_budget_stays_locked_after_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "budget.jsonl"
    journal = written(path)
    journal.write([Locked(NOW, "it was put back")])
    path.write_bytes(path.read_bytes() + b'{"event":"settle","ti')
    with pytest.raises(PlanRefused, match="it was put back"):
        budgets.check_open(FileJournal(path).budget)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\n" + data,
        lambda data: data.replace(b"\n", b"\n\n", 1),
        lambda data: data.replace(b'"reserve"', b'"reverse"', 1),
        lambda data: data.replace(b'{"event"', b'{"evenT"', 1),
        lambda data: data.replace(b"}\n", b"\n", 1),
        lambda data: data.replace(b"\n", b"", 1),
        lambda data: data.replace(b'"answered"', b'"forgiven"', 1),
        lambda data: bytes(len(data) - 1) + b"\n",
        lambda data: data[:50] + b"\xff\xfe" + data[52:],
        lambda data: data + b"null\n",
        lambda data: data + b"[]\n",
        lambda data: data + b'{"event":"settle"}\n',
    ],
)
def test_a_damaged_row_is_a_damaged_journal(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A device whose memory cannot be trusted answers nothing, and mends nothing by itself."""
    path = tmp_path / "budget.jsonl"
    data = damage(lines(ROWS))
    path.write_bytes(data)
    with pytest.raises(StateError, match=r"budget\.jsonl is damaged") as caught:
        FileJournal(path)
    assert caught.value.hint
    assert path.read_bytes() == data


@pytest.mark.usefixtures("_unflushed")
def test_a_bit_of_a_row_that_is_flipped_is_noticed_or_frees_nothing(tmp_path: Path) -> None:
    """What can be read may be another budget, never one with less spent of the same rows' number."""
    path, whole = tmp_path / "budget.jsonl", lines(ROWS)
    spent = budgets.read(ROWS)
    for place in range(len(whole) - 1):
        bent = bytearray(whole)
        bent[place] ^= 1 << place % 8
        path.write_bytes(bent)
        try:
            found = FileJournal(path).budget
        except StateError:
            continue
        assert found.counter == spent.counter
        assert len(found.reserved) >= len(spent.reserved)


def test_what_failed_to_be_written_was_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes half a row: it does not count, and what is written once there is room does."""
    path = tmp_path / "budget.jsonl"
    journal = FileJournal(path)
    journal.write(WRITES[0])

    def full(file: Path, data: bytes) -> None:
        with file.open("ab") as torn:
            torn.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable, "append", full)
        with pytest.raises(OSError, match="No space"):
            journal.write([reserved(2)])
        assert journal.budget == budgets.read(WRITES[0])
    journal.write([reserved(3)])
    assert journal.budget == FileJournal(path).budget == budgets.read([*WRITES[0], reserved(3)])


# -- before anything leaves


def test_rows_are_flushed_before_write_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the journal and its name, then what counts it elsewhere."""
    flushed: list[str] = []
    really = os.fsync

    def watched(descriptor: int) -> None:
        really(descriptor)
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    other = tmp_path / "card"
    other.mkdir()
    journal = FileJournal(tmp_path / "keys" / "budget.jsonl", other / "counter")
    monkeypatch.setattr(os, "fsync", watched)
    journal.write(WRITES[0])
    assert flushed == ["budget.jsonl", "keys", ".counter.tmp", "card"]
    flushed.clear()
    journal.write(WRITES[1])
    assert flushed == ["budget.jsonl", ".counter.tmp", "card"]


def test_a_plan_is_paid_for_before_data_is_touched_and_claimed_before_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write is on disk before the next step; the advert is the last."""
    steps: list[str] = []
    append, put = durable.append, durable.replace

    def appending(path: Path, line: bytes) -> None:
        append(path, line)
        steps.extend(f"{path.name} {msgspec.json.decode(row)['event']}" for row in line.split(b"\n")[:-1])

    def replacing(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        put(path, data, mode=mode)
        steps.append(f"{path.name} {'stages' if b'advertise' in data else 'roster'}")

    class Watched:
        def __getattr__(self, name: str) -> Any:
            steps.append("data")
            return getattr(FLEET.devices[2].data, name)

    monkeypatch.setattr(durable, "append", appending)
    monkeypatch.setattr(durable, "replace", replacing)
    device = policed_fleet.owned(
        2,
        FLEET,
        device=replace(FLEET.devices[2], data=Watched()),
        claims=FileClaims(tmp_path / "claims.json"),
        journal=FileJournal(tmp_path / "budget.jsonl"),
    )
    (reply,) = BentGrid({2: device}).deliver(Run(FLEET).question(VALIDATE).messages()[:1])
    assert read_reply(reply)
    first = steps.index("data")
    assert [step for step in steps if step != "data"] == [
        "claims.json roster",
        "budget.jsonl ledger",
        "budget.jsonl policy",
        "budget.jsonl reserve",
        "claims.json stages",
    ]
    assert steps.index("budget.jsonl reserve") < first < steps.index("claims.json stages")


@pytest.mark.parametrize("broken", ["append", "replace"])
def test_what_cannot_be_written_down_is_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on /home/alice")

    device = policed_fleet.owned(
        2,
        FLEET,
        claims=FileClaims(tmp_path / "claims.json"),
        journal=FileJournal(tmp_path / "budget.jsonl", tmp_path / "counter"),
    )
    monkeypatch.setattr(durable, broken, full)
    (reply,) = BentGrid({2: device}).deliver(Run(FLEET).question(VALIDATE).messages()[:1])
    assert reply.error.reason == NOT_SET_UP
    assert "/home/alice" in capsys.readouterr().err


# -- a second storage


def test_the_other_storage_holds_the_count(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    journal = FileJournal(tmp_path / "budget.jsonl", counter)
    assert counter.read_bytes() == b"0\n"
    for rows, count in zip(WRITES, (1, 1, 2, 3, 3), strict=True):
        journal.write(rows)
        assert counter.read_bytes() == b"%d\n" % count


def test_a_journal_that_was_put_back_is_locked_for_ever(tmp_path: Path) -> None:
    path, counter = tmp_path / "budget.jsonl", tmp_path / "counter"
    journal = FileJournal(path, counter)
    journal.write(WRITES[0])
    image = path.read_bytes()
    for rows in WRITES[1:]:
        journal.write(rows)
    path.write_bytes(image)
    told = f"{counter} counts 3 plans, the journal 1: it was put back"
    assert FileJournal(path, counter).budget.locked == told
    # also without the other storage, and if the count is put back as well
    counter.write_bytes(b"1\n")
    for again in (FileJournal(path), FileJournal(path, counter)):
        with pytest.raises(PlanRefused, match="it was put back"):
            budgets.check_open(again.budget)


def test_a_journal_that_is_gone_is_found_by_its_count(tmp_path: Path) -> None:
    path, counter = tmp_path / "budget.jsonl", tmp_path / "counter"
    written(path, counter)
    path.unlink()
    assert "counts 3 plans, the journal 0" in FileJournal(path, counter).budget.locked


def test_a_cut_between_the_two_storages_locks_nothing(tmp_path: Path) -> None:
    """The journal is first: it may be one ahead, never behind."""
    path, counter = tmp_path / "budget.jsonl", tmp_path / "counter"
    written(path, counter)
    counter.write_bytes(b"2\n")
    journal = FileJournal(path, counter)
    assert not journal.budget.locked
    journal.write([reserved(4)])
    assert counter.read_bytes() == b"4\n"


@pytest.mark.parametrize("data", [b"", b"three", b"3.0", b"\xff\xfe"])
def test_a_count_that_is_none_is_told(tmp_path: Path, data: bytes) -> None:
    path, counter = tmp_path / "budget.jsonl", tmp_path / "counter"
    written(path, counter)
    counter.write_bytes(data)
    with pytest.raises(StateError, match="counter is damaged") as caught:
        FileJournal(path, counter)
    assert caught.value.hint


def test_another_storage_that_is_gone_is_told(tmp_path: Path) -> None:
    """A card that was pulled out must not be the way around it."""
    path, counter = tmp_path / "budget.jsonl", tmp_path / "counter"
    written(path, counter)
    counter.unlink()
    with pytest.raises(StateError, match="counter is gone, the journal counts 3 plans") as caught:
        FileJournal(path, counter)
    assert "write 3 into it" in caught.value.hint
    counter.write_bytes(b"3\n")
    assert FileJournal(path, counter).budget == budgets.read(ROWS)


# -- several processes


HOLD = """
import sys
from pathlib import Path
from covey.budget import Locked
from covey_client.budget import FileJournal
journal = FileJournal(Path(sys.argv[1]))
with journal.held():
    print("held", flush=True)
    sys.stdin.readline()
    journal.write([Locked(1, "by the child")])
print("done", flush=True)
sys.stdin.readline()
"""

APPEND = """
import sys
from pathlib import Path
import msgspec
from covey.budget import Row
from covey_client.budget import FileJournal
path, rows = Path(sys.argv[1]), msgspec.json.decode(sys.stdin.read(), type=list[Row])
for row in rows:
    FileJournal(path, path.with_name("counter")).write([row])
"""


def python(program: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def is_locked(path: Path) -> bool:
    with path.with_name(f".{path.name}.lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_another_process_is_kept_from_it_and_its_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "budget.jsonl"
    own = written(path)
    with python(HOLD, path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert is_locked(path)
        assert own.budget == budgets.read(ROWS)
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n"
        assert not is_locked(path)
        with own.held():
            assert own.budget.locked == "by the child"
        child.stdin.write("end\n")
    assert child.returncode == 0


def test_a_process_that_is_killed_keeps_nobody_from_it(tmp_path: Path) -> None:
    path = tmp_path / "budget.jsonl"
    written(path)
    with python(HOLD, path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.kill()
    with FileJournal(path).held():
        pass
    assert FileJournal(path).budget == budgets.read(ROWS)


def test_processes_that_write_at_once_lose_no_row(tmp_path: Path) -> None:
    """None takes another's half-written row for a torn one, and none finds the journal behind its count."""
    path, each, count = tmp_path / "budget.jsonl", 25, 3
    children = []
    for number in range(count):
        rows = [reserved(100 * number + place) for place in range(each)]
        child = python(APPEND, path)
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(rows).decode())
        child.stdin.close()
        children.append(child)
    for child in children:
        assert child.wait(120) == 0
        assert child.stdout is not None
        child.stdout.close()
    budget = FileJournal(path, tmp_path / "counter").budget
    assert budget.counter == each * count
    assert set(budget.reserved) == {digest(100 * n + i) for n in range(count) for i in range(each)}
    assert not budget.locked
    assert (tmp_path / "counter").read_bytes() == b"%d\n" % (each * count)
