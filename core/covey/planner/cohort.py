"""How many devices must answer before a sum is opened, and how many of those are honest."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from covey.accounting import checks
from covey.errors import InputError
from covey.plan import LARGEST_COHORT, LARGEST_GRAPH, SMALLEST_COHORT, Profile
from covey.secagg.graph import parameters, quorum

SPARSE_SECURITY: Final = 80
"""Bits of security of a sparse graph: twice the usual, since whoever sets the graph's seed can try many."""


@dataclass(frozen=True)
class Assumptions:
    """What the operator believes of a cohort.

    Attributes:
        devices: n, devices asked for one sum.
        corrupt: C_max, the most devices of the whole roster that may side with the server, at least 1.
        dropouts: Fraction of the cohort that may drop out of a sum; only without `minimum`.
        minimum: The fewest devices whose sum is opened; None to follow from the drop-outs.
        profile: What the server is assumed to do.
    """

    devices: int
    corrupt: int = 1
    dropouts: float = 0.3
    minimum: int | None = None
    profile: Profile = "malicious-server"


@dataclass(frozen=True)
class Cohort:
    """What follows for the protocol.

    Attributes:
        devices: n.
        corrupt: C_max.
        minimum: The fewest devices whose sum is opened.
        threshold: t, shares that open a secret; in the malicious-server profile also the votes needed.
        neighbours: Devices that each one shares masks with.
        profile: What the server is assumed to do.
    """

    devices: int
    corrupt: int
    minimum: int
    threshold: int
    neighbours: int
    profile: Profile

    @property
    def honest(self) -> int:
        """h, the fewest honest devices in an opened sum: only their noise counts."""
        return self.minimum - self.corrupt

    @property
    def tolerance(self) -> int:
        """The most devices that may drop out of a sum that is still opened."""
        return self.devices - self.minimum


def minimum_for(devices: int, corrupt: int, dropouts: float) -> int:
    """The minimum that survives a fraction of drop-outs: n minus them, rounded up.

    Args:
        devices: n.
        corrupt: C_max.
        dropouts: Fraction of n that may drop out.

    Raises:
        InputError: So many drop-outs would leave fewer devices than open a sum safely.
    """
    checks.within("dropouts", dropouts, 0.0, 0.9, hint="a fraction of the devices, as 0.3")
    minimum = devices - ceil(Fraction(repr(float(dropouts))) * devices)
    if minimum < (least := _least_minimum(devices, corrupt)):
        raise InputError(
            f"when {dropouts:.0%} of {devices} devices drop out {minimum} are left; a sum needs {least}",
            hint=f"lower dropouts to {(devices - least) * 1000 // devices / 1000:g}"
            if devices > least
            else "ask more devices",
        )
    return minimum


def cohort_for(assumptions: Assumptions) -> Cohort:
    """The protocol's numbers for a cohort.

    Raises:
        InputError: No safe numbers exist for it; the hint names the one to change.
    """
    _check_sizes(assumptions)
    n, corrupt = assumptions.devices, assumptions.corrupt
    if assumptions.minimum is None:
        minimum = minimum_for(n, corrupt, assumptions.dropouts)
    else:
        minimum = _checked_minimum(n, corrupt, assumptions.minimum)
    if assumptions.profile == "malicious-server":
        return Cohort(n, corrupt, minimum, quorum(n, corrupt), n - 1, assumptions.profile)
    graph = parameters(n, corrupt, n - minimum, sigma=SPARSE_SECURITY, majority=True)
    return Cohort(n, corrupt, minimum, graph.threshold, graph.neighbours, assumptions.profile)


def _least_minimum(devices: int, corrupt: int) -> int:
    """A majority of honest devices, so that no two disjoint sets open one sum; and two honest ones in it."""
    return max(quorum(devices, corrupt), corrupt + 2)


def _checked_minimum(devices: int, corrupt: int, minimum: int) -> int:
    least = _least_minimum(devices, corrupt)
    checks.whole("minimum", minimum, least, devices, hint=f"minimum = {least} tolerates most drop-outs")
    return minimum


def _check_sizes(assumptions: Assumptions) -> None:
    n = assumptions.devices
    checks.whole("devices", n, 1, 1 << 31, hint=f"{SMALLEST_COHORT} to {LARGEST_GRAPH:,} devices")
    if n < SMALLEST_COHORT:
        raise InputError(
            f"{n} devices hide one another too little", hint=f"ask at least {SMALLEST_COHORT} devices"
        )
    if assumptions.profile == "malicious-server" and n > LARGEST_COHORT:
        raise InputError(
            f"{n} devices are too many for one cohort in which every device checks every other",
            hint=f"plan cohorts of at most {LARGEST_COHORT} devices with the same corrupt, or profile"
            " semi-honest-server",
        )
    if assumptions.profile == "semi-honest-server" and not LARGEST_COHORT <= n <= LARGEST_GRAPH:
        raise InputError(
            f"{n} devices do not suit profile semi-honest-server",
            hint=f"it is for {LARGEST_COHORT} to {LARGEST_GRAPH} devices; else use malicious-server",
        )
    hint = "the server may always control one device, and two honest ones must be left"
    checks.whole("corrupt", assumptions.corrupt, 1, n - 2, hint=hint)
