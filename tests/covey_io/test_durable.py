import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from covey_io import durable

OLD, NEW = b"old content\n", b"new content, longer than the old\n"


class PowerCutError(Exception):
    """The process stops here."""


def cut_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Let `call` - 1 calls of a function through and stop at the next, before it does anything."""
    original: Callable[..., object] = getattr(owner, name)
    seen = 0

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal seen
        seen += 1
        if seen == call:
            raise PowerCutError(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counting)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_replace_makes_a_file(tmp_path: Path) -> None:
    durable.replace(tmp_path / "a", NEW)
    assert (tmp_path / "a").read_bytes() == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("content", [b"", b"\0\r\n", b"x" * 1_000_000])
def test_replace_puts_exactly_these_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    durable.replace(path, content)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_replace_gives_the_mode_asked_for_whatever_the_old_one(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    path.chmod(0o666)
    durable.replace(path, NEW, mode=mode)
    assert mode_of(path) == mode


def test_a_secret_is_never_readable_by_others_not_even_in_the_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_at(monkeypatch, os, "fsync", 1)
    with pytest.raises(PowerCutError):
        durable.replace(tmp_path / "key", NEW, mode=0o600)
    (left,) = tmp_path.iterdir()
    assert left.name == ".key.tmp"
    assert mode_of(left) == 0o600


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(os, "open", 1), (os, "fdopen", 1), (os, "fsync", 1), (Path, "replace", 1)],
    ids=["open", "write", "flush to disk", "rename"],
)
def test_before_the_rename_the_old_content_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    with monkeypatch.context() as patch:
        cut_at(patch, owner, name, call)
        with pytest.raises(PowerCutError):
            durable.replace(path, NEW)
    assert path.read_bytes() == OLD
    durable.replace(path, NEW)  # the temporary file that may be left over is in nobody's way
    assert path.read_bytes() == NEW
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_after_the_rename_the_new_content_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(OLD)
    cut_at(monkeypatch, os, "fsync", 2)
    with pytest.raises(PowerCutError):
        durable.replace(path, NEW)
    assert path.read_bytes() == NEW


def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    steps: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(f"fsync {target.name} of {os.fstat(descriptor).st_size if target.is_file() else '-'}")
        fsync(descriptor)

    def seen_rename(self: Path, target: Path) -> Path:
        steps.append(f"rename {self.name} {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_rename)
    durable.replace(path, NEW)
    assert steps == [f"fsync .a.tmp of {len(NEW)}", "rename .a.tmp a", f"fsync {tmp_path.name} of -"]


def test_replace_writes_through_no_link_that_waits_in_the_temporary_place(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    (tmp_path / ".a.tmp").symlink_to(victim)
    durable.replace(tmp_path / "a", NEW)
    assert victim.read_bytes() == OLD
    assert not (tmp_path / "a").is_symlink()


def test_replace_wants_the_folder_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.replace(tmp_path / "missing" / "a", NEW)


def test_append_adds_lines_in_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        durable.append(log, line)
    assert log.read_bytes() == b"one\ntwo\n"


def test_append_never_touches_what_is_there_even_a_torn_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntw")
    durable.append(log, b"three\n")
    assert log.read_bytes() == b"one\ntwthree\n"  # dropping the torn line first is the log's reader's


@pytest.mark.parametrize(("exists", "flushes"), [(False, 2), (True, 1)])
def test_append_flushes_the_line_and_a_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool, flushes: int
) -> None:
    log, flushed = tmp_path / "log", list[int]()
    if exists:
        log.write_bytes(b"")

    def fsync(descriptor: int) -> None:
        assert log.read_bytes() == b"one\n"  # nothing is still in a buffer of ours
        flushed.append(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.append(log, b"one\n")
    assert len(flushed) == flushes


def test_make_folder_makes_parents_and_is_content_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    durable.make_folder(path, mode=0o700)
    durable.make_folder(path)
    assert mode_of(path) == 0o700
    assert path.is_dir()


def test_swap_link_points_at_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "current"
    durable.swap_link(link, "one")
    assert str(link.readlink()) == "one"
    with monkeypatch.context() as patch:
        cut_at(patch, Path, "replace", 1)
        with pytest.raises(PowerCutError):
            durable.swap_link(link, "two")
    assert str(link.readlink()) == "one"
    durable.swap_link(link, "two")
    assert str(link.readlink()) == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["current"]


@pytest.mark.parametrize("write", [durable.replace, durable.append])
def test_a_disk_that_is_full_says_which_file_it_did_not_take(
    write: Callable[[Path, bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # as write(2) and fsync(2) have it

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path / "file", b"line\n")
    assert caught.value.filename == str(tmp_path / "file")


def test_room_is_missed_before_it_is_needed(tmp_path: Path) -> None:
    durable.check_room(tmp_path, 1)
    with pytest.raises(OSError, match="No space left") as caught:
        durable.check_room(tmp_path, 1 << 62)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
