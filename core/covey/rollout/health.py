"""What devices of open rings report, as noisy counts, and what follows for the share that failed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from covey.errors import ProtocolError
from covey.rollout.health_interval import Interval, normal_bound, share_interval


class RingHealth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a health sum gave for one ring. With noise a count may be anything, below zero too.

    Attributes:
        expected: Devices of the roster in this ring that follow the rollout; the server counts them.
        succeeded: Devices that committed the image.
        failed: Devices that rolled it back or refused it.
        deviation: Standard deviation of the noise on each of the two counts; 0 in the clear.
    """

    expected: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
    succeeded: float
    failed: float
    deviation: Annotated[float, msgspec.Meta(ge=0)] = 0.0


@dataclass(frozen=True)
class Evidence:
    """What counts of one ring, or of several together, show.

    Attributes:
        name: Of what.
        expected: Devices that should have reported.
        share: Estimate of the share that did not succeed.
        interval: Where the share lies.
        reported: So many have reported at the least, noise taken off.
        counted: So many count: those, and all of a ring whose time for reports is over.
        well: So many have succeeded at the least, noise taken off.
    """

    name: str
    expected: int
    share: float
    interval: Interval
    reported: float
    counted: float
    well: float

    @property
    def words(self) -> str:
        """For people."""
        return (
            f"{self.name}: {self.share:.1%} of {self.expected:,} devices have failed or not reported "
            f"({self.interval.words})"
        )


def check(health: Sequence[RingHealth], opened: int) -> None:
    """Refuse what is no health of so many open rings.

    Raises:
        ProtocolError: Another number of rings, or a count that is no number.
    """
    if len(health) != opened:
        raise ProtocolError(
            f"health of {len(health)} rings, and {opened} are open",
            blame="local",
            hint="ask for health anew: rings were opened since",
        )
    for ring in health:
        if not all(map(math.isfinite, (ring.succeeded, ring.failed, ring.deviation))) or ring.deviation < 0:
            raise ProtocolError("health with a count that is no number", blame="local", hint="ask anew")


def evidence(name: str, rings: Sequence[tuple[RingHealth, bool]], error: float) -> Evidence:
    """What counts show of the share of failed devices among those that should have reported.

    As long as reports may still come, a silent device may be either: the lower end takes it for well, the
    upper one for failed. Once its ring's time for reports is over it counts as failed for both.

    Args:
        name: Of what they are.
        rings: The counts of each, and whether its time for reports is over. The noises are independent.
        error: Allowed for each end of the interval.
    """
    total = sum(ring.expected for ring, _ in rings)
    most = total - sum(ring.succeeded for ring, _ in rings)
    least = sum(ring.expected - ring.succeeded if over else ring.failed for ring, over in rings)
    deviation = math.hypot(*(ring.deviation for ring, _ in rings))
    return Evidence(
        name=name,
        expected=total,
        share=min(max(most / total, 0.0), 1.0) if total else 0.0,
        interval=share_interval(least, most, total, deviation, error),
        reported=sum(_reported(ring) for ring, _ in rings) - _room(deviation, error),
        counted=sum(
            ring.expected if over else _reported(ring) - _room(ring.deviation, error) for ring, over in rings
        ),
        well=total - most - normal_bound(error) * deviation,
    )


def _reported(ring: RingHealth) -> float:
    return ring.succeeded + ring.failed


def _room(deviation: float, error: float) -> float:
    """How much of two noisy counts together noise may have made."""
    return normal_bound(error) * deviation * math.sqrt(2)
