"""When the agent has its newest admission fetched: about daily, after a failure sooner, never all at once.

So a certificate that was signed anew arrives long before the old one expires, and nobody visits the device.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from covey_client.owner_log import to_log

RENEWED: Final = 0
FAILED: Final = 1
NOTHING_NEWER: Final = 3
"""What the process says with its exit status."""

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
FIRST: Final = HOUR
FIRST_FAILURE: Final = 600.0
LONGEST: Final = 120.0
"""Seconds that one question may take."""


class Renewal:
    """A question that is asked again and again, by a process of its own.

    Args:
        command: Asks; see `covey_client.renewing`.
        renewed: Called when there is another admission on the disk.
        first: Seconds within which it is asked first: devices that had no power all start at once.
        clock: Seconds that only grow.
        chance: A number in [0, 1) each time.
    """

    def __init__(
        self,
        command: Sequence[str],
        renewed: Callable[[], None],
        *,
        first: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._command = command
        self._renewed = renewed
        self._clock = clock
        self._chance = chance
        self._failure = FIRST_FAILURE
        self._next = clock() + (FIRST if first is None else first) * chance()
        self._began = 0.0
        self._asking: subprocess.Popen[bytes] | None = None

    def step(self) -> None:
        """Begin or end a question, if it is time; never waits."""
        now = self._clock()
        if self._asking is None:
            if now >= self._next:
                self._begin(now)
            return
        status = self._asking.poll()
        if status is None and now - self._began < LONGEST:
            return
        self.close()
        self._ended(status, now)

    def close(self) -> None:
        """End a question that is being asked."""
        if self._asking is not None:
            self._asking.kill()
            self._asking.wait()
            self._asking = None

    def _begin(self, now: float) -> None:
        self._began = now
        try:
            self._asking = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        except OSError as error:
            to_log(f"the newest admission cannot be asked for: {error}")
            self._ended(None, now)

    def _ended(self, status: int | None, now: float) -> None:
        if status in {RENEWED, NOTHING_NEWER}:
            self._failure, wait = FIRST_FAILURE, DAY
        else:
            wait, self._failure = self._failure, min(2 * self._failure, DAY)
        self._next = now + wait * (0.5 + self._chance() / 2)
        if status == RENEWED:
            self._renewed()


def command(state: Path) -> tuple[str, ...]:
    """Asks for the device whose keys are in `state`."""
    return (sys.executable, "-m", "covey_client.renewing", str(state))
