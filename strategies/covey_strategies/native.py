"""`Private` for an existing Flower app: one that has one train and one evaluate function, and its own model.

What the app's server sends beside the model is a learning rate and nothing else: a plan has a place for it,
which the policy's readers and the ledger see. Stages travel in the messages' content, as Flower gives a
message with an action to no mod.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from covey.errors import InputError
from covey_strategies.cohort import CohortGrid
from covey_strategies.private import Private
from covey_strategies.wire import without_action

RATE: Final = "lr"
"""In an app's configuration for training: its learning rate."""

ROUND: Final = "server-round"


class ContentStages(CohortGrid):
    """A grid of apps that have one function a category; the stages of a sum go there in the content.

    Args:
        grid: Where the apps are.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid, list(grid.get_node_ids()))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As the grid behind this one."""
        return super().push_messages([without_action(each) for each in messages])

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """As the grid behind this one."""
        return super().send_and_receive([without_action(each) for each in messages], timeout=timeout)


class NativePrivate(Private):
    """Private sums of apps that know nothing of them.

    Flower's `Strategy.start` drives it. Where the inner strategy does not evaluate, nor does this. The app
    sees its arrays in its own order, the inner strategy in the order of their names, as it sees the mean:
    some strategies go by position.
    """

    order: tuple[str, ...] = ()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask a cohort to train.

        Raises:
            InputError: What would be sent has no place in a plan.
            TooFewDevices: Fewer connected than the minimum.
        """
        check_arrays(arrays)
        self.order = tuple(arrays)
        asked = super().configure_train(
            server_round, _ordered(arrays, sorted(arrays)), config, ContentStages(grid)
        )
        return [without_action(each) for each in asked]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Sum the answers and give their mean to the inner strategy.

        Raises:
            RoundAborted: Too few answers, or none with an example; the inner strategy is not called.
        """
        arrays, metrics = super().aggregate_train(server_round, replies)
        return None if arrays is None else _ordered(arrays, self.order), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask a cohort to test, where the inner strategy would."""
        if not self.inner.fraction_evaluate:
            return []
        asked = super().configure_evaluate(server_round, arrays, config, ContentStages(grid))
        return [without_action(each) for each in asked]

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Sum what was tested; None where nothing was asked."""
        return None if self._question is None else super().aggregate_evaluate(server_round, replies)


def _ordered(arrays: ArrayRecord, names: Iterable[str]) -> ArrayRecord:
    return ArrayRecord({name: arrays[name] for name in names})


def check_arrays(arrays: ArrayRecord) -> None:
    """Refuse what would lose its type on the way.

    Raises:
        InputError: An array of another type than float32: a counter of batch normalisation, most often.
    """
    for name, array in arrays.items():
        if array.dtype != np.dtype(np.float32).name:
            raise InputError(
                f"array {name} is {array.dtype}: only float32 can be summed",
                hint="leave batch normalisation out; GroupNorm needs no such state",
            )


def rate_of(train_config: ConfigRecord, evaluate_config: ConfigRecord) -> float | None:
    """The learning rate that an app's server wants to send; None if it sends none.

    Raises:
        InputError: It wants to send something else, which no plan has a place for.
    """
    others = sorted((set(train_config) | set(evaluate_config)) - {RATE, ROUND})
    if others or RATE in evaluate_config:
        raise InputError(
            f"a plan has no place for {', '.join(others) or f'{RATE} in evaluate_config'}",
            hint=f'send the learning rate as "{RATE}" in train_config; put the rest into the app',
        )
    rate = train_config.get(RATE)
    if rate is not None and not (isinstance(rate, int | float) and rate > 0):
        raise InputError(f"{RATE} = {rate!r}", hint="a learning rate is a number above 0")
    return None if rate is None else float(rate)
