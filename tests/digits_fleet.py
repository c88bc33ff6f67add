"""A few devices with real digits, and the pieces a round with them is made of."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi

from covey import plan as plans
from covey.arrays import Parameters
from covey.encode import Integers
from covey.examples import Examples, LocalData, Standardise
from covey.identity import Certificate, Roster, public_of, read_roster, sign_roster
from covey.plan import Calibrate, Compare, Gradient, Health, Observed, Plan, Statistics, Task, Train, Validate
from covey.secagg.envelope import seal_envelope
from covey.secagg.messages import Advertised
from covey.secagg.states import Me
from covey.stream import Stream
from covey_client.budget import MemoryJournal
from covey_client.claims import MemoryClaims
from covey_client.in_process import InProcess
from covey_client.participant import Participant
from covey_client.seeds import SimulatedSeeds
from covey_client.simulated import simulated_app
from covey_io.device_keys import Keys
from covey_models import carried
from covey_models.export import to_onnx
from covey_models.model import Model
from covey_models.observing import count
from covey_models.training import initial, load
from covey_models.zoo.digits import MODEL
from covey_simulations.data import digits
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking, Question
from covey_strategies.exchange import Sealed, Settled, in_clear
from covey_strategies.exchange import masked as in_masks
from covey_strategies.private import Private, Recipes
from covey_strategies.private_sum import Receipt, Signed
from covey_strategies.protection import Operator, Protection
from covey_strategies.queries.answer import answer
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
GRADIENT = Gradient(
    sampling_rate=0.5,
    augmentations=0,
    gradient_clip=1.0,
    learning_rate=0.5,
    expected_batch=40.0,
    examples_cap=64,
)
VALIDATE = Validate(64)
STATISTICS = Statistics(64)
CALIBRATE = Calibrate((Observed(0, 1.0), Observed(1, 4.0)), count(MODEL.build(), MODEL.input_shape), 64)
COMPARE = Compare(64, ("odd", "even"))
HEALTH = Health("digits-2", "ab" * 32, 3)

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


def key(*name: object) -> bytes:
    """32 bytes of a test's own."""
    return hashlib.sha256(repr(name).encode()).digest()


OPERATOR, ENROLMENT = key("operator"), key("enrolment")
EXPIRES = 1 << 40
"""Unix seconds: later than any test."""


def named(node: int) -> str:
    """A node's device, as rosters have it."""
    return f"device-{node:03d}"


def operator(nodes: Iterable[int], *, simulation: bool = True, serial: int = 1) -> Operator:
    """The server's side of trust, with a roster of these nodes."""
    certificates = tuple(
        Certificate(named(node), public_of(key("identity", node)), EXPIRES) for node in sorted(nodes)
    )
    sent = sign_roster(Roster("digits", serial, EXPIRES, simulation, certificates), ENROLMENT)
    return Operator(OPERATOR, read_roster(sent, public_of(ENROLMENT), now=0, least_serial=0), sent)


def participant(node: int, device: Device) -> Participant:
    """A device newly set up: nothing claimed, nothing remembered."""
    me = Me(named(node), key("identity", node), public_of(ENROLMENT))
    keys = Keys(me, public_of(OPERATOR), key("salt", node), reviewers=None)
    seeds = SimulatedSeeds(device.seed)
    journal, trainer = MemoryJournal(), InProcess(device)
    return Participant(trainer, device.log, seeds, MemoryClaims(), journal, keys, unprotected=True)


def app_of(participants: Mapping[int, Participant]) -> ClientApp:
    """The real ClientApp over these devices."""

    def participant_of(context: Context) -> Participant:
        return participants[context.node_id]

    return simulated_app(participant_of)


def grid_of(participants: Mapping[int, Participant]) -> InProcessGrid:
    """A new grid, on which no session is remembered; what the devices have claimed stays."""
    return InProcessGrid(app_of(participants), participants)


@dataclass
class Flock:
    """Devices on a grid, from node 2 on, and what they wrote to their own logs."""

    devices: dict[int, Device]
    logs: dict[int, list[str]] = field(default_factory=dict)

    @property
    def participants(self) -> dict[int, Participant]:
        """All of them, newly set up."""
        return {node: participant(node, device) for node, device in self.devices.items()}

    @property
    def grid(self) -> InProcessGrid:
        """A new grid on which they all are, newly set up. A private sum needs one for all its stages."""
        return grid_of(self.participants)

    @property
    def operator(self) -> Operator:
        """Whose plans they answer."""
        return operator(self.devices)


def flock(data: Iterable[LocalData] | None = None, models: Mapping[int, Model] | None = None) -> Flock:
    """One device for each element of `data`; `models` replaces the model of some nodes."""
    made = Flock({})
    for node, local in enumerate(dealt() if data is None else data, start=2):
        lines = made.logs[node] = []
        model = (models or {}).get(node, MODEL)
        made.devices[node] = Device(f"device-{node}", model, local, 100 + node, lines.append)
    return made


def crowd(size: int = 12) -> Flock:
    """Devices enough for masks, with few examples each and not equally many."""
    return flock(dealt([4 + node % 5 for node in range(size)]))


def masked(fleet: Flock, **changes: Any) -> Protection:
    """Masks on, without noise unless `multipliers` are given."""
    settings: dict[str, Any] = {"masks": "on", "operator": fleet.operator} | changes
    return Protection(**settings)


NOISY: Mapping[str, Any] = {
    "multipliers": dict.fromkeys(("train", "statistics", "validate", "calibrate", "health"), 0.1),
    "seeded": True,
}
"""Noise from seeds, for a Protection: a little of it, so that a model still learns."""


@dataclass
class MemoryBook:
    """A run's sums, remembered; in no ledger, so that devices are shown none."""

    events: list[tuple[str, Plan]] = field(default_factory=list)
    signed: list[Signed] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    last: int = 0
    heads: dict[int, int] = field(default_factory=dict)
    adverts: dict[str, Advertised] = field(default_factory=dict)

    def next_sum(self) -> int:
        """From 1."""
        self.last += 1
        return self.last

    def reserve(self, signed: Sequence[Signed]) -> tuple[Receipt, ...]:
        """See `covey_strategies.private_sum.Book`."""
        self.events += [("reserve", plans.from_bytes(each.plan)) for each in signed]
        self.signed += signed
        return tuple(Receipt(0, lambda _: None) for _ in signed)

    def settle(self, plan: Plan, settled: Settled) -> None:
        """See `covey_strategies.private_sum.Book`."""
        self.events.append(("settle", plan))
        self.settled.append(settled)

    def abort(self, plan: Plan, reason: str) -> None:
        """See `covey_strategies.private_sum.Book`."""
        self.events.append(("abort", plan))
        self.reasons.append(reason)

    @property
    def told(self) -> list[str]:
        """The events' names, in order."""
        return [event for event, _ in self.events]


def asking(  # noqa: PLR0913 - every piece of a run that a test may want otherwise
    *,
    minimum: int = 2,
    size: int = 0,
    preprocessing: Standardise | None = None,
    seed: int = 5,
    protection: Protection | None = None,
    book: MemoryBook | None = None,
) -> Asking:
    """A run with a book of its own; in clear unless told otherwise."""
    return Asking(
        run="run",
        model=MODEL,
        seed=seed,
        minimum=minimum,
        size=size,
        preprocessing=preprocessing,
        protection=protection or Protection(),
        book=book or MemoryBook(),
        timeout=1.0,
    )


def parameters(seed: int = 1) -> Parameters:
    """An untrained model."""
    return initial(MODEL, seed)


@cache
def onnx(seed: int) -> bytes:
    """An untrained model as a device would run it."""
    network = MODEL.build()
    load(network, parameters(seed))
    return to_onnx(network, MODEL.input_shape)


def model_for(task: Task) -> Parameters:
    """What goes with a plan of this task."""
    match task:
        case Compare():
            return carried.to_arrays(onnx(1), onnx(2))
        case Health():
            return {}
        case _:
            return parameters()


def question(  # noqa: PLR0913 - every piece of a plan that a test may want otherwise
    task: Task,
    nodes: Sequence[int],
    *,
    model: Parameters | None = None,
    server_round: int = 1,
    minimum: int = 2,
    preprocessing: Standardise | None = None,
    protection: Protection | None = None,
    grid: Grid | None = None,
) -> Question:
    """A well-formed plan for `nodes`: the first sum of a run. `grid` is where later stages are asked."""
    protection = protection or Protection(unit="example" if isinstance(task, Gradient) else "device")
    asked = asking(minimum=minimum, preprocessing=preprocessing, protection=protection)
    weights = model_for(task) if model is None else model
    return asked.question(grid or grid_of({}), server_round, task, weights, nodes)


def plan_of(asked: Question) -> Plan:
    """The plan of a question to one cohort."""
    (exchange,) = asked.exchanges
    return exchange.plan


def sent_in(asked: Question) -> bytes:
    """The plan's bytes, of a question to one cohort."""
    (exchange,) = asked.exchanges
    return exchange.sent


def replanned(asked: Question, plan: Plan) -> Question:
    """The question with another plan in it, in clear."""
    (exchange,) = asked.exchanges
    return replace(asked, exchanges=(in_clear(plan, asked.parameters, exchange.cohort),))


def resealed(asked: Question, plan: Plan, trusted: Operator) -> Question:
    """The question with another plan in its envelope, properly signed."""
    (exchange,) = asked.exchanges
    envelope = seal_envelope(plans.to_bytes(plan), trusted.private, trusted.roster_sent)
    sealed = Sealed(lambda _: envelope, 0, {})
    made = in_masks(plan, asked.parameters, exchange.cohort, sealed=sealed, roster=trusted.roster, before={})
    return replace(asked, exchanges=(made,))


def replies(fleet: Flock, asked: Question) -> list[Message]:
    """What a fleet answers to a question's first messages."""
    return list(fleet.grid.send_and_receive(asked.messages()))


def coins_of(device: Device, plan: Plan) -> Stream:
    """The coins that a simulated device tosses for a plan."""
    return Stream(SimulatedSeeds(device.seed).coins(plan))


def clear_sum(fleet: Flock, asked: Question, nodes: Iterable[int]) -> Integers:
    """What the sum over these nodes must be before noise, to the bit."""
    total = np.zeros(plan_of(asked).length, np.int64)
    for node in nodes:
        device = fleet.devices[node]
        total += answer(plan_of(asked), asked.parameters, device, coins_of(device, plan_of(asked)))
    return total


def private(inner: FedAvg, task: Train | Gradient = TRAIN, *, asked: Asking | None = None) -> Private:
    """`inner` behind private sums."""
    return Private(inner, asked or asking(), Recipes(lambda _: task, VALIDATE))


def rounds(strategy: FedAvg | Private, grid: Grid, model: Parameters, numbers: range) -> Parameters:
    """Train rounds as a ServerApp runs them: configure, send, aggregate."""
    for number in numbers:
        messages = strategy.configure_train(number, to_record(model), ConfigRecord(), grid)
        arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(messages))
        assert arrays is not None
        model = from_record(arrays)
    return model
