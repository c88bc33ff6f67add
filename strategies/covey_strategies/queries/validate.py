"""Query `validate`: how well does a model do on examples that no device trained on?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Shape, Vectors
from covey.plan import Plan, Unit, Validate
from covey_models.evaluation import evaluate
from covey_models.training import load
from covey_strategies.queries.device import Device, scaled_inputs

LOSS_CLIP = 20.0  # nats per example
LOSS_SHARE = 0.05  # of the sensitivity that the counts have


@dataclass(frozen=True)
class ValidateSum:
    """The sum of a cohort's confusion counts.

    Attributes:
        confusion: float64 (classes, classes), rows are true classes; whole numbers up to rounding
            while no noise is added, below 0 perhaps where some is.
        loss: Mean cross-entropy per held-out example, nats; NaN without examples.
    """

    confusion: NDArray[np.float64]
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of held-out examples on the diagonal; NaN without examples."""
        total = float(self.confusion.sum())
        return float(np.trace(self.confusion)) / total if total > 0 else float("nan")


def shapes(task: Validate, classes: int, unit: Unit) -> dict[str, Shape]:
    """How a row is laid out: all counts of a device, or the one count of an example."""
    most = float(task.examples_cap) if unit == "device" else 1.0
    return {
        "confusion": Shape(classes * classes, most),
        "loss": Shape(1, most * LOSS_CLIP, LOSS_SHARE),
    }


def rows(task: Validate, plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: confusion counts and loss over the held-out examples, of each or of all together."""
    load(device.network, parameters)
    held_out, classes = device.data.held_out, device.model.classes
    if plan.unit == "example":
        held_out = held_out.first(task.examples_cap)
    found = evaluate(device.network, scaled_inputs(held_out, plan.preprocessing), classes)
    if plan.unit == "device":
        return {
            "confusion": found.confusion.astype(np.float64).reshape(1, -1),
            "loss": np.array([[found.loss_sum]]),
        }
    confusion = np.zeros((len(held_out), classes * classes))
    confusion[np.arange(len(held_out)), held_out.y * classes + found.predicted] = 1.0
    return {"confusion": confusion, "loss": np.minimum(found.losses, LOSS_CLIP)[:, None]}


def read(sums: Vectors, classes: int) -> ValidateSum:
    """Server half."""
    confusion = sums["confusion"].reshape(classes, classes)
    total = float(confusion.sum())
    loss = float(sums["loss"][0]) / total if total > 0 else float("nan")
    return ValidateSum(confusion, loss)
