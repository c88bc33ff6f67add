"""Asking a cohort: the run in whose name, the plan, its messages and the sum of its answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid

from covey import plan as plans
from covey.arrays import Parameters, digest
from covey.encode import Part
from covey.examples import Standardise
from covey.plan import Plan, Statistics, Task
from covey_models.model import Model
from covey_strategies import cohort as cohorts
from covey_strategies.private_sum import PrivateSum, collect
from covey_strategies.queries import statistics
from covey_strategies.wire import plan_messages, to_record

Witness = Callable[[Plan, PrivateSum], None]


@dataclass(frozen=True)
class Question:
    """One plan on its way to one cohort.

    Attributes:
        plan: What is asked.
        sent: The plan's bytes.
        parameters: The model that goes with it.
        cohort: Node ids.
    """

    plan: Plan
    sent: bytes
    parameters: Parameters
    cohort: tuple[int, ...]

    def messages(self) -> list[Message]:
        """One message a device."""
        return plan_messages(self.sent, plans.kind(self.plan), to_record(self.parameters), self.cohort)


@dataclass(frozen=True)
class Asking:
    """A run, as far as asking its fleet needs to know it.

    Attributes:
        run: The run's identifier.
        model: What is trained.
        seed: Decides who is asked.
        minimum: Fewest devices whose sum is opened.
        size: Devices asked in a round; 0 for all connected.
        preprocessing: How devices scale their inputs; None before statistics are known.
        witness: Called with every plan and its sum, before anything is done with the sum.
    """

    run: str
    model: Model
    seed: int
    minimum: int
    size: int
    preprocessing: Standardise | None
    witness: Witness

    def cohort(self, grid: Grid, server_round: int) -> list[int]:
        """Who is asked in a round; see `covey_strategies.cohort.draw`."""
        return cohorts.draw(grid.get_node_ids(), self.size, self.minimum, self.seed, server_round)

    def question(
        self,
        server_round: int,
        task: Task,
        parts: Sequence[Part],
        parameters: Parameters,
        cohort: Sequence[int],
    ) -> Question:
        """A plan for a cohort."""
        plan = Plan(
            run=self.run,
            round=server_round,
            model=self.model.name,
            model_sha256=digest(parameters),
            preprocessing=self.preprocessing,
            task=task,
            parts=tuple(parts),
            cohort=len(cohort),
            minimum=self.minimum,
        )
        return Question(plan, plans.to_bytes(plan), parameters, tuple(cohort))

    def collect(self, question: Question, replies: Iterable[Message]) -> PrivateSum:
        """The sum of the answers, witnessed; see `covey_strategies.private_sum.collect`."""
        collected = collect(question.plan, question.sent, question.cohort, replies)
        self.witness(question.plan, collected)
        return collected


def ask_statistics(
    grid: Grid, asking: Asking, task: Statistics, parameters: Parameters, timeout: float
) -> Standardise:
    """A query of its own, before training: the scaling that gives the fleet's inputs mean 0, deviation 1.

    Raises:
        RoundAborted: Too few devices, or none with an example.
    """
    cohort = asking.cohort(grid, 0)
    parts = statistics.parts(asking.model.input_shape[0], len(cohort))
    question = asking.question(0, task, parts, parameters, cohort)
    collected = asking.collect(question, grid.send_and_receive(question.messages(), timeout=timeout))
    return statistics.read(collected.sums, asking.model.input_bound)
