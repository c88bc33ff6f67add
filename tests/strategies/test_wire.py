from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from covey import plan as plans
from covey import ring
from covey.arrays import digest, layout_of
from covey.errors import ProtocolError
from covey.plan import Task
from covey.ring import Ring
from covey_strategies.asking import Question
from covey_strategies.wire import (
    ANSWER,
    ENCODING,
    MODEL,
    PLAN,
    VECTOR,
    answer_message,
    from_record,
    plan_messages,
    read_answer,
    read_parameters,
    read_plan,
    to_record,
)
from digits_fleet import STATISTICS, TRAIN, VALIDATE, flock, parameters, question, replies

ASKED = question(VALIDATE, [2, 3, 4])
DIGEST = plans.digest(ASKED.sent)
SENT = ring.wrap(np.arange(-50, -50 + ASKED.plan.length))


def request() -> Message:
    """The message to node 2, as it arrives there."""
    return received(ASKED)


def received(asked: Question) -> Message:
    return asked.messages()[0]


def vector_array(
    vector: Ring = SENT, *, dtype: str = "uint32", shape: tuple[int, ...] | None = None, stype: str = ENCODING
) -> Array:
    return Array(dtype, vector.shape if shape is None else shape, stype, ring.to_bytes(vector))


def reply(content: RecordDict) -> Message:
    return Message(content, reply_to=request())


def answered(array: Array | None = None) -> RecordDict:
    return RecordDict(
        {
            ANSWER: ConfigRecord({PLAN: DIGEST}),
            VECTOR: ArrayRecord({VECTOR: array or vector_array()}),
        }
    )


@pytest.mark.parametrize(
    ("task", "kind"), [(TRAIN, "train"), (VALIDATE, "evaluate"), (STATISTICS, "query.statistics")]
)
def test_a_plan_arrives_as_it_was_sent(task: Task, kind: str) -> None:
    asked = question(task, [2, 3])
    messages = asked.messages()
    assert [message.metadata.dst_node_id for message in messages] == [2, 3]
    assert {message.metadata.message_type for message in messages} == {kind}
    sent, plan, model = read_plan(messages[1])
    assert (sent, plan) == (asked.sent, asked.plan)
    read = read_parameters(model, layout_of(parameters()))
    assert digest(read) == plan.model_sha256 == digest(parameters())


def test_an_answer_arrives_as_it_was_sent() -> None:
    message = answer_message(ASKED.sent, SENT, request())
    assert set(message.content) == {ANSWER, VECTOR}
    assert message.content[ANSWER] == ConfigRecord({PLAN: DIGEST})
    assert read_answer(message, ASKED.plan, DIGEST).tolist() == SENT.tolist()


def test_the_same_by_hand_is_read_too() -> None:
    assert read_answer(reply(answered()), ASKED.plan, DIGEST).tolist() == SENT.tolist()


def other_digest(content: RecordDict) -> None:
    content[ANSWER] = ConfigRecord({PLAN: plans.digest(b"another plan")})


def metric_record(content: RecordDict) -> None:
    content["metrics"] = MetricRecord({"accuracy": 0.9})


def config_beside_digest(content: RecordDict) -> None:
    content[ANSWER] = ConfigRecord({PLAN: DIGEST, "accuracy": 0.9})


def second_config(content: RecordDict) -> None:
    content["more"] = ConfigRecord({"accuracy": 0.9})


def metrics_as_answer(content: RecordDict) -> None:
    content[ANSWER] = MetricRecord({PLAN: 1})


def metrics_as_vector(content: RecordDict) -> None:
    content[VECTOR] = MetricRecord({VECTOR: [1, 2]})


def second_array(content: RecordDict) -> None:
    content[VECTOR] = ArrayRecord({VECTOR: vector_array(), "more": vector_array()})


def renamed_array(content: RecordDict) -> None:
    content[VECTOR] = ArrayRecord({"values": vector_array()})


def no_array(content: RecordDict) -> None:
    content[VECTOR] = ArrayRecord()


def no_header(content: RecordDict) -> None:
    del content[ANSWER]


def no_vector(content: RecordDict) -> None:
    del content[VECTOR]


def numpy_array(content: RecordDict) -> None:
    content[VECTOR] = ArrayRecord({VECTOR: Array(SENT)})


@pytest.mark.parametrize(
    "spoil",
    [
        other_digest,
        metric_record,
        config_beside_digest,
        second_config,
        metrics_as_answer,
        metrics_as_vector,
        second_array,
        renamed_array,
        no_array,
        no_header,
        no_vector,
        numpy_array,
    ],
    ids=lambda spoil: str(spoil.__name__),
)
def test_more_or_less_than_one_vector_is_refused(spoil: Callable[[RecordDict], None]) -> None:
    content = answered()
    spoil(content)
    with pytest.raises(ProtocolError, match="node 2: an answer") as caught:
        read_answer(reply(content), ASKED.plan, DIGEST)
    assert caught.value.blame == "node 2"


@pytest.mark.parametrize(
    "array",
    [
        vector_array(stype="numpy.ndarray"),
        vector_array(dtype="float32"),
        vector_array(dtype="accuracy=0.97"),
        vector_array(shape=(len(SENT) + 1,)),
        vector_array(shape=(1, len(SENT))),
        vector_array(shape=(97,)),
    ],
    ids=["stype", "dtype", "words for a dtype", "longer shape", "matrix", "a figure for a shape"],
)
def test_an_array_that_describes_itself_otherwise_is_refused(array: Array) -> None:
    with pytest.raises(ProtocolError, match="node 2: an answer that is not one vector of 101"):
        read_answer(reply(answered(array)), ASKED.plan, DIGEST)


@pytest.mark.parametrize("length", [0, 1, len(SENT) - 1, len(SENT) + 1])
def test_a_vector_of_another_length_is_refused(length: int) -> None:
    vector = np.resize(SENT, length)
    for array in (vector_array(vector), vector_array(vector, shape=SENT.shape)):
        with pytest.raises(ProtocolError, match="node 2: ") as caught:
            read_answer(reply(answered(array)), ASKED.plan, DIGEST)
        assert caught.value.blame == "node 2"


def test_an_error_reply_is_refused_with_its_reason() -> None:
    message = Message(Error(1000, "no such model"), reply_to=request())
    with pytest.raises(ProtocolError, match="node 2: no such model"):
        read_answer(message, ASKED.plan, DIGEST)


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({PLAN: ConfigRecord({PLAN: ASKED.sent})}),
        RecordDict({MODEL: to_record(parameters())}),
        RecordDict({MODEL: to_record(parameters()), PLAN: ConfigRecord({"pan": ASKED.sent})}),
        RecordDict({MODEL: to_record(parameters()), PLAN: ConfigRecord({PLAN: "text"})}),
        RecordDict({MODEL: ConfigRecord(), PLAN: ConfigRecord({PLAN: ASKED.sent})}),
        RecordDict({MODEL: to_record(parameters()), PLAN: ConfigRecord({PLAN: ASKED.sent[:-1]})}),
        RecordDict({MODEL: to_record(parameters()), PLAN: to_record(parameters())}),
    ],
    ids=["nothing", "no model", "no plan", "no plan in plan", "text", "config", "torn plan", "arrays"],
)
def test_a_message_that_is_no_plan_is_refused(content: RecordDict) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_plan(Message(content, 2, "train"))
    assert caught.value.blame == "server"


def npy(array: object) -> bytes:
    file = BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


FITS = layout_of({"0.weight": np.zeros(1, np.float32)})


@pytest.mark.parametrize(
    "data",
    [b"", b"no array", npy(np.ones(1, np.float32))[:-1], npy(np.ones(1)), npy([object()]), npy(["a"])],
    ids=["empty", "no array", "torn", "doubles", "pickled", "text"],
)
def test_a_malformed_array_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="a malformed array: ") as caught:
        read_parameters(ArrayRecord({"0.weight": Array("float32", (1,), "numpy.ndarray", data)}), FITS)
    assert caught.value.blame == "server"


def test_an_array_of_another_shape_than_it_says_is_refused() -> None:
    lying = Array("float32", (1,), "numpy.ndarray", npy(np.zeros(2, np.float32)))
    with pytest.raises(ProtocolError, match="another shape than it says"):
        read_parameters(ArrayRecord({"0.weight": lying}), FITS)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"1.weight": np.zeros(1, np.float32)},
        {"0.weight": np.zeros((1, 1), np.float32)},
        {"0.weight": np.zeros(1, np.float64)},
        {"0.weight": np.zeros(1, np.float32), "1.weight": np.zeros(1, np.float32)},
    ],
    ids=["nothing", "another name", "another shape", "doubles", "one more"],
)
def test_parameters_that_do_not_fit_are_not_decoded(
    record: dict[str, NDArray[np.generic]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey.package.npy.decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ProtocolError, match="do not fit the device's model"):
        read_parameters(ArrayRecord({name: Array(value) for name, value in record.items()}), FITS)


def test_parameters_that_are_not_finite_are_refused() -> None:
    record = ArrayRecord({"0.weight": Array(np.array([np.nan], np.float32))})
    with pytest.raises(ProtocolError, match="a malformed array"):
        read_parameters(record, FITS)


def test_a_plan_under_another_kind_of_message_is_refused() -> None:
    (message, *_) = question(VALIDATE, [2, 3]).messages()
    with pytest.raises(ProtocolError, match="another kind of message"):
        read_plan(Message(message.content, 2, "train"))


def test_a_devices_words_are_cut_and_made_plain_for_the_operators_terminal() -> None:
    hostile = "\x1b[2J\ncovey: round 30/30: accuracy 1.000 " + "x" * 10_000
    message = Message(Error(1000, hostile), reply_to=request())
    with pytest.raises(ProtocolError) as caught:
        read_answer(message, ASKED.plan, DIGEST)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 250


def test_parameters_come_back_sorted_and_bit_for_bit() -> None:
    weights = parameters()
    turned = to_record(dict(reversed(weights.items())))
    back = from_record(turned)
    assert list(back) == sorted(weights)
    assert digest(back) == digest(weights)


def test_plan_messages_are_one_a_device() -> None:
    assert plan_messages(ASKED.sent, "train", to_record(parameters()), []) == []


def test_real_answers_are_read() -> None:
    fleet = flock()
    for message in replies(fleet, ASKED):
        assert read_answer(message, ASKED.plan, DIGEST).any()
