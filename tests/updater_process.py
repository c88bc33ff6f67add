"""The updater of `update_world`, in a process of its own, to be killed: `python updater_process.py FOLDER`.

FOLDER has the device's state and slots, and `published`: what its source offers.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from covey.rollout.plan import Image
from covey.rollout.update_rules import Rules
from covey_client.owner_log import to_log
from covey_client.source import Offered
from covey_client.trial_counts import clock
from covey_client.update_children import Processes
from covey_client.update_running import run
from covey_client.update_steps import Steps
from covey_client.updater import Place, Updater
from covey_io import durable
from update_world import DEVICE, FLEET, TABLE

PIECE = 1024


class FolderSource:
    """Releases in a folder, fetched slowly.

    Args:
        folder: `instruction.json`, and archives by their SHA-256.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> Offered | None:
        """See `covey_client.source.Source`."""
        return Offered((self._folder / "instruction.json").read_bytes(), {"motion": 1})

    def fetch(self, image: Image, part: Path, watch: Callable[[int, int], None]) -> None:
        """See `covey_client.source.Source`."""
        archive = (self._folder / image.sha256).read_bytes()
        there = part.stat().st_size if part.exists() else 0
        with part.open("ab") as file:
            for at in range(there, len(archive), PIECE):
                file.write(archive[at : at + PIECE])
                file.flush()
                watch(at, len(archive))
                time.sleep(0.02)
        durable.sync(part)


def updater(folder: Path) -> Updater:
    """The device's."""
    device = folder / "device"
    steps = Steps(
        folder=device,
        source=FolderSource(folder / "published"),
        bench=Processes(device, TABLE),
        hang_ms=300,
        now=time.time,
        watch=lambda _, __: None,
        log=to_log,
    )
    return Updater(
        Place(folder / "state", device, Rules(FLEET, DEVICE, trial=TABLE.trial), steps, time.time, clock)
    )


if __name__ == "__main__":
    run(updater(Path(sys.argv[1])), 5, urgent=True)
