"""Health of open rings: where it comes from.

A health sum is asked of the fleet like any other private sum. On the command line its result comes as a file,
`covey rollout tick --health FILE`, which whatever made the sum wrote:

{"format": "covey-rollout-health/1", "rollout": "wrist-2", "time": 1800000000, "deviation": 3.2,
 "rings": [{"succeeded": 1.8, "failed": -0.4}, {"succeeded": 41.0, "failed": 2.2}]}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import msgspec

from covey.errors import InputError
from covey.package.manifest import ShortName
from covey.rollout.health import RingHealth
from covey.rollout.plan import RolloutPlan
from covey.rollout.rolling_state import Time
from covey_io.input_files import unreadable


class Health(Protocol):
    """Asks the fleet how a rollout goes."""

    def ask(self, plan: RolloutPlan, opened: int) -> tuple[RingHealth, ...]:
        """Health of the open rings, in their order; how many devices are expected is the server's to know.

        Args:
            plan: Of the rollout.
            opened: So many rings are open.

        Raises:
            RoundAborted: Too few devices answered; ask again later.
        """


class RingCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ring in a file of health.

    Attributes:
        succeeded: Devices that committed the image.
        failed: Devices that rolled it back or refused it.
    """

    succeeded: float
    failed: float


class HealthFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a health sum wrote.

    Attributes:
        format: Of this format.
        rollout: Which it is about.
        time: When devices were asked, Unix seconds.
        rings: Of each open ring.
        deviation: Standard deviation of the noise on each count.
    """

    format: Literal["covey-rollout-health/1"]
    rollout: ShortName
    time: Time
    rings: Annotated[tuple[RingCounts, ...], msgspec.Meta(min_length=1, max_length=8)]
    deviation: Annotated[float, msgspec.Meta(ge=0)]


@dataclass(frozen=True)
class Heard:
    """Health that was asked for before.

    Attributes:
        taken: When, Unix seconds.
        rings: Of each open ring.
    """

    taken: int
    rings: tuple[RingHealth, ...]


def read_health(path: Path, rollout: str, expected: Sequence[int]) -> Heard:
    """A file of health.

    Args:
        path: The file.
        rollout: It must be about this one.
        expected: Devices that should report, for each open ring.

    Raises:
        InputError: It cannot be read, is about another rollout, or about other rings than are open.
    """
    try:
        file = msgspec.json.decode(path.read_bytes(), type=HealthFile)
    except OSError as error:
        raise unreadable(path, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no health of a rollout: {error}", hint="ask for health anew") from error
    if file.rollout != rollout:
        raise InputError(f"{path} is about {file.rollout}, not {rollout}", hint="ask for health anew")
    if len(file.rings) != len(expected):
        raise InputError(
            f"{path} is about {len(file.rings)} rings, and {len(expected)} are open",
            hint="ask for health anew: rings were opened since",
        )
    rings = tuple(
        RingHealth(count, ring.succeeded, ring.failed, file.deviation)
        for ring, count in zip(file.rings, expected, strict=True)
    )
    return Heard(file.time, rings)
