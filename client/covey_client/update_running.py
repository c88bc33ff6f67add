"""The updater's process: one round, and the watch over a trial to its end.

`python -m covey_client.update_running DEVICE.toml`, which the agent starts now and then. Its exit status says
whether it is at rest, failed, or waits for a maintenance window (`covey_client.updates`).
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from covey.errors import CoveyError
from covey.rollout.update_state import State
from covey_client.configuration import read
from covey_client.owner_log import to_log
from covey_client.update_place import place_of
from covey_client.updater import Updater
from covey_client.updates import AT_REST, FAILED, WAITS
from covey_io.lock import held

LOOK_SECONDS: Final = 1.0
ONE: Final = "update-running.lock"


def run(
    updater: Updater, every: float, *, sleep: Callable[[float], None] = time.sleep, urgent: bool = False
) -> State:
    """One round; while it leads to a trial, watch, and ask again as often as ever.

    Args:
        updater: The device's.
        every: Seconds between two questions.
        sleep: Waits so many seconds.
        urgent: Somebody waits for it.
    """
    updater.round(urgent=urgent)
    asked = time.monotonic()
    while updater.state.on_trial:
        sleep(LOOK_SECONDS)
        updater.watch()
        if time.monotonic() - asked >= every:
            updater.round()
            asked = time.monotonic()
    return updater.state


def status_of(state: State) -> int:
    """What the process says with its end."""
    if state.failures:
        return FAILED
    return AT_REST if state.phase == "idle" else WAITS


def main() -> int:
    """Of the process."""
    try:
        file = read(Path(sys.argv[1]))
        updater = Updater(place_of(file, watch=lambda _, __: None, log=to_log))
        busy = CoveyError("an updater of this device runs already", hint="it goes on by itself")
        with held(Path(file.state) / ONE, busy):  # two would count a trial's seconds twice
            return status_of(run(updater, file.update.every_seconds))
    except CoveyError as error:
        to_log(f"no update: {error}")
    except OSError as error:
        to_log(f"no update, and what runs goes on: the disk does not take it: {error}")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
