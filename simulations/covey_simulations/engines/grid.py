"""A grid whose devices are worked out together: a cohort's sum without a message."""

from collections.abc import Collection, Sequence
from typing import Protocol

from flwr.clientapp import ClientApp

from covey.arrays import Parameters
from covey.encode import Integers
from covey.plan import Plan
from covey_simulations.engines.summing import summed
from covey_simulations.grid import InProcessGrid
from covey_strategies.exchange import Summed


class Totals(Protocol):
    """Works out sums; see `covey_simulations.engines.summing.Summing`."""

    def total(self, plan: Plan, parameters: Parameters, nodes: Sequence[int], dropped: int) -> Integers:
        """The sum of rows and of the noise that is left."""


class EngineGrid(InProcessGrid):
    """Answers by messages where masks are on, and at once where nothing hides an answer.

    Args:
        client_app: Answers messages; see `InProcessGrid`.
        nodes: Node ids.
        totals: Works out sums.
        run_id: As for `InProcessGrid`.
    """

    def __init__(
        self, client_app: ClientApp, nodes: Collection[int], totals: Totals, run_id: int = 1
    ) -> None:
        super().__init__(client_app, nodes, run_id)
        self._totals = totals

    def sum_at_once(self, plan: Plan, parameters: Parameters, cohort: Sequence[int]) -> Summed:
        """See `covey_strategies.exchange.SumsAtOnce`; who is missing of the plan's cohort has dropped out."""
        total = self._totals.total(plan, parameters, cohort, plan.cohort - len(cohort))
        return summed(total, cohort)
