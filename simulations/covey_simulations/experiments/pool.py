"""Runs at the same time: processes of their own, each with one run after another."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec

from covey_simulations.experiments.carrying import Given, carry_out
from covey_simulations.experiments.jobs import Ended, Failed, Job, Listener, Told

WORKER: Final = "covey_simulations.experiments.worker"
GRACE: Final = 10.0
"""Seconds that a process has to end by itself."""


class Executor(Protocol):
    """Carries runs out."""

    def carry_out(self, jobs: Sequence[Job], listen: Listener) -> None:
        """All of them, to their ends; tells what becomes of each."""


@dataclass(frozen=True)
class Here:
    """Carries runs out in this process, one after another.

    Attributes:
        given: What is not read from their configurations.
    """

    given: Given

    def carry_out(self, jobs: Sequence[Job], listen: Listener) -> None:
        """All of them, to their ends; tells what becomes of each."""
        for job in jobs:
            carry_out(job, lambda told, job=job: listen(job, told), self.given)  # type: ignore[misc]


@dataclass(eq=False)
class Worker:
    """One process.

    Attributes:
        process: It.
        link: To it.
        job: What it does.
    """

    process: "subprocess.Popen[bytes]"
    link: "Connection[Any, Any]"
    job: Job | None = None

    @classmethod
    def start(cls, log: Path) -> "Worker":
        """Start one; what it prints goes into a file."""
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, a module of ours
                [sys.executable, "-m", WORKER, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # one core a run
            )
        return cls(process, Connection(ours.detach()))

    def give(self, job: Job) -> None:
        """Let it begin; if it is gone, that is seen when it is listened to."""
        self.job = job
        with suppress(OSError):
            self.link.send_bytes(msgspec.msgpack.encode(job))

    def hear(self, log: Path) -> Told:
        """The next that it tells; that it failed, if it is gone."""
        try:
            told: Told = msgspec.msgpack.decode(self.link.recv_bytes(), type=Told)
        except (EOFError, OSError):
            self.stop()
            return Failed(message=_died(self.process.returncode), hint=f"its last words: {log}")
        return told

    def stop(self) -> None:
        """End it."""
        self.link.close()
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Pool:
    """Processes that carry runs out; they start with the first runs and end with the block.

    Attributes:
        size: The most at the same time.
        log: Where they print.
        workers: Those that live.
    """

    size: int
    log: Path
    workers: list[Worker] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.process.terminate()  # all at once, then wait for each
        for worker in self.workers:
            worker.stop()
        self.workers = []

    def carry_out(self, jobs: Sequence[Job], listen: Listener) -> None:
        """All of them, to their ends; tells what becomes of each."""
        waiting = list(jobs)
        while waiting or any(worker.job for worker in self.workers):
            self._hand_out(waiting)
            busy = {worker.link: worker for worker in self.workers if worker.job}
            for link in wait(list(busy)):
                self._listen(busy[link], listen)  # type: ignore[index]

    def _hand_out(self, waiting: list[Job]) -> None:
        idle = [worker for worker in self.workers if worker.job is None]
        while waiting and (idle or len(self.workers) < self.size):
            if not idle:
                self.workers.append(Worker.start(self.log))
                idle = [self.workers[-1]]
            idle.pop().give(waiting.pop(0))

    def _listen(self, worker: Worker, listen: Listener) -> None:
        job, told = worker.job, worker.hear(self.log)
        if isinstance(told, Ended | Failed):
            worker.job = None
            self.workers = [each for each in self.workers if each.process.poll() is None]
        if job is not None:
            listen(job, told)


def _died(status: int) -> str:
    if status == -signal.SIGKILL:
        return "its process was killed, as the system does where memory runs out"
    return f"its process ended with {f'signal {-status}' if status < 0 else f'status {status}'}"
