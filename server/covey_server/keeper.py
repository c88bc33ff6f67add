"""Keeps runs going: one at a time, started again after whatever death until its summary is there.

What a run has reached is in its own folder, written by its ServerApp; whether one is at work shows in the
processes there are. So nothing that is remembered here has to be believed after a crash.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Final

import msgspec

from covey.errors import StateError
from covey_server import superlink
from covey_server.backoff import Backoff
from covey_server.marked import end, mark_of, marked
from covey_server.orders import Order, Orders, Progress
from covey_server.run_folder import is_finished
from covey_server.server_file import ServerFile
from covey_server.supervision import Part, Program, launched

PATIENCE: Final = 90.0
"""Seconds from `flwr run` until its ServerApp is there."""
REST: Final = 30.0
"""Seconds to wait after something could not be written."""
NAME: Final = "run"
MOST_REASON: Final = 300
_TAIL: Final = 256 << 10
_STARTED: Final = re.compile(r"Successfully started run ([0-9]+)")


@dataclass
class Attempt:
    """A ServerApp at work, or about to be.

    Attributes:
        process: `flwr run`, which prints what the ServerApp does.
        began: Seconds, monotonic.
        seen: Whether the ServerApp was.
    """

    process: Popen[bytes]
    began: float
    seen: bool = False


class Keeper:
    """The runs of one server. `step` is called again and again; nothing happens between.

    Args:
        file: The server's configuration.
        orders: What was asked for.
        link: The SuperLink under supervision.
        say: Told lines for the server's owner.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        file: ServerFile,
        orders: Orders,
        link: Part,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._orders = orders
        self._link = link
        self._say = say
        self._clock = clock
        self._attempt: Attempt | None = None
        self._backoff = Backoff(first=1.0, most=60.0)
        self._due = 0.0
        self._rests = 0.0

    @property
    def current(self) -> Order | None:
        """The run that is being kept going; None if nothing is asked for."""
        todo = [order for order in self._orders.all() if not order.is_over]
        running = [order for order in todo if order.progress.state == "running"]
        return next(iter(running or todo), None)

    def step(self) -> None:
        """Look after the runs once. What cannot be written now is tried again: the server has other parts."""
        if self._clock() < self._rests:
            return
        try:
            self._look()
        except OSError as error:
            self._rests = self._clock() + REST
            self._say(f"runs: {error}; trying again in {REST:g} s")

    def close(self) -> None:
        """End what is at work; the run goes on when the server does."""
        self._end()

    def _look(self) -> None:
        order = self.current
        if order is None:
            return
        if order.wants_stop:
            self._stop(order)
        elif self._attempt is not None:
            self._watch(order, self._attempt)
        elif self._is_at_work():
            self._is_left_over(order)
        elif is_finished(self._file.folder.runs / order.name):
            self._finish(order)
        elif self._clock() >= self._due and self._link.state == "healthy":
            self._begin(order)

    def _begin(self, order: Order) -> None:
        reached = self._round(order)
        before = order.progress
        progress = Progress(
            state="running",
            starts=before.starts + 1,
            idle=0 if reached > before.round else before.idle,
            round=reached,
            reason=before.reason,
        )
        order = self._orders.write(order, progress)
        self._retire(order)
        again = f"goes on from round {reached}" if before.starts else "begins"
        self._say(f"run {order.name} {again}")
        program = Program(
            name=NAME,
            command=superlink.run_command(self._file, order.federation),
            log=order.log,
            probe=lambda: True,
            environment=superlink.environment(self._file.folder),
        )
        self._attempt = Attempt(launched(program, self._file.folder.path), self._clock())

    def _retire(self, order: Order) -> None:
        """Tell the SuperLink that the attempt before is over: nodes wait up to a minute for its messages."""
        before = last_started(order.log)
        if before:
            with suppress(StateError):  # most often, that it knows
                superlink.asked(self._file, ("stop", before))

    def _watch(self, order: Order, attempt: Attempt) -> None:
        """A ServerApp is at work as long as it is there, whatever became of `flwr run`."""
        if self._is_at_work():
            attempt.seen = True
        elif is_finished(self._file.folder.runs / order.name):
            self._finish(order)
        elif attempt.seen or attempt.process.poll() is not None:
            self._lost(order)
        elif self._clock() - attempt.began > PATIENCE:
            self._link.restart("started no ServerApp")
            self._lost(order)

    def _is_left_over(self, order: Order) -> None:
        """A ServerApp of before, whose output nobody writes down: the run goes on with one of ours."""
        self._say(f"run {order.name}: ending a ServerApp that an earlier server left")
        self._end()

    def _lost(self, order: Order) -> None:
        """Its ServerApp is gone, and there is no summary."""
        self._end()
        reached, before = self._round(order), order.progress
        idle = 1 if reached > before.round else before.idle + 1
        reason = why(order.log) or "its ServerApp was killed"
        progress = msgspec.structs.replace(before, idle=idle, round=reached, reason=reason)
        if idle >= self._file.runs.attempts:
            self._orders.write(order, msgspec.structs.replace(progress, state="failed"))
            self._say(f"run {order.name} has failed: {reason}")
            self._backoff = Backoff(self._backoff.first, self._backoff.most)
            return
        self._orders.write(order, progress)
        self._backoff = Backoff(self._backoff.first, self._backoff.most, failures=idle)
        self._due = self._clock() + self._backoff.seconds
        self._say(f"run {order.name} stopped ({reason}); again in {self._backoff.seconds:g} s")

    def _finish(self, order: Order) -> None:
        self._end()
        progress = msgspec.structs.replace(
            order.progress, state="finished", round=self._round(order), reason=""
        )
        self._orders.write(order, progress)
        self._say(f"run {order.name} is finished")

    def _stop(self, order: Order) -> None:
        self._end()
        progress = msgspec.structs.replace(order.progress, state="stopped", round=self._round(order))
        self._orders.write(order, progress)
        self._say(f"run {order.name} was stopped")

    def _end(self) -> None:
        """Whatever is at work on a run."""
        state = self._file.folder.path
        end(mark_of(state, superlink.NAME), named=superlink.SERVER_APP)
        end(mark_of(state, NAME))
        if self._attempt is not None:
            self._attempt.process.wait()
        self._attempt = None

    def _is_at_work(self) -> bool:
        mark = mark_of(self._file.folder.path, superlink.NAME)
        return bool(marked(mark, named=superlink.SERVER_APP))

    def _round(self, order: Order) -> int:
        """The last round with a checkpoint."""
        found = (self._file.folder.runs / order.name / "checkpoints").glob("round-*.ckpt")
        return max((int(path.stem.removeprefix("round-")) for path in found), default=0)


def last_started(log: Path) -> str:
    """Flower's number of the run that `flwr run` started last; empty if there is none.

    Args:
        log: Its output.
    """
    numbers = [match[1] for line in _tail(log) if (match := _STARTED.match(line))]
    return numbers[-1] if numbers else ""


def why(log: Path) -> str:
    """What a ServerApp said last of why it ended, in one line; empty if it said nothing.

    Args:
        log: Its output.
    """
    for line in reversed(_tail(log)):
        if line.startswith("covey.errors."):
            return "".join(char for char in line.partition(": ")[2] if char.isprintable())[:MOST_REASON]
    return ""


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
