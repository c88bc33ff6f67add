"""How a sweep looks while it goes on: bars that are redrawn on a terminal, a line a run elsewhere."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from covey_simulations.experiments.cases import Planned
from covey_simulations.experiments.jobs import Began, Ended, Failed, Progressed, Told


@dataclass
class Tally:
    """What is done and how long the rest may take, from the mean of the rounds seen so far in this process.

    Attributes:
        rounds: Of each run, as planned.
        done: Of each run, rounds that need not be waited for.
        over: Runs that are finished, or failed.
        accuracy: Of each run, the last that is known.
        reached: Of each run, the last round.
        began: On the monotonic clock.
        seen: Rounds in this process.
    """

    rounds: dict[str, int]
    done: dict[str, int]
    over: set[str]
    accuracy: dict[str, float] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    seen: int = 0

    @classmethod
    def of(cls, runs: Sequence[Planned], done: Mapping[str, int]) -> "Tally":
        """Before anything was seen."""
        rounds = {run.name: run.file.federation.rounds for run in runs}
        return cls(rounds, dict(done), {name for name in rounds if done[name] >= rounds[name]})

    def add(self, name: str, told: Told) -> None:
        """What became of a run."""
        match told:
            case Began():
                self.done[name] = told.round
            case Progressed():
                self.done[name] = self.reached[name] = told.round
                self.seen += 1
                if told.accuracy is not None:
                    self.accuracy[name] = told.accuracy
            case Ended(finished=False):
                pass
            case Ended() | Failed():
                self.done[name] = self.rounds[name]
                self.over.add(name)

    @property
    def left(self) -> str:
        """Time left, in words; empty while nothing is known."""
        rest = sum(self.rounds.values()) - sum(self.done.values())
        if not self.seen or not rest:
            return ""
        seconds = (time.monotonic() - self.began) / self.seen * rest
        return f"about {_duration(seconds)} left"

    def ended(self, run: Planned, told: Told) -> str:
        """What a run came to, in a line."""
        begins = f"{len(self.over)}/{len(self.rounds)}  {run.case.label}, seed {run.seed}"
        if isinstance(told, Failed):
            return f"{begins}: FAILED: {told.message}"
        accuracy = self.accuracy.get(run.name)
        shown = "" if accuracy is None else f"accuracy {accuracy:.1%}"
        at = self.reached.get(run.name)
        early = f"ended after round {at}" if at and at < self.rounds[run.name] else ""
        return f"{begins}: {', '.join(part for part in (shown, early, self.left) if part) or 'finished'}"


class SilentSweep:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, runs: Sequence[Planned], done: Mapping[str, int]) -> None:
        """Its runs."""

    def heard(self, run: Planned, told: Told) -> None:
        """What became of a run."""


class PlainSweep(SilentSweep):
    """A line a run, as it ends; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = Tally({}, {}, set())

    def begin(self, runs: Sequence[Planned], done: Mapping[str, int]) -> None:
        """Its runs."""
        self._tally = Tally.of(runs, done)
        self._print(_opening(self._tally))

    def heard(self, run: Planned, told: Told) -> None:
        """What became of a run."""
        self._tally.add(run.name, told)
        if is_over(told):
            self._print(self._tally.ended(run, told))

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveSweep(SilentSweep):
    """A bar over all rounds and one for each run that is going on; runs that are over stay above as lines."""

    def __init__(self, console: Console) -> None:
        self._tally = Tally({}, {}, set())
        self._tasks: dict[str, TaskID] = {}
        self._whole: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, runs: Sequence[Planned], done: Mapping[str, int]) -> None:
        """Its runs."""
        self._tally = Tally.of(runs, done)
        self._print(_opening(self._tally))
        total = sum(self._tally.rounds.values())
        self._whole = self._bar.add_task(_short("all rounds"), total=total, figures="")
        self._redraw()

    def heard(self, run: Planned, told: Told) -> None:
        """What became of a run."""
        self._tally.add(run.name, told)
        if isinstance(told, Began):
            words = _short(f"{run.case.label}, seed {run.seed}")
            rounds = self._tally.rounds[run.name]
            self._tasks[run.name] = self._bar.add_task(words, total=rounds, completed=told.round, figures="")
        elif isinstance(told, Progressed) and run.name in self._tasks:
            accuracy = self._tally.accuracy.get(run.name)
            figures = f"loss {told.loss:.3f}" + ("" if accuracy is None else f"  accuracy {accuracy:.1%}")
            self._bar.update(self._tasks[run.name], completed=told.round, figures=figures)
        elif isinstance(told, Ended | Failed):
            if run.name in self._tasks:
                self._bar.remove_task(self._tasks.pop(run.name))
            if is_over(told):
                self._print(self._tally.ended(run, told))
        self._redraw()

    def _redraw(self) -> None:
        if self._whole is not None:
            done = sum(self._tally.done.values())
            self._bar.update(self._whole, completed=done, figures=self._tally.left)

    def _print(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


def is_over(told: Told) -> bool:
    """Whether a run is finished, or failed."""
    return isinstance(told, Failed) or (isinstance(told, Ended) and told.finished)


def sweep_progress(console: Console) -> PlainSweep | LiveSweep:
    """The display that suits where the output goes."""
    redrawn = console.is_terminal and not console.is_dumb_terminal
    return LiveSweep(console) if redrawn else PlainSweep(console)


def _opening(tally: Tally) -> str:
    over = f", {len(tally.over)} of them over" if tally.over else ""
    return f"{len(tally.rounds)} runs{over}"


def _short(words: str, most: int = 34) -> str:
    return f"{words if len(words) <= most else words[: most - 1] + '…':{most}s}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
