"""What the agent tells systemd about itself (`Type=notify`, `WatchdogSec=`): see sd_notify(3).

Without a NOTIFY_SOCKET nobody listens, and nothing happens. The watchdog is fed by the loop that does the
work, never by a thread of its own: what feeds it must stop when the work stops.
"""

import time
from collections.abc import Mapping
from typing import Final

from covey_io.notify import READY, STOPPING, WATCHDOG, notify, status, watchdog_seconds

RELOADING: Final = "RELOADING=1"
BEATS: Final = 3
"""Signs of life within the time that systemd waits for one."""


class Systemd:
    """Whoever started this process, if it wants to know.

    Args:
        environment: Where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked up; None for this
            process's own.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment
        self._awaited = watchdog_seconds(environment)
        self._last_beat = -float("inf")
        self._last_status = ""

    @property
    def beat_seconds(self) -> float | None:
        """How long a loop may wait before it calls `beat` again; None where nobody waits for it."""
        return None if self._awaited is None else self._awaited / BEATS

    def ready(self, text: str = "") -> bool:
        """The agent listens. Returns, as all of them do, whether somebody was told."""
        return self._tell(READY, text)

    def says(self, text: str) -> bool:
        """A line for `systemctl status`; the same again is not sent again."""
        return text != self._last_status and self._tell("", text)

    def beat(self, now: float) -> bool:
        """A sign of life, if one is due.

        Args:
            now: Seconds of a clock that never goes back.
        """
        if self.beat_seconds is None or now - self._last_beat < self.beat_seconds:
            return False
        self._last_beat = now
        return self._tell(WATCHDOG)

    def reloading(self) -> bool:
        """The configuration is read anew; `ready` ends it. The time must be of CLOCK_MONOTONIC."""
        return self._tell(
            f"{RELOADING}\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        )

    def stopping(self, text: str = "") -> bool:
        """The agent ends, and may need a while for it."""
        return self._tell(STOPPING, text)

    def _tell(self, message: str, text: str = "") -> bool:
        if text:
            self._last_status = text
            message = f"{message}\n{status(text)}" if message else status(text)
        return notify(message, self._environment)
