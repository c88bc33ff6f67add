"""How a rollout goes, asked of the devices by a private sum: a run of its own that trains nothing.

runs/NAME/health.json   what came out, for `covey rollout tick --health`; the run is finished once it is there
"""

import time

import msgspec

from covey_io import durable
from covey_server.coordinator import Coordinator
from covey_server.rollout_health import HealthFile, RingCounts
from covey_server.run_folder import HEALTH, RunFolder
from covey_server.settings import HealthSettings, health_task
from covey_strategies.queries import health


def ask_health(coordinator: Coordinator, asked: HealthSettings) -> HealthFile:
    """One private sum.

    Raises:
        RoundAborted: Too few devices.
    """
    task, taken = health_task(asked), int(time.time())
    collected = coordinator.ask_only(task)
    found = health.read(task, collected.sums, collected.deviation)
    return HealthFile(
        format="covey-rollout-health/1",
        rollout=asked.rollout,
        time=taken,
        rings=tuple(
            RingCounts(succeeded=succeeded, failed=failed)
            for succeeded, failed in zip(found.succeeded, found.failed, strict=True)
        ),
        deviation=found.deviation,
    )


def keep(heard: HealthFile, folder: RunFolder) -> None:
    """Write it down; the run is finished then."""
    durable.replace(folder.path / HEALTH, msgspec.json.format(msgspec.json.encode(heard), indent=2) + b"\n")
