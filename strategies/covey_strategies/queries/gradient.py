"""Query `gradient`: one step of distributed DP-SGD, with the single example as the unit of privacy.

Each device tosses secret coins for its examples, takes one clipped gradient of each that was drawn, and
answers with their sum; the noise of all devices together is that of one central step. The server divides by a
public constant, so that how many were drawn stays unknown.
"""

from collections.abc import Iterator

import numpy as np

from covey.arrays import Parameters, layout_of
from covey.encode import Shape, Vectors
from covey.plan import Gradient, Plan
from covey.stream import Stream
from covey_models.per_example import Taker, poisson
from covey_models.training import Local, load
from covey_strategies.queries.device import Device
from covey_strategies.queries.train import TrainSum

LOSS_CLIP = 8.0  # nats; an example's cross-entropy above this is reported as this
LOSS_SHARE = 0.005  # of the sensitivity that the gradient has: the loss is only looked at


def shapes(task: Gradient, parameters: Parameters) -> dict[str, Shape]:
    """How an example's row is laid out."""
    return {
        "gradient": Shape(layout_of(parameters).size, task.gradient_clip),
        "loss": Shape(1, LOSS_CLIP, LOSS_SHARE),
    }


def rows(
    task: Gradient, plan: Plan, parameters: Parameters, device: Device, coins: Stream
) -> Iterator[Vectors]:
    """Device half: a row for each example that the coins choose, some rows at a time."""
    return drawn(task, plan, device, coins, taker(parameters, device))


def taker(parameters: Parameters, device: Device) -> Taker:
    """What takes gradients at the parameters sent; of use to all devices that have one model.

    Raises:
        InputError: An example's gradient would not be its own.
    """
    load(device.network, parameters)
    return Taker(device.network, device.model.input_shape)


def drawn(task: Gradient, plan: Plan, device: Device, coins: Stream, take: Taker) -> Iterator[Vectors]:
    """Device half, after the parameters are in place."""
    examples = device.data.train.first(task.examples_cap)
    local = Local(examples, plan.preprocessing, device.model.augment if task.augmentations else None)
    chosen = poisson(len(examples), task.sampling_rate, coins)
    seed = int.from_bytes(coins.take(8), "little") >> 1
    for found in take(local, chosen, max(task.augmentations, 1), seed):
        yield {"gradient": found.vectors, "loss": np.minimum(found.losses, LOSS_CLIP)[:, None]}


def read(task: Gradient, sums: Vectors, parameters: Parameters, devices: int) -> TrainSum:
    """Server half: the mean update, minus the rate times the summed gradients over the expected batch."""
    step = sums["gradient"] * (-task.learning_rate / task.expected_batch)
    loss = max(float(sums["loss"][0]), 0.0) / task.expected_batch  # noise may take it below
    return TrainSum(layout_of(parameters).unflatten(step), loss, devices)
