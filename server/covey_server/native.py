"""The server half of an existing Flower app, made private: its strategy, behind private sums and a ledger.

    strategy = private(FedAvg(), MODEL, context)
    result = strategy.start(grid, initial_arrays, num_rounds=3, train_config=ConfigRecord({"lr": 0.1}))

The run's configuration names three places on the server's host, as for `covey_server.app`: `federation`,
`runs` and `operator`. There is no resume: a run that was cut short stays spent, and another one begins under
another name.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result

from covey.errors import ConfigError, InputError
from covey.plan import Train
from covey_io import settings
from covey_models.model import Model
from covey_models.training import parameters_of
from covey_server import algorithms
from covey_server.app import log_of, path_of, protection_of, wait_for_fleet
from covey_server.book import RunBook
from covey_server.ledgers import opened
from covey_server.run_folder import SHARED_LEDGER, RunFolder
from covey_server.settings import FederationFile, train_task, validate_task
from covey_server.strategy_settings import StrategySettings
from covey_strategies.asking import Asking
from covey_strategies.native import NativePrivate, check_arrays, rate_of
from covey_strategies.private import Recipes
from covey_strategies.protection import Protection

Evaluate = Callable[[int, ArrayRecord], MetricRecord | None]


@dataclass(frozen=True)
class PrivateApp:
    """What `private` gives.

    Attributes:
        inner: The app's own strategy; sees the cohort's mean and no device.
        model: What the app trains.
        context: Of the run.
    """

    inner: FedAvg
    model: Model
    context: Context

    def start(  # noqa: PLR0913, PLR0917 - Flower's signature
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Evaluate | None = None,
    ) -> Result:
        """As `flwr.serverapp.strategy.Strategy.start`.

        Args:
            grid: Where the fleet is.
            initial_arrays: The model's parameters.
            num_rounds: As many as the federation's file says: the noise is calibrated for them.
            timeout: Seconds to wait for the replies to a plan.
            train_config: Nothing but "lr".
            evaluate_config: Nothing.
            evaluate_fn: Tests each model on the server.

        Raises:
            CoveyError: Something does not fit together, or too few devices answer. Flower ends the run.
        """
        file = settings.load(Path(path_of(self.context, "federation")), FederationFile)
        train_config, evaluate_config = train_config or ConfigRecord(), evaluate_config or ConfigRecord()
        rate = rate_of(train_config, evaluate_config)
        _check(file, self.inner, num_rounds)
        _check_model(self.model, initial_arrays)
        with self._running(file, rate) as strategy:
            wait_for_fleet(grid, file)
            return strategy.start(
                grid=grid,
                initial_arrays=initial_arrays,
                num_rounds=num_rounds,
                timeout=timeout,
                train_config=train_config,
                evaluate_config=evaluate_config,
                evaluate_fn=evaluate_fn,
            )

    @contextmanager
    def _running(self, file: FederationFile, rate: float | None) -> Iterator[NativePrivate]:
        """The strategy while the run's folder and the ledger are its own."""
        protected = protection_of(file, self.context, self.model)
        path = Path(path_of(self.context, "runs")) / file.name
        with RunFolder(path).locked():
            folder = _created(path, file)
            with opened(folder.ledger, log_of(protected, self.context)) as ledger:
                book = RunBook(folder.run, ledger, protected.operator)
                book.begin()
                asking = _asking(file, self.model, protected, book, folder.run)
                yield NativePrivate(self.inner, asking, _recipes(file, rate))
                ledger.announce()  # the end of the last sum, too, under a head that witnesses have seen


def private(inner: FedAvg, model: Model, context: Context) -> PrivateApp:
    """An app's strategy behind private sums.

    Args:
        inner: The app's own: FedAvg or one derived from it that consumes a mean.
        model: What the app trains; devices know it under its name.
        context: Of the run; its configuration says where federation, runs and operator are.
    """
    return PrivateApp(inner, model, context)


def _created(path: Path, file: FederationFile) -> RunFolder:
    if (path / "run.json").exists():
        raise InputError(
            f"{path} holds a run, which Flower's start cannot go on with",
            hint="give the federation another name",
        )
    return RunFolder.create(path, msgspec.to_builtins(file), SHARED_LEDGER)


def _check(file: FederationFile, inner: FedAvg, num_rounds: int) -> None:
    """Refuse a federation that an app would not do as its file says."""
    if file.privacy.unit != "device":
        raise ConfigError("[privacy]", "unit", 'an app of its own trains by whole devices: unit = "device"')
    if algorithms.beside(file) or file.strategy != StrategySettings():
        raise ConfigError("[strategy]", "name", "an app brings its own strategy: leave out [strategy]")
    if file.federation.standardise:
        raise ConfigError("[federation]", "standardise", "an app scales its own inputs: standardise = false")
    if file.federation.validate_every != 1:
        raise ConfigError("[federation]", "validate_every", "Flower tests after every round: 1")
    if num_rounds != file.federation.rounds:
        raise InputError(
            f"num_rounds is {num_rounds}, the federation has {file.federation.rounds}",
            hint="give both the same: noise and budget are calculated for so many",
        )
    if inner.fraction_evaluate not in {0.0, 1.0}:
        raise InputError(
            f"the inner {type(inner).__name__} tests on a fraction of {inner.fraction_evaluate:g}",
            hint="leave fraction_evaluate at 1, or 0 for none, and set devices_per_round",
        )


def _check_model(model: Model, arrays: ArrayRecord) -> None:
    """Refuse arrays that devices would not take for the model's.

    Raises:
        InputError: Names, shapes or types differ.
    """
    check_arrays(arrays)
    expected = {name: value.shape for name, value in parameters_of(model.build()).items()}
    if {name: tuple(array.shape) for name, array in arrays.items()} != expected:
        raise InputError(
            f"the initial arrays are not the parameters of model {model.name!r}",
            hint="give the model that the app trains; buffers (batch normalisation) cannot be summed",
        )


def _asking(file: FederationFile, model: Model, protected: Protection, book: RunBook, run: str) -> Asking:
    return Asking(
        run=run,
        model=model,
        seed=file.seed,
        minimum=file.federation.minimum_devices,
        size=file.federation.devices_per_round,
        preprocessing=None,
        protection=protected,
        book=book,
        timeout=file.federation.round_timeout,
        dropouts=file.privacy.dropouts,
    )


def _recipes(file: FederationFile, rate: float | None) -> Recipes:
    def train(server_round: int) -> Train:
        task = train_task(file, server_round)
        if not isinstance(task, Train):
            raise TypeError("a step of DP-SGD, which no app can do")
        return task if rate is None else msgspec.structs.replace(task, learning_rate=rate)

    return Recipes(train, validate_task(file))
