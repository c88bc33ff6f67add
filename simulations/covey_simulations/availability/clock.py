"""How long a sum lasts on the virtual clock, and whose answers are in it."""

from dataclasses import dataclass

import numpy as np

from covey_simulations.availability.keyed import Flags
from covey_simulations.availability.work import Attempts


@dataclass(frozen=True)
class Ended:
    """A stage that everybody was waited for.

    Attributes:
        seconds: It took.
        answered: Who was in time; one flag a device.
    """

    seconds: float
    answered: Flags


def ended(attempts: Attempts, timeout: float, needed: int = 0) -> Ended:
    """A stage lasts until all have answered, or the needed number has, or the timeout.

    A server cannot tell a device that dropped out from one that is slow: it waits.

    Args:
        attempts: Of everyone asked.
        timeout: Seconds.
        needed: So many answers are enough (over-selection: more are asked); 0 for all.
    """
    times = np.where(attempts.finished & (attempts.ends <= timeout), attempts.ends, np.inf)
    wanted = min(needed, len(times)) or len(times)
    last = float(np.sort(times)[wanted - 1]) if wanted else 0.0
    seconds = last if np.isfinite(last) else timeout
    return Ended(seconds, np.asarray(times <= seconds, np.bool_))
