"""What a plan asks of a device: arithmetic by the model, bytes by what the protocol sends."""

import msgspec
import numpy as np
import pytest

from covey import plan as plans
from covey import ring
from covey.plan import Task
from covey_models.zoo.digits import MODEL
from covey_simulations.availability.flops import BACKWARD, Weigher, forward, sizes_of
from covey_simulations.data.devices import Sizes
from covey_strategies.protection import Protection
from digits_fleet import CALIBRATE, STATISTICS, TRAIN, VALIDATE, crowd, masked, parameters, plan_of, question

NODES = np.array([2, 3, 4])
WEIGHER = Weigher(MODEL, Sizes(np.array([40, 25, 0]), np.array([7, 8, 9])), 2)


def test_arithmetic_of_the_digits_network_by_hand() -> None:
    first, second, last = 8 * 1 * 9 * 64, 16 * 8 * 9 * 16, 256 * 10  # multiplications, each with an addition
    assert forward(MODEL) == 2 * (first + second + last)


@pytest.mark.parametrize(
    ("task", "passes"),
    [
        (TRAIN, [40 * (1 + BACKWARD), 25 * (1 + BACKWARD), 0]),
        (VALIDATE, [7, 8, 9]),
        (CALIBRATE, [40, 25, 0]),
        (STATISTICS, [0, 0, 0]),
    ],
)
def test_a_device_computes_by_its_own_examples(task: Task, passes: list[int]) -> None:
    work = WEIGHER.work(plan_of(question(task, [2, 3, 4])), parameters(), NODES)
    assert np.asarray(work.flops).tolist() == [each * forward(MODEL) for each in passes]


def test_two_epochs_are_twice_the_work() -> None:
    twice = plan_of(question(msgspec.structs.replace(TRAIN, epochs=2), [2, 3, 4]))
    once = plan_of(question(TRAIN, [2, 3, 4]))
    flops = [np.asarray(WEIGHER.work(plan, parameters(), NODES).flops) for plan in (once, twice)]
    assert np.array_equal(flops[1], 2 * flops[0])


def test_without_masks_the_model_comes_down_and_the_vector_goes_up() -> None:
    plan, model = plan_of(question(TRAIN, [2, 3, 4])), parameters()
    down, up = sizes_of(plan, model)
    assert down == sum(each.nbytes for each in model.values()) + len(plans.to_bytes(plan))
    assert up == ring.packed_size(plan.length, plan.bits) == 4 * plan.length


def test_masks_take_more_in_both_directions() -> None:
    fleet, model = crowd(), parameters()
    nodes = sorted(fleet.devices)
    hidden = plan_of(question(TRAIN, nodes, minimum=9, protection=masked(fleet)))
    open_ = plan_of(question(TRAIN, nodes, minimum=9, protection=Protection()))
    with_masks, without = sizes_of(hidden, model), sizes_of(open_, model)
    assert with_masks[0] > without[0] + 11 * 500  # adverts and shares of the others
    assert with_masks[1] > without[1] + 11 * 200
