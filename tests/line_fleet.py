"""A few devices with one example each, and a network of four numbers: rounds to be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray
from torch import nn

from covey.arrays import Parameters
from covey.examples import Examples, LocalData
from covey.plan import Train, Validate
from covey_models.model import Model
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking, Question
from covey_strategies.private import Private, Recipes
from covey_strategies.protection import Protection
from covey_strategies.queries.device import Device
from covey_strategies.queries.memory import InMemory
from covey_strategies.wire import to_record
from digits_fleet import FEW, MemoryBook, grid_of, participant

Vector = NDArray[np.float64]

MODEL = Model(
    name="line",
    summary="Which of two, from one number.",
    input_shape=(1,),
    input_units="1",
    input_bound=10.0,
    labels=("no", "yes"),
    build=lambda: nn.Linear(1, 2),
    licence="Apache-2.0",
    source="none",
)
"""Logits (w0·x + b0, w1·x + b1); in order of names: bias, weight."""

TRAIN = Train(
    epochs=2,
    batch_size=1,
    learning_rate=0.5,
    momentum=0.0,
    gradient_clip=0.0,
    proximal_mu=0.0,
    weighting="devices",
    examples_cap=1,
    update_clip=100.0,
)

EXAMPLES: Mapping[int, tuple[float, int]] = {2: (1.0, 1), 3: (-2.0, 1), 4: (0.5, 0)}
"""By node: the one input, and its label."""

START: Parameters = {
    "bias": np.array([0.25, -0.5], np.float32),
    "weight": np.array([[1.0], [-1.5]], np.float32),
}


def flat(parameters: Mapping[str, NDArray[np.float32]]) -> Vector:
    """Biases, then weights."""
    return np.concatenate([parameters["bias"], parameters["weight"][:, 0]]).astype(np.float64)


def gradient(vector: Vector, x: float, y: int) -> Vector:
    """Of the cross-entropy of one example, by hand: softmax minus one-hot, times (1, x)."""
    logits = vector[:2] + vector[2:] * x
    softmax = np.exp(logits) / np.exp(logits).sum()
    towards = softmax - np.eye(2)[y]
    return np.concatenate([towards, towards * x])


def devices(examples: Mapping[int, tuple[float, int]] | None = None) -> dict[int, Device]:
    """By node, each with a memory of its own; held out is what is trained on."""
    found = {}
    for node, (x, y) in (EXAMPLES if examples is None else examples).items():
        one = Examples(np.array([[x]], np.float32), np.array([y]))
        found[node] = Device(f"device-{node}", MODEL, LocalData(one, one), node, _silent, memory=InMemory())
    return found


def _silent(_: str) -> None:
    """An owner who reads nothing."""


def grid(of: Mapping[int, Device]) -> InProcessGrid:
    """Where they are."""
    return grid_of({node: participant(node, device) for node, device in of.items()})


def asking(**changes: Any) -> Asking:
    """A run in clear, without noise; rounding is finer than a billionth of a clip norm."""
    found = Asking("run", MODEL, 5, 2, 0, None, Protection(), MemoryBook(), 1.0)
    return replace(found, **changes)


def private(
    task: Train, *, beside: Sequence[Any] = (), inner: FedAvg | None = None, **changes: Any
) -> Private:
    """A strategy that asks this task in every round."""
    recipes = Recipes(lambda _: task, Validate(10, task.personal))
    return Private(inner or FedAvg(**FEW), asking(**changes), recipes, tuple(beside))


def asked(strategy: Private, server_round: int = 1, model: Parameters = START) -> Question:
    """What a strategy asks them."""
    strategy.configure_train(server_round, to_record(model), ConfigRecord(), grid(devices()))
    return open_question(strategy)


def open_question(strategy: Private) -> Question:
    """What a strategy has asked and not yet summed."""
    question = strategy._question
    assert question is not None
    return question


def forgetful(device: Device) -> Device:
    """The same device without a memory."""
    return replace(device, memory=None)
