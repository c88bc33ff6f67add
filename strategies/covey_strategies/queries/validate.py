"""Query `validate`: how well does a model do on examples that no device trained on?

How many there were and how many were right are asked for beside the confusion counts: adding up noisy counts
would add up their noise.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Shape, Vectors
from covey.plan import Plan, Unit, Validate
from covey_models.evaluation import evaluate
from covey_models.training import load
from covey_strategies.queries import personal
from covey_strategies.queries.device import Device, scaled_inputs

LOSS_CLIP = 20.0  # nats per example
LOSS_SHARE = 0.05  # of the sensitivity that the counts have


@dataclass(frozen=True)
class ValidateSum:
    """The sum of a cohort's confusion counts.

    Attributes:
        confusion: float64 (classes, classes), rows are true classes; whole numbers up to rounding
            while no noise is added, below 0 perhaps where some is.
        examples: Held-out examples, noisy likewise.
        right: Of them, those that the model took for what they are.
        loss: Mean cross-entropy per held-out example, nats; NaN without examples.
    """

    confusion: NDArray[np.float64]
    examples: float
    right: float
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of held-out examples that are right, where noise took it out of [0, 1] moved back; or NaN."""
        return min(max(self.right / self.examples, 0.0), 1.0) if self.examples > 0 else float("nan")


def shapes(task: Validate, classes: int, unit: Unit) -> dict[str, Shape]:
    """How a row is laid out: all counts of a device, or the one count of an example."""
    most = float(task.examples_cap) if unit == "device" else 1.0
    return {
        "confusion": Shape(classes * classes, most),
        "examples and right": Shape(2, most * sqrt(2)),
        "loss": Shape(1, most * LOSS_CLIP, LOSS_SHARE),
    }


def rows(task: Validate, plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: confusion counts and loss over the held-out examples, of each or of all together."""
    if task.personal and device.memory is not None:  # what this round's training left counts
        parameters = personal.own(task.personal, parameters, device.memory, plan.round + 1)
    load(device.network, parameters)
    held_out, classes = device.data.held_out, device.model.classes
    if plan.unit == "example":
        held_out = held_out.first(task.examples_cap)
    found = evaluate(device.network, scaled_inputs(held_out, plan.preprocessing), classes)
    if plan.unit == "device":
        return {
            "confusion": found.confusion.astype(np.float64).reshape(1, -1),
            "examples and right": np.array([[len(held_out), np.trace(found.confusion)]], np.float64),
            "loss": np.array([[found.loss_sum]]),
        }
    confusion = np.zeros((len(held_out), classes * classes))
    confusion[np.arange(len(held_out)), held_out.y * classes + found.predicted] = 1.0
    right = (held_out.y == found.predicted).astype(np.float64)
    return {
        "confusion": confusion,
        "examples and right": np.stack([np.ones(len(held_out)), right], axis=1),
        "loss": np.minimum(found.losses, LOSS_CLIP)[:, None],
    }


def read(sums: Vectors, classes: int) -> ValidateSum:
    """Server half."""
    confusion = sums["confusion"].reshape(classes, classes)
    examples, right = sums["examples and right"].tolist()
    loss = max(float(sums["loss"][0]), 0.0) / examples if examples > 0 else float("nan")
    return ValidateSum(confusion, examples, right, loss)
