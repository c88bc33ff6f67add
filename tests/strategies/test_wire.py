from collections.abc import Callable

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from covey import delivery
from covey import plan as plans
from covey.arrays import digest
from covey.delivery import ENVELOPE, LATER_STAGES, LONGEST_REASON, PLAN, Asked, Requested
from covey.errors import ProtocolError
from covey.plan import Task
from covey_strategies.wire import (
    MODEL,
    REPLY,
    REQUEST,
    STAGE,
    from_record,
    plan_messages,
    read,
    read_reply,
    reply_message,
    request_messages,
    to_record,
    without_action,
)
from digits_fleet import (
    GRADIENT,
    STATISTICS,
    TRAIN,
    VALIDATE,
    crowd,
    masked,
    parameters,
    plan_of,
    question,
    sent_in,
)

ASKED = question(VALIDATE, [2, 3, 4])
DIGEST = plans.digest(sent_in(ASKED))


def request() -> Message:
    """The message to node 2, as it arrives there."""
    return ASKED.messages()[0]


# -- to a device


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (TRAIN, "train.answer"),
        (GRADIENT, "train.answer"),
        (VALIDATE, "evaluate.answer"),
        (STATISTICS, "query.answer"),
    ],
    ids=["train", "gradient", "validate", "statistics"],
)
def test_a_plan_in_clear_arrives_as_it_was_sent(task: Task, kind: str) -> None:
    asked = question(task, [2, 3])
    messages = asked.messages()
    assert [message.metadata.dst_node_id for message in messages] == [2, 3]
    assert {message.metadata.message_type for message in messages} == {kind}
    found = read(messages[1])
    assert isinstance(found, Asked)
    assert (found.plan, found.envelope) == (sent_in(asked), None)
    delivery.check_kind(found.category, plan_of(asked))
    model = delivery.parameters(found.model)
    assert digest(model) == plan_of(asked).model_sha256 == digest(parameters())


@pytest.mark.parametrize(
    ("task", "kind"),
    [(TRAIN, "train.advertise"), (VALIDATE, "evaluate.advertise")],
    ids=["train", "validate"],
)
def test_a_masked_plan_arrives_in_its_envelope_only(task: Task, kind: str) -> None:
    fleet = crowd()
    asked = question(task, list(fleet.devices), minimum=8, protection=masked(fleet))
    (exchange,) = asked.exchanges
    assert exchange.sealed is not None
    messages = asked.messages()
    assert {message.metadata.message_type for message in messages} == {kind}
    found = read(messages[0])
    assert isinstance(found, Asked)
    assert (found.plan, found.envelope) == (None, exchange.sealed.envelope(0))
    assert set(messages[0].content) == {MODEL, ENVELOPE}


@given(st.sampled_from(LATER_STAGES), st.dictionaries(st.integers(2, 99), st.binary(max_size=9), max_size=4))
def test_requests_arrive_as_they_were_sent(stage: str, requests: dict[int, bytes]) -> None:
    messages = request_messages(plan_of(ASKED), DIGEST, stage, requests)
    assert {message.metadata.dst_node_id for message in messages} == set(requests)
    for message in messages:
        assert message.metadata.message_type == f"evaluate.{stage}"
        assert read(message) == Requested(DIGEST, stage, requests[message.metadata.dst_node_id])


def asking_with(content: RecordDict, kind: str = "evaluate.answer") -> Message:
    return Message(content, 2, kind)


def model() -> ArrayRecord:
    return to_record(parameters())


SENT = sent_in(ASKED)
TWO = ConfigRecord({PLAN: SENT, "more": 1})


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({PLAN: ConfigRecord({PLAN: SENT})}),
        RecordDict({MODEL: model()}),
        RecordDict({MODEL: model(), PLAN: ConfigRecord({"pan": SENT})}),
        RecordDict({MODEL: model(), PLAN: ConfigRecord({PLAN: "text"})}),
        RecordDict({MODEL: model(), PLAN: TWO}),
        RecordDict({MODEL: ConfigRecord(), PLAN: ConfigRecord({PLAN: SENT})}),
        RecordDict({MODEL: model(), PLAN: model()}),
        RecordDict({MODEL: model(), PLAN: ConfigRecord({PLAN: SENT}), "more": ConfigRecord()}),
        RecordDict({MODEL: model(), PLAN: ConfigRecord({PLAN: SENT}), ENVELOPE: ConfigRecord()}),
        RecordDict({MODEL: model(), ENVELOPE: ConfigRecord({ENVELOPE: SENT})}),
    ],
    ids=[
        "nothing",
        "no model",
        "no plan",
        "no plan in plan",
        "text",
        "more in plan",
        "config",
        "arrays",
        "more",
        "both",
        "an envelope under a plan's kind",
    ],
)
def test_a_message_that_is_no_plan_is_refused(content: RecordDict) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(asking_with(content))
    assert caught.value.blame == "server"


@pytest.mark.parametrize(
    ("content", "stage"),
    [
        (ConfigRecord(), "share"),
        (ConfigRecord({PLAN: DIGEST}), "share"),
        (ConfigRecord({REQUEST: b""}), "share"),
        (ConfigRecord({PLAN: DIGEST, REQUEST: b"", "more": 1}), "share"),
        (ConfigRecord({PLAN: b"", REQUEST: b""}), "share"),
        (ConfigRecord({PLAN: DIGEST, REQUEST: ""}), "share"),
        (MetricRecord({"a": 1}), "share"),
        (ConfigRecord({PLAN: DIGEST, REQUEST: b""}), "answer"),
        (ConfigRecord({PLAN: DIGEST, REQUEST: b""}), "advertise"),
        (ConfigRecord({PLAN: DIGEST, REQUEST: b""}), "else"),
    ],
)
def test_a_request_of_another_form_is_refused(content: ConfigRecord | MetricRecord, stage: str) -> None:
    with pytest.raises(ProtocolError, match="a request of another") as caught:
        read(asking_with(RecordDict({REQUEST: content}), f"train.{stage}"))
    assert caught.value.blame == "server"


@pytest.mark.parametrize("stage", LATER_STAGES)
def test_a_stage_may_stand_in_the_content_instead_of_the_type(stage: str) -> None:
    (message,) = request_messages(plan_of(ASKED), DIGEST, stage, {2: b"a"})
    moved = without_action(message)
    assert moved.metadata.message_type == "evaluate"
    assert read(moved) == read(message) == Requested(DIGEST, stage, b"a")
    assert read(without_action(request())) == read(request())


@pytest.mark.parametrize(
    "record",
    [
        ConfigRecord({STAGE: 1}),
        ConfigRecord({STAGE: "share", "more": 1}),
        ConfigRecord({}),
        MetricRecord({STAGE: 1}),
    ],
)
def test_a_stage_of_another_form_is_none(record: ConfigRecord | MetricRecord) -> None:
    (message,) = request_messages(plan_of(ASKED), DIGEST, "share", {2: b"a"})
    moved = without_action(message)
    moved.content[STAGE] = record
    with pytest.raises(ProtocolError, match="a request of another form"):
        read(moved)


def test_a_stage_in_both_places_is_refused() -> None:
    (message,) = request_messages(plan_of(ASKED), DIGEST, "share", {2: b"a"})
    message.content[STAGE] = ConfigRecord({STAGE: "masked"})
    with pytest.raises(ProtocolError, match="neither a plan with a model nor a request"):
        read(message)


# -- from a device


@given(st.binary(max_size=50))
def test_a_reply_arrives_as_it_was_sent(data: bytes) -> None:
    message = reply_message(data, request())
    assert set(message.content) == {REPLY}
    assert message.content[REPLY] == ConfigRecord({REPLY: data})
    assert read_reply(message) == data


def metric_record(content: RecordDict) -> None:
    content["metrics"] = MetricRecord({"accuracy": 0.9})


def beside(content: RecordDict) -> None:
    content[REPLY] = ConfigRecord({REPLY: b"1", "accuracy": 0.9})


def second_config(content: RecordDict) -> None:
    content["more"] = ConfigRecord({"accuracy": 0.9})


def metrics_as_reply(content: RecordDict) -> None:
    content[REPLY] = MetricRecord({REPLY: 1})


def arrays_as_reply(content: RecordDict) -> None:
    content[REPLY] = model()


def text(content: RecordDict) -> None:
    content[REPLY] = ConfigRecord({REPLY: "1"})


def list_of_bytes(content: RecordDict) -> None:
    content[REPLY] = ConfigRecord({REPLY: [b"1", b"2"]})


def renamed(content: RecordDict) -> None:
    content[REPLY] = ConfigRecord({"accuracy": b"0.9"})


def nothing(content: RecordDict) -> None:
    del content[REPLY]


@pytest.mark.parametrize(
    "spoil",
    [
        metric_record,
        beside,
        second_config,
        metrics_as_reply,
        arrays_as_reply,
        text,
        list_of_bytes,
        renamed,
        nothing,
    ],
    ids=lambda spoil: str(spoil.__name__),
)
def test_more_or_less_than_one_message_is_refused(spoil: Callable[[RecordDict], None]) -> None:
    content = RecordDict({REPLY: ConfigRecord({REPLY: b"1"})})
    spoil(content)
    with pytest.raises(ProtocolError, match="node 2: a reply with more or less") as caught:
        read_reply(Message(content, reply_to=request()))
    assert caught.value.blame == "node 2"


def test_an_error_reply_is_refused_with_its_reason() -> None:
    message = Message(Error(1000, "no such model"), reply_to=request())
    with pytest.raises(ProtocolError, match="node 2: no such model"):
        read_reply(message)


def test_a_devices_reason_cannot_steer_a_terminal_or_fill_a_log() -> None:
    message = Message(Error(1000, "\x1b[2J red\n\ttwo  words" + "!" * 9000), reply_to=request())
    with pytest.raises(ProtocolError) as caught:
        read_reply(message)
    assert caught.value.message.startswith("node 2: [2J red two words!!!")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) <= LONGEST_REASON + len("node 2: ")


def test_a_device_without_a_reason_is_named() -> None:
    with pytest.raises(ProtocolError, match="node 2: no reason given"):
        read_reply(Message(Error(1000), reply_to=request()))


def test_parameters_come_back_sorted_and_bit_for_bit() -> None:
    weights = parameters()
    turned = to_record(dict(reversed(weights.items())))
    back = from_record(turned)
    assert list(back) == sorted(weights)
    assert digest(back) == digest(weights)


def test_plan_messages_are_one_a_device() -> None:
    assert plan_messages(plan_of(ASKED), SENT, None, to_record(parameters()), []) == []
    assert request_messages(plan_of(ASKED), DIGEST, "share", {}) == []


def test_a_device_says_one_message_at_every_stage() -> None:
    """No count, no metric, no reason beside it."""
    fleet = crowd()
    grid = fleet.grid
    for protection in (None, masked(fleet)):
        asked = question(TRAIN, list(fleet.devices), minimum=8, protection=protection, grid=grid)
        (exchange,), messages = asked.exchanges, asked.messages()
        while messages:
            answered = list(grid.send_and_receive(messages))
            assert [set(message.content) for message in answered] == [{REPLY}] * len(fleet.devices)
            assert all(read_reply(message) for message in answered)
            exchange = exchange.received(answered)
            messages = exchange.messages()
        assert exchange.end is not None
        grid = fleet.grid
