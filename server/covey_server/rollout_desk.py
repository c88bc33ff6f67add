"""Carries a fleet's rollout on, one event at a time: what was decided is done, in order, whatever breaks off.

    1  rollouts/state.json   the new state and what is to be done about it: from here on it is decided
    2  ledger                the decision is entered and announced
    3  publisher             the instruction is published
    4  rollouts/state.json   nothing is left to do

Whatever stops after 1 is gone on with by the next call, with the same bytes: an entry that stands in the
ledger is not entered twice, an instruction that was published is published again. What stops before 1 never
happened. An instruction that the ledger cannot announce is not published, were it a rollback: devices are
told nothing that nobody can look up.
"""

from collections.abc import Callable

import msgspec

from covey.errors import InputError
from covey.ledger.entries import RolloutDecision
from covey.rollout.rolling import step
from covey.rollout.rolling_state import (
    AskHealth,
    Decided,
    Effect,
    Event,
    HealthCame,
    Publish,
    Rollout,
    Start,
    Tick,
)
from covey_server.rollout_approvals import Approved
from covey_server.rollout_health import Health, Heard
from covey_server.rollout_ledger import Decisions, Told
from covey_server.rollout_publishing import Publisher
from covey_server.rollout_store import Kept, Pending, RolloutFolder


class RolloutDesk:
    """A fleet's rollouts.

    Args:
        folder: Where they are kept.
        ledger: Where decisions are entered.
        publisher: Where instructions are published.
        now: The clock, Unix seconds.
        check: Refuses an instruction that could not be published, before it is decided: see
            `covey_server.rollout_tuf`. None for no such check.
    """

    def __init__(
        self,
        folder: RolloutFolder,
        ledger: Decisions,
        publisher: Publisher,
        now: Callable[[], int],
        check: Callable[[bytes], None] | None = None,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._publisher = publisher
        self._now = now
        self._check = check

    def start(self, approved: Approved, *, supersedes: bool = False, after: int = 0) -> Rollout:
        """Begin a rollout that enough people approved; one that has begun with the same note goes on.

        Args:
            approved: The plan.
            supersedes: Whether it takes the place of one that is under way.
            after: A serial that devices have seen beside those in the ledger: of an instruction that
                somebody else published with the fleet's key.

        Raises:
            InputError: Another one is under way, or its name was used before.
        """
        with self._folder.held():
            before = self._repaired()
            if before is not None and before.plan == approved.note:
                return before
            told = self._ledger.told(approved.plan.fleet)
            self._check_name(approved.plan.rollout, before, told)
            seen = max(told.serial, after)
            begun = Start(self._now(), approved.note, len(approved.by), seen, supersedes)
            state, effects = step(before, begun)
            self._check_publishable(state, effects)
            if before is not None:
                self._folder.keep_past(before)
            return self._carry_out(before, state, effects)

    def _check_name(self, name: str, before: Rollout | None, told: Told) -> None:
        current = before is not None and before.planned.rollout == name
        if current or name in told.rollouts or self._folder.has_past(name):
            raise InputError(f"a rollout {name} was started before", hint="plan anew under another name")

    def act(self, event: Event) -> Rollout:
        """Do what a person wants, or what an event brings.

        Raises:
            InputError: It cannot be; nothing was changed.
        """
        with self._folder.held():
            before = self._repaired()
            return self._carry_out(before, *step(before, event))

    def tick(self, health: Health | None = None, heard: Heard | None = None) -> tuple[Rollout, bool]:
        """Let time go by: repair, ask for health that is due, open rings or stop, renew what expires.

        Args:
            health: Asks the fleet; None where nobody can be asked now.
            heard: Health that was asked for before, in place of it.

        Returns:
            How it stands, and whether health is due that could not be asked for.
        """
        with self._folder.held():
            before = self._repaired()
            if heard is not None:
                came = HealthCame(self._now(), heard.rings, heard.taken)
                state = self._carry_out(before, *step(before, came))
                self._publisher.refresh()
                return state, False
            asked, effects = step(before, Tick(self._now()))
            self._publisher.refresh()
            if before is None or not any(isinstance(each, AskHealth) for each in effects):
                return asked, False
            if health is None:
                return before, True
            return self._ask(before, asked, health), False

    def _ask(self, before: Rollout, asked: Rollout, health: Health) -> Rollout:
        """Noted before it is asked: what devices' budgets pay for is never asked twice for a crash."""
        state = self._carry_out(before, asked, ())
        taken = self._now()
        rings = health.ask(state.planned, state.opened)
        return self._carry_out(state, *step(state, HealthCame(self._now(), rings, taken)))

    def _repaired(self) -> Rollout | None:
        """The rollout, once everything that was decided about it is done."""
        kept = self._folder.read()
        return self._finish(kept) if kept.pending is not None else kept.rollout

    def _carry_out(self, before: Rollout | None, state: Rollout, effects: tuple[Effect, ...]) -> Rollout:
        pending = self._check_publishable(state, effects)
        if pending is not None or state != before:
            self._folder.write(Kept(rollout=state, pending=pending))
        if pending is not None:
            self._finish(Kept(rollout=state, pending=pending))
        return state

    def _check_publishable(self, state: Rollout, effects: tuple[Effect, ...]) -> Pending | None:
        """What is to be done; what could not be done is refused before anything is written."""
        pending = _pending(state, effects)
        if pending is not None and self._check is not None:
            self._check(pending.instruction)
        return pending

    def _finish(self, kept: Kept) -> Rollout | None:
        if kept.pending is not None:
            self._ledger.enter(kept.pending.entry)
            self._publisher.instruction(kept.pending.instruction)
            self._folder.write(Kept(rollout=kept.rollout))
        return kept.rollout


def _pending(state: Rollout, effects: tuple[Effect, ...]) -> Pending | None:
    decided = next((each.decision for each in effects if isinstance(each, Decided)), None)
    data = next((each.data for each in effects if isinstance(each, Publish)), None)
    if decided is None or data is None:
        return None
    plan = state.planned
    entry = RolloutDecision(fleet=plan.fleet, rollout=plan.rollout, **msgspec.structs.asdict(decided))
    return Pending(entry=entry, instruction=data)
