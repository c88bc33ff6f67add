"""What a run will take of the machine's memory, before it takes it.

An estimate: what training holds at once is bounded by simulation.memory_mb, but one device must fit, whatever
it takes, and the libraries take theirs. Data is not counted: it is read by now.
"""

from pathlib import Path
from typing import Final

from covey.errors import InputError
from covey_models.cohort.programs import Chosen

LIBRARIES: Final = 350 << 20
"""Of the run's own process, with PyTorch and Flower."""
FORKED: Final = 80 << 20
"""Of each further process, beside what it shares."""
ROWS: Final = 6 * 8
"""Bytes that an element of an answer takes on its way into a sum."""


def estimate(chosen: Chosen, length: int, workers: int, memory: int) -> int:
    """Bytes of all processes together, about.

    Args:
        chosen: How the model is trained.
        length: Parameters.
        workers: Processes that train.
        memory: Bytes that each may take for training.
    """
    one = 4 * chosen.floats + ROWS * length
    return LIBRARIES + FORKED * (workers - 1) + workers * max(one, memory)


def available() -> int | None:
    """Bytes that the machine can give without swapping; None where it does not say (Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) << 10 if found else None


def check(needed: int, free: int | None, workers: int) -> None:
    """Refuse a run that the machine would kill.

    Raises:
        InputError: Says how much is missing, and what to change.
    """
    if free is not None and needed > free:
        raise InputError(
            f"training would take about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            hint="lower simulation.memory_mb"
            + (" or simulation.workers" if workers > 1 else ", or choose a smaller model"),
        )
