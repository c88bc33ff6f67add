"""When the agent starts the updater: every so often, sooner after a failure, never all devices at once.

The updater is a process that asks, does what there is to do, watches a trial to its end, and ends itself: its
libraries are in nobody's memory between two rounds.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from covey_client.owner_log import to_log

AT_REST: Final = 0
FAILED: Final = 1
WAITS: Final = 4
"""What the process says with its exit status; it waits for a maintenance window."""

FIRST_FAILURE: Final = 60.0
WAIT_SECONDS: Final = 300.0


class Updates:
    """Starts the updater again and again.

    Args:
        command: Starts it once; see `covey_client.update_running`.
        every: Seconds between two rounds, at most.
        clock: Seconds that only grow.
        chance: A number in [0, 1) each time.
    """

    def __init__(
        self,
        command: Sequence[str],
        every: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._command = command
        self._every = every
        self._clock = clock
        self._chance = chance
        self._failure = FIRST_FAILURE
        # devices that had no power all start at once; but one on trial has somebody to watch it soon
        self._next = clock() + min(every, FIRST_FAILURE) * chance()
        self._running: subprocess.Popen[bytes] | None = None

    def step(self) -> None:
        """Begin a round if it is time, or see that one has ended; never waits."""
        now = self._clock()
        if self._running is None:
            if now >= self._next:
                self._begin(now)
            return
        if (status := self._running.poll()) is not None:
            self._running = None
            self._ended(status, now)

    def close(self) -> None:
        """End it: it goes on where it was when it is started again."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def _begin(self, now: float) -> None:
        try:
            self._running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        except OSError as error:
            to_log(f"the updater cannot be started: {error}")
            self._ended(FAILED, now)

    def _ended(self, status: int, now: float) -> None:
        if status == AT_REST:
            self._failure, wait = FIRST_FAILURE, self._every
        elif status == WAITS:
            wait = min(self._every, WAIT_SECONDS)
        else:
            wait, self._failure = min(self._failure, self._every), min(2 * self._failure, self._every)
        self._next = now + wait * (0.5 + self._chance() / 2)


def command(config: Path) -> tuple[str, ...]:
    """Starts the updater of the device that a configuration describes."""
    return (sys.executable, "-m", "covey_client.update_running", str(config))
