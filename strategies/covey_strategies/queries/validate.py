"""Query `validate`: how well does a model do on examples that no device trained on?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Part, Vectors, scaled
from covey.plan import Plan, Validate
from covey_models.evaluation import evaluate
from covey_models.training import load
from covey_strategies.queries.device import Device, scaled_inputs

LOSS_CLIP = 20.0  # nats per example


@dataclass(frozen=True)
class ValidateSum:
    """The sum of a cohort's confusion counts.

    Attributes:
        confusion: float64 (classes, classes), rows are true classes; whole numbers while no noise is added.
        loss: Mean cross-entropy per held-out example, nats; NaN without examples.
    """

    confusion: NDArray[np.float64]
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of held-out examples on the diagonal; NaN without examples."""
        total = float(self.confusion.sum())
        return float(np.trace(self.confusion)) / total if total > 0 else float("nan")


def parts(task: Validate, classes: int, devices: int) -> tuple[Part, ...]:
    """How an answer is laid out."""
    cap = float(task.examples_cap)
    return scaled({"confusion": (classes * classes, cap), "loss": (1, cap * LOSS_CLIP)}, devices)


def answer(plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: confusion counts and summed loss over the held-out examples."""
    load(device.network, parameters)
    found = evaluate(
        device.network, scaled_inputs(device.data.held_out, plan.preprocessing), device.model.classes
    )
    return {"confusion": found.confusion.astype(np.float64).ravel(), "loss": np.array([found.loss_sum])}


def read(sums: Vectors, classes: int) -> ValidateSum:
    """Server half."""
    confusion = sums["confusion"].reshape(classes, classes)
    total = float(confusion.sum())
    loss = float(sums["loss"][0]) / total if total > 0 else float("nan")
    return ValidateSum(confusion, loss)
