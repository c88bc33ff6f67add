"""What was decided is done, in order, whatever breaks off; and what never was decided never happened."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from covey.errors import InputError, RoundAborted, StateError
from covey.ledger import entries
from covey.ledger.entries import RolloutDecision
from covey.policy.signed import Reviewers
from covey.rollout.health import RingHealth
from covey.rollout.instruction import TARGET, Instruction, from_bytes
from covey.rollout.plan import RolloutPlan
from covey.rollout.rolling_state import Abort, Hold, Rollout
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_server.rollout_approvals import Approved, approved
from covey_server.rollout_desk import RolloutDesk
from covey_server.rollout_health import Heard
from covey_server.rollout_ledger import LedgerOfDecisions, Told
from covey_server.rollout_publishing import PlainFolder
from covey_server.rollout_store import RolloutFolder
from rollout_plans import ANNA, HOUR, NOW, image, note, plan, tokens

GOOD = RingHealth(50, 50, 0)


class PowerCutError(Exception):
    """The process ends here."""


@dataclass
class Cut:
    """Counts durable steps, and ends the process at one of them: before or after it was done."""

    at: int = -1
    after: bool = False
    steps: int = 0
    names: list[str] = field(default_factory=list)

    def step(self, name: str, act: Callable[[], None]) -> None:
        self.names.append(name)
        self.steps += 1
        if self.steps - 1 == self.at and not self.after:
            raise PowerCutError
        act()
        if self.steps - 1 == self.at:
            raise PowerCutError


class CutLedger(LedgerOfDecisions):
    """The real ledger, with a cut."""

    def __init__(self, files: LedgerFiles, cut: Cut) -> None:
        super().__init__(files, None)
        self._cut = cut

    def enter(self, entry: RolloutDecision) -> None:
        self._cut.step("ledger", lambda: super(CutLedger, self).enter(entry))


class CutPublisher(PlainFolder):
    """The real folder, with a cut."""

    def __init__(self, path: Path, cut: Cut) -> None:
        super().__init__(path)
        self._cut = cut
        self.refreshed = 0

    def instruction(self, data: bytes) -> None:
        self._cut.step("publish", lambda: super(CutPublisher, self).instruction(data))

    def refresh(self) -> None:
        self.refreshed += 1


@dataclass
class Office:
    """A fleet's rollouts in a folder, with a clock that stands until it is moved."""

    path: Path
    cut: Cut = field(default_factory=Cut)
    now: int = NOW

    @property
    def folder(self) -> RolloutFolder:
        return RolloutFolder(self.path / "rollouts")

    @property
    def files(self) -> LedgerFiles:
        return LedgerFiles(self.path / "ledger")

    def desk(self) -> RolloutDesk:
        """As a new process would open it."""
        ledger = CutLedger(self.files, self.cut)
        return RolloutDesk(self.folder, ledger, CutPublisher(self.path / "site", self.cut), lambda: self.now)

    @property
    def decisions(self) -> list[RolloutDecision]:
        lines = self.files.lines()[0] if self.files.is_there else []
        return [each for each in map(entries.decode, lines) if isinstance(each, RolloutDecision)]

    @property
    def told(self) -> Instruction | None:
        path = self.path / "site" / TARGET
        return from_bytes(path.read_bytes()) if path.exists() else None

    def rollout(self) -> Rollout:
        found = self.folder.read().rollout
        assert found is not None
        return found


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def signed_plan(of: RolloutPlan | None = None) -> Approved:
    return approved(note(of).encode(), Reviewers((ANNA.verifier,), 1))


def consistent(office: Office) -> None:
    """Whatever devices are told stands in the ledger, announced; and the ledger has each serial once."""
    serials = [each.serial for each in office.decisions]
    assert serials == list(range(1, len(serials) + 1))
    path = office.path / "site" / TARGET
    if path.exists():
        by_hash = {each.instruction: each for each in office.decisions}
        entry = by_hash[hashlib.sha256(path.read_bytes()).hexdigest()]
        instruction = from_bytes(path.read_bytes())
        assert (entry.serial, entry.opened) == (instruction.serial, instruction.opened)
        head = office.files.head()
        assert head is not None
        assert int(head.split(b"\n")[1]) > office.decisions.index(entry)


def scenario(office: Office) -> Iterator[Callable[[], object]]:
    """A start, a ring, a hold, an abort, and the next rollout; each by a new process."""

    def good() -> None:
        office.desk().tick(heard=Heard(NOW + 2 * HOUR, (GOOD,)))

    yield lambda: office.desk().start(signed_plan())
    office.now += 2 * HOUR
    yield good
    yield lambda: office.desk().act(Hold(office.now, tokens(1)[0], "asked for"))
    yield lambda: office.desk().act(Abort(office.now, "seen enough"))
    later = plan(rollout="wrist-3", image=image("3", 3))
    yield lambda: office.desk().start(signed_plan(later))


def test_everything_goes_through_the_ledger_to_devices(office: Office) -> None:
    for act in scenario(office):
        act()
        consistent(office)
    assert [each.action for each in office.decisions] == [
        "start",
        "open",
        "hold",
        "abort",
        "start",
    ]
    assert office.told is not None
    assert (office.told.serial, office.told.planned.rollout) == (5, "wrist-3")
    assert office.told.holds == (tokens(1)[0],)
    assert office.folder.has_past("wrist-2")
    assert {each.approvals for each in office.decisions} == {1}
    assert office.folder.read().pending is None


def durable_steps(monkeypatch: pytest.MonkeyPatch, cut: Cut) -> None:
    """Writing the state is a durable step too: the rollouts' own, not the ledger's."""
    replace = durable.replace

    def counted(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        if "rollouts" in path.parts:
            cut.step("state", lambda: replace(path, data, mode=mode))
        else:
            replace(path, data, mode=mode)

    monkeypatch.setattr(durable, "replace", counted)


def test_a_cut_at_any_step_is_repaired_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Office(tmp_path / "whole")
    with monkeypatch.context() as patched:
        durable_steps(patched, whole.cut)
        for act in scenario(whole):
            act()
    assert whole.cut.names[:4] == ["state", "ledger", "publish", "state"]
    assert whole.cut.steps == 5 * 4 + 1  # and the rollout that was followed by another
    for at in range(whole.cut.steps):
        for after in (False, True):
            office = Office(tmp_path / f"{at}-{after}", Cut(at, after))
            with monkeypatch.context() as patched:
                durable_steps(patched, office.cut)
                cuts = run_with_a_cut(office)
            assert cuts == 1
            consistent(office)
            assert office.folder.read() == whole.folder.read()
            assert office.decisions == whole.decisions
            assert office.told == whole.told


def run_with_a_cut(office: Office) -> int:
    """The scenario; after the cut the next call repairs, and what never was decided is asked for again."""
    cuts = 0
    for act in scenario(office):
        before = office.folder.read()
        try:
            act()
        except PowerCutError:
            cuts += 1
            consistent(office)
            decided = office.folder.read().rollout != before.rollout
            if office.folder.read().rollout is not None:
                office.desk().tick()
            consistent(office)
            if not decided:
                act()
    return cuts


def test_devices_are_told_nothing_that_the_ledger_does_not_say(office: Office) -> None:
    office.desk().start(signed_plan())
    office.cut.at = office.cut.steps
    with pytest.raises(PowerCutError):
        office.desk().act(Abort(NOW, "bad"))
    assert office.told is not None
    assert (office.told.state, office.rollout().state) == ("running", "aborted")
    pending = office.folder.read().pending
    assert pending is not None
    assert pending.entry.action == "abort"
    office.desk().tick()
    assert office.told is not None
    assert office.told.state == "aborted"
    assert office.decisions[-1] == pending.entry


def test_what_cannot_be_changes_nothing(office: Office) -> None:
    office.desk().start(signed_plan())
    before = office.folder.read()
    with pytest.raises(InputError, match="no line"):
        office.desk().act(Abort(NOW, "x" * 501))
    with pytest.raises(InputError, match="wrist-2 is running"):
        office.desk().start(signed_plan(plan(rollout="wrist-3")))
    assert (office.folder.read(), len(office.decisions)) == (before, 1)


def test_a_name_is_never_used_twice_even_if_the_folder_is_lost(office: Office) -> None:
    office.desk().start(signed_plan())
    assert office.desk().start(signed_plan()) == office.rollout()
    assert len(office.decisions) == 1
    office.desk().act(Abort(NOW, "done"))
    other = plan(windows=(), fallback=None)
    with pytest.raises(InputError, match="a rollout wrist-2 was started before"):
        office.desk().start(signed_plan(other))
    (office.path / "rollouts" / "state.json").unlink()
    with pytest.raises(InputError, match="a rollout wrist-2 was started before"):
        office.desk().start(signed_plan())
    office.desk().start(signed_plan(plan(rollout="wrist-2b")))
    assert office.told is not None
    assert office.told.serial == 3


def test_a_thiefs_serial_can_be_passed(office: Office) -> None:
    """What somebody else published with the fleet's key stands in no ledger, and devices have seen it."""
    office.desk().start(signed_plan())
    office.desk().start(signed_plan(plan(rollout="wrist-3")), supersedes=True, after=900)
    assert office.told is not None
    assert office.told.serial == 901


class Asked:
    """The fleet, which answers once and counts how often it is asked."""

    def __init__(self, *answers: tuple[RingHealth, ...] | Exception) -> None:
        self.answers = list(answers)
        self.opened: list[int] = []

    def ask(self, of: RolloutPlan, opened: int) -> tuple[RingHealth, ...]:
        assert of == plan()
        self.opened.append(opened)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_health_is_asked_for_when_it_is_due_and_opens_rings(office: Office) -> None:
    office.desk().start(signed_plan())
    fleet = Asked((GOOD,), (GOOD, RingHealth(50, 0, 50)))
    assert office.desk().tick(fleet)[0].opened == 1
    office.now += HOUR
    assert office.desk().tick(fleet)[0].opened == 2
    office.now += HOUR
    stopped, due = office.desk().tick(fleet)
    assert (stopped.state, due, fleet.opened) == ("rolled-back", False, [1, 2])
    assert office.desk().tick(fleet)[1] is False


def test_health_that_fails_is_not_paid_for_again_at_once(office: Office) -> None:
    office.desk().start(signed_plan())
    office.now += HOUR
    fleet = Asked(RoundAborted("too few devices"), (GOOD,))
    with pytest.raises(RoundAborted):
        office.desk().tick(fleet)
    assert office.desk().tick(fleet)[0].opened == 1
    office.now += HOUR
    assert office.desk().tick(fleet)[0].opened == 2


def test_without_anybody_to_ask_it_says_that_health_is_due(office: Office) -> None:
    office.desk().start(signed_plan())
    assert office.desk().tick()[1] is False
    office.now += HOUR
    assert office.desk().tick()[1] is True
    assert office.desk().tick()[1] is True
    heard, due = office.desk().tick(heard=Heard(office.now, (GOOD,)))
    assert (heard.opened, due) == (2, False)


def test_two_processes_do_not_decide_at_once(office: Office) -> None:
    office.desk().start(signed_plan())
    with office.folder.held(), pytest.raises(InputError, match="in use by another process"):
        office.desk().tick()


def test_a_damaged_state_is_said_and_kept(office: Office) -> None:
    office.desk().start(signed_plan())
    path = office.path / "rollouts" / "state.json"
    path.write_bytes(path.read_bytes()[:-30])
    damaged = path.read_bytes()
    with pytest.raises(StateError, match="is damaged"):
        office.desk().tick()
    assert path.read_bytes() == damaged


def test_a_ledger_of_another_fleet_says_nothing_of_this_one(office: Office) -> None:
    office.desk().start(signed_plan())
    ledger = LedgerOfDecisions(office.files, None)
    assert ledger.told("lab") == Told(1, frozenset({"wrist-2"}))
    assert ledger.told("other") == Told(0, frozenset())
