"""Whoever watches a run: nobody, several, or a listener in another process."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from covey_server.coordinator import RoundEnded
from covey_simulations.experiments.jobs import Progressed, Tell
from covey_simulations.watching import Progress


class Silent:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def stage(self, name: str) -> None:
        """A stage begins."""

    def note(self, line: str) -> None:
        """Something worth a line of its own."""

    def step(self, done: int, total: int) -> None:
        """So many steps of the stage are done."""

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""


class Several(Silent):
    """Tells several, in their order."""

    def __init__(self, watchers: Sequence[Progress]) -> None:
        self._watchers = watchers

    def stage(self, name: str) -> None:
        """A stage begins."""
        for watcher in self._watchers:
            watcher.stage(name)

    def note(self, line: str) -> None:
        """Something worth a line of its own."""
        for watcher in self._watchers:
            watcher.note(line)

    def step(self, done: int, total: int) -> None:
        """So many steps of the stage are done."""
        for watcher in self._watchers:
            watcher.step(done, total)

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""
        for watcher in self._watchers:
            watcher.round_ended(ended)


class Paused(Exception):  # noqa: N818 - what happened
    """A run stopped between two rounds because it was to."""


@dataclass
class Telling(Silent):
    """Tells a listener of rounds.

    Attributes:
        tell: The listener.
        until: After so many rounds the run pauses.
    """

    tell: Tell
    until: int | None = None

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written.

        Raises:
            Paused: It was the last for now.
        """
        self.tell(
            Progressed(round=ended.round, loss=ended.loss, accuracy=ended.accuracy, seconds=ended.seconds)
        )
        if self.until is not None and ended.round >= self.until:
            raise Paused
