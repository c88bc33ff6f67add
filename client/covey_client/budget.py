"""Where a device's budget is kept: a journal that is durable before anything leaves the device.

A journal that was put back (an SD card restored from an image, a clone of it) counts from where it was.
Nothing on one disk can tell. Three things can: the server shows each device what it has signed before; a
second file on another storage, if the owner names one, holds the count as well; and a reviewer sees one count
twice in the evidence. What none of them sees is a device that is restored, kept from every server that knows
it and asked by one that hides what it knows, while no reviewer looks: the threat model says so.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from covey import budget as budgets
from covey.budget import Budget, Locked, Row
from covey.errors import StateError
from covey_io import durable
from covey_io.lock import held


class Journal(Protocol):
    """Where a budget is kept."""

    @property
    def budget(self) -> Budget:
        """What the journal comes to."""

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows; durable when it returns. A power cut before that leaves none, or the first of them."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from it while something is checked and written."""


class MemoryJournal:
    """Of a simulated device: it lasts as long as its process."""

    def __init__(self) -> None:
        self._budget = Budget()

    @property
    def budget(self) -> Budget:
        """What the journal comes to."""
        return self._budget

    def write(self, rows: Sequence[Row]) -> None:
        """See `Journal`."""
        self._budget = budgets.after(self._budget, *rows)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else has it."""
        yield


class FileJournal(MemoryJournal):
    """In one file, a JSON object a line, fsynced before the device goes on.

    Args:
        path: The file; made with the first row.
        counter: A file on another storage that holds how many reserves there were; None for none. Made with a
            new journal.

    Raises:
        StateError: It is damaged, or the other storage is gone. A device whose memory cannot be trusted
            answers nothing.
    """

    def __init__(self, path: Path, counter: Path | None = None) -> None:
        super().__init__()
        self._path = path
        self._counter = counter
        self._is_held = False
        with self.held():  # a row that another process is writing must not be taken for a torn one
            pass

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `Journal`; what another process wrote meanwhile is read.

        It waits: nobody keeps it longer than a plan takes to check, and each message begins by reading it.
        """
        durable.make_folder(self._path.parent)
        with held(self._path.with_name(f".{self._path.name}.lock"), None):
            self._is_held = True
            try:
                self._load()
                yield
            finally:
                self._is_held = False

    def write(self, rows: Sequence[Row]) -> None:
        """See `Journal`."""
        if not rows:
            return
        if not self._is_held:
            with self.held():
                self.write(rows)
            return
        durable.append(self._path, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        super().write(rows)
        if self._counter is not None:
            durable.replace(self._counter, b"%d\n" % self._budget.counter)

    def _load(self) -> None:
        """Read it anew; a torn last line, of rows that nothing has followed from yet, is taken off."""
        data = self._path.read_bytes() if self._path.exists() else b""
        whole, newline, torn = data.rpartition(b"\n")
        if torn:
            durable.replace(self._path, whole + newline)
        try:
            rows = msgspec.json.decode(b"[" + whole.replace(b"\n", b",") + b"]", type=list[Row])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{self._path} is damaged: {error}", hint="enrol the device anew") from error
        self._budget = budgets.read(rows)
        self._compare()

    def _compare(self) -> None:
        """Lock it if the other storage counts more."""
        if self._counter is None or self._budget.locked:
            return
        counted = self._budget.counter
        elsewhere = self._elsewhere(self._counter)
        if elsewhere > counted:
            reason = f"{self._counter} counts {elsewhere} plans, the journal {counted}: it was put back"
            self.write([Locked(self._budget.clock, reason)])

    def _elsewhere(self, counter: Path) -> int:
        counted = self._budget.counter
        if not counter.exists():
            if counted:
                raise StateError(
                    f"{counter} is gone, the journal counts {counted} plans",
                    hint=f"put its storage back; where there was none before, write {counted} into it",
                )
            durable.replace(counter, b"0\n")
        try:
            return int(counter.read_text("ascii"))
        except ValueError as error:
            raise StateError(f"{counter} is damaged", hint="enrol the device anew") from error
