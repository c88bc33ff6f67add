"""SCAFFOLD against rounds worked out by hand, and what a device keeps of it."""

import msgspec
import numpy as np
import pytest

import line_fleet as line
from covey.errors import PlanRefused
from covey_strategies.queries import scaffold, train
from covey_strategies.queries.answer import check
from covey_strategies.queries.memory import InMemory
from digits_fleet import plan_of, rounds
from line_fleet import EXAMPLES, START, Vector, flat, gradient

TASK = msgspec.structs.replace(line.TRAIN, control_clip=100.0)


def by_hand(number: int, most: float = np.inf) -> tuple[Vector, Vector, dict[int, Vector]]:
    """Algorithm 1, option II, with K = 2 steps and everybody asked: x, c and all c_i after some rounds."""
    x, c, own = flat(START), np.zeros(4), {node: np.zeros(4) for node in EXAMPLES}
    for _ in range(number):
        updates, changes = [], []
        for node, (value, label) in EXAMPLES.items():
            y = x.copy()
            for _ in range(2):
                y -= 0.5 * (gradient(y, value, label) + c - own[node])
            change = -c + (x - y) / (2 * 0.5)
            change = change * min(1.0, most / float(np.linalg.norm(change)))
            own[node] = own[node] + change
            updates.append(y - x)
            changes.append(change)
        x, c = x + np.mean(updates, axis=0), c + np.sum(changes, axis=0) / 3
    return x, c, own


@pytest.mark.parametrize(("clip", "most"), [(100.0, np.inf), (0.25, 0.25)])
def test_three_rounds_by_hand(clip: float, most: float) -> None:
    devices = line.devices()
    task = msgspec.structs.replace(TASK, control_clip=clip)
    strategy = line.private(task, beside=[scaffold.Control()])
    model = rounds(strategy, line.grid(devices), START, range(1, 4))
    x, c, own = by_hand(3, most)
    np.testing.assert_allclose(flat(model), x, atol=2e-6)
    (control,) = strategy.beside
    assert isinstance(control, scaffold.Control)
    assert control.arrays is not None
    np.testing.assert_allclose(flat(control.arrays), c, atol=2e-6)
    for node, device in devices.items():
        assert device.memory is not None
        kept = device.memory.read(scaffold.PART, 4)
        assert kept is not None
        np.testing.assert_allclose(flat(kept), own[node], atol=2e-6)


def test_of_a_cohort_the_control_moves_by_its_share_of_the_fleet() -> None:
    """One of three devices answers: c moves by a third of the change of its control."""
    devices = line.devices()
    strategy = line.private(TASK, beside=[scaffold.Control()], size=2)
    rounds(strategy, line.grid(devices), START, range(1, 2))
    moved = [device.memory.read(scaffold.PART, 2) for device in devices.values() if device.memory]
    (control,) = strategy.beside
    assert isinstance(control, scaffold.Control)
    assert control.arrays is not None
    asked = [flat(each) for each in moved if each is not None]
    assert len(asked) == 2
    np.testing.assert_allclose(flat(control.arrays), np.sum(asked, axis=0) / 3, atol=2e-6)


def test_what_a_checkpoint_has_goes_on_as_if_nothing_had_stopped() -> None:
    devices = line.devices()
    whole = rounds(line.private(TASK, beside=[scaffold.Control()]), line.grid(devices), START, range(1, 5))
    devices = line.devices()
    first = line.private(TASK, beside=[scaffold.Control()])
    model = rounds(first, line.grid(devices), START, range(1, 3))
    rounds(first, line.grid(devices), model, range(3, 4))  # cut short: nobody knows of it but the devices
    again = line.private(TASK, beside=[scaffold.Control()])
    stopped = line.private(TASK, beside=[scaffold.Control()])
    rounds(stopped, line.grid(line.devices()), START, range(1, 3))
    again.restore(stopped.saved())
    found = rounds(again, line.grid(devices), model, range(3, 5))
    for name, value in whole.items():
        np.testing.assert_array_equal(found[name], value)


def test_the_change_is_a_part_of_the_one_sum() -> None:
    """As long as the update, clipped to its own norm, and half of the sensitivity that both have."""
    strategy = line.private(TASK, beside=[scaffold.Control()])
    plan = plan_of(line.asked(strategy))
    parts = {part.name: part for part in plan.parts}
    assert list(parts) == ["update", "loss", "control"]
    assert (parts["control"].length, parts["control"].clip) == (4, 100.0)
    assert parts["control"].scale * 100.0 == pytest.approx(parts["update"].scale * 100.0)


def test_a_device_without_a_memory_refuses() -> None:
    (device, *_) = line.devices().values()
    strategy = line.private(TASK, beside=[scaffold.Control()])
    asked = line.asked(strategy)
    check(plan_of(asked), asked.parameters, device)
    with pytest.raises(PlanRefused, match="keeps nothing"):
        check(plan_of(asked), asked.parameters, line.forgetful(device))


def test_controls_that_were_not_asked_for_are_refused() -> None:
    (device, *_) = line.devices().values()
    sent = scaffold.joined(START, scaffold.zero(START))
    with pytest.raises(PlanRefused, match="control variates that nobody asks for"):
        train.check(line.TRAIN, sent, device)
    with pytest.raises(PlanRefused, match="or that are missing"):
        train.check(TASK, START, device)
    other = scaffold.joined(START, {"bias": np.zeros(2, np.float32)})
    with pytest.raises(PlanRefused, match="do not fit"):
        train.check(TASK, other, device)


def test_without_examples_nothing_changes() -> None:
    assert scaffold.steps(TASK, 0) == 0
    assert not scaffold.change(TASK, START, np.ones(4), 0).any()


def test_a_change_that_is_not_finite_is_not_kept() -> None:
    memory = InMemory()
    scaffold.keep(memory, 1, np.array([np.nan, 0, 0, 0]), START)
    assert memory.read(scaffold.PART, 2) is None
