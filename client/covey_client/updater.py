"""Drives the updater's machine: asks, does what the machine wants, and makes every state durable first.

    updater = Updater(place)
    updater.round()                 # asks once, and goes as far as it can
    while updater.state.on_trial:   # then somebody has to watch
        time.sleep(1)
        updater.watch()

Between two states there is nothing that a power cut could lose: what a step has done without its event having
been written is done again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import CoveyError, ProtocolError
from covey.rollout import update_events as events
from covey.rollout.update_events import Effect, Event
from covey.rollout.update_moves import ENDING, believed
from covey.rollout.update_rules import Rules, has_waited
from covey.rollout.update_state import Release, State
from covey.rollout.updating import due, step
from covey_client import slots
from covey_client.source import Offered, Source, SourceExpired, SourceRefused
from covey_client.trial_counts import Count, boot_id, clock, prune_counts, read_counts
from covey_client.update_outcome import write_outcome
from covey_client.update_steps import Steps, release_in
from covey_client.update_store import LOCK, is_held, read_state, write_state
from covey_io import durable
from covey_io.lock import held

STUCK: Final = 3
"""Times the trial's `hang_seconds`, after which a request cannot have been ended."""
NS: Final = 1_000_000_000


@dataclass(frozen=True)
class Place:
    """A device, as its updater knows it.

    Attributes:
        state: The agent's state folder.
        folder: The device's folder, with the slots.
        rules: What the machine goes by.
        steps: What does the work.
        now: The device's clock, unix seconds.
        elapsed: Nanoseconds by a clock that nobody sets.
        boot: Which start of the device this is.
    """

    state: Path
    folder: Path
    rules: Rules
    steps: Steps
    now: Callable[[], float]
    elapsed: Callable[[], int] = clock
    boot: Callable[[], str] = boot_id

    @property
    def source(self) -> Source:
        """Where releases come from."""
        return self.steps.source


class Updater:
    """See the module.

    Args:
        place: The device.

    Raises:
        StateError: The state file is damaged; it is left as it is.
        OSError: The disk cannot be read, or does not take the device's folder.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        durable.make_folder(place.state, mode=0o700)
        durable.make_folder(place.folder)
        self.state = read_state(place.state)
        self._looked = place.elapsed()

    def round(self, *, urgent: bool = False) -> State:
        """Ask the source once, and go as far as it can: to rest, to a wait, or to a trial.

        Args:
            urgent: Somebody waits for it: no back-off.

        Raises:
            CoveyError: Another updater runs on this device, or `current` is not ours.
            OSError: The disk does not take the updater's memory: nothing was begun.
        """
        with self._alone():
            self._feed(events.Woke(self._place.now(), self._place.boot(), self._serves(), urgent))
            self._finish()
            offered = self._asked()
            self._work()
            if offered is not None and self.state.phase == "idle":
                self._instruct(offered)  # what was given up on the way makes room for what was told
                self._work()
            if self.state.phase == "idle":
                self._feed(self._seen(0))
                prune_counts(self._place.folder, self.state.runs.sha256 if self.state.runs else "")
        return self.state

    def watch(self) -> State:
        """Look at the trial.

        Raises:
            OSError: The disk does not take what was seen.
        """
        with self._alone():
            seconds = (self._place.elapsed() - self._looked) // NS
            if self.state.on_trial:
                self._feed(self._seen(seconds))
                self._looked += seconds * NS
            self._finish()
        return self.state

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._place.state / LOCK
        busy = CoveyError(f"{lock}: another updater runs on this device", hint="wait for it")
        with held(lock, busy):
            self.state = read_state(self._place.state)
            yield

    def _feed(self, event: Event) -> None:
        """Take an event: the new state is on disk before anything follows from it."""
        trial = self.state.on_trial
        after, _ = step(self.state, event, self._place.rules)
        if after != self.state:
            write_state(self._place.state, after)
            self._say(after)
        self.state = after
        if after.on_trial and not trial:
            self._looked = self._place.elapsed()
        self._report()

    def _say(self, after: State) -> None:
        if after.why != self.state.why:
            self._place.steps.log(after.why)

    def _report(self) -> None:
        """Tell the agent; that it cannot be told changes nothing about what runs."""
        if self.state.outcome is None:
            return
        try:
            write_outcome(self._place.state, self.state.outcome)
        except OSError as error:
            self._place.steps.log(f"the outcome cannot be told: {error}")

    def _serves(self) -> Release | None:
        # a link that was swapped but not flushed is one thing in memory and another on the disk
        durable.sync_folder(self._place.folder)
        return release_in(self._place.folder, slots.current_slot(self._place.folder))

    def _asked(self) -> Offered | None:
        """Ask the source, if it is time; what it offers, if that is to be followed."""
        now = self._place.now()
        if not has_waited(self.state.not_before, believed(self.state, now)):
            return None
        try:
            offered = self._place.source.check()
        except (SourceExpired, SourceRefused) as error:
            self._feed(events.Stale(self._place.now(), str(error)))
            return None
        except (CoveyError, OSError) as error:
            self._feed(events.Unreachable(self._place.now(), str(error)))
            return None
        if offered is None:
            self._feed(events.Uninstructed(self._place.now()))
            return None
        return offered if self._instruct(offered) else None

    def _instruct(self, offered: Offered) -> bool:
        now, owner_holds = self._place.now(), is_held(self._place.state)
        try:
            self._feed(events.Instructed(now, offered.instruction, offered.floor, owner_holds))
        except ProtocolError as error:
            self._feed(events.Stale(now, str(error)))
            return False
        return True

    def _finish(self) -> None:
        while self.state.phase in ENDING and (effects := self._due()):
            self._feed(self._place.steps.do(effects[0]))

    def _work(self) -> None:
        while not self.state.on_trial and (effects := self._due()):
            self._feed(self._place.steps.do(effects[0]))

    def _due(self) -> tuple[Effect, ...]:
        return due(self.state, self._place.now())

    def _seen(self, seconds: int) -> events.Watched:
        """What those who serve say of what runs, or is on trial."""
        attempt, runs = self.state.attempt, self.state.runs
        image = attempt.image.sha256 if attempt else runs.sha256 if runs else ""
        counts = [each for each in read_counts(self._place.folder) if each.image == image]
        return events.Watched(
            self._place.now(),
            seconds,
            sum(each.served for each in counts),
            sum(each.errors for each in counts),
            tuple(each.name for each in counts if each.died_busy),
            self._stuck(counts),
        )

    def _stuck(self, counts: list[Count]) -> str:
        longest = max((each.busy_seconds for each in counts if each.alive), default=0.0)
        hangs = STUCK * self._place.steps.hang_ms / 1000
        return f"a request has lasted for {longest:.0f} s, and cannot be ended" if longest > hangs else ""
