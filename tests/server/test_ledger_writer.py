"""The ledger's writer, cut short, set back, and watched by witnesses that are away, lie or know more."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import appending
from appending import LOG, ORIGIN, entry, watched
from covey import merkle
from covey.errors import CoveyError, InputError, RoundAborted, StateError
from covey.ledger import entries
from covey.ledger.checkpoint import LogTrust, claimed, open_checkpoint
from covey.ledger.entries import AnyEntry, Waiver
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer, parse
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_io.witness_client import Answer, Conflict, LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_server.ledger_writer import LedgerWriter, Log, latest, writing
from covey_server.ledgers import OWN_KEY, UNWATCHED, opened, unwatched

TRUST = LogTrust(ORIGIN, LOG.verifier, (), 0)
NOW = 1_700_000_000


def open_writer(folder: Path, log: Log) -> AbstractContextManager[LedgerWriter]:
    return writing(LedgerFiles(folder), log, lambda: NOW)


def new_witness(folder: Path, name: str = "w1") -> Path:
    WitnessFolder.make(folder / name, f"test/{name}", (LOG.verifier,))
    return folder / name


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return new_witness(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, witness: Path) -> Path:
    """A ledger of five entries, announced after the second and the fifth."""
    with open_writer(tmp_path / "ledger", watched(witness)) as ledger:
        for numbers in (range(2), range(2, 5)):
            ledger.append(map(entry, numbers))
            ledger.announce()
    return tmp_path / "ledger"


def lines_of(folder: Path) -> list[bytes]:
    lines, torn = LedgerFiles(folder).lines()
    assert torn == b""
    return lines


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def head_of(folder: Path) -> tuple[int, bytes]:
    found = claimed((folder / "checkpoint").read_bytes(), blame="test")
    return found.size, found.root


class TestAppending:
    def test_entries_are_on_disk_in_order_when_the_call_returns(self, tmp_path: Path, witness: Path) -> None:
        added = [entry(number) for number in range(5)]
        with open_writer(tmp_path / "a", watched(witness)) as ledger:
            assert ledger.append(added[:2]) == (0, 1)
            assert lines_of(tmp_path / "a") == [entries.encode(each) for each in added[:2]]
            assert ledger.append(iter(added[2:])) == (2, 3, 4)
            assert lines_of(tmp_path / "a") == [entries.encode(each) for each in added]
            assert ledger.append([]) == ()
            assert ledger.entries == added
            assert [ledger.line(index) for index in range(5)] == lines_of(tmp_path / "a")

    def test_what_is_appended_is_in_no_head_before_it_is_announced(
        self, tmp_path: Path, witness: Path
    ) -> None:
        with open_writer(tmp_path / "a", watched(witness)) as ledger:
            ledger.append([entry(1)])
            assert not (tmp_path / "a/checkpoint").exists()
            assert ledger.head is None
            head = ledger.announce()
            assert head_of(tmp_path / "a") == (head.checkpoint.size, head.checkpoint.root)
            assert head.checkpoint.root == merkle.root(lines_of(tmp_path / "a"))
            ledger.append([entry(2)])
            assert head_of(tmp_path / "a")[0] == 1
            assert ledger.announce().checkpoint.size == 2

    def test_a_head_is_what_a_device_of_the_policy_believes(self, folder: Path, witness: Path) -> None:
        data = (folder / "checkpoint").read_bytes()
        found = open_checkpoint(data, watched(witness).trust, blame="test")
        assert found.checkpoint.root == merkle.root(lines_of(folder))
        assert found.time > NOW

    def test_with_nothing_new_the_head_stays_to_the_byte(self, folder: Path, witness: Path) -> None:
        before = (folder / "checkpoint").read_bytes()
        with open_writer(folder, watched(witness)) as ledger:
            assert ledger.announce().note == before
            ledger.append([])
            assert ledger.announce() is ledger.head
        assert (folder / "checkpoint").read_bytes() == before

    def test_what_was_written_is_there_when_it_is_opened_again(self, folder: Path, witness: Path) -> None:
        with open_writer(folder, watched(witness)) as ledger:
            assert ledger.entries == [entry(number) for number in range(5)]
            assert ledger.head
            assert ledger.head.checkpoint.size == 5
            assert ledger.append([entry(5)]) == (5,)
            assert ledger.announce().checkpoint.root == merkle.root(lines_of(folder))
            assert ledger.now == NOW

    def test_the_last_entry_of_a_kind_is_found(self) -> None:
        abort = entries.Abort(time=3, plan="ab" * 32, reason="no")
        found: list[AnyEntry] = [entry(1), abort, entry(2)]
        assert latest(found, Waiver) == entry(2)
        assert latest(found, entries.Abort) == abort
        assert latest(found, entries.Reserve) is None

    def test_a_second_writer_is_refused_until_the_first_is_done(self, folder: Path, witness: Path) -> None:
        with open_writer(folder, watched(witness)):
            before = content(folder)
            with (
                pytest.raises(InputError, match="in use by another process"),
                open_writer(folder, watched(witness)),
            ):
                pass
            assert content(folder) == before
        with open_writer(folder, watched(witness)):
            pass


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["one", "three", "announce", "reopen", "tear"]), max_size=12))
def test_whatever_is_done_in_any_order_every_head_is_of_the_first_entries(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        where, witness = Path(name) / "ledger", new_witness(Path(name))
        written: list[AnyEntry] = []
        heads: list[tuple[int, bytes]] = []
        for several in _until_reopened(steps):
            with open_writer(where, watched(witness)) as ledger:
                assert ledger.entries == written
                for step in several:
                    if step == "announce":
                        ledger.announce()
                        heads.append(head_of(where))
                    else:
                        added = [entry(len(written) + more) for more in range({"one": 1, "three": 3}[step])]
                        written += added
                        ledger.append(added)
            if "tear" in steps:
                with (where / "entries.jsonl").open("ab") as file:
                    file.write(b'{"kind":"abor')
        history = History.of([entries.encode(each) for each in written])
        assert all(root == history.root(size) for size, root in heads)


def _until_reopened(steps: list[str]) -> Iterator[list[str]]:
    several: list[str] = []
    for step in steps:
        if step in {"reopen", "tear"}:
            yield several
            several = []
        else:
            several.append(step)
    yield several
    yield []


@dataclass
class Disk:
    """What was flushed, in order."""

    flushed: list[str] = field(default_factory=list)

    def first(self, name: str) -> int:
        return self.flushed.index(name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found, fsync = Disk(), os.fsync

    def watched_fsync(descriptor: int) -> None:
        found.flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    return found


class TestDurable:
    def test_entries_are_flushed_before_a_witness_remembers_a_head_and_that_before_it_is_put_in_place(
        self, folder: Path, witness: Path, disk: Disk
    ) -> None:
        with open_writer(folder, watched(witness)) as ledger:
            disk.flushed.clear()
            ledger.append([entry(5)])
            assert disk.flushed == ["entries.jsonl"]
            ledger.announce()
        (note,) = (path.name for path in (witness / "latest").iterdir())
        assert disk.first("entries.jsonl") < disk.first(f".{note}.tmp") < disk.first(".checkpoint.tmp")

    def test_what_another_process_wrote_and_did_not_flush_is_flushed_before_it_is_announced(
        self, folder: Path, witness: Path, disk: Disk
    ) -> None:
        with (folder / "entries.jsonl").open("ab") as file:  # and then it was killed
            file.write(entries.encode(entry(5)) + b"\n")
        with open_writer(folder, watched(witness)) as ledger:
            assert ledger.announce().checkpoint.size == 6
        assert disk.first("entries.jsonl") < disk.first(".checkpoint.tmp")

    def test_the_name_of_a_file_that_another_process_made_is_flushed_too(
        self, tmp_path: Path, witness: Path, disk: Disk
    ) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a/entries.jsonl").write_bytes(entries.encode(entry(0)) + b"\n")
        with open_writer(tmp_path / "a", watched(witness)) as ledger:
            ledger.announce()
        assert disk.first("a") < disk.first(".checkpoint.tmp")

    def test_a_full_disk_is_said_and_nothing_is_written_behind_half_a_line(
        self, folder: Path, witness: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append = durable.append

        def full(path: Path, line: bytes) -> None:
            append(path, line[: len(line) // 2])
            raise OSError(28, "No space left on device")

        with open_writer(folder, watched(witness)) as ledger:
            with monkeypatch.context() as patched:
                patched.setattr(durable, "append", full)
                with pytest.raises(StateError, match=r"entries\.jsonl: no space left on device"):
                    ledger.append([entry(5)])
            with pytest.raises(StateError, match="could not be written before"):
                ledger.append([entry(6)])
            assert len(ledger.entries) == ledger.history.size == 5
        with open_writer(folder, watched(witness)) as ledger:
            assert ledger.append([entry(6)]) == (5,)
            assert ledger.entries[5] == entry(6)


@pytest.mark.parametrize("torn", [b"{", entries.encode(entry(5)), entries.encode(entry(5, 70_000))[:-1]])
def test_a_torn_last_line_is_taken_off_and_the_next_begins_at_a_lines_start(
    folder: Path, witness: Path, torn: bytes
) -> None:
    whole = (folder / "entries.jsonl").read_bytes()
    (folder / "entries.jsonl").write_bytes(whole + torn)
    with open_writer(folder, watched(witness)) as ledger:
        assert (folder / "entries.jsonl").read_bytes() == whole
        assert ledger.append([entry(6)]) == (5,)
        assert ledger.announce().checkpoint.root == merkle.root(lines_of(folder))
    assert (folder / "entries.jsonl").read_bytes() == whole + entries.encode(entry(6)) + b"\n"


def _lines(change: Callable[[list[bytes]], Sequence[bytes]]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        kept = change(lines_of(folder))
        (folder / "entries.jsonl").write_bytes(b"".join(line + b"\n" for line in kept))

    return spoil


def _tear(folder: Path) -> None:
    """Half of an announced line is gone: to be put back, and not to be taken for a torn one."""
    whole = (folder / "entries.jsonl").read_bytes()
    (folder / "entries.jsonl").write_bytes(whole[:-20])


def _tear_a_damaged_one(folder: Path) -> None:
    with (folder / "entries.jsonl").open("ab") as file:
        file.write(b"hello\nhalf")


def _remove(folder: Path) -> None:
    (folder / "entries.jsonl").unlink()


ANOTHER = entries.encode(entry(99))

DAMAGE: dict[str, Callable[[Path], None]] = {
    "last lost": _lines(lambda lines: lines[:-1]),
    "first lost": _lines(lambda lines: lines[1:]),
    "all lost": _lines(lambda _: []),
    "no file": _remove,
    "announced and torn": _tear,
    "changed": _lines(lambda lines: [*lines[:2], ANOTHER, *lines[3:]]),
    "inserted": _lines(lambda lines: [*lines[:2], ANOTHER, *lines[2:]]),
    "swapped": _lines(lambda lines: [lines[1], lines[0], *lines[2:]]),
    "no entry": _lines(lambda lines: [*lines, b"hello"]),
    "an empty line": _lines(lambda lines: [*lines, b""]),
    "another spelling": _lines(lambda lines: [*lines, b" " + ANOTHER]),
    "no entry before a torn one": _tear_a_damaged_one,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_entries_that_are_missing_or_changed_stop_the_writer_and_nothing_is_overwritten(
    folder: Path, witness: Path, name: str
) -> None:
    DAMAGE[name](folder)
    before, seen = content(folder), content(witness)
    with (
        pytest.raises(StateError, match=r"entries\.jsonl") as caught,
        open_writer(folder, watched(witness)),
    ):
        pass
    assert "nothing was overwritten" in caught.value.hint
    assert (content(folder), content(witness)) == (before, seen)


def test_a_damaged_entry_is_named(folder: Path, witness: Path) -> None:
    DAMAGE["no entry"](folder)
    with (
        pytest.raises(StateError, match="is damaged: entry 5: a malformed entry"),
        open_writer(folder, watched(witness)),
    ):
        pass


class TestHead:
    @pytest.mark.parametrize("data", [b"", b"hello", b"\xff\n\n"])
    def test_one_that_is_none_is_not_overwritten(self, folder: Path, witness: Path, data: bytes) -> None:
        (folder / "checkpoint").write_bytes(data)
        with pytest.raises(StateError, match="checkpoint"), open_writer(folder, watched(witness)):
            pass
        assert (folder / "checkpoint").read_bytes() == data

    @pytest.mark.parametrize("name", [ORIGIN, "test/other"])
    def test_one_of_another_key_or_name_is_refused(self, folder: Path, name: str) -> None:
        signer = Ed25519Signer(name, bytes(32))
        before = content(folder)
        log = Log(signer, LogTrust(signer.verifier.name, signer.verifier, (), 0), ())
        with pytest.raises(StateError, match="checkpoint") as caught, open_writer(folder, log):
            pass
        assert "another key" in caught.value.hint
        assert content(folder) == before

    def test_a_newer_policy_may_ask_for_more_witnesses(
        self, folder: Path, witness: Path, tmp_path: Path
    ) -> None:
        log = watched(witness, new_witness(tmp_path, "w2"), cosignatures=2)
        with open_writer(folder, log) as ledger:
            assert ledger.head is None  # devices would not believe the last one any more
            head = ledger.announce()
        assert head.checkpoint.size == 5
        assert open_checkpoint((folder / "checkpoint").read_bytes(), log.trust, blame="test") == head

    def test_a_newer_policy_may_ask_for_other_witnesses(self, folder: Path, tmp_path: Path) -> None:
        log = watched(new_witness(tmp_path, "w2"))
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            assert ledger.announce().checkpoint.size == 6
        with open_writer(folder, log) as ledger:
            assert ledger.head


@dataclass
class Spoken:
    """A witness that answers what it is told to, then as the one behind it."""

    behind: LocalWitness
    answers: list[Answer | Exception] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def cosign(self, old: int, proof: tuple[bytes, ...], note: bytes) -> Answer:
        """See `Witness`."""
        self.asked.append(old)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return self.behind.cosign(old, proof, note) if answer is None else answer

    def latest(self, origin: str) -> bytes | None:
        """See `Witness`."""
        return self.behind.latest(origin)


def spoken(folder: Path, *answers: Answer | Exception) -> tuple[Log, Spoken]:
    """A log that is watched by a witness that answers otherwise first."""
    log, witness = watched(folder), Spoken(LocalWitness(folder), [*answers])
    return Log(log.signer, log.trust, (witness,)), witness


NO_ANSWERS: dict[str, Answer | Exception] = {
    "away": CoveyError("http://here: no answer from the witness: connection refused", hint="start it"),
    "refuses": CoveyError("http://here: the witness refused (404): no log 'x' is known here"),
    "cannot write": OSError(28, "No space left on device"),
    "nonsense": "hello",
    "nothing": "",
    "half a line": "\u2014 test/w1 AAAA",
}


class TestWitness:
    @pytest.mark.parametrize("name", NO_ANSWERS)
    def test_without_an_answer_nothing_is_announced_and_the_next_head_has_everything(
        self, folder: Path, witness: Path, name: str
    ) -> None:
        log, _ = spoken(witness, NO_ANSWERS[name])
        before = (folder / "checkpoint").read_bytes()
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            with pytest.raises(RoundAborted, match="could not be witnessed: 0 of 1 cosignatures; ") as caught:
                ledger.announce()
            assert caught.value.hint.endswith("; then go on with the run")
            assert (folder / "checkpoint").read_bytes() == before
            assert ledger.entries[5] == entry(5)
            ledger.append([entry(6)])
            assert ledger.announce().checkpoint.size == 7
        assert head_of(folder) == (7, merkle.root(lines_of(folder)))

    @pytest.mark.parametrize("name", NO_ANSWERS)
    def test_one_without_an_answer_is_made_up_for_by_another(
        self, folder: Path, witness: Path, tmp_path: Path, name: str
    ) -> None:
        log = watched(new_witness(tmp_path, "w0"), witness)
        log = Log(log.signer, log.trust, (spoken(witness, NO_ANSWERS[name])[1], log.witnesses[1]))
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            assert ledger.announce().checkpoint.size == 6

    def test_why_there_was_none_is_said(self, folder: Path, witness: Path) -> None:
        log, _ = spoken(witness, NO_ANSWERS["away"])
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            with pytest.raises(
                RoundAborted, match=r": connection refused \(start it; then go on with the run\)$"
            ):
                ledger.announce()

    def test_what_was_not_witnessed_is_announced_after_a_restart(self, folder: Path, witness: Path) -> None:
        log, _ = spoken(witness, NO_ANSWERS["away"])
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            with pytest.raises(RoundAborted):
                ledger.announce()
        with open_writer(folder, watched(witness)) as ledger:
            assert ledger.announce().checkpoint.size == 6

    def test_a_writer_that_starts_anew_asks_where_the_witness_is(self, folder: Path, witness: Path) -> None:
        log, found = spoken(witness)
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            ledger.announce()
            ledger.append([entry(6)])
            ledger.announce()
        assert found.asked == [0, 5, 6]  # once too low, then it knows

    def test_a_witness_that_starts_anew_gets_a_proof_from_the_start(
        self, tmp_path: Path, witness: Path
    ) -> None:
        shutil.copytree(witness, tmp_path / "copy")
        log, found = spoken(witness)
        with open_writer(tmp_path / "a", log) as ledger:
            ledger.append(map(entry, range(3)))
            ledger.announce()
            found.behind = LocalWitness(tmp_path / "copy")  # the same key, and nothing remembered
            ledger.append([entry(3)])
            assert ledger.announce().checkpoint.size == 4
        assert found.asked == [0, 3, 0]

    def test_a_cosignature_that_came_before_a_crash_is_given_again(self, folder: Path, witness: Path) -> None:
        before = (folder / "checkpoint").read_bytes()
        with open_writer(folder, watched(witness)) as ledger:
            ledger.append([entry(5)])
            ledger.announce()
        (folder / "checkpoint").write_bytes(before)  # the witness remembers six, the head says five
        with open_writer(folder, watched(witness)) as ledger:
            assert ledger.announce().checkpoint.size == 6

    def test_one_that_names_another_size_each_time_is_given_up(self, folder: Path, witness: Path) -> None:
        log, found = spoken(witness, *[Conflict(size) for size in (1, 2, 3, 4, 5, 1, 2, 3)])
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            with pytest.raises(RoundAborted, match="another size each time"):
                ledger.announce()
        assert len(found.asked) == 3

    def test_one_that_has_seen_more_shows_that_the_folder_was_rolled_back(
        self, folder: Path, witness: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(folder, tmp_path / "backup")
        with open_writer(folder, watched(witness)) as ledger:
            ledger.append(map(entry, range(5, 9)))
            ledger.announce()
        before = content(tmp_path / "backup")
        with open_writer(tmp_path / "backup", watched(witness)) as ledger:
            assert ledger.append([entry(50)]) == (5,)
            with pytest.raises(StateError, match="has seen 9 entries of this ledger, here are 6") as caught:
                ledger.announce()
        assert "rolled back" in caught.value.hint
        after = content(tmp_path / "backup")
        assert after["checkpoint"] == before["checkpoint"]
        assert LocalWitness(witness).latest(ORIGIN) == (folder / "checkpoint").read_bytes()

    @pytest.mark.parametrize("more", [1, 2, 5])
    def test_one_that_has_seen_another_history_stops_the_writer(
        self, folder: Path, witness: Path, tmp_path: Path, more: int
    ) -> None:
        shutil.copytree(folder, tmp_path / "fork")
        with open_writer(folder, watched(witness)) as ledger:
            ledger.append([entry(5)])
            ledger.announce()
        with open_writer(tmp_path / "fork", watched(witness)) as ledger:
            ledger.append(entry(50 + number) for number in range(more))
            with pytest.raises(StateError, match=r"another log of 6 entries|does not continue"):
                ledger.announce()
        assert head_of(tmp_path / "fork")[0] == 5

    def test_no_number_of_others_makes_up_for_one_that_has_seen_another_history(
        self, folder: Path, witness: Path, tmp_path: Path
    ) -> None:
        second = new_witness(tmp_path, "w2")
        shutil.copytree(folder, tmp_path / "fork")
        with open_writer(folder, watched(witness)) as ledger:
            ledger.append([entry(5)])
            ledger.announce()
        with open_writer(tmp_path / "fork", watched(second, witness)) as ledger:
            ledger.append([entry(50)])
            with pytest.raises(StateError):
                ledger.announce()
        assert head_of(tmp_path / "fork")[0] == 5

    def test_a_cosignature_of_a_witness_that_the_policy_does_not_name_counts_for_nothing(
        self, folder: Path, witness: Path, tmp_path: Path
    ) -> None:
        stranger = LocalWitness(new_witness(tmp_path, "w2"))
        log = watched(witness)
        with open_writer(folder, Log(log.signer, log.trust, (stranger,))) as ledger:
            ledger.append([entry(5)])
            with pytest.raises(RoundAborted, match="0 of 1 cosignatures"):
                ledger.announce()
        with open_writer(folder, Log(log.signer, log.trust, (stranger, *log.witnesses))) as ledger:
            note = parse(ledger.announce().note, blame="test")
        assert [each.name for each in note.signatures] == [ORIGIN, "test/w1"]

    def test_a_cosignature_on_an_older_head_does_not_count(self, folder: Path, witness: Path) -> None:
        (old,) = parse((folder / "checkpoint").read_bytes(), blame="test").signatures[1:]
        log, _ = spoken(witness, old.line)
        with open_writer(folder, log) as ledger:
            ledger.append([entry(5)])
            with pytest.raises(RoundAborted, match="0 of 1 cosignatures"):
                ledger.announce()


@dataclass(frozen=True)
class Writers:
    """Processes that write a ledger until they are killed."""

    process: "subprocess.Popen[str]"
    folder: Path

    def killed_after(self, seconds: float, seed: int, *, busy: bool) -> None:
        """Start one, and kill it; if it is to be busy, after it has told of a head."""
        before, deadline = len(self.told()), time.monotonic() + 60
        request = {
            "folder": str(self.folder / "ledger"),
            "witness": str(self.folder / "w1"),
            "told": str(self.folder / "told"),
            "seed": str(seed),
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        while busy and len(self.told()) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        assert int(self.process.stdout.readline()) == -signal.SIGKILL, "it ended before it was killed"

    def told(self) -> list[tuple[int, bytes]]:
        """The heads that were announced, as far as the writers came to tell of them."""
        path = self.folder / "told"
        rows = [line.split() for line in path.read_text("ascii").splitlines()] if path.exists() else []
        return [(int(size), bytes.fromhex(root)) for size, root in rows]


@contextmanager
def writers(folder: Path) -> Iterator[Writers]:
    """A process that has imported everything."""
    process = subprocess.Popen(
        [sys.executable, appending.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Writers(process, folder)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def announced(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Heads that somebody may have seen though the writer did not come to tell of them."""
    for path in [folder / "ledger/checkpoint", *(folder / "w1/latest").glob("[!.]*.note")]:
        if path.exists() and not path.read_bytes().startswith(b"nothing"):
            found = claimed(path.read_bytes(), blame="test")
            yield found.size, found.root


def check_killed(folder: Path, times: int, seed: int) -> None:
    """Kill a writer again and again: no head that was announced may name an entry that is not there."""
    new_witness(folder)
    rng = random.Random(seed)
    whole: list[bytes] = []
    unannounced = 0
    with writers(folder) as running:
        for number in range(times):
            running.killed_after(rng.uniform(0, 0.15), rng.randrange(1 << 30), busy=number % 4 > 0)
            files = LedgerFiles(folder / "ledger")
            lines, _ = files.lines() if files.is_there else ([], b"")
            history = History.of(lines)
            for size, root in [*running.told(), *announced(folder)]:
                assert size <= len(lines), f"kill {number}: an entry that was announced is lost"
                assert root == history.root(size), f"kill {number}: an entry that was announced is another"
            assert lines[: len(whole)] == whole, f"kill {number}: an entry is lost"
            if number % 2:  # the next writer recovers what is there, or this one
                with open_writer(folder / "ledger", watched(folder / "w1")) as ledger:
                    unannounced += ledger.head is None or ledger.head.checkpoint.size < len(lines)
                    assert ledger.append([entry(number)]) == (len(lines),)
                    assert ledger.announce().checkpoint.size == len(lines) + 1
                lines = lines_of(folder / "ledger")
            whole = lines
        assert len(running.told()) > times / 2
    assert len(whole) > times
    assert unannounced  # the kills came at moments that matter


def test_a_writer_that_is_killed_thirty_times_loses_nothing_that_it_announced(tmp_path: Path) -> None:
    check_killed(tmp_path, 30, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_writer_that_is_killed_a_hundred_times_loses_nothing_that_it_announced(
    tmp_path: Path, seed: int
) -> None:
    check_killed(tmp_path, 100, seed)


class TestOpened:
    """Of runs without a policy, a key in the ledger's own folder signs; nobody watches."""

    def test_a_run_without_a_policy_has_a_key_of_its_own_which_is_kept(self, tmp_path: Path) -> None:
        files = LedgerFiles(tmp_path / "ledger")
        for number in range(2):
            with opened(files, None) as ledger:
                assert ledger.append([entry(number)]) == (number,)
                head = ledger.announce()
        assert head.checkpoint.origin == UNWATCHED
        assert (files.path / OWN_KEY).stat().st_mode & 0o077 == 0
        assert open_checkpoint(head.note, unwatched(files.path).trust, blame="test") == head

    @pytest.mark.parametrize("content", ["", "xyz", "ab" * 31, "é" * 64])
    def test_a_key_that_is_none_is_not_shown(self, tmp_path: Path, content: str) -> None:
        files = LedgerFiles(tmp_path)
        (tmp_path / OWN_KEY).write_text(content, "utf-8")
        with pytest.raises(InputError, match="is no key") as caught, opened(files, None):
            pass
        assert not content or content not in str(caught.value)

    def test_a_ledger_of_runs_under_a_policy_takes_none_without(self, folder: Path) -> None:
        before = content(folder)
        with (
            pytest.raises(InputError, match="of runs under a policy") as caught,
            opened(LedgerFiles(folder), None),
        ):
            pass
        assert "folder of their own" in caught.value.hint
        assert content(folder) == before

    def test_a_ledger_of_runs_without_a_policy_takes_none_with(self, tmp_path: Path, witness: Path) -> None:
        files = LedgerFiles(tmp_path / "ledger")
        with opened(files, None) as ledger:
            ledger.append([entry(0)])
        with pytest.raises(InputError, match="nobody witnesses"), opened(files, watched(witness)):
            pass
        assert not files.checkpoint.exists()
