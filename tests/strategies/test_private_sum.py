from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord
from hypothesis import given
from hypothesis import strategies as st

from covey import encode, ring
from covey.encode import Part
from covey.errors import TooFewDevices
from covey_strategies.asking import Question
from covey_strategies.private_sum import PrivateSum, collect
from covey_strategies.wire import ANSWER, ENCODING, PLAN, VECTOR, answer_message
from digits_fleet import VALIDATE, flock, question, replanned, replies

NODES = (2, 3, 4, 5)
PARTS = (Part("a", 2, 10.0, 1000), Part("b", 1, 5.0, 100))


def asked(minimum: int = 2) -> Question:
    """A plan of three elements for four devices."""
    full = question(VALIDATE, NODES, minimum=minimum)
    return replanned(full, msgspec.structs.replace(full.plan, parts=PARTS))


def answer(to: Question, node: int, values: Sequence[int]) -> Message:
    request = to.messages()[NODES.index(node)]
    return answer_message(to.sent, ring.wrap(np.array(values, np.int64)), request)


def summed(to: Question, messages: list[Message]) -> PrivateSum:
    return collect(to.plan, to.sent, to.cohort, messages)


@given(st.permutations(NODES), st.lists(st.integers(-100_000, 100_000), min_size=12, max_size=12))
def test_the_sum_of_all_answers_in_any_order(order: list[int], values: list[int]) -> None:
    rows = {node: values[3 * i : 3 * i + 3] for i, node in enumerate(NODES)}
    to = asked()
    found = summed(to, [answer(to, node, rows[node]) for node in order])
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    assert found.sums["a"].tolist() == [totals[0] / 1000, totals[1] / 1000]
    assert found.sums["b"].tolist() == [totals[2] / 100]
    assert (found.devices, found.refused) == (4, ())


def error_reply(to: Question, _: Message) -> Message:
    return Message(Error(1000, "no"), reply_to=to.messages()[3])


def other_plan(to: Question, message: Message) -> Message:
    del message
    later = replanned(to, msgspec.structs.replace(to.plan, round=to.plan.round + 1))
    return answer(later, 5, [9, 9, 9])


def with_metrics(_: Question, message: Message) -> Message:
    message.content["metrics"] = MetricRecord({"num-examples": 12})
    return message


def longer(to: Question, _: Message) -> Message:
    return answer(to, 5, [9, 9, 9, 9])


def shorter(to: Question, _: Message) -> Message:
    return answer(to, 5, [9, 9])


def relabelled(_: Question, message: Message) -> Message:
    data = bytes(12)
    message.content[VECTOR] = ArrayRecord({VECTOR: Array("float32", (3,), ENCODING, data)})
    return message


def floats(_: Question, message: Message) -> Message:
    message.content[VECTOR] = ArrayRecord({VECTOR: Array(np.zeros(3, np.float32))})
    return message


def without_digest(_: Question, message: Message) -> Message:
    message.content[ANSWER] = ConfigRecord()
    return message


def digest_of_text(_: Question, message: Message) -> Message:
    message.content[ANSWER] = ConfigRecord({PLAN: "0" * 64})
    return message


@pytest.mark.parametrize(
    "spoil",
    [
        error_reply,
        other_plan,
        with_metrics,
        longer,
        shorter,
        relabelled,
        floats,
        without_digest,
        digest_of_text,
    ],
    ids=lambda spoil: str(spoil.__name__),
)
def test_a_spoilt_answer_is_named_and_not_counted(spoil: Callable[[Question, Message], Message]) -> None:
    to = asked()
    good = [answer(to, node, [1000, -2000, 300]) for node in NODES[:3]]
    bad = spoil(to, answer(to, 5, [9, 9, 9]))
    for messages in ([*good, bad], [bad, *good]):
        found = summed(to, messages)
        assert found.sums["a"].tolist() == [3.0, -6.0]
        assert found.devices == 3
        (line,) = found.refused
        assert line.startswith("node 5: ")


def test_a_second_answer_is_named_and_not_counted() -> None:
    to = asked()
    first, second = answer(to, 3, [1, 1, 1]), answer(to, 3, [500, 500, 500])
    found = summed(to, [answer(to, 2, [1, 1, 1]), first, second, first])
    assert found.sums["a"].tolist() == [0.002, 0.002]
    assert found.devices == 2
    assert found.refused == ("node 3: a second answer", "node 3: a second answer")


def test_a_node_that_was_not_asked_is_named_and_not_counted() -> None:
    to = asked()
    good = [answer(to, node, [1, 1, 1]) for node in NODES[:2]]
    found = collect(to.plan, to.sent, NODES[:2], [*good, answer(to, 5, [500, 500, 500])])
    assert found.sums["a"].tolist() == [0.002, 0.002]
    assert (found.devices, found.refused) == (2, ("node 5: was not asked",))


def test_a_refused_answer_does_not_take_the_place_of_a_good_one() -> None:
    to = asked()
    found = summed(to, [answer(to, 3, [1, 1]), answer(to, 3, [1, 1, 1]), answer(to, 2, [1, 1, 1])])
    assert (found.devices, len(found.refused)) == (2, 1)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_below_the_minimum_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    to = asked(minimum=3)

    def opened(*_: object) -> None:
        pytest.fail("a sum of too few devices was opened")

    monkeypatch.setattr(encode, "decode", opened)
    monkeypatch.setattr(ring, "add", opened)
    messages = [answer(to, node, [1, 1, 1]) for node in NODES[:count]]
    with pytest.raises(TooFewDevices) as caught:
        summed(to, messages)
    assert caught.value.message == f"round 1: {count} of 4 devices answered, the minimum is 3"


def test_second_answers_do_not_reach_the_minimum() -> None:
    to = asked(minimum=3)
    with pytest.raises(TooFewDevices, match=r"2 of 4 .* first refusal: node 3: a second answer"):
        summed(to, [answer(to, node, [1, 1, 1]) for node in (2, 3, 3)])


def test_the_minimum_is_enough() -> None:
    to = asked(minimum=3)
    assert summed(to, [answer(to, node, [1, 1, 1]) for node in NODES[:3]]).devices == 3


def test_a_real_fleets_sum() -> None:
    fleet = flock()
    to = question(VALIDATE, list(fleet.devices))
    found = summed(to, replies(fleet, to))
    assert found.sums["confusion"].sum() == 77
    assert replace(found, sums={}) == PrivateSum({}, 3, ())
