"""FedBuff: asynchronous rounds. Nguyen et al., AISTATS 2022, arXiv:2106.06639, algorithm 1.

A round is a buffer: K devices that have trained, each from the model it fetched, of the M that train at a
time. With τ the buffers that were summed since a device fetched its model, and s(τ) = 1/√(1+τ), the server
takes w ← w + η · (1/K) Σ s(τ_i) Δ_i, one private sum over K devices. Each row is clipped as ever and then
weighed by s ≤ 1, so that its norm is at most what the buffer's plan and its entry in the ledger say; a device
is in a buffer once at most, and every buffer counts as spent like any sum.

Rows of one model are worked out together, from a plan of their own that differs in the model and in the norm:
s·Δ instead of Δ, in whole units, which is how the weight enters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Final

import msgspec
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid

from covey import encode, ring
from covey.arrays import Parameters, digest
from covey.errors import InputError
from covey.plan import Plan
from covey.secagg.messages import Advertised
from covey_models.model import Model
from covey_server.checkpoint import Checkpoint
from covey_server.coordinator import Coordinator
from covey_simulations.availability.grid import AvailableSums
from covey_simulations.availability.jobs import Job, Jobs
from covey_simulations.availability.keyed import Nodes
from covey_simulations.availability.work import Work
from covey_strategies.asking import Asking
from covey_strategies.cohort import CohortGrid
from covey_strategies.exchange import Settled, Summed, SumsAtOnce
from covey_strategies.optimiser_state import Arrays
from covey_strategies.private import Private
from covey_strategies.private_sum import PrivateSum, Receipt, Signed
from covey_strategies.queries import answer
from covey_strategies.queries.train import TrainSum
from covey_strategies.wire import from_record

JOBS: Final = "fedbuff/jobs"
MODELS: Final = "fedbuff/model/"


def weight(staleness: int) -> float:
    """s(τ)."""
    return 1 / sqrt(1 + staleness)


def stale(plan: Plan, parameters: Parameters, staleness: int, model: Model) -> Plan:
    """The buffer's plan for devices that began from an older model: their rows weigh s(τ), to one unit of Δ.

    Args:
        plan: The buffer's.
        parameters: That they began from.
        staleness: τ.
        model: What is trained.
    """
    norm = max(1, int(plan.norm * weight(staleness)))
    own = msgspec.structs.replace(plan, model_sha256=digest(parameters), norm=norm)
    return msgspec.structs.replace(own, parts=answer.parts(own, parameters, model))


@dataclass(frozen=True)
class Versions:
    """Where a buffer's devices are, and what each began from.

    Attributes:
        sums: Works out sums.
        model: What is trained.
        newest: Version of the newest model: buffers that were summed.
        fetched: By node, the version that it began from.
        models: By version.
    """

    sums: SumsAtOnce
    model: Model
    newest: int
    fetched: dict[int, int]
    models: dict[int, Parameters]

    def total(self, plan: Plan, cohort: Sequence[int]) -> encode.Integers:
        """The sum of the rows, weighed, and of all noise."""
        found = np.zeros(plan.length, np.int64)
        for version in sorted({self.fetched[node] for node in cohort}):
            nodes = [node for node in cohort if self.fetched[node] == version]
            own = stale(plan, self.models[version], self.newest - version, self.model)
            found += self.sums.sum_at_once(own, self.models[version], nodes).total
        return found


class VersionsGrid(CohortGrid):
    """A buffer's devices as a grid that gives their sum at once.

    Args:
        grid: Where the fleet is.
        versions: What each of them began from.
    """

    def __init__(self, grid: Grid, versions: Versions) -> None:
        super().__init__(grid, sorted(versions.fetched))
        self._versions = versions

    def sum_at_once(self, plan: Plan, parameters: Parameters, cohort: Sequence[int]) -> Summed:
        """See `covey_strategies.exchange.SumsAtOnce`."""
        del parameters  # each began from its own
        return Summed(ring.centre(ring.wrap(self._versions.total(plan, cohort))), frozenset(cohort))


@dataclass
class Drafts:
    """A book that keeps nothing: for a plan that is only looked at."""

    heads: dict[int, int] = field(default_factory=dict)
    adverts: dict[str, Advertised] = field(default_factory=dict)

    def next_sum(self) -> int:
        """See `covey_strategies.private_sum.Book`."""
        return 1

    def reserve(self, signed: Sequence[Signed]) -> tuple[Receipt, ...]:
        """See `covey_strategies.private_sum.Book`."""
        return tuple(Receipt(0, lambda _: None) for _ in signed)

    def settle(self, plan: Plan, settled: Settled) -> None:
        """See `covey_strategies.private_sum.Book`."""

    def abort(self, plan: Plan, reason: str) -> None:
        """See `covey_strategies.private_sum.Book`."""


class Buffered(Private):
    """`Private` whose rounds are buffers. The inner strategy takes the mean, as FedAvg does.

    Args:
        plain: The same strategy with rounds of cohorts, which still validates and asks everything else.
        grid: Where the fleet is, with its clock.
        size: Of a buffer, K.
        concurrency: Devices that train at a time, M.
    """

    def __init__(self, plain: Private, grid: AvailableSums, size: int, concurrency: int) -> None:
        super().__init__(plain.inner, plain.asking, plain.recipes)
        self._grid = grid
        self._size = size
        self._models: dict[int, Parameters] = {}
        self._jobs = Jobs(grid.clockwork, grid.fleet, concurrency, self._work)
        self._arrived: tuple[list[Job], list[Job]] = [], []
        self._began = 0.0

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Wait until a buffer is full; nothing is sent, since the answers are worked out at once.

        Raises:
            TooFewDevices: It cannot be filled.
        """
        del config, grid
        parameters, clock = from_record(arrays), self._grid.clockwork
        newest, self._began = server_round - 1, clock.hours
        self._models[newest] = parameters
        self._arrived = self._jobs.arrivals(self._size, newest)
        fetched = {job.node: job.version for job in self._arrived[0]}
        versions = Versions(self._grid.sums, self.asking.model, newest, fetched, dict(self._models))
        self._question = self._buffer_asking().question(
            VersionsGrid(self._grid, versions),
            server_round,
            self.recipes.train(server_round),
            parameters,
            sorted(fetched),
        )
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, None]:
        """Sum the buffer, and go the mean's way."""
        plan = self._question.exchanges[0].plan if self._question else None
        found, _ = super().aggregate_train(server_round, replies)
        in_use = {job.version for job in self._jobs.open}
        self._models = {version: each for version, each in self._models.items() if version in in_use}
        if plan is not None:
            self._count(plan)
        return found, None

    def _read(self, question: object, collected: PrivateSum) -> TrainSum:
        """The mean update, times the server's rate; of the losses the mean that their weights leave."""
        found = super()._read(question, collected)  # type: ignore[arg-type]
        rate = 1.0 if self.recipes.server_rate is None else self.recipes.server_rate(self._newest + 1)
        weights = sum(weight(self._newest - job.version) for job in self._arrived[0])
        update = {name: np.float32(rate) * value for name, value in found.update.items()}
        return replace(found, update=update, loss=found.loss * self._size / weights)

    @property
    def _newest(self) -> int:
        """Version of the newest model."""
        return max(self._models)

    def _buffer_asking(self) -> Asking:
        """All of a buffer, or nothing: no noise is made for drop-outs, which were before it was full."""
        protection = replace(self.asking.protection, removal=False)
        return replace(self.asking, minimum=self._size, protection=protection)

    def _work(self, nodes: Nodes) -> Work:
        """What training asks of devices: by a plan that nobody is sent."""
        newest = self._newest
        drafted = replace(self._buffer_asking(), book=Drafts()).question(
            self._grid, newest + 1, self.recipes.train(newest + 1), self._models[newest], range(self._size)
        )
        return self._grid.clockwork.weigh(drafted.exchanges[0].plan, self._models[newest], nodes)

    def _count(self, plan: Plan) -> None:
        """Write down who was in the buffer, who dropped out meanwhile, and what it took."""
        arrived, lost = self._arrived
        jobs, clock = (*arrived, *lost), self._grid.clockwork
        clock.look(self._grid.fleet)
        clock.count(
            plan,
            (self._began, clock.hours),
            np.array([job.node for job in jobs], np.int64),
            np.arange(len(jobs)) < len(arrived),
            (np.array([job.joules for job in jobs]), np.array([job.bytes for job in jobs])),
        )
        clock.row["staleness"] = round(float(np.mean([plan.round - 1 - job.version for job in arrived])), 3)

    def saved(self) -> Arrays:
        """Also who trains, and from what."""
        models = {
            f"{MODELS}{version}/{name}": value
            for version, model in self._models.items()
            for name, value in model.items()
        }
        return {**super().saved(), JOBS: self._jobs.saved(), **models}

    def restore(self, state: Arrays) -> None:
        """The inverse of `saved`."""
        super().restore(state)
        if JOBS in state:
            self._jobs.restore(state[JOBS])  # type: ignore[arg-type]
        for key, value in state.items():
            if key.startswith(MODELS):
                version, _, name = key.removeprefix(MODELS).partition("/")
                self._models.setdefault(int(version), {})[name] = value.astype(np.float32)


class BufferedCoordinator(Coordinator):
    """A coordinator whose rounds are buffers."""

    def _strategy(self, state: Checkpoint) -> Private:
        if not isinstance(self._grid, AvailableSums):
            raise InputError(
                "fedbuff needs a virtual clock, and an engine that gives sums at once",
                hint='give an [availability] table, and leave simulation.engine at "auto"',
            )
        settings = self._file.strategy
        found = Buffered(super()._strategy(state), self._grid, settings.buffer, settings.concurrency)
        found.restore(state.optimiser)
        return found
