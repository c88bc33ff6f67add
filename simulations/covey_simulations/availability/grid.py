"""A Grid that keeps a virtual clock around another one: who is offline is away, who drops out is silent."""

from collections.abc import Iterable, Sequence

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from covey import plan as plans
from covey.arrays import Parameters
from covey.delivery import ENVELOPE, FIRST_STAGES, LATER_STAGES, PLAN
from covey.plan import Plan
from covey.secagg.envelope import LIMIT
from covey.secagg.messages import Envelope, decode
from covey_simulations.availability.clockwork import Began, Clockwork
from covey_strategies.cohort import CohortGrid
from covey_strategies.exchange import Summed, SumsAtOnce
from covey_strategies.wire import MODEL, REQUEST, from_record


class AvailableGrid(CohortGrid):
    """Messages reach whoever is there and has not dropped out; each stage takes its time.

    Args:
        grid: Where the fleet is.
        clockwork: Its clock.
    """

    def __init__(self, grid: Grid, clockwork: Clockwork) -> None:
        super().__init__(grid, [])
        self.clockwork = clockwork
        self._begun: dict[str, Began] = {}

    @property
    def fleet(self) -> Sequence[int]:
        """All devices, online or not."""
        nodes = self._grid.get_node_ids()
        return nodes if isinstance(nodes, Sequence) else list(nodes)

    def get_node_ids(self) -> Iterable[int]:
        """Who is online, once enough are."""
        return self.clockwork.present(self.fleet)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Replies of those who are in time."""
        first, later = list[Message](), list[Message]()
        for message in messages:
            (later if _stage(message) not in FIRST_STAGES.values() else first).append(message)
        delivered = self._begin(first) + self._go_on(later)
        return self._grid.send_and_receive(delivered, timeout=timeout) if delivered else []

    def _begin(self, messages: Sequence[Message]) -> list[Message]:
        """Plans: the first time that a plan is sent, its whole cohort is asked."""
        by_plan: dict[bytes, list[Message]] = {}
        for message in messages:
            by_plan.setdefault(_sent(message.content), []).append(message)
        delivered = []
        for sent, asked in by_plan.items():
            digest = plans.digest(sent)
            if digest not in self._begun:
                parameters = from_record(asked[0].content[MODEL])  # type: ignore[arg-type]
                cohort = [message.metadata.dst_node_id for message in asked]
                self._begun[digest] = self.clockwork.begin(plans.from_bytes(sent), parameters, cohort)
            answered = self._begun[digest].answered
            delivered += [message for message in asked if message.metadata.dst_node_id in answered]
        return delivered

    def _go_on(self, messages: Sequence[Message]) -> list[Message]:
        """Later requests: who is lost at this stage, or was before, is silent."""
        if not messages:
            return []
        delivered = [message for message in messages if not self._is_lost(message)]
        self.clockwork.later(len(messages), len(delivered))
        return delivered

    def _is_lost(self, message: Message) -> bool:
        request, node, stage = message.content[REQUEST], message.metadata.dst_node_id, _stage(message)
        digest = str(request[PLAN]) if isinstance(request, ConfigRecord) else ""
        begun = self._begun.get(digest)
        lost = None if begun is None else begun.lost.get(node)
        return lost is not None and LATER_STAGES.index(stage) >= LATER_STAGES.index(lost)


class AvailableSums(AvailableGrid):
    """The same around a grid that gives sums at once.

    Args:
        grid: Where the fleet is.
        clockwork: Its clock.
    """

    def __init__(self, grid: Grid, clockwork: Clockwork) -> None:
        super().__init__(grid, clockwork)
        if not isinstance(grid, SumsAtOnce):
            raise TypeError("a grid that gives no sums at once")
        self.sums: SumsAtOnce = grid

    def sum_at_once(self, plan: Plan, parameters: Parameters, cohort: Sequence[int]) -> Summed:
        """The sum of those who are in time; nothing is worked out where they are too few to open one."""
        answered = self.clockwork.begin(plan, parameters, cohort).answered
        there = [node for node in cohort if node in answered]
        if len(there) < plan.minimum:
            return Summed(np.zeros(plan.length, np.int64), answered)
        return self.sums.sum_at_once(plan, parameters, there)


def available(grid: Grid, clockwork: Clockwork) -> AvailableGrid:
    """A grid with a clock around it."""
    return AvailableSums(grid, clockwork) if isinstance(grid, SumsAtOnce) else AvailableGrid(grid, clockwork)


def _stage(message: Message) -> str:
    return message.metadata.message_type.partition(".")[2]


def _sent(content: RecordDict) -> bytes:
    """The plan's bytes, in an envelope or not."""
    for name in (PLAN, ENVELOPE):
        record = content.get(name)
        data = record.get(name) if isinstance(record, ConfigRecord) else None
        if isinstance(data, bytes):
            return data if name == PLAN else decode(data, Envelope, blame="local", limit=LIMIT).plan
    raise TypeError("a first message without a plan")
