"""What every device has spent so far: a line a sum in the run's folder, and totals of those that took part.

attempts.jsonl, a line a sum:

    round, kind, sum, cohort_number   which
    waited                            virtual hours before it, until enough devices were online
    began, ended                      virtual hours since the run began
    nodes                             who was asked
    answered                          who of them is in the sum: 1, else 0
    joules, bytes                     what it took of each, whether in the sum or not
"""

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np

from covey.errors import StateError
from covey_io import durable
from covey_server.summary import Spread
from covey_simulations.availability.battery import MEMORY
from covey_simulations.availability.keyed import Flags, Floats, Nodes
from covey_simulations.availability.traces import HOUR

FILE: Final = "attempts.jsonl"
DIGITS: Final = 6
"""Of hours: about 4 ms. A run that is gone on with reads the same time as it would have had."""

Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One sum; see the module."""

    round: int
    kind: str
    sum: int
    cohort_number: int
    waited: float
    began: float
    ended: float
    nodes: list[int]
    answered: list[Flag]
    joules: list[float]
    bytes: list[int]


@dataclass
class Totals:
    """What one device has spent.

    Attributes:
        asked: Sums that it was asked for.
        answered: Of them, those that it is in.
        joules: Above idling.
        bytes: Received and sent.
    """

    asked: int = 0
    answered: int = 0
    joules: float = 0.0
    bytes: int = 0


@dataclass
class Usage:
    """What devices have spent; those that were never asked are not in it.

    Attributes:
        path: Of the lines; None to keep none.
        by_node: Totals by device.
        latest: Virtual hours of the last line.
        waited: Virtual hours before sums, until enough devices were online.
    """

    path: Path | None = None
    by_node: dict[int, Totals] = field(default_factory=dict)
    latest: float = 0.0
    waited: float = 0.0
    _unwritten: list[Line] = field(default_factory=list)
    _recent: defaultdict[int, deque[tuple[float, float]]] = field(default_factory=lambda: defaultdict(deque))

    @classmethod
    def opened(cls, path: Path, last_round: int, hours: float) -> "Usage":
        """Go on with a run's lines, or begin them.

        Args:
            path: Of the lines.
            last_round: The last round with a checkpoint: what came after it is asked again, and forgotten.
            hours: Virtual hours at its end.

        Raises:
            StateError: The file is damaged.
        """
        kept = [line for line in read(path) if line.round <= last_round and line.ended <= hours]
        durable.replace(path, b"".join(map(_encoded, kept)))
        found = cls(path)
        for line in kept:
            found.count(line)
        return found

    def add(self, line: Line) -> None:
        """Count a sum; `write` writes it down."""
        self._unwritten.append(line)
        self.count(line)

    def write(self) -> None:
        """Write down what is not: before a checkpoint that comes after it."""
        if self.path is not None and self._unwritten:
            durable.append(self.path, b"".join(map(_encoded, self._unwritten)))
        self._unwritten = []

    def count(self, line: Line) -> None:
        """Count a sum that is written down."""
        for node, answered, joules, size in zip(
            line.nodes, line.answered, line.joules, line.bytes, strict=True
        ):
            totals = self.by_node.setdefault(node, Totals())
            totals.asked += 1
            totals.answered += answered
            totals.joules += joules
            totals.bytes += size
            recent = self._recent[node]
            recent.append((line.began, joules))
            while recent[0][0] < line.began - MEMORY:
                recent.popleft()
        self.latest = max(self.latest, line.ended)
        self.waited = round(self.waited + line.waited, DIGITS)

    def lately(self, start: float, nodes: Nodes) -> tuple[Nodes, Floats, Floats]:
        """What work has taken lately; see `covey_simulations.availability.battery.Drains`.

        Args:
            start: When the run began, seconds since midnight of the first day.
            nodes: Of whom.
        """
        found = [
            (place, start + began * HOUR, joules)
            for place, node in enumerate(nodes.tolist())
            for began, joules in self._recent.get(node, ())
        ]
        places, times, joules = np.array(found, np.float64).reshape(-1, 3).T
        return places.astype(np.int64), times, joules


def spread(values: Sequence[float]) -> Spread:
    """How a figure is distributed over the devices that were asked: at least one."""
    median, p95 = np.quantile(values, (0.5, 0.95))
    return Spread(
        mean=float(np.mean(values)), median=float(median), p95=float(p95), most=float(np.max(values))
    )


def line(  # noqa: PLR0913 - a line's columns
    *,
    named: tuple[int, str, int, int],
    times: tuple[float, float, float],
    nodes: Nodes,
    answered: Flags,
    joules: Floats,
    moved: Floats,
) -> Line:
    """A line from arrays; joules keep six digits, so that a run that is gone on with counts alike."""
    number, kind, serial, cohort = named
    waited, began, ended = times
    return Line(
        round=number,
        kind=kind,
        sum=serial,
        cohort_number=cohort,
        waited=waited,
        began=began,
        ended=ended,
        nodes=nodes.tolist(),
        answered=answered.astype(int).tolist(),
        joules=[float(f"{each:.6g}") for each in joules.tolist()],
        bytes=np.rint(moved).astype(np.int64).tolist(),
    )


def read(path: Path) -> list[Line]:
    """A run's lines; a torn last one is none. No file has no lines.

    Raises:
        StateError: A complete line is none: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        return [msgspec.json.decode(each, type=Line) for each in path.read_bytes().split(b"\n")[:-1]]
    except ValueError as error:
        raise StateError(f"{path} is damaged: {error}", hint="start a new run") from error


def _encoded(line: Line) -> bytes:
    return (json.dumps(msgspec.to_builtins(line)) + "\n").encode()
