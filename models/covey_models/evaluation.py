"""How well a model does on labelled examples: counts that can be summed over devices."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from covey.examples import Examples, Floats
from covey.metrics import count, cross_entropy
from covey_models.modes import evaluating

Predict = Callable[[Floats], NDArray[np.float32]]
"""Scaled inputs (n, *input_shape) to logits (n, classes)."""

BATCH = 512  # bounds memory, changes no result


@dataclass(frozen=True)
class Evaluation:
    """Sums over the examples seen.

    Attributes:
        confusion: int64 (classes, classes); rows are true classes, columns predicted ones.
        loss_sum: Summed cross-entropy, nats; NaN if the logits are not finite.
    """

    confusion: NDArray[np.int64]
    loss_sum: float


def evaluate(model: nn.Module | Predict, examples: Examples, classes: int) -> Evaluation:
    """Confusion counts and summed cross-entropy.

    Args:
        model: A network, or a function such as `runtime.predictor` gives.
        examples: Already scaled inputs; may be empty.
        classes: Number of classes; labels lie below it.
    """
    predict = network_predictor(model) if isinstance(model, nn.Module) else model
    confusion, loss_sum = np.zeros((classes, classes), np.int64), 0.0
    for start in range(0, len(examples), BATCH):
        truth = examples.y[start : start + BATCH]
        logits = predict(examples.x[start : start + BATCH])
        confusion += count(truth, logits.argmax(axis=1), classes)
        loss_sum += cross_entropy(logits, truth)
    return Evaluation(confusion, loss_sum)


def network_predictor(network: nn.Module) -> Predict:
    """A network as a function of arrays, in evaluation mode."""

    def predict(x: Floats) -> NDArray[np.float32]:
        with evaluating(network):
            logits: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(x))).numpy()
        return logits

    return predict
