"""`Private(inner)`: a Flower strategy around any that consumes a mean.

The inner strategy never sees a device. It is shown a grid that holds the cohort, and one reply whose
arrays are the cohort's mean; FedAvg, FedProx, FedAdam, FedYogi and FedAvgM do with it what they always do.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from logging import INFO

import msgspec
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedAvgM, Strategy

from covey.arrays import Parameters
from covey.errors import InputError, TooFewDevices
from covey.plan import Gradient, Train, Validate
from covey_strategies import optimiser_state
from covey_strategies.asking import Asking, Question
from covey_strategies.beside import Beside, Round
from covey_strategies.cohort import CohortGrid
from covey_strategies.exchange import SumsAtOnce
from covey_strategies.private_sum import PrivateSum
from covey_strategies.queries import gradient, train, validate
from covey_strategies.queries.train import TrainSum
from covey_strategies.queries.validate import ValidateSum
from covey_strategies.robust import Robust
from covey_strategies.wire import from_record, to_record

Recipe = Callable[[int], Train | Gradient]
Rate = Callable[[int], float]


@dataclass(frozen=True)
class Recipes:
    """What is asked for in each round.

    Attributes:
        train: The training task of a round, from 1.
        validate: The validation task of every round.
        server_rate: The server optimiser's learning rate of a round; None leaves it as constructed.
        robust: How the sums of a round's cohorts are combined; None for their mean.
    """

    train: Recipe
    validate: Validate
    server_rate: Rate | None = None
    robust: Robust | None = None


class Private(Strategy):
    """Answers enter as a private sum; the mean goes to `inner`.

    Args:
        inner: FedAvg or a strategy derived from it that consumes a mean. Its fraction_train must be 1:
            the cohort is drawn here, from the run's seed, where Flower would draw from global randomness
            and wait for ever.
        asking: Whom to ask, and in whose name.
        recipes: What to ask for.
        beside: Algorithms that keep something of their own on the server.

    Between Flower's two calls for a round lie the stages of the private sum: `aggregate_train` receives the
    replies to the plan and drives the rest over the grid that `configure_train` was given.

    Raises:
        InputError: An inner strategy that samples by itself.
    """

    def __init__(
        self, inner: FedAvg, asking: Asking, recipes: Recipes, beside: tuple[Beside, ...] = ()
    ) -> None:
        if inner.fraction_train != 1.0:
            raise InputError(
                f"the inner {type(inner).__name__} asks a fraction of {inner.fraction_train:g}",
                hint="leave fraction_train at 1 and set the cohort's size in Asking",
            )
        self.inner = inner
        self.asking = asking
        self.recipes = recipes
        self.beside = beside
        self.train_sum: TrainSum | None = None
        self.validate_sum: ValidateSum | None = None
        self._question: Question | None = None
        self._fleet = 0

    def saved(self) -> optimiser_state.Arrays:
        """All that is remembered between rounds."""
        found = optimiser_state.save(self.inner)
        for each in self.beside:
            found |= each.saved()
        if self.asking.server_noise is not None:
            found |= self.asking.server_noise.saved()
        return found

    def restore(self, state: optimiser_state.Arrays) -> None:
        """The inverse of `saved`, on a strategy newly made."""
        optimiser_state.restore(self.inner, state)
        self.beside = tuple(each.restored(state) for each in self.beside)
        if self.asking.server_noise is not None:
            self.asking.server_noise.restore(state)

    def summary(self) -> None:
        """Log what protects the sums, and the inner strategy's own summary."""
        protection = self.asking.protection
        noise = "none" if not protection.multipliers else "on"
        log(INFO, "\t├──> Private sum: masks %s, noise %s, unit %s", protection.masks, noise, protection.unit)
        self.inner.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask a cohort to train.

        Raises:
            TooFewDevices: Fewer connected than the minimum.
        """
        cohort = self.asking.trainers(grid, server_round)
        self._check_patience(len(cohort))
        if self.recipes.server_rate is not None:
            _set_rate(self.inner, self.recipes.server_rate(server_round))
        shown = cohort[: self._wanted()] if isinstance(grid, SumsAtOnce) else cohort  # sent to nobody there
        inner_messages = list(
            self.inner.configure_train(server_round, arrays, config, CohortGrid(grid, shown))
        )
        task = _with_inner_config(self.recipes.train(server_round), inner_messages)
        parameters = from_record(arrays)
        for each in self.beside:
            if isinstance(task, Train):
                task, parameters = each.asked(task, parameters)
        self._fleet = sum(1 for _ in grid.get_node_ids()) if self.beside else 0
        self._question = self.asking.question(grid, server_round, task, parameters, cohort)
        return self._question.messages()

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Sum the answers and give their mean to the inner strategy.

        Raises:
            RoundAborted: Too few answers, or none with an example; the inner strategy is not called.
        """
        question = self._take()
        collected = self.asking.collect(question, replies)
        self.train_sum = replace(self._read(question, collected), refused=collected.refused)
        learnt = Round(question.parameters, collected.sums, collected.devices, self._fleet)
        self.beside = tuple(each.learnt(learnt) for each in self.beside)
        update, model = self.train_sum.update, train.model_of(question.parameters)
        mean = {name: value + update[name] if name in update else value for name, value in model.items()}
        return self.inner.aggregate_train(
            server_round, [self._synthetic(question, mean, self.train_sum.loss)]
        )

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask a cohort to validate."""
        del config  # nothing of the caller's is sent to a device beside the plan
        cohort = self.asking.cohort(grid, server_round)
        self._question = self.asking.question(
            grid, server_round, self.recipes.validate, from_record(arrays), cohort
        )
        return self._question.messages()

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Sum the confusion counts."""
        del server_round
        collected = self.asking.collect(self._take(), replies)
        self.validate_sum = validate.read(collected.sums, self.asking.model.classes)
        return MetricRecord({"accuracy": self.validate_sum.accuracy, "loss": self.validate_sum.loss})

    def _read(self, question: Question, collected: PrivateSum) -> TrainSum:
        robust, parameters = self.recipes.robust, question.parameters
        match question.task:
            case Train() if robust is not None:
                return robust.read(question.task, collected, parameters)
            case Train():
                return train.read(question.task, collected.sums, parameters, collected.devices)
            case Gradient():
                return gradient.read(question.task, collected.sums, parameters, collected.devices)
            case _:
                raise TypeError("aggregate_train without configure_train")

    def _take(self) -> Question:
        """The open question, once: replies to it are summed at most one time."""
        if self._question is None:
            raise TypeError("nothing was asked, or its answers were already summed")
        question, self._question = self._question, None
        return question

    def _wanted(self) -> int:
        """Nodes without which the inner strategy would wait."""
        return max(self.inner.min_available_nodes, self.inner.min_train_nodes, 1)

    def _check_patience(self, cohort: int) -> None:
        wanted = self._wanted()
        if cohort < wanted:  # Flower's sampling would wait for ever
            raise TooFewDevices(
                f"a cohort of {cohort}, and the inner {type(self.inner).__name__} wants {wanted}",
                hint="lower its min_available_nodes and min_train_nodes",
            )

    def _synthetic(self, question: Question, mean: Parameters, loss: float) -> Message:
        """The cohort's mean as if one client had sent it, with a public constant for its example count."""
        content = RecordDict(
            {
                self.inner.arrayrecord_key: to_record(mean),
                "metrics": MetricRecord({self.inner.weighted_by_key: 1, "train_loss": loss}),
            }
        )
        asked = Message(RecordDict(), question.exchanges[0].cohort[0], "train")
        return Message(content, reply_to=asked)


def _with_inner_config(task: Train | Gradient, messages: list[Message]) -> Train | Gradient:
    """FedProx speaks to clients through its messages' config; everything else in them stays here.

    Its pull towards the global model is nothing in a single step from the global model.
    """
    if isinstance(task, Gradient):
        return task
    for record in messages[0].content.config_records.values() if messages else ():
        if "proximal-mu" in record:
            return msgspec.structs.replace(task, proximal_mu=float(record["proximal-mu"]))  # type: ignore[arg-type]
    return task


def _set_rate(inner: FedAvg, rate: float) -> None:
    for name in ("eta", "server_learning_rate"):
        if hasattr(inner, name):
            setattr(inner, name, rate)
    if isinstance(inner, FedAvgM):
        inner.server_opt = True  # else one constructed with rate 1 and no momentum would ignore the rate
