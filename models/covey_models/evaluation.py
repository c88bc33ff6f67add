"""How well a model does on labelled examples: counts that can be summed over devices."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from covey.examples import Examples, Floats
from covey.metrics import count, cross_entropies
from covey_models.modes import evaluating

Predict = Callable[[Floats], NDArray[np.float32]]
"""Scaled inputs (n, *input_shape) to logits (n, classes)."""

BATCH = 512  # bounds memory, changes no result


@dataclass(frozen=True)
class Evaluation:
    """What a model made of the examples seen.

    Attributes:
        confusion: int64 (classes, classes); rows are true classes, columns predicted ones.
        predicted: int64 (n,), the class of each example's largest logit.
        losses: float64 (n,), each example's cross-entropy, nats; NaN where the logits are not finite.
    """

    confusion: NDArray[np.int64]
    predicted: NDArray[np.int64]
    losses: NDArray[np.float64]

    @property
    def loss_sum(self) -> float:
        """Summed cross-entropy, nats."""
        return float(self.losses.sum())


def evaluate(model: nn.Module | Predict, examples: Examples, classes: int) -> Evaluation:
    """Confusion counts, predictions and losses.

    Args:
        model: A network, or a function such as `runtime.predictor` gives.
        examples: Already scaled inputs; may be empty.
        classes: Number of classes; labels lie below it.
    """
    predict = network_predictor(model) if isinstance(model, nn.Module) else model
    predicted, losses = np.zeros(len(examples), np.int64), np.zeros(len(examples))
    for start in range(0, len(examples), BATCH):
        part = slice(start, start + BATCH)
        logits = predict(examples.x[part])
        predicted[part] = logits.argmax(axis=1)
        losses[part] = cross_entropies(logits, examples.y[part])
    return Evaluation(count(examples.y, predicted, classes), predicted, losses)


def network_predictor(network: nn.Module) -> Predict:
    """A network as a function of arrays, in evaluation mode."""

    def predict(x: Floats) -> NDArray[np.float32]:
        with evaluating(network):
            logits: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(x))).numpy()
        return logits

    return predict
