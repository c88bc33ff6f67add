"""A program that is kept running: started, probed, started again with a growing delay, and ended whole."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from covey_io import durable
from covey_server import tether
from covey_server.backoff import Backoff
from covey_server.marked import MARK, end, mark_of

State = Literal["starting", "healthy", "failing", "waiting", "stopped"]
EVERY: Final = 2.0
"""Seconds between probes."""
MOST_LOG: Final = 16 << 20
"""Bytes of a part's log; then it is moved aside, and one older one is kept."""


@dataclass(frozen=True)
class Program:
    """What is kept running.

    Attributes:
        name: Of the part.
        command: An absolute path, and arguments.
        log: Its output goes there.
        probe: Whether it answers. Must return within seconds.
        environment: Beside this process's own.
        patience: Seconds from its start in which it need not answer.
        misses: So many probes in a row without an answer, and it is ended.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    probe: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    patience: float = 60.0
    misses: int = 5
    grace: float = 10.0


def launched(program: Program, state: Path) -> subprocess.Popen[bytes]:
    """Start a program, from the main thread only: marked, in its own session, gone when this process is.

    Args:
        program: What.
        state: Of the server that it belongs to.
    """
    durable.make_folder(program.log.parent, mode=0o700)
    words = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *program.command]
    with program.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - a command that the server wrote, no shell
            words,
            env={**os.environ, **program.environment, MARK: mark_of(state, program.name)},
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


class Part:
    """A program under supervision. `step` is called again and again; nothing happens between.

    Args:
        program: What.
        state: Of the server.
        clock: Seconds, monotonic.
    """

    def __init__(self, program: Program, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.program = program
        self.state: State = "waiting"
        self.reason = ""
        self.restarts = 0
        self._server = state
        self._clock = clock
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._due = clock()
        self._began = clock()
        self._healthy: float | None = None
        self._missed = 0
        self._probed = clock()

    @property
    def pid(self) -> int | None:
        """Of the program itself, while it runs."""
        return self._process.pid if self._process else None

    def step(self) -> None:
        """Look after it once."""
        if self.state == "stopped":
            return
        if self._process is None:
            if self._clock() >= self._due:
                self._start()
            return
        status = self._process.poll()
        if status is not None:
            self._fail(f"ended with status {status}" if status >= 0 else f"killed by signal {-status}")
        elif self._clock() - self._probed >= EVERY:
            self._probe()

    def restart(self, reason: str) -> None:
        """End it with all that it started, and start it again after the delay."""
        if self._process is not None:
            self._fail(reason)

    def stop(self) -> None:
        """End it with all that it started, for good."""
        self.state = "stopped"
        self._end()

    def _start(self) -> None:
        _rotate(self.program.log)
        self._process = launched(self.program, self._server)
        self._began, self._healthy, self._missed = self._clock(), None, 0
        self.state = "starting"

    def _probe(self) -> None:
        answered = self.program.probe()
        self._probed = self._clock()
        if answered:
            self._answered()
        else:
            self._silent()

    def _answered(self) -> None:
        self._healthy = self._clock() if self._healthy is None else self._healthy
        self._missed = 0
        self.state = "healthy"
        if self.program.log.stat().st_size > MOST_LOG:
            _rotate(self.program.log)

    def _silent(self) -> None:
        if self._healthy is None and self._clock() - self._began < self.program.patience:
            return
        self._missed += 1
        self.state = "failing"
        if self._missed >= self.program.misses:
            self._fail("does not answer")

    def _fail(self, reason: str) -> None:
        now = self._clock()
        healthy = 0.0 if self._healthy is None else now - self._healthy
        self._end()
        self._backoff = self._backoff.failed(healthy)
        self._due = self._clock() + self._backoff.seconds
        self.restarts += 1
        self.reason, self.state = reason, "waiting"

    def _end(self) -> None:
        """Its children go with it: they would hold its port, or go on with a run that it has forgotten."""
        end(mark_of(self._server, self.program.name), grace=self.program.grace)
        if self._process is not None:
            self._process.wait()
        self._process = None


def _rotate(log: Path) -> None:
    """Keep one older log. It is emptied, not replaced: the program goes on writing to it."""
    if log.exists() and log.stat().st_size > MOST_LOG:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
