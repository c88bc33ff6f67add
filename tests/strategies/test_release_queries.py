"""What is asked around a release: ranges, two models side by side, and how a rollout went."""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from covey import encode
from covey.arrays import Parameters, digest
from covey.errors import PackageError, PlanRefused
from covey.examples import Examples, Floats, LocalData
from covey.plan import Calibrate, Compare, Health, Observed, Plan, Task, Unit
from covey.rollout.outcome import Outcome
from covey.stream import Stream
from covey_models import carried, ranges, runtime
from covey_models.evaluation import Predict, evaluate
from covey_models.export import to_onnx
from covey_models.observing import everything
from covey_models.runtime import predictor
from covey_models.training import parameters_of
from covey_models.zoo.digits import MODEL
from covey_models.zoo.wrist import MODEL as OTHER
from covey_strategies.protection import Protection
from covey_strategies.queries import calibrate, compare, health
from covey_strategies.queries.answer import answer
from covey_strategies.queries.device import Device
from digits_fleet import CALIBRATE, COMPARE, HEALTH, cut, flock, onnx, plan_of, question

NODES = [2, 3, 4]
UNITS: list[Unit] = ["device", "example"]


def asked(task: Task, unit: Unit, **changes: Any) -> tuple[Plan, Parameters]:
    made = question(task, NODES, protection=Protection(unit=unit), **changes)
    return plan_of(made), made.parameters


def told(task: Task, unit: Unit, device: Device, **changes: Any) -> encode.Vectors:
    """What one device's answer says, in the parts' own units."""
    plan, parameters = asked(task, unit, **changes)
    return encode.decode(plan.parts, answer(plan, parameters, device, Stream(bytes(32))))


def noiseless(part: str) -> float:
    del part
    return 0.0


def first(**changes: Any) -> Device:
    return replace(flock().devices[2], **changes)


def outcome(**changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "rollout": HEALTH.rollout,
        "image": HEALTH.image,
        "ring": 1,
        "result": "succeeded",
    }
    return Outcome(**(values | changes))


# -- ranges


def test_every_example_counts_once_at_every_place_and_side() -> None:
    device = first()
    plan, _ = asked(CALIBRATE, "example")
    sums = told(CALIBRATE, "example", device)
    counts = calibrate.read(CALIBRATE, "example", sums, noiseless).histograms
    assert counts.shape == (2, 2, ranges.BINS)
    np.testing.assert_allclose(counts.sum(axis=2), len(device.data.train), atol=1e-3)
    assert plan.parts[0].clip == sqrt(4)


def test_a_devices_ranges_weigh_as_its_examples_do() -> None:
    found = calibrate.read(CALIBRATE, "device", told(CALIBRATE, "device", first()), noiseless)
    np.testing.assert_allclose(found.histograms.sum(axis=2), 40, atol=1e-3)
    assert found.examples == pytest.approx(40, abs=1e-3)


def test_the_largest_input_lies_in_the_bin_that_is_counted() -> None:
    device = first(data=cut(0, 1))
    counts = calibrate.read(CALIBRATE, "example", told(CALIBRATE, "example", device), noiseless).histograms
    largest = device.data.train.x.max()
    (place,) = ranges.bins(np.array([largest]), CALIBRATE.points[0].scale)
    assert counts[0, 0].argmax() == place


@pytest.mark.parametrize("changes", [{"of": 5}, {"points": (Observed(99, 1.0),)}])
def test_places_in_another_network_are_refused(changes: dict[str, Any]) -> None:
    task = msgspec.structs.replace(CALIBRATE, **changes)
    plan, parameters = asked(task, "device")
    with pytest.raises(PlanRefused, match="places in the network"):
        answer(plan, parameters, first(), Stream(bytes(32)))


class Standardised(nn.Module):
    """One linear layer whose weight is standardised each time: a value with an axis of 64, for no example."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 64))
        self.classify = nn.Linear(64, MODEL.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean()
        logits: torch.Tensor = self.classify(functional.linear(x.flatten(1), weight))
        return logits


def test_no_place_is_asked_about_that_counts_something_else_than_examples() -> None:
    """With 64 examples the weight's rows were counted, with 65 nothing was: one example moved all of it."""
    model = replace(MODEL, build=Standardised)
    device = first(model=model, data=cut(0, 64))
    weights = parameters_of(model.build())
    found = everything(model.build(), np.zeros((3, *MODEL.input_shape), np.float32))
    (place,) = [number for number, value in enumerate(found) if value.shape == (64, 64)]
    task = Calibrate((Observed(place, 1.0),), len(found), 64)
    plan, _ = asked(task, "example", model=weights)
    with pytest.raises(PlanRefused, match="not one per example"):
        answer(plan, weights, device, Stream(bytes(32)))


def test_what_an_example_counts_as_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit: a network's weights are the server's choice and may make much of that."""
    task = Calibrate(tuple(Observed(place, 1.0) for place in range(CALIBRATE.of)), CALIBRATE.of, 128)
    plan, weights = asked(task, "example")
    seen: list[list[Any]] = []
    rows = ranges.rows

    def recorded(values: list[Any], scales: list[float]) -> ranges.Row:
        seen.append(values)
        return rows(values, scales)

    monkeypatch.setattr(ranges, "rows", recorded)
    for data in (cut(0, 65), cut(1, 65)):
        calibrate.rows(task, plan, weights, first(data=data))
    _, left_over, without_the_first = seen
    for one, other in zip(left_over, without_the_first, strict=True):
        np.testing.assert_array_equal(one[-1], other[-1])


# -- two models side by side


@pytest.mark.parametrize("unit", UNITS)
def test_counts_are_those_of_the_two_models(unit: Unit) -> None:
    device = first(group="even")
    held_out = device.data.held_out
    found = compare.read(COMPARE, told(COMPARE, unit, device), noiseless, MODEL.classes)
    right = {
        name: evaluate(predictor(onnx(seed)), held_out, MODEL.classes).predicted == held_out.y
        for name, seed in (("new", 1), ("old", 2))
    }
    expected = {
        "examples": len(held_out),
        "right old": right["old"].sum(),
        "right new": right["new"].sum(),
        "only old": (right["old"] & ~right["new"]).sum(),
        "only new": (right["new"] & ~right["old"]).sum(),
    }
    assert found.totals == pytest.approx(expected, abs=1e-2)
    of_class = [
        ((held_out.y == label).sum(), (~right["old"])[held_out.y == label].sum())
        for label in range(MODEL.classes)
    ]
    np.testing.assert_allclose(found.classes[:, :2], of_class, atol=1e-2)
    np.testing.assert_allclose(found.groups[0], 0, atol=1e-2)
    np.testing.assert_allclose(
        found.groups[1], [expected[name] for name in ("examples", "right old", "right new")], atol=1e-2
    )


def test_a_device_of_no_group_counts_in_the_totals_only() -> None:
    found = compare.read(COMPARE, told(COMPARE, "device", first(group="prime")), noiseless, MODEL.classes)
    assert found.totals["examples"] == pytest.approx(40, abs=1e-2)
    np.testing.assert_allclose(found.groups, 0, atol=1e-9)


def test_the_first_release_is_compared_with_nothing() -> None:
    model = carried.to_arrays(onnx(1), None)
    found = told(Compare(64), "device", first(), model=model)
    totals = dict(zip(compare.TOTALS, found["totals"].tolist(), strict=True))
    assert totals["right old"] == 0
    assert totals["only new"] == totals["right new"]
    assert "groups" not in found


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({}, "files"),
        ({"new": np.zeros(3, np.float32), "spy": np.zeros(3, np.float32)}, "files"),
        ({"new": np.array([0, 0.5], np.float32)}, "no bytes"),
        ({"new": np.array([0, -1], np.float32)}, "no bytes"),
        ({"new": np.array([2, 1], np.float32)}, "no bytes"),
        ({"new": np.array([0], np.float32)}, "no file"),
        ({"new": np.array([0, 513], np.float32)}, "not an ONNX file"),
    ],
)
def test_what_is_no_pair_of_models_is_refused(model: Parameters, said: str) -> None:
    plan, _ = asked(COMPARE, "device", model=model)
    with pytest.raises(PlanRefused, match=said):
        answer(plan, model, first(), Stream(bytes(32)))


def test_a_model_of_other_shapes_is_refused() -> None:
    model = carried.to_arrays(to_onnx(OTHER.build(), OTHER.input_shape), None)
    plan, _ = asked(COMPARE, "device", model=model)
    with pytest.raises(PlanRefused, match="other inputs or outputs"):
        answer(plan, model, first(), Stream(bytes(32)))


def failing() -> bytes:
    """A model that cannot be run where pixel (3, 3) is above 1,000: it looks up a row that is not there."""
    table = np.tile(np.eye(MODEL.classes, dtype=np.float32)[0], (1000, 1))
    constants = {
        "all": np.array([64], np.int64),
        "pixel": np.array([27], np.int64),
        "shape": np.array([1, MODEL.classes], np.int64),
        "table": table,
    }
    nodes = [
        helper.make_node("Reshape", ["input", "all"], ["flat"]),
        helper.make_node("Gather", ["flat", "pixel"], ["value"]),
        helper.make_node("Cast", ["value"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["row"]),
        helper.make_node("Reshape", ["row", "shape"], ["logits"]),
    ]
    return made(nodes, constants)


def drawing() -> bytes:
    """A model that answers by lot, and goes on where the example before left off."""
    return made([helper.make_node("RandomUniform", [], ["logits"], shape=[1, MODEL.classes], seed=7.0)], {})


def made(nodes: list[NodeProto], constants: dict[str, Any]) -> bytes:
    inputs = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *MODEL.input_shape])
    outputs = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, MODEL.classes])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [inputs], [outputs], weights)
    opset = [helper.make_opsetid("", 20)]
    data: bytes = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    return data


@pytest.mark.parametrize("model", [failing, drawing])
def test_a_model_that_ties_examples_together_is_refused(model: Callable[[], bytes]) -> None:
    carries = carried.to_arrays(model(), None)
    plan, _ = asked(Compare(64), "example", model=carries)
    with pytest.raises(PlanRefused, match="operators"):
        answer(plan, carries, first(), Stream(bytes(32)))


def test_an_example_that_a_model_fails_on_is_missed_and_changes_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second line of defence: without it one example took all others of its device out of the sum."""
    monkeypatch.setattr(carried, "refuse_operators", lambda *_: None)
    data, carries = cut(0, 40), carried.to_arrays(failing(), None)
    x = data.held_out.x.copy()
    x[5, 0, 3, 3] = 5000.0
    odd = LocalData(data.train, Examples(x, data.held_out.y))
    plain, other = (
        told(Compare(64), "example", first(data=each), model=carries)["totals"] for each in (data, odd)
    )
    assert float(np.linalg.norm(plain - other)) <= compare.LONGEST
    assert other[0] == pytest.approx(40, abs=1e-2)


def test_models_run_as_often_whatever_a_device_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 3 kB takes 0.4 s an example: by the clock a server counted a device's examples."""
    ran: list[int] = []

    def counted(model: bytes) -> Predict:
        predict = predictor(model)

        def run(x: Floats) -> NDArray[np.float32]:
            ran[-1] += len(x)
            return predict(x)

        return run

    monkeypatch.setattr(runtime, "predictor", counted)
    for count in (0, 1, 40):
        ran.append(0)
        told(COMPARE, "example", first(data=cut(0, count)))
    assert ran == [2 * COMPARE.examples_cap] * 3


@given(st.binary(min_size=1, max_size=200))
def test_a_file_travels_as_an_array_and_back(data: bytes) -> None:
    arrays = carried.to_arrays(data, None)
    try:
        assert carried.from_arrays(arrays) == {"new": data}
    except PackageError as error:  # arbitrary bytes are seldom a model
        assert "new" in error.message  # noqa: PT017 - the other way is the assertion above
    odd = len(data) % 2
    pairs = arrays["new"][1:].astype("<u2").tobytes()
    assert pairs[: len(pairs) - odd] == data


# -- how a rollout went


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("result", health.CELLS)
def test_a_device_counts_one_in_its_ring(unit: Unit, result: str) -> None:
    device = first(outcome=lambda: outcome(result=result))
    found = health.read(HEALTH, told(HEALTH, unit, device), noiseless)
    counts = {"succeeded": found.succeeded, "failed": found.failed}
    assert counts[result] == pytest.approx((0, 1, 0), abs=1e-6)
    assert counts["failed" if result == "succeeded" else "succeeded"] == (0, 0, 0)


@pytest.mark.parametrize(
    "what",
    [
        None,
        outcome(result="waiting"),
        outcome(result="working"),
        outcome(rollout="digits-1"),
        outcome(image="cd" * 32),
        outcome(ring=3),
    ],
)
def test_whatever_is_no_end_of_this_rollout_counts_nothing(what: Outcome | None) -> None:
    assert not told(HEALTH, "device", first(outcome=lambda: what))["outcome"].any()


def test_health_brings_no_model() -> None:
    plan, _ = asked(HEALTH, "device")
    model = {"new": np.zeros(3, np.float32)}
    with pytest.raises(PlanRefused, match="brings a model"):
        answer(msgspec.structs.replace(plan, model_sha256=digest(model)), model, first(), Stream(bytes(32)))


def test_one_example_moves_a_devices_count_no_further_than_the_norm() -> None:
    plan, _ = asked(HEALTH, "example", minimum=2)
    (part,) = plan.parts
    rows = [
        health.rows(HEALTH, first(outcome=lambda result=result: outcome(result=result)))["outcome"]
        for result in ("succeeded", "failed", "waiting")
    ]
    furthest = max(float(np.linalg.norm(one - other)) for one in rows for other in rows)
    assert furthest == pytest.approx(sqrt(2))
    assert part.scale * furthest <= plan.norm


@given(st.binary(min_size=32, max_size=32), st.integers(2, 5000))
def test_rounding_takes_two_outcomes_no_further_apart(seed: bytes, norm: int) -> None:
    """Each row rounded by itself would leave D2: the bound is on rows that come or go, not on a move."""
    parts = encode.laid_out(health.shapes(HEALTH, "example"), norm)
    rows = [
        health.rows(HEALTH, first(outcome=lambda result=result: outcome(result=result)))
        for result in ("succeeded", "failed")
    ]
    one, other = (encode.encode(parts, row, Stream(seed)) for row in rows)
    assert float(np.linalg.norm(one - other)) <= norm


def test_a_plan_for_health_has_one_row_a_device() -> None:
    plan, _ = asked(HEALTH, "example")
    assert plan.rows == 3


def test_more_rings_than_a_plan_has_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(Health("r", "ab" * 32, 9)), type=Health)
