"""A federation from the first question to the last: statistics, rounds, validation, checkpoints.

The same code drives a simulated fleet and a real one; it sees a Flower Grid and a run's folder.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Final

from flwr.app import ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from covey.arrays import Parameters
from covey.errors import RoundAborted
from covey.examples import Standardise
from covey.plan import Statistics, Task
from covey_models.model import Model
from covey_models.training import initial
from covey_server import algorithms
from covey_server.book import RunBook
from covey_server.checkpoint import Checkpoint
from covey_server.ledger_writer import LedgerWriter
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile, server_rate
from covey_server.sum_rows import Row
from covey_strategies.asking import Asking, ask_statistics
from covey_strategies.exchange import SumsAtOnce
from covey_strategies.private import Private, Recipes
from covey_strategies.private_sum import PrivateSum
from covey_strategies.protection import Operator, Protection
from covey_strategies.queries.train import TrainSum
from covey_strategies.queries.validate import ValidateSum
from covey_strategies.wire import from_record, to_record


@dataclass(frozen=True)
class RoundEnded:
    """A round as a person watching wants it.

    Attributes:
        round: From 1.
        rounds: In the whole run.
        loss: Mean local training loss of the cohort, nats.
        accuracy: On held-out examples over the cohort; None in rounds without validation.
        devices: In the sum.
        refused: Answers not counted, one line each.
        seconds: The round took.
    """

    round: int
    rounds: int
    loss: float
    accuracy: float | None
    devices: int
    refused: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Federated:
    """A finished federation.

    Attributes:
        parameters: The model after the last round.
        preprocessing: How inputs are scaled; None if the federation does not standardise.
        validation: Held-out counts of the final model, summed over the fleet.
    """

    parameters: Parameters
    preprocessing: Standardise | None
    validation: ValidateSum


PACE: Final = 1.0
"""Seconds between checkpoints, at least, of rounds that are worked out at once: those take milliseconds, and
one that a stop makes be done again comes to the same. A round that ends with a validation always has one."""

Observer = Callable[[RoundEnded], None]
Columns = Callable[[], Row]
"""More columns of a round's row."""
Enough = Callable[[Sequence[Row]], bool]
"""Whether the rounds so far, as metrics.jsonl has them, are all that is wanted; asked after validations."""


class Coordinator:
    """One federation.

    Args:
        grid: Where the fleet is.
        file: What was decided.
        model: What is trained.
        folder: The run's folder, locked by the caller.
        ledger: Where sums are written down.
        protection: What protects the sums.
        seed: Decides the initial model and the cohorts.
        observe: Called after every round.
        newest: Gives the operator with the newest roster, before anything is asked; None if it never changes.
        enough: Ends training before its last round; None to go on to it.
        columns: Gives what else a round's row says; called once a round, before it is written down.
    """

    def __init__(  # noqa: PLR0913 - everything a federation stands on, each named at the call
        self,
        *,
        grid: Grid,
        file: FederationFile,
        model: Model,
        folder: RunFolder,
        ledger: LedgerWriter,
        protection: Protection,
        seed: int,
        observe: Observer,
        newest: Callable[[Operator], Operator] | None = None,
        enough: Enough | None = None,
        columns: Columns = dict,
    ) -> None:
        self._grid = grid
        self._file = file
        self._model = model
        self._folder = folder
        self._protection = protection
        self._at_once = isinstance(grid, SumsAtOnce)
        self._book = RunBook(folder.run, ledger, protection.operator, sparse=self._at_once)
        self._kept = time.monotonic()
        self._unkept = list[Row]()
        self._seed = seed
        self._server_noise = algorithms.server_noise(file, seed if protection.seeded else None)
        self._observe = observe
        self._newest = newest
        self._enough = enough
        self._columns = columns

    def run(self) -> Federated:
        """From the last checkpoint, or from the start, to the end.

        Raises:
            RoundAborted: Too few devices; the checkpoint of the round before stands.
            StateError: The checkpoint is damaged.
        """
        saved = self._folder.latest()
        self._folder.rewind(saved.round if saved else 0)
        self._book.begin()
        state = saved or self._begin()
        strategy = self._strategy(state)
        try:
            for server_round in range(state.round + 1, self._file.federation.rounds + 1):
                if self._is_enough(state.round):
                    break
                state = self._round(strategy, state, server_round)
            self._folder.write_csv()
            return Federated(state.parameters, state.preprocessing, self._final_validation(strategy, state))
        finally:
            if self._at_once:  # also of a round that was given up
                self._book.announce()

    @property
    def book(self) -> RunBook:
        """Where the run's sums are written down, and what it releases."""
        return self._book

    def ask(self, task: Task, parameters: Parameters, preprocessing: Standardise | None) -> PrivateSum:
        """One more private sum over all connected devices, after the last round.

        Args:
            task: What is asked.
            parameters: Go with it.
            preprocessing: How devices scale their inputs for it.

        Raises:
            RoundAborted: Too few devices.
        """
        return self._ask(self._file.federation.rounds, task, parameters, preprocessing)

    def _ask(
        self, number: int, task: Task, parameters: Parameters, preprocessing: Standardise | None
    ) -> PrivateSum:
        asking = self._everyone(self._renewed_asking(preprocessing))
        asked = asking.question(self._grid, number, task, parameters, asking.cohort(self._grid, number))
        collected = asking.collect(asked, self._send(asked.messages()))
        self._book.announce()
        return collected

    def _is_enough(self, done: int) -> bool:
        """Decided by what is on disk: a run that is gone on with decides as it did before."""
        if self._enough is None or not done or not self._file.federation.validates(done):
            return False
        return self._enough(self._folder.rows())

    def ask_only(self, task: Task) -> PrivateSum:
        """One private sum that is a run of its own: it trains nothing.

        Raises:
            RoundAborted: Too few devices.
        """
        self._book.begin()
        return self._ask(0, task, {}, None)

    def _everyone(self, asking: Asking) -> Asking:
        """At the end all devices are asked, or as many as the file says; more must answer than in a round."""
        federation = self._file.federation
        if not federation.devices_per_round:
            return asking
        return replace(asking, size=federation.final_devices, minimum=0)

    def _final_validation(self, strategy: Private, state: Checkpoint) -> ValidateSum:
        """Counts over all connected devices.

        The last round has them, unless it asked a cohort only or the run was resumed after it.
        """
        if not self._file.federation.devices_per_round:
            return strategy.validate_sum or self._validate(strategy, state.round, state.parameters)
        everyone = Private(strategy.inner, self._everyone(strategy.asking), strategy.recipes)
        return self._validate(everyone, state.round, state.parameters)

    def _begin(self) -> Checkpoint:
        """Round 0: the initial model and the statistics."""
        parameters = initial(self._model, self._seed)
        preprocessing = self._statistics(parameters) if self._file.federation.standardise else None
        state = Checkpoint(self._folder.config, 0, parameters, {}, preprocessing)
        if self._at_once:
            self._book.announce()
        self._folder.save(state)
        return state

    def _statistics(self, parameters: Parameters) -> Standardise:
        federation = self._file.federation
        task = Statistics(federation.examples_cap)
        return ask_statistics(self._grid, self._asking(None), task, parameters)

    def _asking(self, preprocessing: Standardise | None) -> Asking:
        federation = self._file.federation
        return Asking(
            run=self._folder.run,
            model=self._model,
            seed=self._seed,
            minimum=federation.minimum_devices,
            size=federation.devices_per_round,
            preprocessing=preprocessing,
            protection=self._protection,
            book=self._book,
            timeout=federation.round_timeout,
            dropouts=self._file.privacy.dropouts,
            server_noise=self._server_noise,
        )

    def _strategy(self, state: Checkpoint) -> Private:
        file = self._file
        inner: FedAvg = file.strategy.build()
        recipes = Recipes(
            train=lambda server_round: algorithms.training(file, state.parameters, server_round),
            validate=algorithms.validation(file, state.parameters),
            server_rate=None if file.strategy.file else lambda number: server_rate(file, number),
            robust=algorithms.robust(file),
        )
        strategy = Private(inner, self._asking(state.preprocessing), recipes, algorithms.beside(file))
        strategy.restore(state.optimiser)
        return strategy

    def _round(self, strategy: Private, state: Checkpoint, server_round: int) -> Checkpoint:
        self._folder.check_room()  # a round that is lost was asked in vain, and stays spent
        started = time.monotonic()
        parameters, trained = self._train(strategy, server_round, state.parameters)
        accuracy = self._accuracy(strategy, server_round, parameters)
        rounds, seconds = self._file.federation.rounds, time.monotonic() - started
        ended = RoundEnded(
            server_round, rounds, trained.loss, accuracy, trained.devices, trained.refused, seconds
        )
        self._unkept.append(metrics_row(ended) | self._columns())
        new = Checkpoint(state.config, server_round, parameters, strategy.saved(), state.preprocessing)
        self._keep(new)
        self._observe(ended)
        return new

    def _keep(self, state: Checkpoint) -> None:
        """Write a round down: whatever follows begins here after a stop."""
        due = time.monotonic() - self._kept >= PACE or self._file.federation.validates(state.round)
        remembered = algorithms.is_stateful(self._file)  # by devices, who go back by one round and no further
        if self._at_once and not due and not remembered:
            return
        if self._at_once:
            self._book.announce()  # what a checkpoint rests on is written down before it
        self._folder.log_metrics(self._unkept)
        self._unkept = []
        self._folder.save(state)
        self._kept = time.monotonic()

    def _train(
        self, strategy: Private, server_round: int, parameters: Parameters
    ) -> tuple[Parameters, TrainSum]:
        self._renew(strategy)
        messages = strategy.configure_train(server_round, to_record(parameters), ConfigRecord(), self._grid)
        arrays, _ = strategy.aggregate_train(server_round, self._send(messages))
        if arrays is None or strategy.train_sum is None:
            raise RoundAborted(f"round {server_round}: the inner strategy gave no model")
        return from_record(arrays), strategy.train_sum

    def _accuracy(self, strategy: Private, server_round: int, parameters: Parameters) -> float | None:
        if not self._file.federation.validates(server_round):
            return None
        found = self._validate(strategy, server_round, parameters).accuracy
        return None if isnan(found) else found

    def _validate(self, strategy: Private, server_round: int, parameters: Parameters) -> ValidateSum:
        self._renew(strategy)
        messages = strategy.configure_evaluate(
            server_round, to_record(parameters), ConfigRecord(), self._grid
        )
        strategy.aggregate_evaluate(server_round, self._send(messages))
        if strategy.validate_sum is None:
            raise RoundAborted(f"round {server_round}: validation gave no counts")
        return strategy.validate_sum

    def _renew(self, strategy: Private) -> None:
        """Ask under the newest roster from here on: whoever was revoked is not in it."""
        if self._has_newer_roster():
            strategy.asking = replace(strategy.asking, protection=self._protection)

    def _renewed_asking(self, preprocessing: Standardise | None) -> Asking:
        self._has_newer_roster()
        return self._asking(preprocessing)

    def _has_newer_roster(self) -> bool:
        """Take up a newer roster, if there is one."""
        before = self._protection.operator
        if self._newest is None or before is None:
            return False
        operator = self._newest(before)
        if operator is before:
            return False
        self._book.enrol(operator)
        self._protection = replace(self._protection, operator=operator)
        return True

    def _send(self, messages: Iterable[Message]) -> Iterable[Message]:
        return self._grid.send_and_receive(messages, timeout=self._file.federation.round_timeout)


def metrics_row(ended: RoundEnded) -> Row:
    """A round as `metrics.jsonl` has it; accuracy is null in rounds without validation."""
    return {
        "round": ended.round,
        "loss": ended.loss,
        "accuracy": ended.accuracy,
        "devices": ended.devices,
        "refused": len(ended.refused),
        "seconds": round(ended.seconds, 4),
    }
