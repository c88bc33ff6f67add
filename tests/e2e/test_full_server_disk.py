"""A server whose disk is full in the middle of a run: nothing is asked that is not written down, nothing is
counted twice, and with room again the run is gone on with.

Ledger and checkpoints are on small disks of their own, so that each is full at a moment of the test's.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flwr.app import Message

from agents import short_folder
from covey.errors import StateError
from covey.ledger.entries import kind_of
from covey_server.run_folder import RunFolder
from pilot import MASKED, NO_RANGES, Pilot, SocketGrid, pilot
from pilot_run import check_audit, check_paid, entries, serve
from small_disk import fill, small_disk

DEVICES, TIMEOUT, ROUNDS = 10, 45, 2

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@dataclass
class Disks:
    """A fleet and its server's disks."""

    fleet: Pilot
    ledger: Path
    checkpoints: Path
    stages: list[str] = field(default_factory=list)
    fillers: list[Path] = field(default_factory=list)

    @property
    def lines(self) -> list[bytes]:
        """Of the ledger, whole ones."""
        return (self.ledger / "entries.jsonl").read_bytes().split(b"\n")[:-1]

    def kinds(self) -> list[str]:
        return [kind_of(each) for each in entries(self.fleet)]

    def fill(self, disk: Path) -> None:
        """Once; from here on stages are counted anew."""
        if not self.fillers:
            self.fillers.append(fill(disk))
            self.stages.clear()


@contextmanager
def disks() -> Iterator[Disks]:
    federation = MASKED.format(rounds=ROUNDS, minimum=8, timeout=float(TIMEOUT)) + NO_RANGES
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        (folder / "runs/pilot").mkdir(parents=True)
        ledger = stack.enter_context(small_disk(folder / "runs/ledger", "8m"))
        checkpoints = stack.enter_context(small_disk(folder / "runs/pilot/checkpoints", "8m"))
        fleet = stack.enter_context(pilot(folder, DEVICES, federation, spare=2))
        fleet.start()
        yield Disks(fleet, ledger, checkpoints)


class Grid(SocketGrid):
    """Does something when a cohort is drawn, and after the last stage of a sum; writes down what is asked."""

    def __init__(self, made: Disks, drawn: Callable[[], None], opened: Callable[[], None]) -> None:
        super().__init__(made.fleet.devices, self._before, self._after)
        self._made, self._drawn, self._opened = made, drawn, opened

    def get_node_ids(self) -> Iterable[int]:
        self._drawn()
        return super().get_node_ids()

    def _before(self, stage: str, _: list[Message]) -> None:
        self._made.stages.append(stage)

    def _after(self, stage: str, _: list[Message]) -> None:
        if stage == "unmask":
            self._opened()


def nothing() -> None:
    return


def full_at(made: Disks, when: str) -> Grid:
    """A grid that fills a disk at a moment of the first round."""

    def settled(count: int) -> bool:
        return made.ledger.joinpath("entries.jsonl").exists() and made.kinds().count("round.settle") == count

    def before_a_reserve() -> None:
        if settled(1):
            made.fill(made.ledger)

    def before_a_settle() -> None:
        made.fill(made.ledger)

    def before_a_checkpoint() -> None:
        if settled(1):
            made.fill(made.checkpoints)

    match when:
        case "reserve":
            return Grid(made, before_a_reserve, nothing)
        case "settle":
            return Grid(made, nothing, before_a_settle)
        case _:
            return Grid(made, nothing, before_a_checkpoint)


@pytest.mark.parametrize(
    ("when", "ends", "again"), [("reserve", 1, 1), ("settle", 0, 0), ("checkpoint", 2, 2)]
)
def test_a_full_disk_stops_a_run_before_it_asks_and_room_lets_it_go_on(
    when: str, ends: int, again: int
) -> None:
    """Full before a reserve, before a settle, before a checkpoint."""
    with disks() as made:
        with pytest.raises(StateError, match="no space left on device") as caught:
            serve(made.fleet, full_at(made, when))
        assert "make room on the disk" in caught.value.hint
        assert not made.stages  # since it was full
        assert made.kinds().count("round.settle") == ends
        before = made.lines
        folder = RunFolder.open(made.fleet.folder / "runs/pilot")
        with pytest.raises(StateError, match="no space left on device"):
            serve(made.fleet, SocketGrid(made.fleet.devices, lambda *_: made.stages.append("asked")))
        assert not made.stages
        made.fillers[0].unlink()
        serve(made.fleet, SocketGrid(made.fleet.devices))
        assert made.lines[: len(before)] == before  # nothing is lost
        assert [row["round"] for row in folder.rows()] == list(range(1, ROUNDS + 1))
        assert made.kinds().count("round.settle") == 2 * ROUNDS + again
        check_paid(made.fleet)
        check_audit(made.fleet)
