"""How a run looks while it goes on: a live display on a terminal, plain lines elsewhere."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from covey_server.coordinator import RoundEnded

_FIGURES = 77
"""Columns beside the bar, up to 999 rounds."""
_DEVICES = 15
"""Columns more that the number of devices takes, shown where there is room."""


@dataclass
class Estimate:
    """Time left in training, from the mean of the rounds seen so far in this process."""

    seconds: float = 0.0
    rounds: int = 0

    def add(self, ended: RoundEnded) -> float:
        """Seconds left after this round."""
        self.seconds += ended.seconds
        self.rounds += 1
        return self.seconds / self.rounds * (ended.rounds - ended.round)


def round_text(ended: RoundEnded, accuracy: float | None, left: float) -> str:
    """The figures of a round, always of one width, and short: with a bar they fit 80 columns."""
    shown = "accuracy      …" if accuracy is None else f"accuracy {accuracy:6.1%}"
    return f"loss {ended.loss:6.3f}  {shown}  {left:3.0f} s left"


class PlainProgress:
    """A line a stage and a line for every validated round; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._estimate = Estimate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._print(name)

    def note(self, line: str) -> None:
        """Something worth a line of its own."""
        self._print(f"  {line}")

    def step(self, done: int, total: int) -> None:
        """Steps are not worth a line each."""

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over."""
        left = self._estimate.add(ended)
        for line in ended.refused:
            self._print(f"  round {ended.round}: not counted: {line}")
        if ended.accuracy is not None:
            figures = round_text(ended, ended.accuracy, left)
            self._print(f"  round {ended.round:4d}/{ended.rounds}  {figures}  {ended.devices} devices")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveProgress:
    """One bar that is redrawn in place; stages that are over stay above it."""

    def __init__(self, console: Console) -> None:
        self._estimate = Estimate()
        self._accuracy: float | None = None
        self._stage: TaskID | None = None
        self._room = console.width >= _FIGURES + _DEVICES + 3
        beside = _FIGURES + _DEVICES * self._room
        self._bar = Progress(
            TextColumn("{task.description:16s}", markup=False),
            BarColumn(bar_width=min(24, max(3, console.width - beside))),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self._bar.stop()

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._finish()
        self._stage = self._bar.add_task(name, total=1 if name != "training" else None, figures="")

    def note(self, line: str) -> None:
        """Something worth a line of its own."""
        self._bar.console.print(line, markup=False, highlight=False)

    def step(self, done: int, total: int) -> None:
        """So many steps of the stage are done."""
        if self._stage is not None:
            self._bar.update(self._stage, total=total, completed=done)

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over."""
        self._accuracy = ended.accuracy if ended.accuracy is not None else self._accuracy
        if self._stage is not None:
            figures = round_text(ended, self._accuracy, self._estimate.add(ended))
            figures += f"  {ended.devices} devices" if self._room else ""
            self._bar.update(self._stage, total=ended.rounds, completed=ended.round, figures=figures)
        for line in ended.refused:
            self._bar.console.print(
                f"round {ended.round}: not counted: {line}", markup=False, highlight=False
            )

    def _finish(self) -> None:
        if self._stage is not None:
            total = self._bar.tasks[self._stage].total or 1
            self._bar.update(self._stage, total=total, completed=total)


def progress(console: Console) -> PlainProgress | LiveProgress:
    """The display that suits where the output goes."""
    redrawn = console.is_terminal and not console.is_dumb_terminal
    return LiveProgress(console) if redrawn else PlainProgress(console)
