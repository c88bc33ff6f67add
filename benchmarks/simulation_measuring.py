"""A program's whole process tree, measured from outside: CPU time, memory, and when its rounds end.

CPU time is that of all threads of all descendants, those of ended ones included: this process adopts whatever
is orphaned below it (PR_SET_CHILD_SUBREAPER), so that nothing leaves the tree. Linux only.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
TICK = 1 / os.sysconf("SC_CLK_TCK")
EVERY = 0.05
"""Seconds between two looks at memory."""
PSS_EVERY = 10
"""Looks between two at proportional memory: it makes the kernel walk every page table."""


class Failed(RuntimeError):  # noqa: N818 - what happened
    """The program ended before it had said all."""


@dataclass(frozen=True)
class Measured:
    """A run from outside.

    Attributes:
        first_round_s: By the clock, from the start of the process to the end of the first round.
        cpu_s: Of the tree, between the ends of the first and of the last round.
        wall_s: By the clock, between the same.
        peak_rss_mb: Most that the tree's processes had resident together; a page that k processes share
            counts k times.
        peak_pss_mb: The same with such a page counted once in all, looked at twice a second.
        said: What the program says at its end.
    """

    first_round_s: float
    cpu_s: float
    wall_s: float
    peak_rss_mb: float
    peak_pss_mb: float
    said: Mapping[str, Any]


def measure(command: Sequence[str], environment: Mapping[str, str], folder: Path, timeout: float) -> Measured:
    """Run a program to its end.

    Args:
        command: With `{socket}` where the address of its socket belongs; see `simulation_peers/job.py`.
        environment: Of the program.
        folder: For what it writes.
        timeout: Seconds until it is ended.

    Raises:
        Failed: It ended early or took too long; with the end of what it wrote.
    """
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with socket.socket(socket.AF_UNIX) as door, (folder / "output").open("wb") as output:
        address = str(folder / "socket")
        door.bind(address)
        door.listen(1)
        before, started = _ended_children(), time.monotonic()
        program = subprocess.Popen(
            [part.replace("{socket}", address) for part in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        watch = _Memory(program.pid)
        try:
            with watch:
                marks, said = _followed(door, program, started + timeout, before)
            program.wait(max(1.0, started + timeout - time.monotonic()))
        except (Failed, subprocess.TimeoutExpired) as error:
            raise Failed(f"{error}\n{_last_lines(folder / 'output')}") from None
        finally:
            _end_all(program)
    (first_at, first_cpu), (last_at, last_cpu) = marks[0], marks[-1]
    return Measured(
        first_at - started, last_cpu - first_cpu, last_at - first_at, watch.rss / 1e6, watch.pss / 1e6, said
    )


def _followed(
    door: socket.socket, program: "subprocess.Popen[bytes]", until: float, before: float
) -> tuple[list[tuple[float, float]], dict[str, Any]]:
    """Times and CPU seconds at the ends of rounds, and the last thing said."""
    marks: list[tuple[float, float]] = []
    _wait(door, program, until)
    line, _ = door.accept()
    with line, line.makefile("rb") as lines:
        while True:
            _wait(line, program, until)
            said: dict[str, Any] = json.loads(lines.readline() or b"{}")
            if "round" not in said:
                break
            marks.append((time.monotonic(), tree_cpu() - before))
            line.sendall(b".")
    if not marks or "accuracy" not in said:
        raise Failed("it ended before its rounds were over")
    return marks, said


def _wait(readable: socket.socket, program: "subprocess.Popen[bytes]", until: float) -> None:
    """Until there is something to read.

    Raises:
        Failed: There will be nothing.
    """
    while not select.select([readable], [], [], 0.1)[0]:
        if program.poll() is not None:
            raise Failed(f"it ended with status {program.returncode}")
        if time.monotonic() > until:
            raise Failed("it took too long")


def tree_cpu() -> float:
    """CPU seconds of all that descends from this process, alive or ended."""
    return _ended_children() + sum(map(_cpu, descendants(os.getpid())))


def _ended_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu(process: int) -> float:
    """Of a process to the nanosecond, and of its ended children to the tick."""
    with contextlib.suppress(OSError):
        # Linux's clock of another process: see clock_getcpuclockid(3)
        own = time.clock_gettime((~process << 3) | 2)
        values = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
        return own + TICK * (int(values[13]) + int(values[14]))
    return 0.0


def descendants(process: int) -> Iterator[int]:
    """All processes below one."""
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text("ascii").split()):
                yield child
                yield from descendants(child)


@dataclass
class _Memory:
    """Looks at the tree's memory while it is entered.

    Attributes:
        root: Where the tree begins.
        rss: Most bytes seen so far.
        pss: Likewise, proportional.
    """

    root: int
    rss: int = 0
    pss: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        looks = 0
        while not self._over.wait(EVERY):
            tree = list(descendants(os.getpid()))
            resident = sum(map(_resident, tree)) if len(tree) > 1 else _peak_resident(self.root)
            self.rss = max(self.rss, resident)
            if looks % PSS_EVERY == 0:
                self.pss = max(self.pss, sum(map(_proportional, tree)))
            looks += 1


def _resident(process: int) -> int:
    with contextlib.suppress(OSError):
        return resource.getpagesize() * int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return 0


def _peak_resident(process: int) -> int:
    """The kernel's own record, which a lone process has."""
    return _kilobytes(Path(f"/proc/{process}/status"), "VmHWM:")


def _proportional(process: int) -> int:
    return _kilobytes(Path(f"/proc/{process}/smaps_rollup"), "Pss:")


def _kilobytes(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text("ascii").splitlines():
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    return 0


def _end_all(program: "subprocess.Popen[bytes]") -> None:
    """End what is left of the tree, and take its orphans' status."""
    if program.poll() is None:
        program.kill()
    program.wait()
    while left := list(descendants(os.getpid())):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _last_lines(path: Path, count: int = 15) -> str:
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-count:])


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="covey-", ignore_cleanup_errors=True) as name:
        yield Path(name)
