"""FedPer against rounds worked out by hand, and what never leaves a device."""

import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord

import line_fleet as line
from covey.encode import decode
from covey.errors import InputError, PlanRefused
from covey.plan import Validate
from covey.stream import Stream
from covey_strategies.queries import personal, train
from covey_strategies.queries.answer import answer
from covey_strategies.queries.memory import InMemory
from covey_strategies.wire import to_record
from digits_fleet import plan_of, rounds
from line_fleet import EXAMPLES, START, Vector, flat, gradient

TASK = msgspec.structs.replace(line.TRAIN, personal=("bias",))


def by_hand(number: int) -> tuple[Vector, dict[int, Vector]]:
    """Algorithm 1: shared weights and everybody's own biases after some rounds of two steps."""
    shared, own = flat(START)[2:], {node: flat(START)[:2] for node in EXAMPLES}
    for _ in range(number):
        updates = []
        for node, (x, label) in EXAMPLES.items():
            whole = np.concatenate([own[node], shared])
            for _ in range(2):
                whole -= 0.5 * gradient(whole, x, label)
            own[node] = whole[:2]
            updates.append(whole[2:] - shared)
        shared = shared + np.mean(updates, axis=0)
    return shared, own


def test_three_rounds_by_hand() -> None:
    devices = line.devices()
    model = rounds(line.private(TASK), line.grid(devices), START, range(1, 4))
    shared, own = by_hand(3)
    np.testing.assert_allclose(model["weight"][:, 0], shared, atol=2e-6)
    np.testing.assert_array_equal(model["bias"], START["bias"])  # the server's stays as it was
    for node, device in devices.items():
        assert device.memory is not None
        kept = device.memory.read(personal.HEAD, 4)
        assert kept is not None
        assert list(kept) == ["bias"]
        np.testing.assert_allclose(kept["bias"], own[node], atol=2e-6)


def test_what_is_personal_is_in_no_answer() -> None:
    (device, *_) = line.devices().values()
    asked = line.asked(line.private(TASK))
    vectors = decode(
        plan_of(asked).parts, answer(plan_of(asked), asked.parameters, device, Stream(bytes(32)))
    )
    assert {name: len(each) for name, each in vectors.items()} == {"update": 2, "loss": 1}


def test_each_device_is_measured_with_its_own() -> None:
    """Right everywhere with own biases where the model that was sent is wrong everywhere."""
    devices = line.devices()
    for node, device in devices.items():
        label = EXAMPLES[node][1]
        assert device.memory is not None
        bias = np.array([-100.0, 100.0] if label else [100.0, -100.0], np.float32)
        device.memory.write(personal.HEAD, 1, {"bias": bias})
    found = []
    for names in (("bias",), ()):
        strategy = line.private(msgspec.structs.replace(TASK, personal=names))
        grid = line.grid(devices)
        messages = strategy.configure_evaluate(1, to_record(START), ConfigRecord(), grid)
        strategy.aggregate_evaluate(1, grid.send_and_receive(messages))
        assert strategy.validate_sum is not None
        found.append(strategy.validate_sum.right)
    assert found[0] == pytest.approx(3, abs=1e-4)
    assert found[1] < 2.5


def test_a_device_that_never_trained_takes_what_is_sent() -> None:
    assert personal.own(("bias",), START, InMemory(), 9) == START


@pytest.mark.parametrize(
    ("layers", "found"),
    [(["weight"], ("weight",)), (["4"], ("4.bias", "4.weight")), (["4.bias", "40"], ("4.bias", "40.bias"))],
)
def test_layers_are_parameters_or_modules(layers: list[str], found: tuple[str, ...]) -> None:
    names = ["4.bias", "4.weight", "40.bias", "weight"]
    assert personal.names_of(layers, dict.fromkeys(names, START["bias"])) == found


def test_a_layer_that_is_none_is_named_and_something_must_be_shared() -> None:
    with pytest.raises(InputError, match="no layer 'head'") as caught:
        personal.names_of(["head"], START)
    assert caught.value.hint == "it has bias, weight"
    with pytest.raises(InputError, match="nothing to learn together"):
        personal.names_of(["bias", "weight"], START)


@pytest.mark.parametrize("task", [TASK, Validate(10, ("bias",))])
def test_a_device_without_a_memory_refuses(task: object) -> None:
    device = line.forgetful(line.devices()[2])
    with pytest.raises(PlanRefused, match="keeps nothing"):
        train.check_personal(task.personal, START, device)  # type: ignore[attr-defined]


@pytest.mark.parametrize("names", [("head",), ("bias", "weight")])
def test_parameters_that_are_not_there_or_are_all_there_are_refused(names: tuple[str, ...]) -> None:
    (device, *_) = line.devices().values()
    with pytest.raises(PlanRefused, match="personal parameters"):
        train.check(msgspec.structs.replace(TASK, personal=names), START, device)


def test_what_training_spoilt_is_not_kept() -> None:
    memory = InMemory()
    spoilt = {"bias": np.zeros(2, np.float32), "weight": np.full((2, 1), np.inf, np.float32)}
    personal.keep(("bias",), spoilt, memory, 1)
    assert memory.read(personal.HEAD, 2) is None
