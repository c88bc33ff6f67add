from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message

from covey import encode, ring
from covey import plan as plans
from covey.arrays import Parameters, digest, layout_of
from covey.encode import Part
from covey.errors import PlanRefused, RoundAborted
from covey.examples import Examples, LocalData, Standardise
from covey.plan import Plan, Statistics, Task, Train, Validate
from covey_client.app import NOT_SET_UP, REFUSED, build
from covey_models.evaluation import evaluate
from covey_models.model import Model
from covey_models.training import initial, load
from covey_models.zoo import wrist as wrist_model
from covey_models.zoo.digits import MODEL
from covey_simulations.data import wrist
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.recordings import last_quarter
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking, Question, ask_statistics
from covey_strategies.private_sum import collect
from covey_strategies.queries import statistics, train, validate
from covey_strategies.queries.answer import answer
from covey_strategies.queries.device import Device, scaled_inputs
from digits_fleet import (
    SIZES,
    STATISTICS,
    TRAIN,
    VALIDATE,
    Flock,
    asking,
    cut,
    dealt,
    empty,
    flock,
    parameters,
    poisoned,
    question,
    replanned,
    replies,
)

NODES = [2, 3, 4]
TASKS: list[Task] = [TRAIN, VALIDATE, STATISTICS]
HUGE_RATE = msgspec.structs.replace(TRAIN, learning_rate=1e9, epochs=3)
DIVERGING = msgspec.structs.replace(HUGE_RATE, proximal_mu=1e9)  # a factor of 1e18 each step


def kind(task: Task) -> str:
    return type(task).__name__


def shape_of(message: Message) -> dict[str, object]:
    """All of a reply that an observer sees besides the numbers in its vector and whom it came from."""
    assert message.has_content()
    record = message.content["vector"]
    assert isinstance(record, ArrayRecord)
    (array,) = record.values()
    return {
        "records": {name: type(each) for name, each in message.content.items()},
        "header": message.content["answer"],
        "array": (array.dtype, array.shape, array.stype, len(array.data)),
        "metadata": (
            message.metadata.message_type,
            message.metadata.dst_node_id,
            message.metadata.group_id,
            message.metadata.run_id,
        ),
    }


def vector_of(message: Message) -> ring.Ring:
    record = message.content["vector"]
    assert isinstance(record, ArrayRecord)
    data = record["vector"].data
    return ring.from_bytes(data, len(data) // 4)


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
    assert vector_of(bad).tolist() == [0] * asked.plan.length
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
    whole, without = flock(), flock([empty(), *dealt()[1:]])
    with_bad, full, expected = (
        collect(asked.plan, asked.sent, asked.cohort, replies(fleet, asked))
        for fleet in (make(), whole, without)
    )
    assert (with_bad.devices, with_bad.refused) == (3, ())
    for part in asked.plan.parts:
        np.testing.assert_array_equal(with_bad.sums[part.name], expected.sums[part.name])
    assert any((full.sums[name] != with_bad.sums[name]).any() for name in full.sums)


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
        vector = answer(asked.plan, asked.parameters, replace(each, log=full))
        assert vector.tolist() == [0] * asked.plan.length


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
    def device_of(context: Context) -> Device:
        raise OSError(5, "Input/output error", f"/data/patient-{context.node_id}.npz")

    (reply,) = InProcessGrid(build(device_of), [2]).send_and_receive(question(TRAIN, [2, 3]).messages()[:1])
    assert (reply.error.code, reply.error.reason) == (REFUSED, NOT_SET_UP)
    assert "patient-2" in capsys.readouterr().err


def test_a_huge_learning_rate_is_no_way_to_a_long_answer() -> None:
    asked = question(HUGE_RATE, NODES)  # may end in NaN or in dead neurons: finite, and far away
    bound = encode.sensitivity(asked.plan.parts) ** 2
    for message in replies(flock(), asked):
        assert sum(int(each) ** 2 for each in ring.centre(vector_of(message))) <= bound


def test_a_lone_huge_input_is_no_way_to_a_long_answer() -> None:
    fleet = flock([poisoned(dealt()[0], 1e30), *dealt()[1:]])
    for task in TASKS:
        asked = question(task, NODES)
        (mine, *_) = replies(fleet, asked)
        squared = sum(int(each) ** 2 for each in ring.centre(vector_of(mine)))
        assert squared <= encode.sensitivity(asked.plan.parts) ** 2


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
    first = answer(asked.plan, asked.parameters, device)
    for other in (question(TRAIN, NODES, model=parameters(9)), question(DIVERGING, NODES)):
        answer(other.plan, other.parameters, device)
    assert answer(asked.plan, asked.parameters, device).tolist() == first.tolist()


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


def fewer_devices(plan: Plan) -> Plan:
    return msgspec.structs.replace(plan, cohort=plan.cohort - 1)


REFUSALS = [
    pytest.param(put(model="wrist"), "is for model wrist, this device has digits", id="another model"),
    pytest.param(put(model_sha256="0" * 64), "not those that the plan names", id="another digest"),
    pytest.param(put(preprocessing=Standardise((0.0,) * 2, (1.0,) * 2)), "scales 2 channels", id="channels"),
    pytest.param(
        change_part(0, lambda p: Part(p.name, p.length, p.clip * 2, p.scale // 2)), "lays out", id="clip"
    ),
    pytest.param(
        change_part(0, lambda p: Part(p.name, p.length, p.clip, p.scale - 1)), "lays out", id="scale"
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
        lambda plan: put(parts=(*plan.parts, Part("spy", 1, 1e-9, 1)))(plan), "lays out", id="part added"
    ),
    pytest.param(fewer_devices, "lays out", id="another cohort"),
]


@pytest.mark.parametrize("task", TASKS, ids=kind)
@pytest.mark.parametrize(("change", "told"), REFUSALS)
def test_a_plan_that_is_not_the_tasks_is_refused(
    task: Task, change: Callable[[Plan], Plan], told: str
) -> None:
    asked = question(task, NODES)
    asked = replanned(asked, change(asked.plan))
    assert plans.from_bytes(asked.sent) == asked.plan  # it is a sound plan; the device alone can tell
    # devices with very different data, one of which would fail, say the very same
    fleet = flock([poisoned(cut(0, 40), np.nan), cut(40, 41), empty()])
    answered = replies(fleet, asked)
    reasons = {(message.error.code, message.error.reason) for message in answered}
    ((code, reason),) = reasons
    assert code == REFUSED
    assert told in str(reason)
    assert not any(message.has_content() for message in answered)
    assert all(lines == [] for lines in fleet.logs.values())


def sent_with(asked: Question, model: Parameters) -> Question:
    """The plan beside other parameters than it names."""
    return replace(asked, parameters=model)


def test_changed_parameters_are_refused() -> None:
    model = parameters()
    model["0.bias"] = np.nextafter(model["0.bias"], np.float32(1))
    (reply, *_) = replies(flock(), sent_with(question(TRAIN, NODES), model))
    assert reply.error.reason == "the parameters are not those that the plan names"


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_parameters_of_another_network_are_refused(task: Task) -> None:
    strange = {"bias": np.zeros(3, np.float32)}
    asked = question(task, NODES)
    plan = msgspec.structs.replace(asked.plan, model_sha256=digest(strange))
    if isinstance(task, Train):
        plan = msgspec.structs.replace(plan, parts=train.parts(task, strange, len(NODES)))
    (reply, *_) = replies(flock(), sent_with(replanned(asked, plan), strange))
    assert reply.error.reason == "the parameters do not fit the device's model"


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_the_answer_itself_checks_the_parameters(task: Task) -> None:
    (device, *_) = flock().devices.values()
    asked = question(task, NODES)
    with pytest.raises(PlanRefused, match="not those that the plan names"):
        answer(asked.plan, parameters(9), device)
    strange = {name: array for name, array in parameters().items() if name != "0.bias"}
    plan = msgspec.structs.replace(asked.plan, model_sha256=digest(strange))
    with pytest.raises(PlanRefused, match="do not fit digits"):
        answer(plan, strange, device)


@pytest.mark.parametrize(
    "task",
    [msgspec.structs.replace(TRAIN, update_clip=1e9), Validate(1 << 31)],
    ids=kind,
)
def test_a_task_whose_answer_cannot_be_scaled_is_refused(task: Task) -> None:
    asked = question(VALIDATE, NODES)
    asked = replanned(asked, msgspec.structs.replace(asked.plan, task=task))
    (reply, *_) = replies(flock(), asked)
    assert reply.error.code == REFUSED
    assert "does not fit 32 bits" in str(reply.error.reason)


@pytest.mark.parametrize("sent", [b"", b"\xc1", b"\x81\xa3run\xa1\xff"])
def test_bytes_that_are_no_plan_are_refused(sent: bytes) -> None:
    answered = replies(flock(), replace(question(TRAIN, NODES), sent=sent))
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
    vectors = train.answer(TRAIN, asked.plan, asked.parameters, device)
    weight = SIZES[0] / TRAIN.examples_cap
    assert vectors["weight"].tolist() == [weight]
    change = vectors["update"] / weight
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


def test_parts_of_training_name_a_weight_only_where_one_is_used() -> None:
    by_devices = msgspec.structs.replace(TRAIN, weighting="devices")
    model = parameters()
    assert [part.name for part in train.parts(TRAIN, model, 3)] == ["update", "loss", "weight"]
    assert [part.name for part in train.parts(by_devices, model, 3)] == ["update", "loss"]
    assert train.parts(TRAIN, model, 3)[0].length == 3818


# -- validate


@pytest.mark.parametrize("preprocessing", [None, Standardise((0.3,), (0.4,))], ids=["raw", "scaled"])
def test_validation_counts_are_those_of_a_pooled_evaluation(preprocessing: Standardise | None) -> None:
    fleet = flock()
    asked = question(VALIDATE, NODES, preprocessing=preprocessing)
    collected = collect(asked.plan, asked.sent, asked.cohort, replies(fleet, asked))
    found = validate.read(collected.sums, MODEL.classes)
    pooled = Examples.join([device.data.held_out for device in fleet.devices.values()])
    expected = evaluate(_network(asked.parameters), scaled_inputs(pooled, preprocessing), MODEL.classes)
    assert found.confusion.tolist() == expected.confusion.tolist()
    assert found.confusion.sum() == sum(SIZES)
    assert found.accuracy == np.trace(expected.confusion) / sum(SIZES)
    assert found.loss == pytest.approx(expected.loss_sum / sum(SIZES), rel=1e-6)


def test_counts_above_the_cap_are_clipped_to_it() -> None:
    task = Validate(5)
    asked = question(task, NODES)
    vectors = encode.decode(asked.plan.parts, vector_of(replies(flock(), asked)[0]))
    assert np.linalg.norm(vectors["confusion"]) == pytest.approx(5)
    assert vectors["loss"][0] <= 5 * validate.LOSS_CLIP


def test_nobody_with_held_out_examples_is_no_accuracy() -> None:
    asked = question(VALIDATE, NODES)
    fleet = flock([LocalData(local.train, empty().held_out) for local in dealt()])
    collected = collect(asked.plan, asked.sent, asked.cohort, replies(fleet, asked))
    found = validate.read(collected.sums, MODEL.classes)
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
    found = ask_statistics(
        fleet.grid, wrist_asking(), Statistics(cap), initial(wrist_model.MODEL, 1), timeout=60
    )
    pooled = Examples.join([local.train for local in data.devices.values()]).x.astype(np.float64)
    assert np.abs(pooled).max() < wrist_model.MODEL.input_bound  # nothing was clamped
    tolerance = 1e-5 * wrist_model.MODEL.input_bound
    np.testing.assert_allclose(found.mean, pooled.mean(axis=(0, 2)), rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.deviation, pooled.std(axis=(0, 2)), rtol=1e-4)
    scaled = found.apply(pooled.astype(np.float32)).astype(np.float64)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1, atol=1e-3)


def test_an_answer_of_statistics_is_thirteen_bounded_numbers() -> None:
    data = recorded()
    (local, *_) = data.devices.values()
    task = Statistics(64)
    device = Device("s01-left", wrist_model.MODEL, local, 1, lambda _: None)
    found = statistics.answer(task, device)
    assert {name: values.shape for name, values in found.items()} == {
        "first": (6,),
        "second": (6,),
        "weight": (1,),
    }
    assert sum(part.length for part in statistics.parts(6, 20)) == 13
    assert all((np.abs(values) <= 1).all() for values in found.values())


def test_inputs_beyond_the_bound_are_clamped() -> None:
    bound = MODEL.input_bound
    x = np.full((2, 1, 8, 8), 5 * bound, np.float32)
    local = LocalData(Examples(x, np.zeros(2, np.int64)), empty().held_out)
    found = statistics.answer(Statistics(2), Device("d", MODEL, local, 1, lambda _: None))
    assert {name: values.tolist() for name, values in found.items()} == {
        "first": [1.0],
        "second": [1.0],
        "weight": [1.0],
    }


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
    for task in (TRAIN, VALIDATE):
        raw, scaled = (
            vector_of(replies(flock(), question(task, NODES, preprocessing=scaling))[0]).tolist()
            for scaling in (None, Standardise((0.3,), (0.1,)))
        )
        assert raw != scaled
