"""Follows a run: a line for every round and for whatever else somebody who waits wants to know."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from covey_server import serve_status
from covey_server.orders import Order, Orders
from covey_server.run_folder import came_to
from covey_server.run_progress import REFUSED, cost, delta_of, rounds_of, rows_of
from covey_server.server_file import ServerFile
from covey_server.sum_rows import Row

EVERY: Final = 1.0
"""Seconds between two looks."""


class Following:
    """What is to be said of a run, each thing once.

    Args:
        file: The server's configuration.
        name: The run's.
    """

    def __init__(self, file: ServerFile, name: str) -> None:
        self._file = file
        self._name = name
        self._orders = Orders(file.folder.orders)
        self._path = file.folder.runs / name
        self._round = 0
        self._starts = 0
        self._state = ""
        self._tail = Tail(self._orders.find(name).log)

    def follow(self, wait: Callable[[float], None] = time.sleep) -> Iterator[str]:
        """Lines, until the run is over."""
        while True:
            order = self._orders.find(self._name)
            yield from self.news(order)
            if order.is_over:
                return
            wait(EVERY)

    def news(self, order: Order) -> Iterator[str]:
        """What is new."""
        yield from self._refused()
        yield from self._rounds(order)
        yield from self._moves(order)

    def _refused(self) -> Iterator[str]:
        for line in self._tail.lines():
            if line.startswith(REFUSED):
                yield line.removeprefix("covey: ")

    def _rounds(self, order: Order) -> Iterator[str]:
        new = [row for row in rows_of(self._path) if row["round"] > self._round]
        for row in new:
            yield round_line(row, rounds_of(order))
            self._round = row["round"]
        if new:
            yield cost_line(*cost(self._path, delta_of(order)))

    def _moves(self, order: Order) -> Iterator[str]:
        progress, before = order.progress, (self._state, self._starts)
        self._state, self._starts = progress.state, progress.starts
        if (self._state, self._starts) == before:
            return
        match progress.state:
            case "waiting":
                yield self._waiting()
            case "running" if progress.starts > 1:
                yield f"started again, from round {progress.round}: {progress.reason or 'the server was'}"
            case "running":
                yield "started"
            case "finished":
                yield f"finished: {self._path / came_to(self._path)}"
            case "failed":
                yield f"failed: {progress.reason}"
            case "stopped":
                yield "stopped; covey fleet run goes on with it"

    def _waiting(self) -> str:
        if not serve_status.is_running(self._file.folder.path):
            return "waiting: no server runs; start it: covey serve"
        return "waiting"


class Tail:
    """The new lines of a file that grows; what was there already is old.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path, *, all_of_it: bool = False) -> None:
        self._path = path
        self._offset = 0 if all_of_it or not path.exists() else path.stat().st_size
        self._rest = b""

    def lines(self) -> list[str]:
        """Those that are complete; printable."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(self._offset if self._offset <= size else 0)  # emptied: from its start
                data = self._rest + file.read()
                self._offset = file.tell()
        except FileNotFoundError:
            return []
        *lines, self._rest = data.split(b"\n")
        return [printable(line) for line in lines]


def printable(line: bytes) -> str:
    """A line that somebody else wrote, for a terminal."""
    text = line.decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char == "\t" else "?" for char in text)


def round_line(row: Row, rounds: int) -> str:
    """A round."""
    accuracy = "" if row["accuracy"] is None else f", accuracy {row['accuracy']:.3f}"
    refused = f", {row['refused']} not counted" if row["refused"] else ""
    return (
        f"round {row['round']}/{rounds}: loss {row['loss']:.3f}{accuracy}, {row['devices']} devices{refused}"
    )


def cost_line(sums: int, epsilon: float | None) -> str:
    """What it has cost so far."""
    spent = "no noise, no ε" if epsilon is None else f"ε = {epsilon:g} against the server"
    return f"  so far {sums} private sums, {spent}"
