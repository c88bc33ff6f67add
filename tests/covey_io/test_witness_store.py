"""A witness's folder: what it remembers outlives it, and is never lost without a word."""

import hashlib
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from covey.errors import InputError, StateError
from covey.ledger.checkpoint import Checkpoint, LogTrust, open_checkpoint, sign_checkpoint
from covey.ledger.note import Cosigner, Ed25519Signer
from covey.ledger.witness import Cosigned, Refused, request_of
from covey_io import durable
from covey_io.witness_store import WitnessFolder
from witnessed_log import FORK, HISTORY, LOG, ORIGIN, SIZE, asked, signed

NOW = 1_700_000_000
OTHER = Ed25519Signer("example.com/other", hashlib.sha256(b"other log").digest())


@pytest.fixture
def witness(tmp_path: Path) -> WitnessFolder:
    return WitnessFolder.make(tmp_path / "witness", "w.example", (LOG.verifier,))


def cosigned(witness: WitnessFolder, request: bytes) -> Cosigned:
    answer = witness.answer(request, NOW)
    assert isinstance(answer, Cosigned), answer
    return answer


def refused(witness: WitnessFolder, request: bytes) -> Refused:
    answer = witness.answer(request, NOW)
    assert isinstance(answer, Refused), answer
    return answer


def note(witness: WitnessFolder, origin: str = ORIGIN) -> Path:
    return witness.folder / "latest" / f"{hashlib.sha256(origin.encode()).hexdigest()}.note"


def test_a_new_witness_knows_its_logs_and_has_seen_nothing(witness: WitnessFolder) -> None:
    opened = WitnessFolder.open(witness.folder)
    assert opened == witness
    assert opened.logs == {ORIGIN: LOG.verifier}
    assert opened.latest(ORIGIN) is None
    assert opened.latest("example.com/unknown") is None
    assert (witness.folder / "witness.vkey").read_text() == f"{witness.key.verifier.vkey}\n"


def test_its_key_is_for_its_owner_only_and_another_witness_has_another(
    witness: WitnessFolder, tmp_path: Path
) -> None:
    assert (witness.folder / "witness.key").stat().st_mode & 0o777 == 0o600
    assert witness.folder.stat().st_mode & 0o777 == 0o700
    assert WitnessFolder.make(tmp_path / "another", "w.example").key != witness.key
    assert witness.key.private.hex() not in repr(witness)


def test_what_was_cosigned_is_remembered_by_the_next_process(witness: WitnessFolder) -> None:
    first = cosigned(witness, asked(0, 7))
    again = WitnessFolder.open(witness.folder)
    assert again.latest(ORIGIN) == first.seen
    assert refused(again, asked(0, 20)).body == b"7\n"
    assert cosigned(again, asked(7, 20)).seen.size == 20
    trust = LogTrust(ORIGIN, LOG.verifier, (witness.key.verifier,), 1)
    assert open_checkpoint(note(witness).read_bytes(), trust, blame="witness").checkpoint.size == 20


def test_a_fork_is_refused_after_a_restart(witness: WitnessFolder) -> None:
    cosigned(witness, asked(0, 20))
    again = WitnessFolder.open(witness.folder)
    assert refused(again, request_of(20, (), signed(20, FORK))).status == 409
    assert refused(again, asked(20, 30, FORK)).status == 422
    assert again.latest(ORIGIN) == witness.latest(ORIGIN)


def test_logs_are_remembered_apart(witness: WitnessFolder) -> None:
    cosigned(witness, asked(0, 20))
    other = sign_checkpoint(Checkpoint(OTHER.name, 3, HISTORY.root(3)), OTHER)
    assert refused(witness, request_of(0, (), other)).status == 404
    witness.add_log(OTHER.verifier)
    assert witness.latest(OTHER.name) is None
    assert cosigned(witness, request_of(0, (), other)).seen.size == 3
    seen = witness.latest(ORIGIN)
    assert seen is not None
    assert seen.size == 20


def test_adding_a_log_again_changes_nothing(witness: WitnessFolder) -> None:
    cosigned(witness, asked(0, 20))
    witness.add_log(LOG.verifier)
    assert refused(witness, asked(0, 30)).body == b"20\n"
    assert len(witness.logs) == 1


def test_a_log_that_comes_back_finds_what_was_seen_of_it(witness: WitnessFolder) -> None:
    cosigned(witness, asked(0, 20))
    (witness.folder / "logs").write_text("")
    assert refused(witness, asked(20, 30)).status == 404
    witness.add_log(LOG.verifier)
    assert refused(witness, asked(0, 30)).body == b"20\n"


def test_a_log_has_one_key_and_it_is_no_witnesss(witness: WitnessFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one log with two keys"):
        witness.add_log(Ed25519Signer(ORIGIN, bytes(32)).verifier)
    with pytest.raises(InputError, match="a witness's key, not a log's"):
        witness.add_log(Cosigner("example.com/x", bytes(32), 0).verifier)
    with pytest.raises(InputError, match="one log with two keys"):
        WitnessFolder.make(tmp_path / "x", "w", (LOG.verifier, Ed25519Signer(ORIGIN, bytes(32)).verifier))
    assert not (tmp_path / "x").exists()


def test_nothing_is_overwritten_and_a_name_is_a_name(witness: WitnessFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is there already"):
        WitnessFolder.make(witness.folder, "w.example")
    with pytest.raises(InputError, match="cannot name a key") as caught:
        WitnessFolder.make(tmp_path / "x", "two words")
    assert caught.value.hint
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "zeroed", "not its own"])
def test_a_damaged_memory_is_an_error_and_nothing_is_cosigned(witness: WitnessFolder, damage: str) -> None:
    data = cosigned(witness, asked(0, 20)).seen.note
    damaged = {
        "empty": b"",
        "cut": data[:-1],
        "changed": data.replace(b"\n20\n", b"\n19\n"),
        "zeroed": bytes(len(data)),
        "not its own": signed(20),
    }[damage]
    note(witness).write_bytes(damaged)
    for request in (asked(0, 3, FORK), asked(20, 30)):
        with pytest.raises(StateError, match="is damaged") as caught:
            witness.answer(request, NOW)
        assert str(note(witness)) in caught.value.message
    assert note(witness).read_bytes() == damaged


def test_a_missing_memory_is_not_a_new_beginning(witness: WitnessFolder) -> None:
    cosigned(witness, asked(0, 20))
    note(witness).unlink()
    with pytest.raises(StateError, match="is forgotten"):
        witness.answer(asked(0, 20, FORK), NOW)
    assert not note(witness).exists()


def test_another_logs_memory_is_none(witness: WitnessFolder) -> None:
    witness.add_log(OTHER.verifier)
    cosigned(witness, asked(0, 20))
    note(witness, OTHER.name).write_bytes(note(witness).read_bytes())
    with pytest.raises(StateError, match="is another log's"):
        witness.latest(OTHER.name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("witness.key", None),
        ("witness.key", b"secret but not hexadecimal"),
        ("witness.key", b"ab" * 31),
        ("witness.key", b"ab" * 32),
        ("witness.vkey", None),
        ("witness.vkey", b""),
        ("witness.vkey", b"x\ny\n"),
        ("witness.vkey", b"no key\n"),
        ("witness.vkey", LOG.verifier.vkey.encode()),
        ("witness.vkey", b"\xff"),
    ],
)
def test_a_damaged_key_is_named_and_not_shown(
    witness: WitnessFolder, name: str, content: bytes | None
) -> None:
    path = witness.folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        WitnessFolder.open(witness.folder)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert "secret" not in str(caught.value)
    assert "abab" not in str(caught.value)


def test_a_damaged_list_of_logs_is_named(witness: WitnessFolder) -> None:
    (witness.folder / "logs").write_text("not a key\n")
    with pytest.raises(InputError, match="logs: that is no public key"):
        witness.answer(asked(0, 3), NOW)


# Power cuts.


class Cut(BaseException):
    """The power is cut."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("old", [0, 7])
def test_a_cut_leaves_the_old_memory_or_the_new_and_no_answer(
    witness: WitnessFolder, monkeypatch: pytest.MonkeyPatch, moment: str, old: int
) -> None:
    if old:
        cosigned(witness, asked(0, old))
    before = witness.latest(ORIGIN)
    write = durable.replace

    def cut(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        if moment == "after":
            write(path, data, mode=mode)
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", cut)
        with pytest.raises(Cut):  # nothing was returned: no cosignature left
            witness.answer(asked(old, 20), NOW)
    again = WitnessFolder.open(witness.folder)
    seen = again.latest(ORIGIN)
    if moment == "before":
        assert seen == before
        assert cosigned(again, asked(old, 20, HISTORY)).seen.size == 20
    else:
        assert seen is not None
        assert seen.size == 20
        assert refused(again, asked(old, 20, FORK)).status == 409
        assert cosigned(again, asked(20, 20)).seen.size == 20


def test_a_full_disk_cosigns_nothing(witness: WitnessFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", Mock(side_effect=full))
        with pytest.raises(OSError, match="No space left"):
            witness.answer(asked(0, 20), NOW)
    assert witness.latest(ORIGIN) is None


def test_a_log_is_not_added_without_its_memory(
    witness: WitnessFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = durable.replace

    def watch(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        written.append(path.name)
        write(path, data, mode=mode)

    monkeypatch.setattr(durable, "replace", watch)
    witness.add_log(OTHER.verifier)
    assert written == [note(witness, OTHER.name).name, "logs"]


def test_of_many_who_ask_at_once_one_history_is_cosigned(witness: WitnessFolder) -> None:
    """Threads race with two forks and stale sizes; what was cosigned lies on one history."""
    given: list[tuple[int, bytes]] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        opened = WitnessFolder.open(witness.folder)
        history = FORK if number % 2 else HISTORY
        start.wait()
        for new in range(1 + number % 3, SIZE, 7):
            seen = opened.latest(ORIGIN)
            old = seen.size if seen else 0
            if old <= new:
                answer = opened.answer(asked(old, new, history), NOW)
                if isinstance(answer, Cosigned):
                    given.append((answer.seen.size, answer.seen.root))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = witness.latest(ORIGIN)
    assert last is not None
    assert last.size == max(size for size, _ in given)
    history = HISTORY if last.root == HISTORY.root(last.size) else FORK
    assert all(root == history.root(size) for size, root in given)
