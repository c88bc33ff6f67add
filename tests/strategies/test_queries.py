from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import sqrt
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Context, Message

from covey import clear, encode, ring
from covey import plan as plans
from covey.accounting.norms import rounded_norms
from covey.arrays import Parameters, digest, layout_of
from covey.delivery import NOT_SET_UP
from covey.encode import Integers, Part, squared_sensitivity
from covey.errors import PlanRefused, RoundAborted
from covey.examples import Examples, LocalData, Standardise
from covey.plan import Gradient, Plan, Statistics, Task, Train, Unit, Validate
from covey.stream import Stream
from covey_client.participant import Participant
from covey_client.simulated import simulated_app
from covey_models.evaluation import evaluate
from covey_models.model import Model
from covey_models.per_example import gradients, poisson
from covey_models.training import Local, initial, load
from covey_models.zoo import wrist as wrist_model
from covey_models.zoo.digits import MODEL
from covey_simulations.data import wrist
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.recordings import last_quarter
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking, Question, ask_statistics
from covey_strategies.protection import Protection
from covey_strategies.queries import gradient, statistics, train, validate
from covey_strategies.queries.answer import answer, parts, shapes
from covey_strategies.queries.device import Device, scaled_inputs
from covey_strategies.wire import REFUSED, read_reply
from digits_fleet import (
    CALIBRATE,
    COMPARE,
    GRADIENT,
    SIZES,
    STATISTICS,
    TRAIN,
    VALIDATE,
    Flock,
    asking,
    coins_of,
    cut,
    dealt,
    empty,
    flock,
    parameters,
    plan_of,
    poisoned,
    question,
    replanned,
    replies,
)

NODES = [2, 3, 4]
TASKS: list[Task] = [TRAIN, GRADIENT, VALIDATE, STATISTICS, CALIBRATE, COMPARE]
HUGE_RATE = msgspec.structs.replace(TRAIN, learning_rate=1e9, epochs=3)
DIVERGING = msgspec.structs.replace(HUGE_RATE, proximal_mu=1e9)  # a factor of 1e18 each step


def kind(task: Task) -> str:
    return type(task).__name__


def shape_of(message: Message) -> dict[str, object]:
    """All of a reply that an observer sees besides the numbers in its vector and whom it came from."""
    assert message.has_content()
    return {
        "records": {name: type(each) for name, each in message.content.items()},
        "bytes": len(read_reply(message)),
        "metadata": (
            message.metadata.message_type,
            message.metadata.dst_node_id,
            message.metadata.group_id,
            message.metadata.run_id,
        ),
    }


def vector_of(message: Message) -> Integers:
    answered = msgspec.msgpack.decode(read_reply(message), type=clear.Answer)
    return ring.centre(ring.from_bytes(answered.vector, len(answered.vector) // 4))


def summed(fleet: Flock, asked: Question) -> encode.Vectors:
    """The decoded sum, where everyone answers."""
    total = np.sum([vector_of(message) for message in replies(fleet, asked)], axis=0)
    return encode.decode(plan_of(asked).parts, total)


def coins(name: int = 0) -> Stream:
    return Stream(bytes([name]) * 32)


class Boom(torch.nn.Module):
    """A network with the right parameters that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        for name, layer in MODEL.build().named_children():
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        del x
        raise self.error


def failing(error: Exception) -> Model:
    return replace(MODEL, build=lambda: Boom(error))


def with_nan() -> Flock:
    return flock([poisoned(dealt()[0], np.nan), *dealt()[1:]])


def with_failure(error: Exception) -> Flock:
    return flock(models={2: failing(error)})


CASES = [
    pytest.param(TRAIN, with_nan, "NaN or infinite", id="NaN while training"),
    pytest.param(VALIDATE, with_nan, "NaN or infinite", id="NaN while validating"),
    pytest.param(STATISTICS, with_nan, "NaN or infinite", id="NaN in statistics"),
    pytest.param(
        TRAIN,
        lambda: with_failure(RuntimeError("shapes cannot be multiplied")),
        "RuntimeError: shapes cannot be multiplied",
        id="forward fails while training",
    ),
    pytest.param(
        VALIDATE, lambda: with_failure(MemoryError("4 GB")), "MemoryError: 4 GB", id="out of memory"
    ),
    pytest.param(
        VALIDATE, lambda: with_failure(PlanRefused("no")), "PlanRefused: no", id="an error of our own"
    ),
]


@pytest.mark.parametrize(("task", "make", "told"), CASES)
def test_whatever_goes_wrong_is_the_zero_vector(task: Task, make: Callable[[], Flock], told: str) -> None:
    fleet, asked = make(), question(task, NODES)
    bad, *good = replies(fleet, asked)
    assert vector_of(bad).tolist() == [0] * plan_of(asked).length
    assert all(vector_of(message).any() for message in good)
    assert [shape_of(message) for message in good] == [shape_of(bad)] * 2
    (line,) = fleet.logs[2]
    assert line.startswith("round 1: contributed nothing: ")
    assert told in line
    assert "\n" not in line
    assert fleet.logs[3] == fleet.logs[4] == []


@pytest.mark.parametrize(("task", "make", "told"), CASES)
def test_the_round_goes_on_without_it(task: Task, make: Callable[[], Flock], told: str) -> None:
    del told
    asked = question(task, NODES)
    without = summed(flock([empty(), *dealt()[1:]]), asked)
    with_bad, full = summed(make(), asked), summed(flock(), asked)
    for part in plan_of(asked).parts:
        np.testing.assert_array_equal(with_bad[part.name], without[part.name])
    assert any((full[name] != with_bad[name]).any() for name in full)


def test_training_that_diverges_is_the_zero_vector() -> None:
    fleet, asked = flock(), question(DIVERGING, NODES)
    for message in replies(fleet, asked):
        assert not vector_of(message).any()
    assert all("contributed nothing" in line for lines in fleet.logs.values() for line in lines)
    assert [len(lines) for lines in fleet.logs.values()] == [1, 1, 1]


def test_a_log_that_cannot_be_written_changes_no_answer() -> None:
    def full(line: str) -> None:
        raise OSError(28, "No space left on device", line)

    (device, *_) = with_nan().devices.values()
    for task, each in ((TRAIN, device), (VALIDATE, replace(device, model=failing(RuntimeError("no"))))):
        asked = question(task, NODES)
        vector = answer(plan_of(asked), asked.parameters, replace(each, log=full), coins())
        assert vector.tolist() == [0] * plan_of(asked).length


def test_a_failure_is_told_in_one_line() -> None:
    fleet = with_failure(RuntimeError("first\nsecond\r\n  third"))
    replies(fleet, question(VALIDATE, NODES))
    assert fleet.logs[2] == ["round 1: contributed nothing: RuntimeError: first second third"]


class Unreadable:
    """Data that fails when it is looked at, with words of its own."""

    @property
    def train(self) -> Examples:
        raise ValueError("patient 17 has a bad window")

    @property
    def held_out(self) -> Examples:
        raise ValueError("patient 17 has a bad window")


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_data_that_cannot_be_read_is_the_zero_vector(task: Task) -> None:
    fleet = flock()
    fleet.devices[2] = replace(fleet.devices[2], data=Unreadable())
    bad, *good = replies(fleet, question(task, NODES))
    assert not vector_of(bad).any()
    assert shape_of(bad) == shape_of(good[0])
    assert fleet.logs[2] == ["round 1: contributed nothing: ValueError: patient 17 has a bad window"]


def test_a_device_that_is_not_set_up_says_nothing_of_why(capsys: pytest.CaptureFixture[str]) -> None:
    def participant_of(context: Context) -> Participant:
        raise OSError(5, "Input/output error", f"/data/patient-{context.node_id}.npz")

    (reply,) = InProcessGrid(simulated_app(participant_of), [2]).send_and_receive(
        question(TRAIN, [2, 3]).messages()[:1]
    )
    assert (reply.error.code, reply.error.reason) == (REFUSED, NOT_SET_UP)
    assert "patient-2" in capsys.readouterr().err


def squared(vector: Integers) -> int:
    return sum(int(each) ** 2 for each in vector)


def longest(plan: Plan) -> Fraction:
    """D2 squared: the most that one row may move the sum."""
    return Fraction(rounded_norms(sqrt(squared_sensitivity(plan.parts)), plan.length).l2) ** 2


def test_a_huge_learning_rate_is_no_way_to_a_long_answer() -> None:
    asked = question(HUGE_RATE, NODES)  # may end in NaN or in dead neurons: finite, and far away
    for message in replies(flock(), asked):
        assert squared(vector_of(message)) <= longest(plan_of(asked))


def test_a_lone_huge_input_is_no_way_to_a_long_answer() -> None:
    fleet = flock([poisoned(dealt()[0], 1e30), *dealt()[1:]])
    for task in TASKS:
        asked = question(task, NODES)
        (mine, *_) = replies(fleet, asked)
        rows = 1 if plan_of(asked).unit == "device" else SIZES[0]
        assert squared(vector_of(mine)) <= rows**2 * longest(plan_of(asked))


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_without_examples_a_device_answers_zero_like_any_other(task: Task) -> None:
    fleet = flock([empty(), *dealt()[1:]])
    bare, *others = replies(fleet, question(task, NODES))
    assert not vector_of(bare).any()
    assert shape_of(bare) == shape_of(others[0])
    assert fleet.logs[2] == []


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_an_answer_does_not_depend_on_what_was_asked_before(task: Task) -> None:
    (device, *_) = flock().devices.values()
    asked = question(task, NODES)
    first = answer(plan_of(asked), asked.parameters, device, coins())
    for other in (question(TRAIN, NODES, model=parameters(9)), question(DIVERGING, NODES)):
        answer(plan_of(other), other.parameters, device, coins(1))
    assert answer(plan_of(asked), asked.parameters, device, coins()).tolist() == first.tolist()


def test_training_is_keyed_by_round_and_device() -> None:
    same = [cut(0, 40)] * 2
    fleet = flock(same)
    nodes = [2, 3]
    one, other = replies(fleet, question(TRAIN, nodes))
    later, _ = replies(fleet, question(TRAIN, nodes, server_round=2))
    assert vector_of(one).tolist() != vector_of(other).tolist()
    assert vector_of(one).tolist() != vector_of(later).tolist()


# -- what a device refuses


def put(**values: object) -> Callable[[Plan], Plan]:
    return lambda plan: msgspec.structs.replace(plan, **values)


def change_part(index: int, part: Callable[[Part], Part]) -> Callable[[Plan], Plan]:
    def change(plan: Plan) -> Plan:
        parts = list(plan.parts)
        parts[index] = part(parts[index])
        return msgspec.structs.replace(plan, parts=tuple(parts))

    return change


def finer(plan: Plan) -> Plan:
    """Another norm than the one that its parts share."""
    return msgspec.structs.replace(plan, norm=plan.norm - 1)


REFUSALS = [
    pytest.param(put(model="wrist"), "is for model wrist, this device has digits", id="another model"),
    pytest.param(put(model_sha256="0" * 64), "not those that the plan names", id="another digest"),
    pytest.param(put(preprocessing=Standardise((0.0,) * 2, (1.0,) * 2)), "scales 2 channels", id="channels"),
    pytest.param(
        change_part(0, lambda p: Part(p.name, p.length, p.clip * 2, p.scale / 2)), "lays out", id="clip"
    ),
    pytest.param(
        change_part(0, lambda p: Part(p.name, p.length, p.clip, p.scale * 0.999)), "lays out", id="scale"
    ),
    pytest.param(
        change_part(0, lambda p: Part("spy", p.length, p.clip, p.scale)), "lays out", id="part renamed"
    ),
    pytest.param(
        change_part(0, lambda p: Part(p.name, p.length + 1, p.clip, p.scale)), "lays out", id="part longer"
    ),
    pytest.param(lambda plan: put(parts=plan.parts[::-1])(plan), "lays out", id="parts reordered"),
    pytest.param(lambda plan: put(parts=plan.parts[:1])(plan), "lays out", id="part missing"),
    pytest.param(
        lambda plan: put(parts=(*plan.parts, Part("spy", 1, 1e-9, 1.0)))(plan), "lays out", id="part added"
    ),
    pytest.param(finer, "lays out", id="another norm"),
]


@pytest.mark.parametrize("task", TASKS, ids=kind)
@pytest.mark.parametrize(("change", "told"), REFUSALS)
def test_a_plan_that_is_not_the_tasks_is_refused(
    task: Task, change: Callable[[Plan], Plan], told: str
) -> None:
    asked = question(task, NODES)
    if change(plan_of(asked)) == plan_of(asked):
        assert len(plan_of(asked).parts) == 1  # its one part has no other order
        return
    asked = replanned(asked, change(plan_of(asked)))
    sent = plans.to_bytes(plan_of(asked))
    assert plans.from_bytes(sent) == plan_of(asked)  # it is a sound plan; the device alone can tell
    # devices with very different data, one of which would fail, say the very same
    fleet = flock([poisoned(cut(0, 40), np.nan), cut(40, 41), empty()])
    answered = replies(fleet, asked)
    reasons = {(message.error.code, message.error.reason) for message in answered}
    ((code, reason),) = reasons
    assert code == REFUSED
    assert told in str(reason)
    assert not any(message.has_content() for message in answered)
    assert all(lines == [f"refused: {reason}"] for lines in fleet.logs.values())


def sent_with(asked: Question, model: Parameters) -> Question:
    """The plan beside other parameters than it names."""
    (exchange,) = asked.exchanges
    return replace(asked, exchanges=(replace(exchange, parameters=model),))


def test_changed_parameters_are_refused() -> None:
    model = parameters()
    model["0.bias"] = np.nextafter(model["0.bias"], np.float32(1))
    (reply, *_) = replies(flock(), sent_with(question(TRAIN, NODES), model))
    assert reply.error.reason == "the parameters are not those that the plan names"


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_parameters_of_another_network_are_refused(task: Task) -> None:
    strange = {"bias": np.zeros(3, np.float32)}
    asked = question(task, NODES)
    plan = msgspec.structs.replace(plan_of(asked), model_sha256=digest(strange))
    plan = msgspec.structs.replace(plan, parts=parts(plan, strange, MODEL))
    (reply, *_) = replies(flock(), sent_with(replanned(asked, plan), strange))
    assert str(reply.error.reason).startswith("the parameters do not fit digits")


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_the_answer_itself_checks_the_parameters(task: Task) -> None:
    (device, *_) = flock().devices.values()
    asked = question(task, NODES)
    with pytest.raises(PlanRefused, match="not those that the plan names"):
        answer(plan_of(asked), parameters(9), device, coins())
    strange = {name: array for name, array in parameters().items() if name != "0.bias"}
    plan = msgspec.structs.replace(plan_of(asked), model_sha256=digest(strange))
    with pytest.raises(PlanRefused, match="do not fit digits"):
        answer(plan, strange, device, coins())


@pytest.mark.parametrize("sent", [b"", b"\xc1", b"\x81\xa3run\xa1\xff"])
def test_bytes_that_are_no_plan_are_refused(sent: bytes) -> None:
    asked = question(TRAIN, NODES)
    (exchange,) = asked.exchanges
    answered = replies(flock(), replace(asked, exchanges=(replace(exchange, sent=sent),)))
    assert {message.error.code for message in answered} == {REFUSED}


def test_a_message_without_a_plan_is_refused() -> None:
    (message, *_) = question(TRAIN, NODES).messages()
    message.content["plan"] = ConfigRecord()
    (reply,) = flock().grid.send_and_receive([message])
    assert (reply.error.code, reply.error.reason) == (REFUSED, "a plan or a model of another type")


# -- train


def test_the_update_is_what_training_changed() -> None:
    (device, *_) = flock().devices.values()
    asked = question(TRAIN, NODES)
    vectors = train.rows(TRAIN, plan_of(asked), asked.parameters, device)
    weight = SIZES[0] / TRAIN.examples_cap
    assert vectors["weight"].tolist() == [[weight]]
    change = vectors["update"][0] / weight
    assert 0.1 < np.linalg.norm(change) < TRAIN.update_clip
    layout = layout_of(asked.parameters)
    after = layout.unflatten(layout.flatten(asked.parameters) + change)
    before_loss, after_loss = (
        evaluate(_network(model), device.data.train, 10).loss_sum for model in (asked.parameters, after)
    )
    assert after_loss < before_loss


def _network(model: Parameters) -> torch.nn.Module:
    network = MODEL.build()
    load(network, model)
    return network


@pytest.mark.parametrize(
    ("examples", "weighting", "weight"),
    [
        (0, "examples", 0.0),
        (16, "examples", 0.25),
        (64, "examples", 1.0),
        (65, "examples", 1.0),
        (0, "devices", 1.0),
        (16, "devices", 1.0),
    ],
)
def test_weights_by_hand(examples: int, weighting: str, weight: float) -> None:
    task = msgspec.convert({**msgspec.to_builtins(TRAIN), "weighting": weighting}, Train)
    assert train.weight_of(examples, task) == weight


def test_the_mean_by_hand() -> None:
    model = {"w": np.zeros(2, np.float32)}
    sums = {"update": np.array([3.0, -6.0]), "loss": np.array([4.5]), "weight": np.array([1.5])}
    found = train.read(TRAIN, sums, model, 3)
    assert found.update["w"].tolist() == [2.0, -4.0]
    assert found.loss == 3.0
    by_devices = msgspec.structs.replace(TRAIN, weighting="devices")
    found = train.read(by_devices, sums, model, 3)
    assert found.update["w"].tolist() == [1.0, -2.0]
    assert found.loss == 1.5
    with pytest.raises(RoundAborted, match="no device contributed anything"):
        train.read(TRAIN, sums | {"weight": np.array([0.0])}, model, 3)


def test_training_names_a_weight_only_where_one_is_used() -> None:
    by_devices = msgspec.structs.replace(TRAIN, weighting="devices")
    model = parameters()
    assert list(train.shapes(TRAIN, model)) == ["update", "loss", "weight"]
    assert list(train.shapes(by_devices, model)) == ["update", "loss"]
    assert train.shapes(TRAIN, model)["update"].length == 3818


# -- gradient

EVERY = msgspec.structs.replace(GRADIENT, sampling_rate=1.0)


def own_gradients(device: Device, model: Parameters) -> tuple[encode.Vectors, Any]:
    """Of all examples of a device, each clipped, in floats."""
    network = _network(model)
    local = Local(device.data.train, None, None)
    found = list(gradients(network, local, np.arange(len(device.data.train)), 1, 0))
    rows = np.concatenate([each.vectors for each in found])
    losses = np.concatenate([each.losses for each in found])
    return {"gradient": encode.clip(rows, GRADIENT.gradient_clip)}, np.minimum(losses, gradient.LOSS_CLIP)


def test_a_step_is_that_of_central_dp_sgd_without_noise() -> None:
    fleet, asked = flock(), question(EVERY, NODES)
    found = gradient.read(EVERY, summed(fleet, asked), asked.parameters, 3)
    pairs = [own_gradients(device, asked.parameters) for device in fleet.devices.values()]
    step = np.sum([rows["gradient"].sum(axis=0) for rows, _ in pairs], axis=0)
    expected = step * (-EVERY.learning_rate / EVERY.expected_batch)
    layout = layout_of(asked.parameters)
    np.testing.assert_allclose(layout.flatten(found.update), expected, atol=2e-4)
    assert found.loss == pytest.approx(
        sum(losses.sum() for _, losses in pairs) / EVERY.expected_batch, rel=1e-2
    )
    assert found.devices == 3


def test_the_secret_coins_choose_the_examples() -> None:
    """The rows are those of a Poisson sample with the plan's rate; others are not looked at."""
    fleet, asked = flock(), question(GRADIENT, NODES)
    (device, *_) = fleet.devices.values()
    plan = plan_of(asked)
    yielded = list(gradient.rows(GRADIENT, plan, asked.parameters, device, coins_of(device, plan)))
    chosen = poisson(SIZES[0], GRADIENT.sampling_rate, coins_of(device, plan))
    assert sum(len(some["gradient"]) for some in yielded) == len(chosen)
    assert 8 < len(chosen) < 32
    other = poisson(SIZES[0], GRADIENT.sampling_rate, coins(9))
    assert chosen.tolist() != other.tolist()


def test_the_step_does_not_tell_how_many_were_drawn() -> None:
    """It is divided by a public constant, whatever the sample."""
    model = {"w": np.zeros(2, np.float32)}
    sums = {"gradient": np.array([4.0, -8.0]), "loss": np.array([20.0])}
    for devices in (2, 30):
        found = gradient.read(GRADIENT, sums, model, devices)
        assert found.update["w"].tolist() == [np.float32(-0.05), np.float32(0.1)]
        assert found.loss == 0.5


def test_one_example_moves_the_sum_by_at_most_d2() -> None:
    """Two devices that differ in one example, with the same coins: the sums are one row apart."""
    base = cut(0, 12)
    asked = question(msgspec.structs.replace(EVERY, examples_cap=12), NODES)
    for place in (0, 5, 11):
        index = np.arange(12)
        index[place] = 300
        changed = LocalData(cut(0, 400).train.take(index), base.held_out)
        both = [
            np.concatenate(
                [
                    some["gradient"]
                    for some in gradient.rows(
                        EVERY, plan_of(asked), asked.parameters, Device("d", MODEL, local, 1, print), coins()
                    )
                ]
            )
            for local in (base, changed)
        ]
        differs = np.flatnonzero((both[0] != both[1]).any(axis=1))
        assert differs.tolist() == [place]


def test_an_example_that_is_not_finite_is_left_out_alone() -> None:
    spoilt = flock([poisoned(dealt()[0], np.nan), *dealt()[1:]])
    asked = question(EVERY, NODES)
    (mine, *_) = replies(spoilt, asked)
    without = LocalData(dealt()[0].train.take(np.arange(1, SIZES[0])), dealt()[0].held_out)
    (expected, *_) = replies(flock([without, *dealt()[1:]]), asked)
    found, wanted = (
        encode.decode(plan_of(asked).parts, vector_of(each))["gradient"] for each in (mine, expected)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert spoilt.logs[2] == ["round 1: left out 1 of 40 examples: NaN or infinite elements in an answer"]


def test_losses_and_gradients_are_clipped_one_by_one() -> None:
    task = msgspec.structs.replace(EVERY, gradient_clip=1e-3)
    asked = question(task, NODES)
    decoded = encode.decode(plan_of(asked).parts, vector_of(replies(flock(), asked)[0]))
    assert np.linalg.norm(decoded["gradient"]) <= SIZES[0] * 1e-3 * (1 + 1e-6)
    assert 0 < decoded["loss"][0] <= SIZES[0] * gradient.LOSS_CLIP


def test_examples_beyond_the_cap_are_never_drawn() -> None:
    capped = msgspec.structs.replace(EVERY, examples_cap=5)
    asked = question(capped, NODES)
    decoded = encode.decode(plan_of(asked).parts, vector_of(replies(flock(), asked)[0]))
    (device, *_) = flock().devices.values()
    _, losses = own_gradients(device, asked.parameters)
    assert decoded["loss"][0] == pytest.approx(losses[:5].sum(), rel=1e-3)


def test_rows_are_rounded_one_by_one_and_each_is_bounded() -> None:
    protection = Protection(unit="example", multipliers={"train": 0.1}, sensitivity=64)
    plan = plan_of(question(EVERY, NODES, protection=protection))
    (device, *_) = flock().devices.values()
    (some, *_) = gradient.rows(EVERY, plan, parameters(), device, coins())
    for index in range(len(some["loss"])):
        row = {name: each[index : index + 1] for name, each in some.items()}
        assert squared(encode.encode(plan.parts, row, coins(index))) <= longest(plan)


@pytest.mark.parametrize("task", TASKS, ids=kind)
@pytest.mark.parametrize("unit", ["device", "example"])
def test_server_and_device_lay_out_alike(task: Task, unit: Unit) -> None:
    if (type(task), unit) in {(Train, "example"), (Gradient, "device")}:
        return
    plan = plan_of(question(task, NODES, protection=Protection(unit=unit)))
    assert plan.parts == parts(plan, parameters(), MODEL)
    assert list(shapes(plan, parameters(), MODEL)) == [part.name for part in plan.parts]


# -- validate


UNITS = {"device": Protection(), "example": Protection(unit="example")}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("preprocessing", [None, Standardise((0.3,), (0.4,))], ids=["raw", "scaled"])
def test_validation_counts_are_those_of_a_pooled_evaluation(
    preprocessing: Standardise | None, unit: str
) -> None:
    fleet = flock()
    asked = question(VALIDATE, NODES, preprocessing=preprocessing, protection=UNITS[unit])
    found = validate.read(summed(fleet, asked), MODEL.classes)
    pooled = Examples.join([device.data.held_out for device in fleet.devices.values()])
    expected = evaluate(_network(asked.parameters), scaled_inputs(pooled, preprocessing), MODEL.classes)
    np.testing.assert_allclose(found.confusion, expected.confusion, atol=1e-4)
    assert found.confusion.sum() == pytest.approx(sum(SIZES))
    assert found.accuracy == pytest.approx(np.trace(expected.confusion) / sum(SIZES), abs=1e-4)
    assert found.loss == pytest.approx(expected.loss_sum / sum(SIZES), rel=1e-4)


def test_counts_above_the_cap_are_clipped_to_it() -> None:
    asked = question(Validate(5), NODES)
    vectors = encode.decode(plan_of(asked).parts, vector_of(replies(flock(), asked)[0]))
    assert np.linalg.norm(vectors["confusion"]) == pytest.approx(5)
    assert vectors["loss"][0] <= 5 * validate.LOSS_CLIP


def test_examples_beyond_the_cap_are_not_looked_at() -> None:
    asked = question(Validate(5), NODES, protection=UNITS["example"])
    found = summed(flock(), asked)["confusion"]
    assert found.sum() == pytest.approx(5 * len(NODES))


def test_nobody_with_held_out_examples_is_no_accuracy() -> None:
    asked = question(VALIDATE, NODES)
    fleet = flock([LocalData(local.train, empty().held_out) for local in dealt()])
    found = validate.read(summed(fleet, asked), MODEL.classes)
    assert np.isnan(found.accuracy)
    assert np.isnan(found.loss)


# -- statistics


def recorded(examples_of: Callable[[LocalData], Examples] = lambda local: local.train) -> FederatedData:
    data = wrist.load(last_quarter)
    return replace(
        data,
        devices={name: LocalData(examples_of(local), local.held_out) for name, local in data.devices.items()},
    )


def watches(data: FederatedData) -> Flock:
    model = wrist_model.MODEL
    return flock(list(data.devices.values()), dict.fromkeys(range(2, 2 + len(data.devices)), model))


def wrist_asking() -> Asking:
    return replace(asking(), model=wrist_model.MODEL)


def test_statistics_are_the_pooled_mean_and_deviation_of_the_wrist_data() -> None:
    data = recorded()
    fleet = watches(data)
    cap = max(len(local.train) for local in data.devices.values())
    found = ask_statistics(fleet.grid, wrist_asking(), Statistics(cap), initial(wrist_model.MODEL, 1))
    pooled = Examples.join([local.train for local in data.devices.values()]).x.astype(np.float64)
    assert np.abs(pooled).max() < wrist_model.MODEL.input_bound  # nothing was clamped
    tolerance = 1e-5 * wrist_model.MODEL.input_bound
    np.testing.assert_allclose(found.mean, pooled.mean(axis=(0, 2)), rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.deviation, pooled.std(axis=(0, 2)), rtol=1e-4)
    scaled = found.apply(pooled.astype(np.float32)).astype(np.float64)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1, atol=1e-3)


def bare(task: Task, unit: Unit = "device") -> Plan:
    return msgspec.structs.replace(plan_of(question(VALIDATE, NODES)), task=task, unit=unit)


def test_an_answer_of_statistics_is_thirteen_bounded_numbers() -> None:
    data = recorded()
    (local, *_) = data.devices.values()
    task = Statistics(64)
    device = Device("s01-left", wrist_model.MODEL, local, 1, lambda _: None)
    found = statistics.rows(task, bare(task), device)
    assert {name: values.shape for name, values in found.items()} == {
        "first": (1, 6),
        "second": (1, 6),
        "weight": (1, 1),
    }
    assert sum(shape.length for shape in statistics.shapes(6).values()) == 13
    assert all((np.abs(values) <= 1).all() for values in found.values())


def test_inputs_beyond_the_bound_are_clamped() -> None:
    bound = MODEL.input_bound
    x = np.full((2, 1, 8, 8), 5 * bound, np.float32)
    local = LocalData(Examples(x, np.zeros(2, np.int64)), empty().held_out)
    device = Device("d", MODEL, local, 1, lambda _: None)
    for unit, rows in (("device", 1), ("example", 2)):
        found = statistics.rows(Statistics(2), bare(Statistics(2), unit), device)  # type: ignore[arg-type]
        assert {name: values.tolist() for name, values in found.items()} == {
            "first": [[1.0]] * rows,
            "second": [[1.0]] * rows,
            "weight": [[1.0]] * rows,
        }


def test_statistics_of_examples_are_those_of_devices() -> None:
    """Where no cap is met both are the pooled moments."""
    fleet, run = flock(), asking()
    by_device = ask_statistics(fleet.grid, run, STATISTICS, parameters())
    by_example = replace(run, protection=UNITS["example"])
    found = ask_statistics(fleet.grid, by_example, STATISTICS, parameters())
    assert found.mean == pytest.approx(by_device.mean, rel=1e-3)
    assert found.deviation == pytest.approx(by_device.deviation, rel=1e-3)


def test_a_device_of_many_examples_counts_the_first_of_them() -> None:
    asked = question(Statistics(10), NODES, protection=UNITS["example"])
    assert summed(flock(), asked)["weight"][0] == pytest.approx(10 * len(NODES))


def test_statistics_by_hand() -> None:
    sums = {
        "first": np.array([1.0, 0.0, 2.0]),
        "second": np.array([1.0, 4.0, 2.0]),
        "weight": np.array([2.0]),
    }
    found = statistics.read(sums, 10.0)
    assert found.mean == (5.0, 0.0, 10.0)
    assert found.deviation == pytest.approx((5.0, np.sqrt(2.0) * 10, 0.01))  # the last channel is constant
    with pytest.raises(RoundAborted, match="no device has a training example"):
        statistics.read(sums | {"weight": np.array([0.0])}, 10.0)


def test_a_scaling_by_the_plan_reaches_training_and_validation() -> None:
    for task in (TRAIN, GRADIENT, VALIDATE):
        raw, scaled = (
            vector_of(replies(flock(), question(task, NODES, preprocessing=scaling))[0]).tolist()
            for scaling in (None, Standardise((0.3,), (0.1,)))
        )
        assert raw != scaled
