"""The virtual clock of one run: who is there, how long a sum takes, who is in it, what it costs everyone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import numpy as np

from covey import plan as plans
from covey.arrays import Parameters
from covey.errors import TooFewDevices
from covey.plan import Gradient, Plan, Train
from covey.seeds import derive, generator
from covey_simulations.availability import clock, usage
from covey_simulations.availability.flops import later_stages
from covey_simulations.availability.keyed import Flags, Floats, Nodes, uniform
from covey_simulations.availability.tiers import ROUND_TRIP
from covey_simulations.availability.traces import HOUR
from covey_simulations.availability.usage import DIGITS, Usage
from covey_simulations.availability.work import Attempts, Availability, Work

LOOKED_AT: Final = 20_000
"""Of a larger fleet so many devices, drawn anew each time, stand for all."""
STEP: Final = 0.25
"""Hours after which a run that waits for devices looks again."""
PATIENCE: Final = 7 * 24
"""Hours that it waits at most: whatever goes by days and weeks has come round."""

Weigh = Callable[[Plan, Parameters, Nodes], Work]


@dataclass(frozen=True)
class Rules:
    """How a server goes about it.

    Attributes:
        seed: The run's.
        start: Seconds since midnight, UTC, at which the run begins.
        enough: Devices that must be online before anything is asked.
        timeout: Seconds that each stage is waited for at most.
        needed: Share of those asked whose answers end the first stage; 1 for all.
        pause: Seconds that pass after each round, before the next may begin.
        last: The last round: what is asked in it and after it is written down at once.
    """

    seed: int
    start: float
    enough: int
    timeout: float
    needed: float = 1.0
    pause: float = 0.0
    last: int = 0


@dataclass(frozen=True)
class Began:
    """A sum whose first stage is over.

    Attributes:
        answered: Who answered in time.
        lost: Of them, the stage at which a device is lost after that.
    """

    answered: frozenset[int]
    lost: dict[int, str]


@dataclass
class Clockwork:
    """The clock of a run.

    Attributes:
        rules: How the server goes about it.
        availability: Who is online, and how it goes.
        weigh: The work of a plan.
        usage: What everyone has spent.
        hours: Since the run began.
        tell: Is told when the run has to wait for devices.
        waited: Hours since the last round's row in which too few devices were online.
        online: Devices online when the last cohort was drawn, of a large fleet about.
        row: What the next round's row says beside the time.
    """

    rules: Rules
    availability: Availability
    weigh: Weigh
    usage: Usage
    hours: float = 0.0
    tell: Callable[[str], None] = lambda _: None
    waited: float = 0.0
    online: int = 0
    row: dict[str, float] = field(default_factory=dict)
    _sum: tuple[int, float] = (0, 0.0)
    _unlined: float = 0.0

    @property
    def at(self) -> float:
        """Seconds since midnight, UTC, of the first day."""
        return self.rules.start + self.hours * HOUR

    def after(self, seconds: float) -> float:
        """What it will show, in hours."""
        return round(self.hours + seconds / HOUR, DIGITS)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.hours = self.after(seconds)

    def has_waited(self, began: float, what: str) -> None:
        """Since an hour, for something: it is counted and told."""
        waited = round(self.hours - began, DIGITS)
        if waited:
            self.waited, self._unlined = self.waited + waited, self._unlined + waited
            self.tell(f"waited {waited:g} simulated hours for {what}")

    def present(self, nodes: Sequence[int]) -> Sequence[int]:
        """Who of a fleet is online, once enough are; of a large one, some of them.

        Raises:
            TooFewDevices: Not enough are, in a whole week.
        """
        began, most = self.hours, 0
        while True:
            found = self._online(nodes)
            if self.online >= self.rules.enough:
                break
            most = max(most, self.online)
            if self.hours - began >= PATIENCE:
                raise TooFewDevices(
                    f"at most {most} of {len(nodes)} devices were online at once in a simulated week, "
                    f"{self.rules.enough} are to be asked",
                    hint="ask fewer, or change [availability]: its trace has ended, or batteries stay empty",
                )
            self.advance(STEP * HOUR)
        self.has_waited(began, f"{self.rules.enough} devices to be online: until then at most {most} were")
        return found

    def _online(self, nodes: Sequence[int]) -> Sequence[int]:
        """At this moment; counts them in `online`."""
        looked = some_of(nodes, LOOKED_AT, self.rules.seed, round(self.hours * 10**DIGITS))
        found = self.availability.online(looked, self.at)
        self.online = round(len(found) * len(nodes) / max(len(looked), 1))
        return [int(node) for node in found]

    def look(self, nodes: Sequence[int]) -> None:
        """Count who of a fleet is online, for a round's row."""
        self._online(nodes)

    def begin(self, plan: Plan, parameters: Parameters, cohort: Sequence[int]) -> Began:
        """The first stage of one cohort's sum; cohorts of one sum run side by side.

        Args:
            plan: What is asked.
            parameters: The model that goes with it.
            cohort: Who is asked.
        """
        serial, began = self._sum
        if serial != plan.sum:
            began = self.hours
            self._sum = plan.sum, began
        nodes = np.asarray(cohort, np.int64)
        key = derive(0, plans.kind(plan), plan.round)
        work = self.weigh(plan, parameters, nodes)
        attempts = self.availability.attempts(nodes, self.rules.start + began * HOUR, work, key)
        lost = self._lost_later(plan, nodes, attempts, key)
        attempts = _until_the_end(attempts, lost != "")
        needed = max(ceil(self.rules.needed * len(nodes)), plan.minimum)
        stage = clock.ended(attempts, self.rules.timeout, needed)
        seconds = stage.seconds
        if plan.masks != "on" and later_stages(plan):
            seconds += ROUND_TRIP
        self.hours = max(self.hours, round(began + seconds / HOUR, DIGITS))
        counted = stage.answered & (lost == "")
        ended = round(began + stage.seconds / HOUR, DIGITS)
        self.count(plan, (began, ended), nodes, counted, attempts.spent(stage.seconds))
        in_time = nodes[stage.answered]
        stages = dict(zip(nodes.tolist(), lost.tolist(), strict=True))
        found = frozenset(in_time.tolist())
        return Began(found, {node: stages[node] for node in found if stages[node]})

    def count(
        self,
        plan: Plan,
        times: tuple[float, float],
        nodes: Nodes,
        counted: Flags,
        spent: tuple[Floats, Floats],
    ) -> None:
        """Count what a sum took.

        Args:
            plan: What was asked.
            times: When it began and ended, hours.
            nodes: Of whom.
            counted: Who of them is in it.
            spent: Joules and bytes of each.
        """
        joules, moved = spent
        self.usage.add(
            usage.line(
                named=(plan.round, plans.kind(plan), plan.sum, plan.cohort_number),
                times=(self._unlined, *times),
                nodes=nodes,
                answered=counted,
                joules=joules,
                moved=moved,
            )
        )
        self._unlined = 0.0
        if plan.round >= self.rules.last:  # perhaps nobody asks for a round's columns after it
            self.usage.write()
        self._note(plan, int(counted.sum()))

    def later(self, asked: int, answered: int) -> None:
        """A later stage of a sum with masks: who is lost there is waited for, unless enough answer."""
        lost = answered < ceil(self.rules.needed * asked)
        self.advance(self.rules.timeout if lost else ROUND_TRIP)

    def columns(self) -> dict[str, float]:
        """What a round's row says of the clock; writes down what was spent."""
        self.usage.write()
        self.advance(self.rules.pause)
        row = {"hours": self.hours, **self.row, "waited": round(self.waited, DIGITS)}
        self.waited = 0.0
        return row

    def _lost_later(
        self, plan: Plan, nodes: Nodes, attempts: Attempts, key: int
    ) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
        """The stage at which a device that drops out is lost, where it is a later one; else empty."""
        stages = np.array(["", *later_stages(plan)] if plan.masks == "on" else [""])
        chosen = (uniform(self.rules.seed, "lost at", nodes, key) * len(stages)).astype(np.int64)
        return stages[np.where(attempts.finished, 0, chosen)]

    def _note(self, plan: Plan, answered: int) -> None:
        """What a round's row says of its training; cohorts of one sum count together."""
        if isinstance(plan.task, Train | Gradient):
            before = self.row.get("answered", 0) if plan.cohort_number else 0
            self.row = {"online": self.online, "answered": before + answered}


def some_of(nodes: Sequence[int], most: int, seed: int, key: int) -> Nodes:
    """All of a fleet's devices, or `most` of them at random, in order."""
    if len(nodes) <= most:
        return np.array(nodes, np.int64)
    drawn = generator(seed, "looked at", key).choice(len(nodes), most, replace=False)
    return np.array([nodes[place] for place in np.sort(drawn).tolist()], np.int64)


def _until_the_end(attempts: Attempts, which: Flags) -> Attempts:
    """Some devices get to the end of the first stage after all."""
    return Attempts(
        finished=attempts.finished | which,
        ends=np.where(which, attempts.phases.sum(axis=0), attempts.ends),
        phases=attempts.phases,
        watts=attempts.watts,
        moved=attempts.moved,
    )
