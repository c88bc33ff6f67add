"""What a process that carries out runs is told, and what it tells."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from covey_simulations.engines.settings import Stages
from covey_simulations.experiments.sweep_file import StopSettings
from covey_simulations.settings import SimulationFile


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A run to carry out, or to go on with.

    Attributes:
        file: Its configuration.
        folder: Where.
        stages: How far it goes.
        stop: When it has shown enough.
        until: It pauses after so many rounds, unfinished; None to go on.
        last: It ends for good after so many rounds; None for all.
        log_to: Where its rounds are written besides; see `covey_simulations.experiments.trackers`.
    """

    file: SimulationFile
    folder: str
    stages: Stages = "training"
    stop: StopSettings | None = None
    until: int | None = None
    last: int | None = None
    log_to: tuple[str, ...] = ()


class Began(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A run is being worked on.

    Attributes:
        round: The last that it had behind it.
    """

    round: int


class Progressed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A round is over and its checkpoint written; accuracy is None in rounds without validation."""

    round: int
    loss: float
    accuracy: float | None
    seconds: float


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A run is finished, or has paused.

    Attributes:
        finished: Whether it has its summary.
    """

    finished: bool


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A run went wrong; what it had on disk is there.

    Attributes:
        message: In one line.
        hint: The next step.
        trace: Of an error that is nobody's but the program's; empty otherwise.
    """

    message: str
    hint: str = ""
    trace: str = ""


Told: TypeAlias = Began | Progressed | Ended | Failed
"""What becomes of a run; the last two end it."""
Listener = Callable[[Job, Told], None]
Tell = Callable[[Told], None]
