"""Watches over one program on the agent's behalf, in a process of its own: `python warden.py ORDER`.

It imports the standard library only. The program and all that it starts are its descendants whatever they do
(prctl(2), PR_SET_CHILD_SUBREAPER), and all of them end with the program, at a limit, or when the agent is
gone: then its end of the control socket is closed. Should the warden itself be killed, the kernel kills the
program (PR_SET_PDEATHSIG). A program that forks faster than it can be counted may leave one behind: only a
cgroup, the unit's or that of `covey_client.scopes`, holds such a one.

ORDER is JSON (`covey_client.limits` writes it). Over the control socket come bytes, one an order: `p` holds
the program, `r` lets it go on, `k` ends it. At the end one line of JSON goes back: how it ended.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

PAUSE: Final = b"p"
RESUME: Final = b"r"
KILL: Final = b"k"

_PDEATHSIG, _NO_NEW_PRIVS, _SUBREAPER = 1, 38, 36
_IOPRIO_SET, _IDLE_CLASS = {"x86_64": 251, "aarch64": 30}, 3 << 13
_STEP: Final = 0.05
_PROC: Final = Path("/proc")
_NOT_STARTED: Final = 127
_REACH_SECONDS: Final = 20.0


class Tree:
    """The program with all that it started.

    Args:
        program: Its process.
    """

    def __init__(self, program: int) -> None:
        self.program = program
        self.ends = os.pidfd_open(program)
        self.status: int | None = None
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def reap(self) -> None:
        """Take note of who has ended, orphans included."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self.program:
                    self.status = status

    def members(self) -> list[int]:
        """Who lives: all descendants of this process. Looks at every process of the machine."""
        children: dict[int, list[int]] = {}
        for pid in (int(name) for name in os.listdir(_PROC) if name.isdecimal()):  # noqa: PTH208 - short names
            if (stat := _stat(pid)) and stat[0] != "Z":
                children.setdefault(int(stat[1]), []).append(pid)
        return _below(os.getpid(), lambda pid: children.get(pid, []))

    def used(self) -> tuple[int, float]:
        """Resident bytes of them all, what they share counted for each; and seconds of processor time."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        pages, ticks = 0, 0
        for stat in map(_stat, _below(os.getpid(), _children)):
            ticks += sum(map(int, stat[11:15]))
            pages += sum(map(int, stat[21:22]))
        return pages * self._page, ended.ru_utime + ended.ru_stime + ticks / self._ticks

    def send(self, number: signal.Signals) -> None:
        """A signal to them all."""
        for pid in self.members():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def end(self) -> None:
        """Nobody is left: they are held first, so that none can start another meanwhile."""
        deadline = time.monotonic() + _REACH_SECONDS
        while self.members() and time.monotonic() < deadline:
            self.send(signal.SIGSTOP)
            self.send(signal.SIGKILL)
            self.reap()
            time.sleep(_STEP / 10)
        self.reap()


def _below(pid: int, children: Callable[[int], list[int]]) -> list[int]:
    """All descendants of a process."""
    found, waiting = [], [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def _children(pid: int) -> list[int]:
    """Of one process, by the kernel's list for each of its threads; it may lack one just being made."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(_PROC / str(pid) / "task"):  # noqa: PTH208 - short names
            listed = (_PROC / str(pid) / "task" / thread / "children").read_text("ascii")
            found += map(int, listed.split())
    return found


def _stat(pid: int) -> list[str]:
    """proc(5)'s stat of a process from its state on: field n of the manual at n - 3; empty if it is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def watch(tree: Tree, control: socket.socket, order: dict[str, Any]) -> dict[str, Any]:
    """Until the program has ended, or has to."""
    started, peak, cut = time.monotonic(), 0, ""
    while True:
        rss, cpu = tree.used()
        peak = max(peak, rss)
        tree.reap()
        cut = cut or _beyond(order, rss, cpu, time.monotonic() - started)
        if cut or tree.status is not None:
            break
        cut = _ordered(tree, control)
    tree.end()
    return {
        "cut": cut,
        "status": tree.status,
        "peak": peak,
        "cpu": max(cpu, tree.used()[1]),
        "wall": time.monotonic() - started,
    }


def _beyond(order: dict[str, Any], rss: int, cpu: float, wall: float) -> str:
    """Which limit was passed."""
    for name, found in (("memory", rss), ("cpu", cpu), ("wall", wall)):
        if order[name] is not None and found > order[name]:
            return name
    return ""


def _ordered(tree: Tree, control: socket.socket) -> str:
    """Carry out what the agent says within a moment; returns why the program has to end, if it has."""
    if control.fileno() not in select.select([control.fileno(), tree.ends], [], [], _STEP)[0]:
        return ""
    try:
        told = control.recv(64)
    except OSError:
        told = b""
    if not told:
        return "agent"
    if KILL in told:
        return "killed"
    tree.send(signal.SIGSTOP if told[-1:] == PAUSE else signal.SIGCONT)
    return ""


def become(order: dict[str, Any], warden: int) -> None:
    """In the new process: take on the limits, and become the program."""
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != warden:
        os._exit(1)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, value in ((resource.RLIMIT_DATA, order["data"]), (resource.RLIMIT_CPU, order["cpu_hard"])):
        if value is not None:
            resource.setrlimit(limit, (value, value))
    with suppress(OSError):  # what a unit's system call filter may forbid, and only kindness depends on
        os.nice(order["nice"])
    with suppress(OSError):
        os.sched_setaffinity(0, order["cores"] or os.sched_getaffinity(0))
    if order["idle_io"] and os.uname().machine in _IOPRIO_SET:
        libc.syscall(_IOPRIO_SET[os.uname().machine], 1, 0, _IDLE_CLASS)
    with suppress(OSError):
        (_PROC / "self/oom_score_adj").write_text("1000", "ascii")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvpe(order["argv"][0], order["argv"], os.environ)  # noqa: S606 - the agent's own command, no shell


def main() -> None:
    """Of the process; standard input and output are the program's."""
    order = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the agent's word counts, not its terminal's
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with socket.socket(fileno=order["control"]) as control:
        control.set_inheritable(False)
        program = _start(order)
        with Path(os.devnull).open("r+b") as nothing:
            for standard in (0, 1):
                os.dup2(nothing.fileno(), standard)  # or the agent would wait for an end that does not come
        said = watch(Tree(program), control, order)
        with suppress(OSError):
            control.sendall(json.dumps(said).encode() + b"\n")


def _start(order: dict[str, Any]) -> int:
    warden = os.getpid()
    program = os.fork()
    if program:
        return program
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        become(order, warden)
    except OSError as error:
        os.write(2, f"{order['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(_NOT_STARTED)


if __name__ == "__main__":
    main()
