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
from covey.errors import PlanRefused, RoundAborted
from covey.plan import Plan, Train
from covey.seeds import derive
from covey_models.training import Local, Trained, load, parameters_of, train
from covey_strategies.queries import adaptive, personal, scaffold
from covey_strategies.queries.device import Device
from covey_strategies.queries.memory import Memory

LOSS_CLIP = 20.0  # nats; a device's mean cross-entropy above this is reported as this
LOSS_SHARE = 0.01  # of the sensitivity that the update has: the loss is only looked at
WEIGHT_SHARE = 0.05


@dataclass(frozen=True)
class TrainSum:
    """The sum of a cohort's training.

    Attributes:
        update: Weighted mean update, by parameter; of those that devices share.
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
    length = layout_of(shared(task, parameters)).size
    found = {"update": Shape(length, task.update_clip), "loss": Shape(1, LOSS_CLIP, LOSS_SHARE)}
    if task.weighting == "examples":
        found["weight"] = Shape(1, 1.0, WEIGHT_SHARE)
    if task.control_clip:
        found[scaffold.PART] = scaffold.shape(task, length)
    if task.within:
        found[adaptive.PART] = adaptive.shape()
    return found


def model_of(parameters: Parameters) -> Parameters:
    """The network's parameters among those that were sent."""
    return scaffold.parted(parameters)[0]


def shared(task: Train, parameters: Parameters) -> Parameters:
    """Of them, those whose change is sent."""
    return personal.shared(task.personal, model_of(parameters))


def check(task: Train, parameters: Parameters, device: Device) -> None:
    """Refuse what does not fit the device's network, or needs a memory that it does not have.

    Raises:
        PlanRefused: Says which.
    """
    model, control = scaffold.parted(parameters)
    expected = layout_of(parameters_of(device.network))
    if layout_of(model) != expected or (control and layout_of(control) != expected):
        raise PlanRefused(f"the parameters do not fit {device.model.name}")
    if bool(control) != bool(task.control_clip):
        raise PlanRefused("control variates that nobody asks for, or that are missing")
    check_personal(task.personal, parameters, device)
    if task.control_clip:
        memory_of(device)


def check_personal(names: tuple[str, ...], parameters: Parameters, device: Device) -> None:
    """Refuse personal parameters that the network does not have, or that the device could not keep.

    Raises:
        PlanRefused: Says which.
    """
    if not set(names) < set(parameters):
        raise PlanRefused("personal parameters that the model does not have, or all that it has")
    if names:
        memory_of(device)


def memory_of(device: Device) -> Memory:
    """What a device keeps between rounds.

    Raises:
        PlanRefused: It keeps nothing.
    """
    if device.memory is None:
        raise PlanRefused("the plan asks this device to keep something between rounds, and it keeps nothing")
    return device.memory


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
    if task.control_clip:
        model, control = scaffold.parted(parameters)
        return Start(model, scaffold.correction(control, memory_of(device), plan.round))
    if task.personal:
        return Start(personal.own(task.personal, parameters, memory_of(device), plan.round))
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
    before, after = shared(task, start.parameters), shared(task, trained.parameters)
    layout, examples = layout_of(before), len(device.data.train)
    change = layout.flatten(after) - layout.flatten(before)
    found = row(task, change, trained.loss, examples)
    if task.personal:
        personal.keep(task.personal, trained.parameters, memory_of(device), plan.round)
    if task.control_clip:
        control = scaffold.parted(parameters)[1]
        changed = scaffold.change(task, control, change, scaffold.steps(task, examples))
        scaffold.keep(memory_of(device), plan.round, changed, control)
        found[scaffold.PART] = changed[None]
    return found


def is_plain(task: Train) -> bool:
    """Whether a device begins with what it was sent, and answers with what changed, and that is all.

    `weighed` then is `finish` for many devices.
    """
    return not (task.control_clip or task.personal)


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
    if task.weighting == "examples":
        vectors["weight"] = weights
    if task.within:
        vectors[adaptive.PART] = adaptive.bits(task, changes)
    return vectors


def weight_of(examples: int, task: Train) -> float:
    """What a device's update counts, in [0, 1]."""
    return 1.0 if task.weighting == "devices" else min(examples / task.examples_cap, 1.0)


def weight_in(task: Train, sums: Vectors, devices: int) -> float:
    """What the devices in a sum weigh together."""
    return float(devices) if task.weighting == "devices" else float(sums["weight"][0])


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
    weight = weight_in(task, sums, devices)
    if weight <= 0:
        raise RoundAborted(
            "no device contributed anything: none has an example, or training failed on all",
            hint="the devices' own logs say which; lower training.learning_rate if it diverged",
        )
    update = layout_of(shared(task, parameters)).unflatten(sums["update"] / weight)
    return TrainSum(update, max(float(sums["loss"][0]), 0.0) / weight, devices)
