"""How a rollout goes, asked of the devices by a private sum: a run of its own that trains nothing.

runs/NAME/health.json   what came out: for `covey rollout tick --health`
runs/NAME/summary.json  the same: the run is finished once it is there
"""

import time
from typing import Final

import msgspec

from covey_io import durable
from covey_server.coordinator import Coordinator
from covey_server.run_folder import RunFolder
from covey_server.settings import HealthSettings, health_task
from covey_strategies.queries import health

FILE: Final = "health.json"


class Heard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What devices said of a rollout, noisy.

    Attributes:
        rollout: Its identifier.
        image: SHA-256 of the archive that is rolled out.
        succeeded: Devices that keep it, by ring.
        failed: Devices that refused it or went back, by ring.
        deviation: Standard deviation of the noise in each count.
        devices: In the sum.
        time: Unix seconds.
        format: Of this format.
    """

    rollout: str
    image: str
    succeeded: tuple[float, ...]
    failed: tuple[float, ...]
    deviation: float
    devices: int
    time: int
    format: str = "covey-health/1"


def ask_health(coordinator: Coordinator, asked: HealthSettings) -> Heard:
    """One private sum.

    Raises:
        RoundAborted: Too few devices.
    """
    task = health_task(asked)
    collected = coordinator.ask_only(task)
    found = health.read(task, collected.sums, collected.deviation)
    return Heard(
        rollout=asked.rollout,
        image=asked.image,
        succeeded=found.succeeded,
        failed=found.failed,
        deviation=found.deviation,
        devices=collected.devices,
        time=int(time.time()),
    )


def keep(heard: Heard, folder: RunFolder) -> None:
    """Write it down; the run is finished then."""
    data = msgspec.json.format(msgspec.json.encode(heard), indent=2) + b"\n"
    for name in (FILE, "summary.json"):
        durable.replace(folder.path / name, data)
