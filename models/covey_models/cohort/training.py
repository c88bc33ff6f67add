"""Local training of a cohort, some devices at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from covey.arrays import Parameters, layout_of
from covey.plan import Train
from covey_models.cohort.programs import Chosen
from covey_models.cohort.step import Optimiser, Stacked
from covey_models.cohort.steps import Cohort, Index
from covey_models.training import Local


@dataclass(frozen=True)
class Learner:
    """A device that trains.

    Attributes:
        local: What it trains on.
        seed: See `covey_models.training.train`.
        start: Parameters that it begins with; None for those that all are sent.
        correction: Added to each step's direction, by parameter; None for nothing.
    """

    local: Local
    seed: int
    start: Parameters | None = None
    correction: Parameters | None = None


@dataclass(frozen=True)
class TrainedChunk:
    """Some devices of a cohort after local training.

    Attributes:
        places: Which, as positions in the order in which they were given.
        change: float64 (devices, d): parameters after, minus those that were sent, in the layout's order.
        losses: float64 (devices,): mean cross-entropy over the last epoch, as seen while training, nats; 0
            without examples.
        counts: int64 (devices,): examples.
    """

    places: Index
    change: NDArray[np.float64]
    losses: NDArray[np.float64]
    counts: Index


def train_cohort(
    chosen: Chosen, parameters: Parameters, learners: Sequence[Learner], task: Train, memory: int
) -> Iterator[TrainedChunk]:
    """Train devices as `covey_models.training.train` does each.

    Args:
        chosen: How.
        parameters: That were sent.
        learners: Whom to train.
        task: Rates, epochs and limits.
        memory: Bytes that a chunk may take, about; one device is trained whatever it takes.

    Yields:
        All devices, some at a time: chunks in the order given, devices within one in an order of their own.
    """
    size = max(1, memory // (4 * chosen.floats)) if chosen.is_batched else 1
    sent = torch.from_numpy(layout_of(parameters).flatten(parameters))
    for start in range(0, len(learners), size):
        some = learners[start : start + size]
        weights, cohort, losses = _trained(chosen, parameters, some, task)
        means = losses.double().numpy() / np.maximum(cohort.counts, 1)
        yield TrainedChunk(start + cohort.order, _change(sent, weights), means, cohort.counts)


def _trained(
    chosen: Chosen, parameters: Parameters, learners: Sequence[Learner], task: Train
) -> tuple[Stacked, Cohort, Tensor]:
    cohort = Cohort([each.local for each in learners], [each.seed for each in learners], task.batch_size)
    ordered = [learners[place] for place in cohort.order]
    weights = _stacked(parameters, [each.start for each in ordered])
    correction: Stacked = {}
    if any(each.correction is not None for each in ordered):
        zero = {name: np.zeros_like(value) for name, value in parameters.items()}
        correction = _stacked(zero, [each.correction for each in ordered])
    losses = chosen.program.train(weights, cohort, Optimiser.start(task, weights, correction))
    return weights, cohort, losses


def _stacked(common: Parameters, own: Sequence[Parameters | None]) -> Stacked:
    """Contiguous and writable: a device's own where it has any, else those of all."""
    if any(each is not None for each in own):
        chosen = [common if each is None else each for each in own]
        return {name: torch.from_numpy(np.stack([each[name] for each in chosen])) for name in common}
    return {
        name: torch.from_numpy(value).repeat(len(own), *(1,) * value.ndim) for name, value in common.items()
    }


def _change(sent: Tensor, weights: Stacked) -> NDArray[np.float64]:
    """Exactly: the difference of two float32 numbers, in float64."""
    count, place = len(next(iter(weights.values()))), 0
    change = torch.empty(count, len(sent), dtype=torch.float64)
    for value in weights.values():
        size = value[0].numel()
        torch.sub(value.reshape(count, -1), sent[place : place + size], out=change[:, place : place + size])
        place += size
    return change.numpy()
