"""Rollouts over a real TUF repository: a crash is repaired, and what cannot be published is not decided."""

from pathlib import Path

import pytest

from covey.errors import InputError
from covey.ledger.entries import RolloutDecision, decode
from covey.policy.signed import Reviewers
from covey.rollout.instruction import from_bytes
from covey.rollout.plan import Image, RolloutPlan
from covey.rollout.rolling_state import Abort, Pause, RollBack
from covey_io.ledger_files import LedgerFiles
from covey_server.key_files import write_private
from covey_server.rollout_approvals import Approved, approved
from covey_server.rollout_desk import RolloutDesk
from covey_server.rollout_ledger import LedgerOfDecisions
from covey_server.rollout_store import RolloutFolder
from covey_server.rollout_tuf import TufPublisher
from covey_server.tuf_roles import ONLINE
from rollout_plans import ANNA, note, plan
from tuf_world import World, made_world


class Office:
    """A repository, and the desk beside it."""

    def __init__(self, folder: Path) -> None:
        self.world: World = made_world(folder)
        for role in ONLINE:
            write_private(folder / "online" / f"{role}.key", self.world.keys[role]._private_key, None)  # type: ignore[arg-type]
        self.folder = folder

    def desk(self, kind: type[TufPublisher] = TufPublisher) -> RolloutDesk:
        publisher = kind(self.world.repo, self.folder / "online", now=self.world.now)
        ledger = LedgerOfDecisions(LedgerFiles(self.folder / "ledger"), None)
        now = int(self.world.at)
        return RolloutDesk(
            RolloutFolder(self.folder / "rollouts"), ledger, publisher, lambda: now, publisher.check
        )

    @property
    def actions(self) -> list[str]:
        files = LedgerFiles(self.folder / "ledger")
        found = map(decode, files.lines()[0] if files.is_there else [])
        return [each.action for each in found if isinstance(each, RolloutDecision)]

    def told(self) -> tuple[int, str]:
        """As a device that verifies everything is told."""
        offered = self.world.device().check()
        assert offered is not None
        instruction = from_bytes(offered.instruction)
        return instruction.serial, instruction.state


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def of(image: Image, fallback: Image | None, name: str = "motion-2") -> Approved:
    made: RolloutPlan = plan(rollout=name, image=image, fallback=fallback)
    return approved(note(made).encode(), Reviewers((ANNA.verifier,), 1))


def test_decisions_reach_devices_that_verify_everything(office: Office) -> None:
    old, new = office.world.publish("1", 1), office.world.publish("2", 2, archive=b"new" * 100)
    office.desk().start(of(new, old))
    assert office.told() == (1, "running")
    office.desk().act(RollBack(int(office.world.at), "wrong labels"))
    assert office.told() == (2, "rolled-back")
    office.desk().tick()
    assert office.told() == (2, "rolled-back")


class Dying(TufPublisher):
    """Ends the process once the instruction is published."""

    def instruction(self, data: bytes) -> None:
        super().instruction(data)
        raise KeyboardInterrupt


def test_a_crash_behind_the_publication_is_repaired(office: Office) -> None:
    new = office.world.publish("2", 2)
    office.desk().start(of(new, None))

    with pytest.raises(KeyboardInterrupt):
        office.desk(Dying).act(Pause(int(office.world.at), "look"))
    assert office.told() == (2, "paused")
    office.desk().act(Abort(int(office.world.at), "seen"))
    assert office.told() == (3, "aborted")
    assert office.actions == ["start", "pause", "abort"]


def test_what_could_not_be_published_is_never_decided(office: Office) -> None:
    new = office.world.publish("2", 2)
    with pytest.raises(InputError, match="motion 3 is not published"):
        office.desk().start(of(office.world.image("3", 3), None))
    with pytest.raises(InputError, match="motion 2 was published as something else"):
        office.desk().start(of(office.world.image("2", 7), None))
    assert office.actions == []
    office.desk().start(of(new, None))
    assert office.told() == (1, "running")


def test_a_floor_above_a_rollout_is_left_behind_by_a_newer_one(office: Office) -> None:
    new = office.world.publish("2", 2)
    office.desk().start(of(new, None))
    fixed = office.world.publish("3", 3, floor=3, archive=b"fixed" * 99)
    with pytest.raises(InputError, match="below the security floor of 3") as caught:
        office.desk().act(Abort(int(office.world.at), "a hole"))
    assert "--supersede" in caught.value.hint
    office.desk().start(of(fixed, None, "motion-3"), supersedes=True)
    assert office.told() == (2, "running")
    assert office.actions == ["start", "start"]


def test_a_folder_that_is_older_than_the_repository_decides_nothing(office: Office) -> None:
    new = office.world.publish("2", 2)
    office.desk().start(of(new, None))
    state = (office.folder / "rollouts" / "state.json").read_bytes()
    office.desk().act(Pause(int(office.world.at), "look"))
    (office.folder / "rollouts" / "state.json").write_bytes(state)
    with pytest.raises(InputError, match="instruction 2 is published, and this would be 2"):
        office.desk().act(Abort(int(office.world.at), "old"))


def test_without_a_repository_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no repository") as caught:
        TufPublisher(tmp_path / "gone", tmp_path)
    assert "--plain" in caught.value.hint
