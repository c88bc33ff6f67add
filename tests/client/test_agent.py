"""What the agent answers, whichever way a delivery came."""

from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest

import policed_fleet
from agents import agent, first_delivery
from covey.delivery import NOT_SET_UP, Answer, Refusal, Reply, Requested
from covey.secagg.states import Claim
from covey_client.agent import NOT_NOW, pause, resume
from covey_client.claims import MemoryClaims
from covey_client.participant import Participant
from digits_fleet import VALIDATE, crowd, question
from policed_fleet import Run

FLEET = crowd(12)


def owned(told: list[str], **changes: object) -> Participant:
    return replace(policed_fleet.owned(2, FLEET, **changes), log=told.append)


def test_a_plan_is_answered_and_a_repeated_one_gets_the_same_bytes(tmp_path: Path) -> None:
    asked = first_delivery(Run(FLEET).question(VALIDATE))
    device = agent(owned([]), tmp_path)
    first, second = device.answer(asked), device.answer(asked)
    assert isinstance(first, Reply)
    assert first == second
    assert device.participant.journal.budget.counter == 1


def test_repeated_at_the_same_moment_it_is_computed_once(tmp_path: Path) -> None:
    """Flower may deliver a message again while the first is being answered."""
    asked, said = first_delivery(Run(FLEET).question(VALIDATE)), list[Answer]()
    device, together = agent(owned([]), tmp_path), Barrier(3)

    def ask() -> None:
        together.wait()
        said.append(device.answer(asked))

    threads = [Thread(target=ask) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(said)) == 1
    assert isinstance(said[0], Reply)
    assert device.participant.journal.budget.counter == 1


def test_a_refusal_is_told_to_both_sides(tmp_path: Path) -> None:
    told: list[str] = []
    device = agent(owned(told), tmp_path)
    asked = first_delivery(question(VALIDATE, list(FLEET.devices), minimum=8))
    reason = "this device answers no plan without masks; its owner has not allowed it"
    assert device.answer(asked) == Refusal(reason)
    assert told == [f"refused: {reason}"]
    assert (device.doing.answered, device.doing.refused, device.doing.last_refusal) == (1, 1, reason)


@pytest.mark.parametrize(
    "raised", [OSError(5, "I/O error on /home/alice"), ValueError("patient 17"), MemoryError()]
)
def test_what_goes_wrong_is_told_to_the_owner_only(raised: Exception, tmp_path: Path) -> None:
    class Failing(MemoryClaims):
        def claim(self, _: Claim) -> None:
            raise raised

    told: list[str] = []
    device = agent(owned(told, claims=Failing()), tmp_path)
    assert device.answer(first_delivery(Run(FLEET).question(VALIDATE))) == Refusal(NOT_SET_UP)
    assert told == [f"{type(raised).__name__}: {raised}"]


def test_a_request_without_a_session_is_refused(tmp_path: Path) -> None:
    said = agent(owned([]), tmp_path).answer(Requested("ab" * 32, "share", b""))
    assert said == Refusal("a request without a session: this device was restarted")


# -- not now


def test_a_paused_device_begins_nothing_and_says_no_reason(tmp_path: Path) -> None:
    told: list[str] = []
    device, asked = agent(owned(told), tmp_path), first_delivery(Run(FLEET).question(VALIDATE))
    pause(tmp_path / "paused")
    assert device.answer(asked) == Refusal(NOT_NOW)
    assert told == ["not now: paused by its owner"]
    assert device.participant.journal.budget.counter == 0
    assert agent(owned([]), tmp_path).paused()  # a new process knows it, too
    resume(tmp_path / "paused")
    assert isinstance(device.answer(asked), Reply)
    resume(tmp_path / "paused")  # twice is no error


def test_what_hinders_a_device_is_its_owners_business(tmp_path: Path) -> None:
    told: list[str] = []
    device = agent(owned(told), tmp_path, hindrance="on battery, 12 %")
    assert device.answer(first_delivery(Run(FLEET).question(VALIDATE))) == Refusal(NOT_NOW)
    assert told == ["not now: on battery, 12 %"]


def test_a_session_that_has_begun_goes_on_in_a_pause(tmp_path: Path) -> None:
    """Dropping out of it would cost the budget all the same."""
    device = agent(owned([]), tmp_path)
    device.answer(first_delivery(Run(FLEET).question(VALIDATE)))
    pause(tmp_path / "paused")
    (digest,) = device.participant.journal.budget.reserved
    said = device.answer(Requested(digest, "share", b"\xc1"))
    assert isinstance(said, Refusal)
    assert "malformed" in said.reason
