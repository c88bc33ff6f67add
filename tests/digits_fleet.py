"""A few devices with real digits, and the pieces a round with them is made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi

from covey import plan as plans
from covey.arrays import Parameters
from covey.examples import Examples, LocalData, Standardise
from covey.plan import Plan, Statistics, Task, Train, Validate
from covey_client.app import build
from covey_models.model import Model
from covey_models.training import initial
from covey_models.zoo.digits import MODEL
from covey_simulations.data import digits
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking, Question
from covey_strategies.private import Private, Recipes
from covey_strategies.private_sum import PrivateSum
from covey_strategies.queries import statistics, train, validate
from covey_strategies.queries.device import Device
from covey_strategies.wire import from_record, to_record

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other

SIZES = (40, 25, 12)
"""Training examples a device: unequal, so that a wrong weight shows."""

TRAIN = Train(
    epochs=1,
    batch_size=8,
    learning_rate=0.05,
    momentum=0.5,
    gradient_clip=0.0,
    proximal_mu=0.0,
    weighting="examples",
    examples_cap=64,
    update_clip=10.0,
)
VALIDATE = Validate(64)
STATISTICS = Statistics(64)

FEW: dict[str, Any] = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
INNER: Mapping[str, Callable[[], FedAvg]] = {
    "FedAvg": lambda: FedAvg(**FEW),
    "FedProx": lambda: FedProx(proximal_mu=1.0, **FEW),
    "FedAdam": lambda: FedAdam(eta=0.1, tau=0.02, **FEW),
    "FedYogi": lambda: FedYogi(eta=0.1, tau=0.02, **FEW),
    "FedAvgM": lambda: FedAvgM(server_learning_rate=0.7, server_momentum=0.9, **FEW),
}
"""Each strategy that consumes a mean, freshly made."""


@cache
def pool() -> LocalData:
    """All digits."""
    return digits.load().devices["pool"]


def cut(start: int, stop: int) -> LocalData:
    """Some digits: training examples `start` to `stop`, and as many held out."""
    index = np.arange(start, stop)
    return LocalData(pool().train.take(index), pool().held_out.take(index))


def empty() -> LocalData:
    """No digits."""
    return cut(0, 0)


def dealt(sizes: Sequence[int] = SIZES) -> list[LocalData]:
    """Different digits for each device."""
    ends = np.cumsum(sizes).tolist()
    return [cut(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def poisoned(data: LocalData, value: float) -> LocalData:
    """The same data with one pixel of one example of each part replaced."""

    def spoilt(examples: Examples) -> Examples:
        x = examples.x.copy()
        x[0, 0, 3, 3] = value
        return Examples(x, examples.y)

    return LocalData(spoilt(data.train), spoilt(data.held_out))


@dataclass
class Flock:
    """Devices on a grid, from node 2 on, and what they wrote to their own logs."""

    devices: dict[int, Device]
    logs: dict[int, list[str]] = field(default_factory=dict)

    @property
    def grid(self) -> InProcessGrid:
        """A new grid on which they all are."""

        def device_of(context: Context) -> Device:
            return self.devices[context.node_id]

        return InProcessGrid(build(device_of), self.devices)


def flock(data: Iterable[LocalData] | None = None, models: Mapping[int, Model] | None = None) -> Flock:
    """One device for each element of `data`; `models` replaces the model of some nodes."""
    made = Flock({})
    for node, local in enumerate(dealt() if data is None else data, start=2):
        lines = made.logs[node] = []
        model = (models or {}).get(node, MODEL)
        made.devices[node] = Device(f"device-{node}", model, local, 100 + node, lines.append)
    return made


def asking(
    *, minimum: int = 2, size: int = 0, preprocessing: Standardise | None = None, seed: int = 5
) -> Asking:
    """A run that keeps no witness."""

    def unseen(plan: Plan, collected: PrivateSum) -> None:
        del plan, collected

    return Asking("run", MODEL, seed, minimum, size, preprocessing, unseen)


def parameters(seed: int = 1) -> Parameters:
    """An untrained model."""
    return initial(MODEL, seed)


def question(  # noqa: PLR0913 - every piece of a plan that a test may want otherwise
    task: Task,
    nodes: Sequence[int],
    *,
    model: Parameters | None = None,
    server_round: int = 1,
    minimum: int = 2,
    preprocessing: Standardise | None = None,
) -> Question:
    """A well-formed plan for `nodes`."""
    weights = parameters() if model is None else model
    asked = asking(minimum=minimum, preprocessing=preprocessing)
    match task:
        case Train():
            parts = train.parts(task, weights, len(nodes))
        case Validate():
            parts = validate.parts(task, MODEL.classes, len(nodes))
        case Statistics():
            parts = statistics.parts(MODEL.input_shape[0], len(nodes))
    return asked.question(server_round, task, parts, weights, nodes)


def replanned(asked: Question, plan: Plan) -> Question:
    """The question with another plan in it."""
    return replace(asked, plan=plan, sent=plans.to_bytes(plan))


def replies(fleet: Flock, asked: Question) -> list[Message]:
    """What a fleet answers."""
    return list(fleet.grid.send_and_receive(asked.messages()))


def private(inner: FedAvg, task: Train = TRAIN, *, asked: Asking | None = None) -> Private:
    """`inner` behind private sums."""
    return Private(inner, asked or asking(), Recipes(lambda _: task, VALIDATE))


def rounds(strategy: FedAvg | Private, grid: InProcessGrid, model: Parameters, numbers: range) -> Parameters:
    """Train rounds as a ServerApp runs them: configure, send, aggregate."""
    for number in numbers:
        messages = strategy.configure_train(number, to_record(model), ConfigRecord(), grid)
        arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(messages))
        assert arrays is not None
        model = from_record(arrays)
    return model
