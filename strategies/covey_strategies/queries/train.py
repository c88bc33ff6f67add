"""Query `train`: what did a device's local training change?

The weighted update is the difference between the parameters after and before local training. With
weighting "examples" the weights are summed beside the updates, so that the mean needs no count in clear.

A device's half has three steps: `begin`, local training, `finish`. Whatever tells algorithms apart is in the
first and the last, so that local training can be done for one device or for a whole cohort at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters, layout_of
from covey.encode import Shape, Vectors, clip
from covey.errors import RoundAborted
from covey.plan import Plan, Train
from covey.seeds import derive
from covey_models.training import Local, Trained, load, train
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


@dataclass(frozen=True)
class Start:
    """What a device's local training begins with.

    Attributes:
        parameters: Of the network.
        correction: Added to the direction of each step, by parameter; None for nothing.
    """

    parameters: Parameters
    correction: Parameters | None = None


def rows(task: Train, plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: train, and weigh what changed; one row."""
    start = begin(task, plan, parameters, device)
    load(device.network, start.parameters)
    local, seed = local_of(plan, device), seed_of(plan, device)
    trained = train(device.network, local, task, seed, start.correction)
    return finish(task, plan, parameters, device, start, trained)


def begin(task: Train, plan: Plan, parameters: Parameters, device: Device) -> Start:
    """Before local training.

    Args:
        task: What was asked.
        plan: That asks it.
        parameters: As they were sent.
        device: Who trains.
    """
    del task, plan, device
    return Start(parameters)


def local_of(plan: Plan, device: Device) -> Local:
    """What a device trains on."""
    return Local(device.data.train, plan.preprocessing, device.model.augment)


def seed_of(plan: Plan, device: Device) -> int:
    """Of the order of a device's examples in this round."""
    return derive(device.seed, "train", plan.round)


def finish(  # noqa: PLR0913, PLR0917 - all that there is after training
    task: Train, plan: Plan, parameters: Parameters, device: Device, start: Start, trained: Trained
) -> Vectors:
    """After local training: the device's row.

    Args:
        task: What was asked.
        plan: That asks it.
        parameters: As they were sent.
        device: Who trained.
        start: What it began with.
        trained: What came of it.
    """
    del plan, start
    layout = layout_of(parameters)
    change = layout.flatten(trained.parameters) - layout.flatten(parameters)
    return row(task, change, trained.loss, len(device.data.train))


def is_plain(task: Train) -> bool:
    """Whether a device begins with what it was sent, and answers with what changed, and that is all.

    `weighed` then is `finish` for many devices.
    """
    del task
    return True


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
