"""Whoever watches a run, and how long its stages take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from covey_server.coordinator import RoundEnded
from covey_server.sum_rows import Row


class Progress(Protocol):
    """Told how a run goes on."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def note(self, line: str) -> None:
        """Something worth a line of its own."""

    def step(self, done: int, total: int) -> None:
        """So many steps of the stage are done."""

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""


@dataclass
class Stopwatch:
    """Wall time by stage; tells the progress display as it goes."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        self.progress.stage(stage)
        started = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - started


@dataclass
class Watcher:
    """Tells a round with its sums that were given up among what was not counted.

    Attributes:
        progress: Is told.
        rows: Gives the run's sums so far.
        known: How many of them are known.
    """

    progress: Progress
    rows: Callable[[], list[Row]] = list
    known: int = 0

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""
        aborted = [row for row in self._new() if row["event"] == "abort" and row["round"] == ended.round]
        lines = tuple(f"a whole sum ({row['kind']}): {row['reason']}" for row in aborted)
        self.progress.round_ended(replace(ended, refused=(*ended.refused, *lines)))

    def _new(self) -> list[Row]:
        rows = self.rows()
        new, self.known = rows[self.known :], len(rows)
        return new
