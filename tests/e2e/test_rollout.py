"""A rollout to forty devices that follow what is published by its own rules, with a real ledger.

The server's half is whole: approvals, machine, decisions, ledger, files. Devices are a few lines each: they
read the file, choose, install, and fail or not. Their counts come to the server in the clear.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from covey.ledger import entries
from covey.ledger.entries import RolloutDecision
from covey.policy.signed import Reviewers
from covey.rollout.choosing import choose, ring_of
from covey.rollout.health import RingHealth
from covey.rollout.instruction import TARGET, Instruction, Pin, from_bytes
from covey.rollout.plan import BUCKETS, Image, Limits, Ring, RolloutPlan, token
from covey.rollout.rings import expected
from covey.rollout.rolling_state import (
    Abort,
    Event,
    Hold,
    Pause,
    PinTo,
    Resume,
    RollBack,
    Rollout,
    Unhold,
    Unpin,
)
from covey_io.ledger_files import LedgerFiles
from covey_server.rollout_approvals import approved
from covey_server.rollout_desk import RolloutDesk
from covey_server.rollout_ledger import LedgerOfDecisions
from covey_server.rollout_publishing import PlainFolder
from covey_server.rollout_store import RolloutFolder
from rollout_plans import ANNA, BO, FLEET, HOUR, NOW, image, note, plan

OLD, NEW = image("1", 1), image("2", 2)
STEP = HOUR // 2


@dataclass
class SimulatedDevice:
    """Follows the instruction. A release that is bad for it is tried, rolled back and not tried again."""

    name: str
    bad: frozenset[str] = frozenset()
    runs: Image = OLD
    serial: int = 0
    tried: set[str] = field(default_factory=set)

    @property
    def token(self) -> str:
        return token(FLEET, self.name)

    def poll(self, instruction: Instruction) -> None:
        assert instruction.serial >= self.serial, "an older instruction than was seen"
        self.serial = instruction.serial
        choice = choose(instruction, self.token)
        if choice.image is None or choice.image == self.runs or not choice.may_begin:
            return
        if choice.image.sha256 not in self.tried:
            self.tried.add(choice.image.sha256)
            if choice.image.sha256 not in self.bad:
                self.runs = choice.image


class SimulatedFleet:
    """Forty devices, the server beside them, and a clock.

    Args:
        folder: For the server's files.
        bad: Devices on which the new release fails.
    """

    def __init__(self, folder: Path, bad: int = 0) -> None:
        failing = frozenset({NEW.sha256})
        self.devices = [
            SimulatedDevice(f"pi-{number:02d}", failing if number < bad else frozenset())
            for number in range(40)
        ]
        self.now = NOW
        self._site = folder / "site"
        self._rollouts = RolloutFolder(folder / "rollouts")
        self._files = LedgerFiles(folder / "ledger")
        self.asked = 0

    @property
    def desk(self) -> RolloutDesk:
        ledger = LedgerOfDecisions(self._files, None)
        return RolloutDesk(self._rollouts, ledger, PlainFolder(self._site), lambda: self.now)

    @property
    def told(self) -> Instruction:
        return from_bytes((self._site / TARGET).read_bytes())

    @property
    def actions(self) -> list[str]:
        found = map(entries.decode, self._files.lines()[0])
        return [each.action for each in found if isinstance(each, RolloutDecision)]

    def start(self, of: RolloutPlan) -> None:
        self.desk.start(approved(note(of, ANNA, BO).encode(), Reviewers((ANNA.verifier, BO.verifier), 2)))

    def ask(self, of: RolloutPlan, opened: int) -> tuple[RingHealth, ...]:
        """What a private sum would give, without noise."""
        self.asked += 1
        counts = expected(self.told, [device.token for device in self.devices])
        followers = [d for d in self.devices if d.token not in self.told.holds]
        done = [ring_of(of, d.token) for d in followers if d.runs.sha256 == of.image.sha256]
        failed = [
            ring_of(of, d.token) for d in followers if d.runs != of.image and of.image.sha256 in d.tried
        ]
        return tuple(RingHealth(counts[ring], done.count(ring), failed.count(ring)) for ring in range(opened))

    def pass_time(self, hours: float) -> Rollout:
        """Half an hour after the other: devices poll, the server ticks."""
        for _ in range(round(hours * HOUR / STEP)):
            self.poll()
            self.now += STEP
            state, _ = self.desk.tick(self)
        return state

    def act(self, event: Event) -> None:
        self.desk.act(event)
        self.poll()

    def poll(self) -> None:
        """Every device looks; one that knows the instruction has followed it already."""
        told = self.told
        for device in self.devices:
            if told.serial != device.serial:
                device.poll(told)

    def running(self, of: Image) -> list[int]:
        return [number for number, device in enumerate(self.devices) if device.runs == of]


PLAN = plan(
    rings=(
        Ring(
            name="lab",
            share=0,
            members=tuple(token(FLEET, f"pi-{n:02d}") for n in range(2)),
            soak_seconds=HOUR,
        ),
        Ring(
            name="canary",
            share=500,
            members=tuple(token(FLEET, f"pi-{n:02d}") for n in range(2, 8)),
            soak_seconds=HOUR,
        ),
        Ring(name="quarter", share=2500, soak_seconds=HOUR),
        Ring(name="all", share=BUCKETS, soak_seconds=HOUR),
    ),
    limits=Limits(report_seconds=HOUR, unproven="advance"),
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SimulatedFleet]:
    made = SimulatedFleet(tmp_path)
    made.start(PLAN)
    yield made
    serials = [device.serial for device in made.devices]
    assert max(serials) <= made.told.serial


def test_a_good_release_reaches_everybody_ring_after_ring(fleet: SimulatedFleet) -> None:
    reached = []
    for _ in range(40):
        fleet.pass_time(0.5)
        reached.append(fleet.running(NEW))
    assert fleet.actions == ["start", "open", "open", "open", "complete"]
    assert len(reached[-1]) == 40
    assert reached[0] == [0, 1]
    for before, after in pairwise(reached):
        assert set(before) <= set(after), "a device was taken out of a ring"
    assert len({len(each) for each in reached}) == 4
    assert fleet.asked < 12


def test_a_bad_release_stops_by_itself_and_is_rolled_back(tmp_path: Path) -> None:
    fleet = SimulatedFleet(tmp_path, bad=40)
    for device in fleet.devices[:2]:  # it goes well in the laboratory
        device.bad = frozenset()
    fleet.start(PLAN)
    state = fleet.pass_time(12)
    assert fleet.actions == ["start", "open", "stop"]
    assert (state.state, state.opened) == ("rolled-back", 2)
    assert "ring canary" in state.decisions[-1].reason
    tried = [number for number, device in enumerate(fleet.devices) if device.tried]
    assert all(ring_of(PLAN, fleet.devices[number].token) < 2 for number in tried)
    assert len(tried) < 12
    assert fleet.running(NEW) == []
    assert fleet.running(OLD) == list(range(40))


def test_a_rollback_after_everybody_has_it(fleet: SimulatedFleet) -> None:
    assert fleet.pass_time(12).state == "complete"
    fleet.act(RollBack(fleet.now, "wrong labels"))
    assert fleet.running(OLD) == list(range(40))
    assert fleet.told.state == "rolled-back"


def test_while_it_is_paused_nobody_begins_and_nothing_opens(fleet: SimulatedFleet) -> None:
    fleet.act(Pause(fleet.now, "look"))
    before = fleet.running(NEW)
    assert fleet.pass_time(9).opened == 1
    assert (fleet.running(NEW), fleet.asked) == (before, 0)
    fleet.act(Resume(fleet.now, "fine"))
    assert fleet.running(NEW) == [0, 1]
    assert fleet.pass_time(12).state == "complete"


def test_an_abort_takes_nothing_back_and_lets_nobody_begin(fleet: SimulatedFleet) -> None:
    fleet.pass_time(2.5)
    fleet.act(Abort(fleet.now, "enough"))
    before = fleet.running(NEW)
    assert len(before) >= 2
    assert fleet.pass_time(12).state == "aborted"
    assert fleet.running(NEW) == before


def test_a_device_on_hold_changes_nothing_until_it_is_let_go(fleet: SimulatedFleet) -> None:
    held = fleet.devices[30]
    fleet.act(Hold(fleet.now, held.token, "a device is put on hold"))
    assert fleet.pass_time(12).state == "complete"
    assert held.runs == OLD
    assert len(fleet.running(NEW)) == 39
    fleet.act(RollBack(fleet.now, "wrong"))
    assert len(fleet.running(OLD)) == 40
    fleet.act(Unhold(fleet.now, held.token, "a device follows again"))
    assert held.runs == OLD


def test_a_pinned_device_runs_its_image_and_no_other(fleet: SimulatedFleet) -> None:
    special, lab = image("1-special", 1), fleet.devices[0]
    fleet.act(PinTo(fleet.now, Pin(device=lab.token, image=special), "compare"))
    assert lab.runs == special
    assert fleet.pass_time(12).state == "complete"
    assert (lab.runs, len(fleet.running(NEW))) == (special, 39)
    fleet.act(Unpin(fleet.now, lab.token, "compared"))
    assert lab.runs == NEW


@pytest.mark.parametrize(("silent", "ends"), [(3, "paused"), (5, "rolled-back")])
def test_devices_that_are_never_heard_of_count_as_failed(tmp_path: Path, silent: int, ends: str) -> None:
    """Three of the canary's few are not surely above the limit: it pauses, and people decide."""
    fleet = SimulatedFleet(tmp_path)
    fleet.start(PLAN)
    gone = [device for device in fleet.devices if ring_of(PLAN, device.token) == 1][:silent]
    fleet.devices = [device for device in fleet.devices if device not in gone]
    told = fleet.devices + gone

    def ask(of: RolloutPlan, opened: int) -> tuple[RingHealth, ...]:
        """The roster has them still."""
        counts = expected(fleet.told, [device.token for device in told])
        heard = SimulatedFleet.ask(fleet, of, opened)
        return tuple(
            RingHealth(count, each.succeeded, each.failed) for count, each in zip(counts, heard, strict=True)
        )

    fleet.ask = ask  # type: ignore[method-assign]
    state = fleet.pass_time(12)
    assert (state.state, state.opened, state.for_people) == (ends, 2, ends == "paused")
    assert "failed or not reported" in state.verdict
