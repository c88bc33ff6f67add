"""Asking a cohort: the run in whose name, the plans, their messages and the sum of the answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid

from covey import plan as plans
from covey.arrays import Parameters, digest
from covey.errors import InputError
from covey.examples import Standardise
from covey.identity import sign
from covey.plan import Plan, Statistics, Task, Train
from covey.secagg.envelope import seal_envelope
from covey_models.model import Model
from covey_strategies import cohort as cohorts
from covey_strategies.central import ServerNoise
from covey_strategies.exchange import Exchange, Sealed, SumsAtOnce, at_once, in_clear, masked
from covey_strategies.private_sum import Book, PrivateSum, Receipt, Signed, collect
from covey_strategies.protection import Protection
from covey_strategies.queries import statistics


@dataclass(frozen=True)
class Question:
    """One task on its way to one or more cohorts.

    Attributes:
        task: What is asked.
        parameters: The model that goes with it.
        exchanges: One a cohort.
        grid: Where they are.
    """

    task: Task
    parameters: Parameters
    exchanges: tuple[Exchange, ...]
    grid: Grid

    def messages(self) -> list[Message]:
        """The plans, one message a device."""
        return [message for exchange in self.exchanges for message in exchange.first_messages()]


@dataclass(frozen=True)
class Asking:
    """A run, as far as asking its fleet needs to know it.

    Attributes:
        run: The run's identifier.
        model: What is trained.
        seed: Decides who is asked.
        minimum: Fewest devices whose sum is opened; of each cohort, if there are several. 0 to follow from
            `dropouts`.
        dropouts: Share of a cohort that may drop out, where `minimum` is 0.
        size: Devices asked in a round; 0 for all connected.
        preprocessing: How devices scale their inputs; None before statistics are known.
        protection: Masks and noise.
        book: Where sums are written down.
        timeout: Seconds to wait for each stage's replies.
        server_noise: Adds noise where the protection leaves it to the server.
    """

    run: str
    model: Model
    seed: int
    minimum: int
    size: int
    preprocessing: Standardise | None
    protection: Protection
    book: Book
    timeout: float
    dropouts: float = 0.3
    server_noise: ServerNoise | None = None

    def trainers(self, grid: Grid, server_round: int) -> list[int]:
        """Who is asked to train in a round: where noise is correlated by turns, else as for any other sum."""
        central = self.protection.central
        if central is None or not central.is_correlated:
            return self.cohort(grid, server_round)
        nodes, separation = grid.get_node_ids(), central.separation
        return cohorts.in_turn(nodes, self.size, separation, self.seed, server_round)

    def cohort(self, grid: Grid, server_round: int) -> list[int]:
        """Who is asked in a round; see `covey_strategies.cohort.draw`."""
        floor = plans.SMALLEST_COHORT if self.protection.masks == "on" else plans.SMALLEST_SUM
        least = max(self.minimum, floor)
        return cohorts.draw(grid.get_node_ids(), self.size, least, self.seed, server_round)

    def question(
        self, grid: Grid, server_round: int, task: Task, parameters: Parameters, cohort: Sequence[int]
    ) -> Question:
        """Plans for a cohort, written down before they can be sent.

        Raises:
            InputError: The cohort, the model and what protects the sum do not fit together.
        """
        divided = cohorts.divide(cohort, self.protection.largest, self.seed, server_round)
        self._take_note(task, divided, server_round)
        serial = self.book.next_sum()
        planned = []
        for number, members in enumerate(divided):
            bare = Plan(
                run=self.run,
                sum=serial,
                round=server_round,
                model=self.model.name,
                model_sha256=digest(parameters),
                preprocessing=self.preprocessing,
                task=task,
                parts=(),
                unit=self.protection.unit,
                norm=1,
                cohort=len(members),
                cohorts=len(divided),
                cohort_number=number,
                minimum=cohorts.minimum_of(len(members), self.minimum, self.dropouts, self.protection),
                corrupt=self.protection.corrupt,
                masks="none",
            )
            planned.append(self.protection.protect(bare, parameters, self.model))
        receipts = self.book.reserve([self._signed(plan) for plan in planned])
        exchanges = [
            self._exchange(grid, plan, parameters, members, receipt)
            for plan, members, receipt in zip(planned, divided, receipts, strict=True)
        ]
        return Question(task, parameters, tuple(exchanges), grid)

    def _take_note(self, task: Task, divided: Sequence[Sequence[int]], server_round: int) -> None:
        """Of who is asked to train, where noise is correlated."""
        central = self.protection.central
        if central is None or not central.is_correlated or not isinstance(task, Train):
            return
        if len(divided) > 1 or self.server_noise is None:
            raise InputError(
                f"correlated noise is for one sum a round, and this round has {len(divided)}",
                hint="raise privacy.largest_cohort, or lower federation.devices_per_round",
            )
        self.server_noise.ask(divided[0], server_round, central)

    def _signed(self, plan: Plan) -> Signed:
        sent, operator = plans.to_bytes(plan), self.protection.operator
        return Signed(sent, None if operator is None else sign(operator.private, "plan", sent))

    def _exchange(
        self, grid: Grid, plan: Plan, parameters: Parameters, members: Sequence[int], receipt: Receipt
    ) -> Exchange:
        operator, sent = self.protection.operator, plans.to_bytes(plan)
        if plan.masks != "on" or operator is None:
            if isinstance(grid, SumsAtOnce):
                return at_once(plan, parameters, members, grid)
            return in_clear(plan, parameters, members)

        def envelope(old: int) -> bytes:
            return seal_envelope(sent, operator.private, operator.roster_sent, receipt.proofs(old))

        sealed = Sealed(envelope, receipt.size, self.book.heads)
        before = self.book.adverts
        return masked(plan, parameters, members, sealed=sealed, roster=operator.roster, before=before)

    def collect(self, question: Question, replies: Iterable[Message]) -> PrivateSum:
        """The sum of the answers, written down; see `covey_strategies.private_sum.collect`."""
        noised = None if self.server_noise is None else self.server_noise.added
        exchanges = question.exchanges
        return collect(question.grid, exchanges, replies, self.book, self.timeout, noised=noised)


def ask_statistics(grid: Grid, asking: Asking, task: Statistics, parameters: Parameters) -> Standardise:
    """A query of its own, before training: the scaling that gives the fleet's inputs mean 0, deviation 1.

    Raises:
        RoundAborted: Too few devices, or none with an example.
    """
    question = asking.question(grid, 0, task, parameters, asking.cohort(grid, 0))
    replies = grid.send_and_receive(question.messages(), timeout=asking.timeout)
    collected = asking.collect(question, replies)
    return statistics.read(collected.sums, asking.model.input_bound)
