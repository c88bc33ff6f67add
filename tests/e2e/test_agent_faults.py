"""A masked round with real agents that die, freeze, run out of disk or live in another day.

The server's code and the agents' are the real ones, each agent a process of its own with its own keys, budget
and training child; what carries the messages is their own socket.
"""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence

import pytest
from flwr.app import Message

from agents import short_folder
from covey.errors import CoveyError, RoundAborted
from covey.ledger.entries import Abort, Settle
from pilot import MASKED, NO_RANGES, Device, Fault, Pilot, pilot
from pilot_run import check_audit, check_paid, entries, run, settled
from small_disk import fill, small_disk

DEVICES = 12
TIMEOUT = 45
ONE_ROUND = MASKED.format(rounds=1, minimum=9, timeout=float(TIMEOUT)) + NO_RANGES

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def fleet() -> Iterator[Pilot]:
    with short_folder() as folder, pilot(folder, DEVICES, ONE_ROUND, spare=2) as made:
        made.start()
        yield made


@pytest.fixture
def ten() -> Iterator[Pilot]:
    """As few as hide one another; three of them may be lost."""
    federation = MASKED.format(rounds=1, minimum=7, timeout=float(TIMEOUT)) + NO_RANGES
    with short_folder() as folder, pilot(folder, 10, federation, spare=2) as made:
        made.start()
        yield made


def at(stage: str, act: Sequence[tuple[Device, int]]) -> Fault:
    """A signal to some devices, once, before the messages of a stage are sent."""
    done: list[bool] = []

    def fault(now: str, _: list[Message]) -> None:
        if now == stage and not done:
            done.append(True)
            for device, sent in act:
                device.send(sent)

    return fault


STAGES = ("advertise", "share", "masked", "consistency", "unmask")


@pytest.mark.parametrize("stage", STAGES)
def test_thirty_percent_of_the_fleet_die_at_a_stage(stage: str, ten: Pilot) -> None:
    """Three of ten, for good: each sum is opened with the others, and with those whose vectors had come."""
    lost = [ten.device(index) for index in (1, 5, 8)]
    run(ten, at(stage, [(device, signal.SIGKILL) for device in lost]))
    late = stage in ("consistency", "unmask")  # their vectors had come
    assert settled(ten) == [10 if late else 7, 7]
    for device in ten.devices.values():
        gone = device in lost
        assert len(device.budget.reserved) == (2 if not gone else int(stage != "advertise"))
    check_paid(ten)
    check_audit(ten)


def test_more_than_may_drop_out_is_an_abort_that_stays_spent(fleet: Pilot) -> None:
    lost = [(fleet.device(index), signal.SIGKILL) for index in range(4)]
    with pytest.raises(RoundAborted):
        run(fleet, at("masked", lost))
    kinds = [type(each) for each in entries(fleet)]
    assert kinds.count(Abort) == 1
    assert kinds.count(Settle) == 0
    for device in list(fleet.devices.values())[4:]:
        assert len(device.budget.reserved) == 1  # its vector left
    check_paid(fleet)
    check_audit(fleet, warnings=1)  # that a sum was given up is a reviewer's business


def test_a_frozen_device_is_left_behind_and_takes_part_in_the_next_sum(fleet: Pilot) -> None:
    """Its vector comes after its keys were recovered: it must not be in the sum, nor readable."""
    frozen = fleet.device(3)

    def thaw(now: str, replies: list[Message]) -> None:
        if now == "unmask" and len(replies) == DEVICES - 1:
            frozen.send(signal.SIGCONT)

    run(fleet, at("masked", [(frozen, signal.SIGSTOP)]), thaw)
    assert settled(fleet) == [11, 12]
    check_paid(fleet)
    check_audit(fleet)


def restarted(device: Device) -> None:
    device.kill()
    device.start()
    device.wait()


@pytest.mark.parametrize("stage", ["share", "masked", "consistency"])
def test_a_device_that_restarts_in_a_session_never_answers_it_again(stage: str, fleet: Pilot) -> None:
    """Between its reserve and its vector what was reserved is given back; after the vector it stays spent."""
    victim, once = fleet.device(0), list[str]()

    def restart(now: str, _: list[Message]) -> None:
        if now == stage and not once:
            once.append(now)
            restarted(victim)

    run(fleet, restart)
    left = stage == "consistency"
    assert settled(fleet) == [12 if left else 11, 12]
    assert "this device was restarted" in victim.log or left
    budget = victim.budget
    assert budget.counter == 2
    assert len(budget.reserved) == (2 if left else 1)
    check_paid(fleet)
    check_audit(fleet)


def test_a_device_without_room_on_its_disk_sends_nothing(fleet: Pilot) -> None:
    """It cannot write down what it would spend; the others go on."""
    victim = fleet.device(4)
    victim.kill()
    with small_disk(fleet.folder / "small", "64k") as small:
        subprocess.run(["cp", "-a", f"{victim.state}/.", small], check=True)
        # otherwise it would not even begin, and nothing would be tried
        victim.configure(tables="[when]\nleast_disk_mb = 0")
        victim.config.write_text(victim.config.read_text().replace(str(victim.state), str(small)))
        victim.start()
        victim.wait()
        fill(small)
        run(fleet)
        assert settled(fleet) == [11, 11]
        assert "No space left" in victim.log
        assert (small / "budget.jsonl").stat().st_size == 0 if (small / "budget.jsonl").exists() else True
        check_audit(fleet)
        victim.stop()
        victim.process = None


def test_a_plan_beyond_the_policy_is_not_asked(fleet: Pilot) -> None:
    """The operator asks for what nobody signed: the server writes no such plan."""
    path = fleet.folder / "federation.toml"
    path.write_text(path.read_text().replace("train_multiplier = 0.3", "train_multiplier = 0.1"))
    with pytest.raises(CoveyError, match="policy"):
        run(fleet)
    for device in fleet.devices.values():
        assert not (device.state / "budget.jsonl").exists() or device.budget.counter == 0


def test_agents_keep_what_they_claimed_in_plain_sight(fleet: Pilot) -> None:
    run(fleet)
    assert settled(fleet) == [12, 12]
    for device in fleet.devices.values():
        kept = json.loads((device.state / "claims.json").read_bytes())
        ((_, claimed),) = kept["runs"].items()
        assert claimed["sum"] == 2
        assert set(STAGES) <= set(claimed["stages"])
    check_audit(fleet)
