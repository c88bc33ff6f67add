"""The answers of many devices at once, where all of them are in one place: of a simulation.

Training and validation are worked out for some devices together, gradients of examples in one network for all
devices; every other query device by device. Each row is what `covey_strategies.queries.answer` gives for its
device, up to the order in which floats are added, rounded by the device's own coins. What goes wrong in a
chunk is looked for device by device, so that it stays the failing device's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey import encode
from covey.arrays import Parameters, layout_of
from covey.encode import Integers, Vectors
from covey.errors import PlanRefused
from covey.plan import Gradient, Plan, Train, Validate
from covey.stream import Stream
from covey_models.cohort.programs import Chosen
from covey_models.cohort.training import Learner, TrainedChunk, train_cohort
from covey_models.evaluation import evaluate
from covey_models.training import Trained, load
from covey_strategies.queries import gradient, train
from covey_strategies.queries.answer import answer, check, encoded, tell
from covey_strategies.queries.device import Device, scaled_inputs
from covey_strategies.queries.train import Start

_TOGETHER: Final = 1 << 17
"""Elements that are rounded at a time: with what they become on the way, they stay in a core's cache."""

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Member:
    """A device that is asked.

    Attributes:
        device: The device.
        coins: 32 bytes that choose and round; secret.
    """

    device: Device
    coins: bytes


@dataclass(frozen=True)
class Answers:
    """Some devices' vectors before noise and masks.

    Attributes:
        places: Which, as positions among the members.
        vectors: int64 (devices, plan.length).
    """

    places: Index
    vectors: Integers


def answers(
    plan: Plan, parameters: Parameters, members: Sequence[Member], chosen: Chosen, memory: int
) -> Iterator[Answers]:
    """Answers of devices that have one model.

    Args:
        plan: Decoded by `covey.plan.from_bytes`.
        parameters: The model sent with it.
        members: Who answers, all of them.
        chosen: How the model is trained.
        memory: Bytes that may be taken, about.

    Raises:
        PlanRefused: The plan is not one that they answer, or they have different models.
    """
    if not members:
        return
    check(plan, parameters, members[0].device)
    if any(member.device.model is not members[0].device.model for member in members):
        raise PlanRefused("devices of one cohort with different models")
    size = _chunk(plan, chosen, memory)
    for start in range(0, len(members), size):
        some = members[start : start + size]
        try:
            found = list(_together(plan, parameters, some, chosen, memory))
        except Exception:  # noqa: BLE001 - `answer` finds whose it is, and lets that device alone answer zero
            found = list(_one_by_one(plan, parameters, some))
        for each in found:
            yield Answers(each.places + start, each.vectors)


def is_together(plan: Plan) -> bool:
    """Whether a plan's answers are worked out for several devices at once."""
    match plan.task:
        case Train():
            return True
        case Validate():
            return plan.unit == "device" and not plan.task.personal
        case _:
            return False


def _chunk(plan: Plan, chosen: Chosen, memory: int) -> int:
    """Devices whose answers are in memory together: 8 bytes an element, and what training takes."""
    if isinstance(plan.task, Train) and not chosen.is_batched:
        return 1
    floats = 6 * plan.length + (chosen.floats if chosen.is_batched else 0)
    return max(1, memory // (4 * floats))


def _together(
    plan: Plan, parameters: Parameters, members: Sequence[Member], chosen: Chosen, memory: int
) -> Iterator[Answers]:
    task = plan.task
    if isinstance(task, Train):
        starts = [train.begin(task, plan, parameters, member.device) for member in members]
        learners = [
            _learner(plan, parameters, member.device, start)
            for member, start in zip(members, starts, strict=True)
        ]
        for chunk in train_cohort(chosen, train.model_of(parameters), learners, task, memory):
            if train.is_plain(task):
                yield from _updates(plan, task, members, chunk)
            else:
                yield from _finished(plan, task, parameters, members, starts, chunk)
    elif isinstance(task, Validate) and is_together(plan):
        coins = [Stream(member.coins) for member in members]
        rows = _validated(plan, parameters, [member.device for member in members])
        yield Answers(np.arange(len(members)), encode.encode_each(plan.parts, rows, coins))
    elif isinstance(task, Gradient):
        take = gradient.taker(parameters, members[0].device)
        for place, member in enumerate(members):
            own = Stream(member.coins)
            taken = gradient.drawn(task, plan, member.device, own, take)
            yield Answers(np.array([place]), encoded(plan, taken, member.device, own)[None])
    else:
        yield from _one_by_one(plan, parameters, members)


def _one_by_one(plan: Plan, parameters: Parameters, members: Sequence[Member]) -> Iterator[Answers]:
    for place, member in enumerate(members):
        vector = answer(plan, parameters, member.device, Stream(member.coins))
        yield Answers(np.array([place]), vector[None])


def _learner(plan: Plan, parameters: Parameters, device: Device, start: Start) -> Learner:
    same = all(value is parameters[name] for name, value in start.parameters.items())
    own = None if same else start.parameters
    return Learner(train.local_of(plan, device), train.seed_of(plan, device), own, start.correction)


def _updates(plan: Plan, task: Train, members: Sequence[Member], chunk: TrainedChunk) -> Iterator[Answers]:
    """Updates weighed and rounded, some at a time."""
    size = max(1, _TOGETHER // plan.length)
    for start in range(0, len(chunk.places), size):
        some = slice(start, start + size)
        places, change = chunk.places[some], chunk.change[some]
        rows = train.weighed(task, change, chunk.losses[some], chunk.counts[some])
        coins = [Stream(members[place].coins) for place in places]
        for place in places[~np.isfinite(change.sum(axis=1))]:
            _tell_not_finite(plan, members[place].device)
        yield Answers(places, encode.encode_each(plan.parts, rows, coins))


def _tell_not_finite(plan: Plan, device: Device) -> None:
    tell(device, f"round {plan.round}: contributed nothing: NaN or infinite elements in an answer")


def _finished(  # noqa: PLR0913, PLR0917 - as `train.finish`
    plan: Plan,
    task: Train,
    parameters: Parameters,
    members: Sequence[Member],
    starts: Sequence[Start],
    chunk: TrainedChunk,
) -> Iterator[Answers]:
    """What each device does after training, for algorithms that do more than to weigh what changed."""
    model = train.model_of(parameters)
    layout = layout_of(model)
    sent = layout.flatten(model)
    for place, change, loss in zip(chunk.places.tolist(), chunk.change, chunk.losses.tolist(), strict=True):
        member = members[place]
        trained = Trained(layout.unflatten(sent + change), loss)
        row = train.finish(task, plan, parameters, member.device, starts[place], trained)
        if not encode.is_finite(row):
            _tell_not_finite(plan, member.device)
        yield Answers(np.array([place]), encode.encode_each(plan.parts, row, [Stream(member.coins)]))


def _validated(plan: Plan, parameters: Parameters, devices: Sequence[Device]) -> Vectors:
    """Confusion counts and loss, a row a device; one pass over everybody's held-out examples."""
    network, classes = devices[0].network, devices[0].model.classes
    load(network, parameters)
    held_out = [device.data.held_out for device in devices]
    pooled = type(held_out[0]).join(held_out)
    found = evaluate(network, scaled_inputs(pooled, plan.preprocessing), classes)
    bounds = np.concatenate([[0], np.cumsum([len(each) for each in held_out])])
    owner = np.repeat(np.arange(len(devices)), np.diff(bounds))
    cells = owner * classes * classes + pooled.y * classes + found.predicted
    confusion = np.bincount(cells, minlength=len(devices) * classes * classes).reshape(len(devices), -1)
    right = np.bincount(owner[pooled.y == found.predicted], minlength=len(devices))
    losses = np.array([found.losses[a:b].sum() for a, b in pairwise(bounds)])
    return {
        "confusion": confusion.astype(np.float64),
        "examples and right": np.stack([np.diff(bounds), right], axis=1).astype(np.float64),
        "loss": losses[:, None],
    }
