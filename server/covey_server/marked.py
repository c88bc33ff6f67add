"""Processes that carry a mark in their environment: a program with all that it started, however detached.

Flower's SuperLink starts its executor in a session of its own, which starts ServerApps: a process group does
not have them all, and they outlive whoever was killed. What they keep is the environment they began with.
The executor lets nobody but root read its own (PR_SET_DUMPABLE of prctl(2)): it is known by the file of its
part that its command line names.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "COVEY_PART"
STEP: Final = 0.05
_PROCESSES: Final = Path("/proc")


def mark_of(state: Path, part: str) -> str:
    """The mark of a part of the server whose state is in `state`."""
    return f"{state.resolve()}#{part}"


def marked(mark: str, *, named: str = "") -> list[int]:
    """Who carries a mark, this process excepted.

    Args:
        mark: Whole, or up to and with the `#` for all parts of a server.
        named: A word of the command line, its program's name for instance; empty for any.
    """
    return [pid for pid in _processes() if pid != os.getpid() and _carries(pid, mark) and _is(pid, named)]


def end(mark: str, *, named: str = "", grace: float = 10.0) -> int:
    """End them all: SIGTERM, and SIGKILL to whoever is there after `grace` seconds.

    Args:
        mark: As `marked` has it.
        named: Likewise.
        grace: Seconds.

    Returns:
        How many were there.
    """
    found = len(marked(mark, named=named))
    deadline = time.monotonic() + grace
    _send(mark, named, signal.SIGTERM)
    while marked(mark, named=named):
        if time.monotonic() >= deadline:
            _send(mark, named, signal.SIGKILL)
        time.sleep(STEP)
    return found


def _send(mark: str, named: str, number: signal.Signals) -> None:
    for pid in marked(mark, named=named):
        with suppress(ProcessLookupError, PermissionError), _held(pid) as descriptor:
            if _carries(pid, mark):  # the number could have been given to another since
                signal.pidfd_send_signal(descriptor, number)


class _held:  # noqa: N801 - reads as a verb
    """A process, held so that its number cannot come to mean another."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _processes() -> Iterator[int]:
    for entry in _PROCESSES.iterdir():
        if entry.name.isdecimal():
            yield int(entry.name)


def _carries(pid: int, mark: str) -> bool:
    """A zombie carries nothing: its environment is gone."""
    try:
        values = (_PROCESSES / str(pid) / "environ").read_bytes().split(b"\0")
    except PermissionError:
        return _names_a_file(pid, mark)
    except OSError:
        return False
    wanted = f"{MARK}={mark}".encode()
    return any(value == wanted or (mark.endswith("#") and value.startswith(wanted)) for value in values)


def _names_a_file(pid: int, mark: str) -> bool:
    """Whether a process of this user names a file of the part, where its environment is not to be read."""
    state, _, part = mark.rpartition("#")
    folder = os.fsencode(f"{Path(state, part)}/")
    words = _read(pid, "cmdline").split(b"\0")
    return _user(pid) == os.geteuid() and any(word.startswith(folder) for word in words)


def _user(pid: int) -> int | None:
    """Whose it is; None when it is gone."""
    lines = _read(pid, "status").splitlines()
    return next((int(line.split()[2]) for line in lines if line.startswith(b"Uid:")), None)


def _is(pid: int, named: str) -> bool:
    return not named or any(
        Path(os.fsdecode(word)).name == named for word in _read(pid, "cmdline").split(b"\0")
    )


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROCESSES / str(pid) / name).read_bytes()
    except OSError:  # gone, or somebody else's
        return b""
