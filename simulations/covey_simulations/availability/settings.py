"""The `[availability]` table of a federation file: a virtual clock, and who can be asked when."""

from typing import Annotated, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Chance = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Hours = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Zone = Annotated[float, msgspec.Meta(ge=-12, le=14)]
Law = Literal["lognormal", "pareto"]
Kind = Literal["always", "diurnal", "battery", "file"]


class TierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A kind of device; of a known one every figure can be left out.

    Attributes:
        name: One of `covey_simulations.availability.tiers.TIERS`, or a name of one's own.
        share: Of the fleet, in proportion to the other kinds'.
        gflops: Linpack speed.
        idle_watts: On, and doing nothing.
        busy_watts: With all cores busy.
        link_mbit: Either direction.
    """

    name: str
    share: Positive = 1.0
    gflops: Positive | None = None
    idle_watts: NotNegative | None = None
    busy_watts: Positive | None = None
    link_mbit: Positive | None = None


class DiurnalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Day and night; see `covey_simulations.availability.traces.Diurnal`.

    Attributes:
        low: Share of devices online at the worst hour.
        high: Share at the best.
        peak: The best hour, local time.
        zones: Hours ahead of UTC that devices are spread over.
    """

    low: Share = 0.1
    high: Share = 0.4
    peak: Annotated[float, msgspec.Meta(ge=0, lt=24)] = 2.0
    zones: Annotated[tuple[Zone, ...], msgspec.Meta(min_length=1, max_length=64)] = (0.0,)

    def __post_init__(self) -> None:
        """Refuse a night that is the day."""
        if self.low > self.high:
            raise ValueError("low is the worst hour's share, and may not be above high")


class BatterySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Batteries; see `covey_simulations.availability.battery`. All of it is assumed.

    Attributes:
        capacity_wh: Watt hours.
        least: A device takes part while its battery is at least so full.
        panel_watts: Of its solar panel under a full sun.
        charger_watts: Of its charger, where it is by day and night as `[availability.diurnal]` has it.
    """

    capacity_wh: Positive = 20.0
    least: Share = 0.4
    panel_watts: NotNegative = 5.0
    charger_watts: NotNegative = 0.0


class AvailabilitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who can be asked when, and how long it takes. Left out: everyone, always, and no clock.

    Attributes:
        trace: Who is online: "always", "diurnal" (mostly at night), "battery" (whose battery is full enough),
            or "file".
        path: Of a file of who is online: CSV or TOML; see `covey_simulations.availability.recordings`.
        repeat_hours: After so many hours the file begins again; 0 for never.
        start_hour: UTC hour of the day at which the run begins.
        tiers: Kinds of devices; none for Raspberry Pi 4.
        law: Of what makes one device slower than another of its kind.
        spread: Of that law; 0 for no differences.
        jitter: Deviation of the logarithm of a factor that changes from time to time.
        dropouts: Probability that a device drops out of what it was asked.
        needed: So many answers end a sum's first stage; 0 to wait for all, or the timeout.
        pause_minutes: That pass after each round: until devices look for work again, for example.
        diurnal: By day and night.
        battery: Batteries.
    """

    trace: Kind = "always"
    path: str = ""
    repeat_hours: Hours = 0.0
    start_hour: Annotated[float, msgspec.Meta(ge=0, lt=24)] = 0.0
    tiers: tuple[TierSettings, ...] = ()
    law: Law = "lognormal"
    spread: NotNegative = 0.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    dropouts: Chance = 0.0
    needed: Annotated[int, msgspec.Meta(ge=0)] = 0
    pause_minutes: NotNegative = 0.0
    diurnal: DiurnalSettings = DiurnalSettings()
    battery: BatterySettings = BatterySettings()

    def __post_init__(self) -> None:
        """Refuse a file that is not read, and one that is missing."""
        if (self.trace == "file") != bool(self.path):
            raise ValueError('path goes with trace = "file", and that needs one')

    @property
    def keeps_clock(self) -> bool:
        """Whether anything is said: else everyone is there, always, and nothing takes time."""
        return self != AvailabilitySettings()
