from dataclasses import replace
from typing import Any

import pytest

from covey import plan as plans
from covey.arrays import digest
from covey.errors import InputError, TooFewDevices
from covey.examples import Standardise
from covey.identity import public_of, verify
from covey.ledger.entries import Reserve, decode
from covey.secagg.envelope import Trust, open_envelope
from covey_strategies.asking import Question, ask_statistics
from covey_strategies.protection import Protection
from digits_fleet import (
    ENROLMENT,
    NOISY,
    OPERATOR,
    STATISTICS,
    TRAIN,
    VALIDATE,
    MemoryBook,
    asking,
    crowd,
    dealt,
    flock,
    grid_of,
    masked,
    named,
    parameters,
    plan_of,
)
from memory_ledger import REVIEWERS
from policed_fleet import LedgerBook, Run

SCALING = Standardise((0.3,), (0.4,))


def asked(fleet: Any = None, **settings: Any) -> Question:
    fleet = fleet or flock()
    return asking(**settings).question(fleet.grid, 4, TRAIN, parameters(), list(fleet.devices))


def test_a_plan_says_what_was_decided() -> None:
    plan = plan_of(asked(minimum=3, preprocessing=SCALING))
    assert (plan.run, plan.sum, plan.round, plan.model) == ("run", 1, 4, "digits")
    assert plan.model_sha256 == digest(parameters())
    assert (plan.preprocessing, plan.task) == (SCALING, TRAIN)
    assert (plan.cohort, plan.minimum, plan.cohorts) == (3, 3, 1)
    assert plans.from_bytes(plans.to_bytes(plan)) == plan


def test_a_masked_plan_goes_in_an_envelope_that_devices_believe() -> None:
    fleet = crowd()
    to = asked(fleet, minimum=0, protection=masked(fleet, **NOISY))
    (exchange,) = to.exchanges
    assert exchange.sealed is not None
    trust = Trust(public_of(OPERATOR), public_of(ENROLMENT))
    opened = open_envelope(exchange.sealed.envelope(0), trust, named(2), 1)
    assert opened.sent == exchange.sent
    assert plan_of(to).minimum == 8  # three of ten may drop out


def test_a_plan_under_a_policy_is_signed_and_in_the_ledger_before_it_can_be_sent() -> None:
    fleet, book = crowd(), LedgerBook()
    to = Run(fleet, book).question(VALIDATE)
    (exchange,) = to.exchanges
    (line,) = book.ledger.lines
    reserve = decode(line)
    assert isinstance(reserve, Reserve)
    assert reserve.plan == exchange.sent
    assert reserve.signature is not None
    verify(public_of(OPERATOR), "plan", reserve.plan, reserve.signature, blame="operator")
    assert exchange.sealed is not None
    assert (exchange.sealed.size, exchange.sealed.heads is book.heads) == (1, True)
    trust = Trust(public_of(OPERATOR), public_of(ENROLMENT), reviewers=REVIEWERS)
    opened = open_envelope(exchange.sealed.envelope(0), trust, named(2), 1)
    assert opened.appeal is not None
    assert opened.appeal.policy.sha256 == plan_of(to).policy.sha256  # type: ignore[union-attr]


def test_nothing_is_reserved_of_a_question_that_the_policy_does_not_allow() -> None:
    book = LedgerBook()
    with pytest.raises(InputError, match="no device will answer this"):
        Run(crowd(), book).question(VALIDATE, corrupt=2)
    assert (book.events, book.ledger.lines) == ([], [])


def test_without_a_policy_a_plan_is_signed_all_the_same() -> None:
    fleet, book = crowd(), MemoryBook()
    asked(fleet, minimum=0, book=book, protection=masked(fleet, **NOISY))
    (signed,) = book.signed
    assert signed.signature is not None
    verify(public_of(OPERATOR), "plan", signed.plan, signed.signature, blame="operator")
    clear = MemoryBook()
    asked(book=clear, minimum=2)
    assert [each.signature for each in clear.signed] == [None]


@pytest.mark.parametrize("masks", ["none", "elided"])
def test_without_masks_a_plan_goes_in_clear(masks: str) -> None:
    fleet = crowd()
    (exchange,) = asked(fleet, protection=masked(fleet, masks=masks)).exchanges
    assert exchange.sealed is None
    assert exchange.plan.roster is None


def test_nothing_is_reserved_of_a_question_that_does_not_fit() -> None:
    book, fleet = MemoryBook(), flock()
    with pytest.raises(InputError, match="hide one another too little"):
        asked(fleet, book=book, minimum=2, protection=masked(fleet))
    assert book.events == []


def test_the_whole_question_is_reserved_before_it_is_sent() -> None:
    book, fleet = MemoryBook(), crowd(24)
    to = asked(fleet, book=book, minimum=0, protection=Protection(masks="elided", largest=8))
    assert book.told == ["reserve"] * 3
    assert [plan for _, plan in book.events] == [exchange.plan for exchange in to.exchanges]


def test_one_message_a_device() -> None:
    fleet = crowd(24)
    to = asked(fleet, minimum=0, protection=Protection(masks="elided", largest=8))
    nodes = sorted(message.metadata.dst_node_id for message in to.messages())
    assert nodes == list(fleet.devices)


def test_only_those_drawn_are_asked() -> None:
    fleet = flock(dealt([4] * 8))
    run = asking(size=5)
    found = run.cohort(fleet.grid, 1)
    assert len(found) == 5
    assert found != run.cohort(fleet.grid, 2) or found != run.cohort(fleet.grid, 3)


def test_masks_want_ten_devices_before_anything_is_asked() -> None:
    fleet = flock()
    with pytest.raises(TooFewDevices, match="3 devices are connected, the minimum is 10"):
        asking(protection=masked(fleet)).cohort(fleet.grid, 1)


@pytest.mark.parametrize("masks", ["on", "elided", "none"])
def test_statistics_are_a_private_sum_of_their_own(masks: str) -> None:
    fleet, book = crowd(), MemoryBook()
    run = replace(asking(book=book, protection=masked(fleet, masks=masks)), minimum=0)
    found = ask_statistics(fleet.grid, run, STATISTICS, parameters())
    assert book.told == ["reserve", "settle"]
    (_, plan) = book.events[0]
    assert (plans.kind(plan), plan.round, plan.masks) == ("statistics", 0, masks)
    again = replace(asking(protection=Protection()), minimum=0)
    assert found == ask_statistics(fleet.grid, again, STATISTICS, parameters())


def test_later_stages_go_over_the_grid_that_was_asked() -> None:
    fleet = crowd()
    run = replace(asking(protection=masked(fleet)), minimum=0)
    to = run.question(grid_of({}), 1, VALIDATE, parameters(), list(fleet.devices))
    assert to.grid is not fleet.grid
    with pytest.raises(TooFewDevices, match="0 devices are left at stage share"):  # nobody is on that grid
        run.collect(to, fleet.grid.send_and_receive(to.messages()))
