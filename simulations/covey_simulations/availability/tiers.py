"""Kinds of devices: how fast, how hungry, how well connected. The one table; each figure has its source.

Linpack is double precision on four cores with tuned libraries; local training of a small network reaches a
part of it only, which `EFFICIENCY` stands for. Watts are taken at the wall where the source says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TOP500: Final = "HPL Linpack with watts, github.com/geerlingguy/top500-benchmark, README, 2025"
CNX: Final = "cnx-software.com, Raspberry Pi Zero 2 W's power consumption, 9 December 2021: 120 mA at 5 V"
CHIPWIRED: Final = "chipwired.com, Raspberry Pi power use: idle load at a watt meter"
ASSUMED: Final = "assumed"

EFFICIENCY: Final = 0.1
"""Share of a tier's Linpack speed that local training reaches. Assumed: small layers, one process."""
LINK_WATTS: Final = 0.5
"""What sending or receiving takes above idling, watts. Assumed."""
ROUND_TRIP: Final = 0.1
"""Seconds that a request and its reply take beside their bytes. Assumed."""


@dataclass(frozen=True)
class Figure:
    """A number and where it is from."""

    value: float
    source: str = ASSUMED


@dataclass(frozen=True)
class Tier:
    """A kind of device.

    Attributes:
        name: As the configuration says it.
        gflops: Linpack, 10^9 operations a second.
        idle_watts: On, and doing nothing.
        busy_watts: With all cores busy.
        link_mbit: Of its link in either direction, 10^6 bit/s.
    """

    name: str
    gflops: Figure
    idle_watts: Figure
    busy_watts: Figure
    link_mbit: Figure


TIERS: Final[Mapping[str, Tier]] = {
    each.name: each
    for each in (
        Tier(
            "pi-zero-2w",
            gflops=Figure(0.370, TOP500),  # 512 MB of memory hold it back
            idle_watts=Figure(0.6, CNX),
            busy_watts=Figure(2.1, TOP500),
            link_mbit=Figure(20.0),
        ),
        Tier(
            "pi4",
            gflops=Figure(11.889, TOP500),
            idle_watts=Figure(3.0, CHIPWIRED),
            busy_watts=Figure(7.2, TOP500),
            link_mbit=Figure(50.0),
        ),
        Tier(
            "pi5",
            gflops=Figure(30.249, TOP500),
            idle_watts=Figure(3.5),
            busy_watts=Figure(11.0, TOP500),
            link_mbit=Figure(50.0),
        ),
    )
}
