"""Sums in clear over real messages, several cohorts, and the book that is kept of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord
from hypothesis import given
from hypothesis import strategies as st

from bent_grid import BentGrid, Losses
from covey import clear, encode
from covey import plan as plans
from covey.encode import Part
from covey.errors import TooFewDevices
from covey.noise.contribution import contribute
from covey.plan import Plan, noise_shares
from covey.secagg import messages as secagg_messages
from covey_strategies.asking import Question
from covey_strategies.exchange import Settled
from covey_strategies.private_sum import PrivateSum, Receipt, Signed, collect
from covey_strategies.protection import Protection
from covey_strategies.queries.answer import answer
from covey_strategies.wire import REPLY, reply_message
from digits_fleet import (
    NOISY,
    VALIDATE,
    Flock,
    MemoryBook,
    asking,
    coins_of,
    crowd,
    flock,
    grid_of,
    masked,
    parameters,
    plan_of,
    question,
    replanned,
    replies,
    sent_in,
)

NODES = (2, 3, 4, 5)
PARTS = (Part("a", 2, 10.0, 1000.0), Part("b", 1, 5.0, 100.0))


def asked(minimum: int = 2) -> Question:
    """A plan of three elements for four devices."""
    full = question(VALIDATE, NODES, minimum=minimum)
    return replanned(full, msgspec.structs.replace(plan_of(full), parts=PARTS, norm=20_000))


def answered(to: Question, node: int, values: Sequence[int]) -> Message:
    """What a device that computed these values sends."""
    made = clear.answer(plan_of(to), sent_in(to), np.array(values, np.int64), bytes(32))
    return reply_message(made.reply, to.messages()[NODES.index(node)])


def summed(to: Question, messages: list[Message], book: MemoryBook | None = None) -> PrivateSum:
    return collect(grid_of({}), to.exchanges, messages, book or MemoryBook(), 1.0)


@given(st.permutations(NODES), st.lists(st.integers(-100_000, 100_000), min_size=12, max_size=12))
def test_the_sum_of_all_answers_in_any_order(order: list[int], values: list[int]) -> None:
    rows = {node: values[3 * i : 3 * i + 3] for i, node in enumerate(NODES)}
    to = asked()
    found = summed(to, [answered(to, node, rows[node]) for node in order])
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    assert found.sums["a"].tolist() == [totals[0] / 1000, totals[1] / 1000]
    assert found.sums["b"].tolist() == [totals[2] / 100]
    assert (found.devices, found.refused) == (4, ())


def error_reply(to: Question, _: Message) -> Message:
    return Message(Error(1000, "no"), reply_to=to.messages()[3])


def other_plan(to: Question, message: Message) -> Message:
    del message
    later = replanned(to, msgspec.structs.replace(plan_of(to), round=plan_of(to).round + 1))
    return answered(later, 5, [9, 9, 9])


def with_metrics(_: Question, message: Message) -> Message:
    message.content["metrics"] = MetricRecord({"num-examples": 12})
    return message


def longer(to: Question, _: Message) -> Message:
    return reply_message(
        secagg_messages.encode(clear.Answer(clear.digest_of(sent_in(to)), bytes(16))), to.messages()[3]
    )


def garbage(to: Question, _: Message) -> Message:
    return reply_message(b"\xc1", to.messages()[3])


def as_text(_: Question, message: Message) -> Message:
    message.content[REPLY] = ConfigRecord({REPLY: "bytes"})
    return message


@pytest.mark.parametrize(
    "spoil",
    [error_reply, other_plan, with_metrics, longer, garbage, as_text],
    ids=lambda spoil: str(spoil.__name__),
)
def test_a_spoilt_answer_is_named_and_not_counted(spoil: Callable[[Question, Message], Message]) -> None:
    to = asked()
    good = [answered(to, node, [1000, -2000, 300]) for node in NODES[:3]]
    bad = spoil(to, answered(to, 5, [9, 9, 9]))
    for messages in ([*good, bad], [bad, *good]):
        found = summed(to, messages)
        assert found.sums["a"].tolist() == [3.0, -6.0]
        assert found.devices == 3
        (line,) = found.refused
        assert line.startswith("node 5: ")


def test_a_refused_answer_does_not_take_the_place_of_a_good_one() -> None:
    to = asked()
    spoilt = garbage(to, answered(to, 5, [9, 9, 9]))
    found = summed(to, [spoilt, answered(to, 5, [1, 1, 1]), answered(to, 2, [1, 1, 1])])
    assert (found.devices, len(found.refused)) == (2, 1)
    assert found.sums["a"].tolist() == [0.002, 0.002]


def test_a_node_that_was_not_asked_is_named_and_not_counted() -> None:
    to = asked()
    narrow = replace(
        to,
        exchanges=(
            replace(
                to.exchanges[0],
                state=clear.Answering(plan_of(to), clear.digest_of(sent_in(to)), frozenset(NODES[:2])),
            ),
        ),
    )
    found = summed(narrow, [answered(to, node, [1, 1, 1]) for node in (2, 3, 5)])
    assert (found.devices, found.refused) == (2, ("node 5: was not asked",))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_below_the_minimum_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    to, book = asked(minimum=3), MemoryBook()
    monkeypatch.setattr(encode, "decode", lambda *_: pytest.fail("a sum of too few devices was opened"))
    messages = [answered(to, node, [1, 1, 1]) for node in NODES[:count]]
    with pytest.raises(TooFewDevices) as caught:
        summed(to, messages, book)
    assert caught.value.message == f"round 1: {count} of 4 devices answered, the minimum is 3"
    assert book.told == ["abort"]


def test_second_answers_do_not_reach_the_minimum() -> None:
    to = asked(minimum=3)
    with pytest.raises(TooFewDevices, match=r"2 of 4 .* first refusal: node 3: a second answer"):
        summed(to, [answered(to, node, [1, 1, 1]) for node in (2, 3, 3)])


def test_where_all_refuse_alike_the_cause_is_told() -> None:
    to = asked()
    no = [Message(Error(1000, "this device answers no plan"), reply_to=each) for each in to.messages()]
    with pytest.raises(TooFewDevices, match="node 2: this device answers no plan"):
        summed(to, no)


def test_a_real_fleets_sum() -> None:
    fleet = flock()
    to = question(VALIDATE, list(fleet.devices))
    found = summed(to, replies(fleet, to))
    assert found.sums["confusion"].sum() == pytest.approx(77, abs=1e-4)
    assert replace(found, sums={}, parts=(), groups=()) == PrivateSum({}, 3, ())


# -- several cohorts


@dataclass
class Divided:
    """A question to several cohorts, driven to its end."""

    asked: Question
    grid: BentGrid
    book: MemoryBook
    collected: PrivateSum | None
    error: TooFewDevices | None

    def settled(self) -> dict[int, Settled]:
        """By number of the cohort."""
        opened = [plan for event, plan in self.book.events if event == "settle"]
        return {plan.cohort_number: each for plan, each in zip(opened, self.book.settled, strict=True)}


def divided(
    fleet: Flock, protection: Protection, losses: Losses | None = None, *, minimum: int = 0
) -> Divided:
    grid, book = BentGrid(fleet.participants, losses), MemoryBook()
    run = asking(minimum=minimum, protection=protection, book=book)
    to = run.question(grid, 1, VALIDATE, parameters(), run.cohort(grid, 1))
    try:
        return Divided(to, grid, book, run.collect(to, grid.send_and_receive(to.messages())), None)
    except TooFewDevices as error:
        return Divided(to, grid, book, None, error)


CROWD = crowd(24)
WAYS: Mapping[str, Callable[..., Protection]] = {
    "on": lambda **more: masked(CROWD, largest=19, **more),
    "elided": lambda **more: Protection(masks="elided", largest=10, **more),
}


def own_sum(to: Question, index: int, noise: bool) -> list[int]:
    """What one cohort's sum must be, its noise with it."""
    exchange = to.exchanges[index]
    plan: Plan = exchange.plan
    total = np.zeros(plan.length, np.int64)
    for node in exchange.cohort:
        device = CROWD.devices[node]
        total += answer(plan, to.parameters, device, coins_of(device, plan))
        if noise:
            own = noise_shares(plan, plan.cohort)[:1]
            total += contribute("skellam", own, plan.length, CROWD.participants[node].seeds.noise(plan)).noise
    found: list[int] = total.tolist()
    return found


@pytest.mark.parametrize("noise", [{}, NOISY], ids=["quiet", "noisy"])
@pytest.mark.parametrize("way", WAYS)
def test_each_cohort_has_a_sum_with_noise_of_its_own(way: str, noise: Mapping[str, Any]) -> None:
    run = divided(CROWD, WAYS[way](**noise))
    sizes = {"on": [12, 12], "elided": [8, 8, 8]}[way]
    made = [exchange.plan for exchange in run.asked.exchanges]
    assert [plan.cohort for plan in made] == sizes
    assert [plan.minimum for plan in made] == [{12: 8, 8: 6}[size] for size in sizes]
    assert {(plan.sum, plan.cohorts) for plan in made} == {(1, len(sizes))}
    assert [plan.cohort_number for plan in made] == list(range(len(sizes)))
    assert sorted(node for exchange in run.asked.exchanges for node in exchange.cohort) == list(CROWD.devices)
    settled = run.settled()
    for index in range(len(sizes)):
        assert settled[index].total.tolist() == own_sum(run.asked, index, bool(noise))
    assert run.collected is not None
    assert (run.collected.devices, run.collected.refused) == (24, ())
    assert run.book.told == [*["reserve"] * len(sizes), *["settle"] * len(sizes)]


def test_the_sums_of_the_cohorts_add_up() -> None:
    whole, parts = divided(CROWD, Protection()), divided(CROWD, WAYS["elided"]())
    assert whole.collected is not None
    assert parts.collected is not None
    for name, expected in whole.collected.sums.items():
        np.testing.assert_allclose(parts.collected.sums[name], expected, rtol=1e-6, atol=1e-4)
    decoded = [
        encode.decode(exchange.plan.parts, parts.settled()[index].total)["confusion"]
        for index, exchange in enumerate(parts.asked.exchanges)
    ]
    np.testing.assert_array_equal(parts.collected.sums["confusion"], sum(decoded))


@pytest.mark.parametrize("stage", ["advertise", "masked"])
def test_a_cohort_that_is_given_up_does_not_stop_the_other(stage: str) -> None:
    first = divided(CROWD, WAYS["on"]()).asked.exchanges[0].cohort
    run = divided(CROWD, WAYS["on"](**NOISY), Losses({stage: first[:6]}))
    assert run.book.told[:2] == ["reserve"] * 2
    assert sorted(run.book.told[2:]) == ["abort", "settle"]
    assert list(run.settled()) == [1]
    assert run.settled()[1].total.tolist() == own_sum(run.asked, 1, noise=True)
    assert run.collected is not None
    assert run.collected.devices == 12
    assert f"stage {stage}" in run.book.reasons[0]


def test_when_all_cohorts_are_given_up_the_round_ends() -> None:
    run = divided(CROWD, WAYS["on"](), Losses({"share": list(CROWD.devices)}))
    assert run.collected is None
    assert run.error is not None
    assert run.book.told == ["reserve", "reserve", "abort", "abort"]


def test_a_minimum_that_was_decided_holds_for_each_cohort() -> None:
    run = divided(CROWD, WAYS["on"](), minimum=11)
    assert [exchange.plan.minimum for exchange in run.asked.exchanges] == [11, 11]


def test_no_device_is_asked_for_two_cohorts() -> None:
    run = divided(CROWD, WAYS["elided"]())
    for exchange in run.asked.exchanges:
        sent = [m for m in run.grid.sent["answer"] if m.metadata.dst_node_id in exchange.cohort]
        digests = {plans.digest(m.content["plan"]["plan"]) for m in sent}  # type: ignore[arg-type]
        assert digests == {plans.digest(exchange.sent)}


# -- the book


def test_a_plan_is_reserved_before_it_is_sent_and_settled_before_it_is_used() -> None:
    order: list[str] = []

    class Telling(MemoryBook):
        def reserve(self, signed: Sequence[Signed]) -> tuple[Receipt, ...]:
            order.append("reserve")
            return super().reserve(signed)

        def settle(self, plan: Plan, settled: Settled) -> None:
            order.append("settle")
            super().settle(plan, settled)

    fleet = flock()
    run = asking(book=Telling())
    to = run.question(fleet.grid, 1, VALIDATE, parameters(), list(fleet.devices))
    order.append("sent")
    run.collect(to, replies(fleet, to))
    order.append("used")
    assert order == ["reserve", "sent", "settle", "used"]


def test_every_sum_has_a_number_of_its_own() -> None:
    fleet, run = flock(), asking()
    numbers = [
        plan_of(run.question(fleet.grid, number, VALIDATE, parameters(), NODES)).sum for number in (1, 1, 2)
    ]
    assert numbers == [1, 2, 3]
