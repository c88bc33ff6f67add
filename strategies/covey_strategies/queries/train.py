"""Query `train`: what did a device's local training change?

The weighted update is the difference between the parameters after and before local training. With
weighting "examples" the weights are summed beside the updates, so that the mean needs no count in clear.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters, layout_of
from covey.encode import Shape, Vectors, clip
from covey.errors import RoundAborted
from covey.plan import Plan, Train
from covey.seeds import derive
from covey_models.training import Local, load, train
from covey_strategies.queries.device import Device

LOSS_CLIP = 20.0  # nats; a device's mean cross-entropy above this is reported as this
LOSS_SHARE = 0.01  # of the sensitivity that the update has: the loss is only looked at
WEIGHT_SHARE = 0.05


@dataclass(frozen=True)
class TrainSum:
    """The sum of a cohort's training.

    Attributes:
        update: Weighted mean update, by parameter.
        loss: Mean training loss, nats: of the devices, weighted, or of the examples drawn, roughly.
        devices: In the sum.
        refused: What was not counted, one line each.
    """

    update: Parameters
    loss: float
    devices: int
    refused: tuple[str, ...] = ()


def shapes(task: Train, parameters: Parameters) -> dict[str, Shape]:
    """How an answer is laid out."""
    found = {
        "update": Shape(layout_of(parameters).size, task.update_clip),
        "loss": Shape(1, LOSS_CLIP, LOSS_SHARE),
    }
    return found if task.weighting == "devices" else found | {"weight": Shape(1, 1.0, WEIGHT_SHARE)}


def rows(task: Train, plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: train, and weigh what changed; one row."""
    layout = layout_of(parameters)
    load(device.network, parameters)
    local = Local(device.data.train, plan.preprocessing, device.model.augment)
    trained = train(device.network, local, task, derive(device.seed, "train", plan.round))
    change = layout.flatten(trained.parameters) - layout.flatten(parameters)
    return row(task, change, trained.loss, len(local.examples))


def row(task: Train, change: NDArray[np.float64], loss: float, examples: int) -> Vectors:
    """One device's row.

    Args:
        task: What was asked.
        change: Parameters after training minus before, flat.
        loss: Mean training loss, nats.
        examples: Trained on.
    """
    return weighed(task, change[None], np.array([loss]), np.array([examples]))


def weighed(
    task: Train, changes: NDArray[np.float64], losses: NDArray[np.float64], counts: NDArray[np.int64]
) -> Vectors:
    """Rows of several devices, as `row` has one.

    Args:
        task: What was asked.
        changes: (devices, d), flat.
        losses: (devices,), nats.
        counts: (devices,), examples trained on.
    """
    weights = np.array([[weight_of(count, task)] for count in counts.tolist()])
    vectors = {
        # clipped before it is weighed: a device with few examples must not have a longer update than others
        "update": weights * clip(changes, task.update_clip),
        "loss": weights * np.minimum(losses, LOSS_CLIP)[:, None],
    }
    return vectors if task.weighting == "devices" else vectors | {"weight": weights}


def weight_of(examples: int, task: Train) -> float:
    """What a device's update counts, in [0, 1]."""
    return 1.0 if task.weighting == "devices" else min(examples / task.examples_cap, 1.0)


def read(task: Train, sums: Vectors, parameters: Parameters, devices: int) -> TrainSum:
    """Server half: the mean update from the sums.

    Args:
        task: What was asked.
        sums: The decoded sum.
        parameters: The model that was sent, for its layout.
        devices: Devices in the sum, ≥ 1.

    Raises:
        RoundAborted: The weights add up to nothing: no device had an example, or all failed.
    """
    weight = float(devices) if task.weighting == "devices" else float(sums["weight"][0])
    if weight <= 0:
        raise RoundAborted(
            "no device contributed anything: none has an example, or training failed on all",
            hint="the devices' own logs say which; lower training.learning_rate if it diverged",
        )
    update = layout_of(parameters).unflatten(sums["update"] / weight)
    return TrainSum(update, max(float(sums["loss"][0]), 0.0) / weight, devices)
