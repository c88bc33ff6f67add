"""Programs that the agent starts, within limits: memory, processor, time; with all that they start in turn.

A warden (`covey_client.warden`), a small process of its own, watches over each: it counts memory and time of
the program with all its descendants, holds them when the device is too hot, and ends them all with the
program, at a limit, or when the agent is gone, however it went. Where there is a cgroup to be had
(`covey_client.scopes`), the kernel holds the memory limit as well, without a gap.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Any, Final, Self

import msgspec

from covey_client import warden

Megabytes = Annotated[int, msgspec.Meta(ge=16, le=1 << 24)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=7 * 86400)]
Nice = Annotated[int, msgspec.Meta(ge=0, le=19)]
Cores = Annotated[int, msgspec.Meta(ge=0, le=1024)]

MB: Final = 1_000_000
MAPPED: Final = 2
"""RLIMIT_DATA, by memory: what is mapped and never used does not count, but has a bound."""
CPU_SLACK: Final = 10
HOLD_SECONDS: Final = 5.0
END_SECONDS: Final = 40.0
"""Longer than a warden takes to end what resists."""

_LINE: Final = 4096


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[limits]` of device.toml.

    Attributes:
        memory_mb: Resident, of the program with all that it starts.
        wall_seconds: From start to end, held or not; 0 for no limit.
        cpu_seconds: Of processor time, of them all; 0 for no limit.
        cores: So many processors; 0 for all.
        nice: Added to the agent's own niceness.
        idle_io: Reads and writes only when nobody else does.
    """

    memory_mb: Megabytes = 1500
    wall_seconds: Seconds = 1800.0
    cpu_seconds: Seconds = 0.0
    cores: Cores = 0
    nice: Nice = 10
    idle_io: bool = True


class Outcome(Enum):
    """How a program ended."""

    FINISHED = "finished"
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"
    OUT_OF_TIME = "out of time"
    KILLED = "killed by the agent"


@dataclass(frozen=True)
class Ended:
    """What became of a program.

    Attributes:
        outcome: How it ended.
        reason: In words, for the device's owner.
        peak_bytes: The most that was seen resident.
        cpu_seconds: Processor time.
        wall_seconds: From start to end.
    """

    outcome: Outcome
    reason: str
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


class Child:
    """A program that runs; leaving its block ends it.

    Args:
        process: Its warden.
        control: To the warden.
        contained: Whether the kernel holds the memory limit.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, contained: bool) -> None:
        self._process = process
        self._control = control
        self._contained = contained
        self._ended: Ended | None = None
        self._reading = threading.Lock()

    @property
    def stdin(self) -> IO[bytes]:
        """The program's standard input."""
        return _pipe(self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """The program's standard output."""
        return _pipe(self._process.stdout)

    def pause(self) -> None:
        """Hold it, and all that it started: SIGSTOP."""
        self._order(warden.PAUSE)

    def resume(self) -> None:
        """Let it go on."""
        self._order(warden.RESUME)

    def kill(self) -> None:
        """End it, and all that it started; `wait` says when they have."""
        self._order(warden.KILL)

    def wait(self, seconds: float | None = None) -> Ended:
        """How it ended; whoever waits must read its output meanwhile, if it writes much.

        Args:
            seconds: At most; None for as long as it takes.

        Raises:
            TimeoutError: It runs on.
        """
        with self._reading:
            if self._ended is None:
                self._control.settimeout(seconds)
                self._ended = _ended(self._line(), self._contained)
                self._process.wait()
            return self._ended

    def communicate(self, data: bytes = b"") -> tuple[bytes, Ended]:
        """Give it its input, take its output to the end, and say how it ended."""
        with suppress(BrokenPipeError):
            output, _ = self._process.communicate(data)
        return output, self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        try:
            self.wait(END_SECONDS)
        except TimeoutError:  # a warden that is held, or stuck; its program dies with it
            self._process.kill()
            self.wait()
        with suppress(OSError):  # what was not written yet, to a program that is gone
            self.stdin.close()
        self.stdout.close()
        self._control.close()

    def _order(self, order: bytes) -> None:
        with suppress(OSError):  # it has ended
            self._control.sendall(order)

    def _line(self) -> bytes:
        said = b""
        with suppress(ConnectionError):
            while not said.endswith(b"\n") and (more := self._control.recv(_LINE)):
                said += more
        return said


def start(
    argv: Sequence[str],
    limits: Limits,
    *,
    container: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a program; a Child's block ends it.

    Args:
        argv: The command.
        limits: That it is kept in.
        container: A command in front of it that makes a cgroup; see `covey_client.scopes`.
        env: Its environment; None for the agent's own.
        cwd: Its folder; None for the agent's own.

    Raises:
        OSError: The warden cannot be started. A program that cannot fails, with status 127.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        order = json.dumps(_order(argv, limits, container, theirs.fileno()))
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-I", "-S", warden.__file__, order],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=env,
                cwd=cwd,
            )
        except BaseException:
            ours.close()
            raise
    return Child(process, ours, bool(container))


@contextmanager
def holding(
    child: Child, strain: Callable[[], str], log: Callable[[str], None], seconds: float = HOLD_SECONDS
) -> Iterator[None]:
    """Hold a program while the device is under strain; within the block.

    Args:
        child: The program.
        strain: Why it is held now; empty if it is not. `covey_client.conditions.Conditions.strain`.
        log: Takes one line for the device's owner.
        seconds: How often to look.
    """
    done = threading.Event()
    thread = threading.Thread(
        target=_hold, args=(child, strain, log, seconds, done), name="strain", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _hold(
    child: Child,
    strain: Callable[[], str],
    log: Callable[[str], None],
    seconds: float,
    done: threading.Event,
) -> None:
    held = ""
    while not done.wait(seconds):
        why = strain()
        if why and not held:
            child.pause()
            log(f"training is held: {why}")
        elif held and not why:
            child.resume()
            log("training goes on")
        held = why


def _order(argv: Sequence[str], limits: Limits, container: Sequence[str], control: int) -> dict[str, Any]:
    memory = limits.memory_mb * MB
    allowed = sorted(os.sched_getaffinity(0))
    return {
        "argv": [*container, *argv],
        "control": control,
        "memory": memory,
        "data": None if container else memory * MAPPED,
        "wall": limits.wall_seconds or None,
        "cpu": limits.cpu_seconds or None,
        "cpu_hard": int(limits.cpu_seconds) + CPU_SLACK if limits.cpu_seconds else None,
        "cores": allowed[-limits.cores :] if limits.cores else [],
        "nice": limits.nice,
        "idle_io": limits.idle_io,
    }


def _ended(line: bytes, contained: bool) -> Ended:
    if not line.endswith(b"\n"):
        return Ended(Outcome.FAILED, "its warden was killed")
    said = json.loads(line)
    outcome, reason = _outcome(said["cut"], said["status"], contained)
    return Ended(outcome, reason, said["peak"], said["cpu"], said["wall"])


def _outcome(cut: str, status: int | None, contained: bool) -> tuple[Outcome, str]:
    match cut:
        case "memory":
            return Outcome.OUT_OF_MEMORY, "it used more memory than [limits] memory_mb"
        case "cpu" | "wall":
            return Outcome.OUT_OF_TIME, f"it took longer than [limits] {cut}_seconds"
        case "killed" | "agent":
            return Outcome.KILLED, "it was told to end"
        case _:
            return _by_status(os.waitstatus_to_exitcode(status or 0), contained)


def _by_status(code: int, contained: bool) -> tuple[Outcome, str]:
    """Of a program that ended by itself, or by the kernel's hand."""
    if code == 0:
        return Outcome.FINISHED, "it finished"
    if code > 0:
        return Outcome.FAILED, f"it ended with status {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGXCPU:
        return Outcome.OUT_OF_TIME, "it took longer than [limits] cpu_seconds"
    if contained and -code == signal.SIGKILL:
        return Outcome.OUT_OF_MEMORY, "the kernel killed it: more memory than [limits] memory_mb"
    return Outcome.FAILED, f"it was killed by {name}"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("no pipe to the program")
    return pipe
