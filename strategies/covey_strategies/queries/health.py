"""Query `health`: how did a rollout go, ring by ring?

A device that installed the image and kept it counts one as succeeded, in its ring; one that refused it or
went back counts one as failed; all others count nothing, and whoever waits for them knows how many they are.
The count follows from what the device's updater has written down, which may follow from any of its examples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from covey.encode import Shape, Vectors
from covey.plan import Health, Unit
from covey_strategies.queries.device import Device

CELLS = ("succeeded", "failed")


@dataclass(frozen=True)
class HealthSum:
    """A fleet's counts, noisy.

    Attributes:
        succeeded: By ring.
        failed: By ring.
        deviation: Standard deviation of the noise in each count.
    """

    succeeded: tuple[float, ...]
    failed: tuple[float, ...]
    deviation: float


def shapes(task: Health, unit: Unit) -> dict[str, Shape]:
    """How a row is laid out: one count of a device.

    One example can move a device's count from one cell to another, which is further than taking it away. The
    scale is a whole number, so that the two counts are √2 apart and no rounding takes them further.
    """
    longest = 1.0 if unit == "device" else sqrt(2)
    return {"outcome": Shape(task.rings * len(CELLS), longest, whole=True)}


def rows(task: Health, device: Device) -> Vectors:
    """Device half: one row."""
    cells = np.zeros((1, task.rings, len(CELLS)))
    found = device.outcome()
    if (
        found is not None
        and (found.rollout, found.image) == (task.rollout, task.image)
        and found.ring < task.rings
        and found.result in CELLS
    ):
        cells[0, found.ring, CELLS.index(found.result)] = 1.0
    return {"outcome": cells.reshape(1, -1)}


def read(task: Health, sums: Vectors, deviation: Callable[[str], float]) -> HealthSum:
    """Server half; the arguments are as of `covey_strategies.queries.compare.read`."""
    counts = sums["outcome"].reshape(task.rings, len(CELLS))
    return HealthSum(tuple(counts[:, 0].tolist()), tuple(counts[:, 1].tolist()), deviation("outcome"))
