"""What the server says of itself, `status.json`, and what follows from the runs' folders."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from covey.errors import InputError
from covey_io import durable
from covey_io.lock import held
from covey_server.supervision import Part, State

RUNNING: Final = "running"


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the server.

    Attributes:
        name: Which.
        state: How it is.
        pid: Of its process; null if there is none.
        restarts: Since the server started.
        reason: Of the last one.
    """

    name: str
    state: State
    pid: int | None
    restarts: int
    reason: str


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`status.json`.

    Attributes:
        pid: Of the server.
        started: Unix seconds.
        parts: What it supervises.
    """

    pid: int
    started: int
    parts: tuple[PartStatus, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether every part answers."""
        return all(part.state == "healthy" for part in self.parts)

    @property
    def line(self) -> str:
        """For `systemctl status`."""
        return ", ".join(f"{part.name} {part.state}" for part in self.parts)


def of_parts(pid: int, started: int, parts: Iterable[Part]) -> ServerStatus:
    """As it is now."""
    told = (
        PartStatus(
            name=part.program.name,
            state=part.state,
            pid=part.pid,
            restarts=part.restarts,
            reason=part.reason,
        )
        for part in parts
    )
    return ServerStatus(pid=pid, started=started, parts=tuple(told))


class Teller:
    """Writes the status when it changes.

    Args:
        path: Where.
        tell: Told a changed status.
    """

    def __init__(self, path: Path, tell: Callable[[ServerStatus], None]) -> None:
        self._path = path
        self._tell = tell
        self._told: ServerStatus | None = None
        self._written: ServerStatus | None = None

    def step(self, status: ServerStatus) -> None:
        """Tell it and write it down, if it is another. On a full disk the server goes on, and tries again."""
        if status != self._told:
            self._tell(status)
            self._told = status
        if status != self._written:
            with suppress(OSError):
                durable.replace(self._path, msgspec.json.encode(status) + b"\n")
                self._written = status


def read(state: Path) -> ServerStatus | None:
    """What the server says; None if no server runs.

    Args:
        state: The server's state folder.

    Raises:
        InputError: There is no such folder, or it may not be read.
    """
    if not is_running(state):
        return None
    for _ in range(20):  # a server that has just begun has not said anything yet
        try:
            return msgspec.json.decode((state / "status.json").read_bytes(), type=ServerStatus)
        except (FileNotFoundError, ValueError):
            time.sleep(0.1)
    return None


def is_running(state: Path) -> bool:
    """Whether a server has this state.

    Raises:
        InputError: There is no such folder, or it may not be read.
    """
    try:
        with held(state, InputError(RUNNING), make=False):
            return False
    except InputError:
        return True
    except OSError as error:
        raise InputError(
            f"{state}: {(error.strerror or str(error)).lower()}",
            hint="start `covey serve`, or run this as the server's user",
        ) from error
