"""What travels to a device and back, whatever carries it."""

from io import BytesIO

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import delivery
from covey.arrays import Parameters, digest
from covey.delivery import CATEGORIES, LATER_STAGES, Asked, Refusal, Reply, Requested
from covey.errors import ProtocolError
from covey.plan import Task
from digits_fleet import STATISTICS, TRAIN, VALIDATE, plan_of, question

H = "ab" * 32


def parameters() -> Parameters:
    rng = np.random.default_rng(0)
    return {name: rng.random(shape).astype(np.float32) for name, shape in {"a": (3,), "b": (2, 2)}.items()}


@given(st.sampled_from(LATER_STAGES), st.binary(max_size=50))
def test_a_request_arrives_as_it_was_sent(stage: str, data: bytes) -> None:
    sent = Requested(H, stage, data)
    assert delivery.delivery(delivery.to_bytes(sent)) == sent


@pytest.mark.parametrize("category", sorted(set(CATEGORIES.values())))
def test_a_plan_arrives_as_it_was_sent(category: str) -> None:
    for plan, envelope in ((b"plan", None), (None, b"envelope")):
        sent = Asked(category, plan, envelope, delivery.to_arrays(parameters()))
        found = delivery.delivery(delivery.to_bytes(sent))
        assert found == sent
        assert isinstance(found, Asked)
        assert digest(delivery.parameters(found.model)) == digest(parameters())


@pytest.mark.parametrize("said", [Reply(b"1"), Refusal("why")])
def test_an_answer_arrives_as_it_was_said(said: Reply | Refusal) -> None:
    assert delivery.answer(delivery.to_bytes(said), blame="pi-1") == said


@pytest.mark.parametrize(
    "sent",
    [
        Asked("train", None, None, ()),
        Asked("train", b"1", b"2", ()),
        Asked("reconnect", b"1", None, ()),
        Requested(H, "answer", b""),
        Requested(H, "advertise", b""),
        Requested(H, "else", b""),
        Requested("ab", "share", b""),
        Reply(b"1"),
    ],
)
def test_what_no_server_sends_is_refused(sent: Asked | Requested | Reply) -> None:
    with pytest.raises(ProtocolError) as caught:
        delivery.delivery(delivery.to_bytes(sent))
    assert caught.value.blame == "server"


@given(st.binary(max_size=80))
def test_noise_is_refused_and_never_anything_else(data: bytes) -> None:
    try:
        found = delivery.delivery(data)
    except ProtocolError:
        return
    assert delivery.to_bytes(found)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_decodes_to_a_delivery(place: int, change: int) -> None:
    data = bytearray(delivery.to_bytes(Asked("train", b"plan", None, delivery.to_arrays(parameters()))))
    data[place % len(data)] ^= change
    try:
        found = delivery.delivery(bytes(data))
    except ProtocolError:
        return
    assert isinstance(found, Asked | Requested)


def test_more_or_less_than_one_answer_is_refused() -> None:
    for data in (b"", delivery.to_bytes(Reply(b"1")) + b"0", msgspec.msgpack.encode(["Reply", b"1", 0.9])):
        with pytest.raises(ProtocolError) as caught:
            delivery.answer(data, blame="pi-1")
        assert caught.value.blame == "pi-1"


def test_a_delivery_that_is_too_long_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MAX_BYTES", 10)
    with pytest.raises(ProtocolError, match="at most 10"):
        delivery.delivery(delivery.to_bytes(Requested(H, "share", b"")))


@pytest.mark.parametrize("task", [TRAIN, VALIDATE, STATISTICS], ids=["train", "validate", "statistics"])
def test_a_plan_under_another_kind_of_message_is_refused(task: Task) -> None:
    plan = plan_of(question(task, [2, 3]))
    right = {"Train": "train", "Validate": "evaluate", "Statistics": "query"}[type(task).__name__]
    for category in ("train", "evaluate", "query", ""):
        if category == right:
            delivery.check_kind(category, plan)
        else:
            with pytest.raises(ProtocolError, match="under another kind"):
                delivery.check_kind(category, plan)


def npy(array: object) -> bytes:
    file = BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


ONE = npy(np.ones(1, np.float32))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no array",
        ONE[:-1],
        npy(np.ones(1)),
        npy([object()]),
        npy(["a"]),
        npy(np.array([np.nan], np.float32)),
    ],
    ids=["empty", "no array", "torn", "doubles", "pickled", "text", "not finite"],
)
def test_a_malformed_array_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="a malformed array: ") as caught:
        delivery.parameters((("0.weight", data),))
    assert caught.value.blame == "server"


def test_an_array_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ProtocolError, match="twice"):
        delivery.parameters((("0.weight", ONE), ("0.weight", ONE)))


def test_parameters_come_in_order_of_names() -> None:
    arrays = delivery.to_arrays(parameters())
    assert list(delivery.parameters(tuple(reversed(arrays)))) == ["a", "b"]
