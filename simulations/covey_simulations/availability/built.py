"""From the `[availability]` table to a run's clock, and what is refused before a run begins."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from covey.errors import ConfigError, InputError
from covey.plan import SMALLEST_COHORT, SMALLEST_SUM
from covey_models.model import Model
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile
from covey_simulations.availability.battery import Battery, Drains, undrained
from covey_simulations.availability.clockwork import PATIENCE, Clockwork, Rules, some_of
from covey_simulations.availability.flops import Weigher
from covey_simulations.availability.hardware import Hardware
from covey_simulations.availability.model import Modelled
from covey_simulations.availability.recordings import load
from covey_simulations.availability.settings import AvailabilitySettings, TierSettings
from covey_simulations.availability.tiers import TIERS, Figure, Tier
from covey_simulations.availability.traces import HOUR, Always, Diurnal
from covey_simulations.availability.usage import FILE, Usage
from covey_simulations.availability.work import Trace
from covey_simulations.data.devices import LazyDevices
from covey_simulations.data.federated import FederatedData
from covey_simulations.grid import SERVER
from covey_strategies.cohort import minimum_of
from covey_strategies.protection import Protection

TABLE: Final = "[availability]"
FIRST: Final = SERVER + 1
DEFAULT: Final = "pi4"
LOOKED_AT: Final = 2_000
"""Of a larger fleet, so many devices are looked at to see whether a run can be."""
STEP: Final = 2
"""Hours between two looks at a week. Curves by day and night have a longer peak than that."""


@dataclass(frozen=True)
class Subject:
    """What a clock is for.

    Attributes:
        file: The federation.
        settings: Its [availability].
        data: Who holds what.
        model: What is trained.
        protection: What protects its sums.
    """

    file: FederationFile
    settings: AvailabilitySettings
    data: FederatedData
    model: Model
    protection: Protection

    @property
    def nodes(self) -> range:
        """Numbers of its devices."""
        return range(FIRST, FIRST + len(self.data.devices))


def clockwork(subject: Subject, folder: RunFolder, tell: Callable[[str], None]) -> Clockwork:
    """A run's clock: new, or as it stood at the last checkpoint.

    Args:
        subject: What it is for.
        folder: The run's.
        tell: Is told when the run has to wait.

    Raises:
        ConfigError: The table does not fit the rest.
        StateError: What devices have spent is damaged.
    """
    saved = folder.latest()
    rows = [row for row in folder.rows() if saved and row["round"] <= saved.round]
    hours = float(rows[-1]["hours"]) if rows else np.inf
    used = Usage.opened(folder.path / FILE, saved.round if saved else -1, hours)
    start = subject.settings.start_hour * HOUR
    return Clockwork(
        rules=rules(subject),
        availability=modelled(subject, partial(used.lately, start)),
        weigh=Weigher(subject.model, subject.data.sizes, FIRST).work,
        usage=used,
        hours=hours if rows else used.latest,
        tell=tell,
        waited=0.0 if rows else used.waited,
    )


def rules(subject: Subject) -> Rules:
    """How the server goes about it.

    Raises:
        ConfigError: `needed` is more than are asked, or fewer than open a sum.
    """
    file, settings, federation = subject.file, subject.settings, subject.file.federation
    asked = federation.devices_per_round
    if settings.needed:
        if not settings.needed <= asked:
            raise ConfigError(
                TABLE,
                "needed",
                f"{settings.needed} answers of {asked} devices: ask more than are needed",
                hint="set federation.devices_per_round above it, by 30 % for example",
            )
        least = minimum_of(asked, federation.minimum_devices, file.privacy.dropouts, subject.protection)
        if settings.needed < least:
            raise ConfigError(
                TABLE,
                "needed",
                f"{settings.needed} answers, and a sum is opened with {least}",
                hint="raise it, or lower federation.minimum_devices",
            )
    return Rules(
        seed=file.seed,
        start=settings.start_hour * HOUR,
        enough=enough(subject),
        timeout=federation.round_timeout,
        needed=settings.needed / asked if settings.needed else 1.0,
        pause=settings.pause_minutes * 60,
        last=federation.rounds,
    )


def enough(subject: Subject) -> int:
    """Devices that must be online before anything is asked."""
    federation = subject.file.federation
    floor = SMALLEST_COHORT if subject.protection.masks == "on" else SMALLEST_SUM
    return max(federation.devices_per_round or federation.minimum_devices, floor)


def modelled(subject: Subject, drains: Drains = undrained) -> Modelled:
    """Who is online, and how it goes.

    Raises:
        ConfigError: A tier's figures are missing, or a file's lines are none.
    """
    seed, settings = subject.file.seed, subject.settings
    tiers = settings.tiers or (TierSettings(name=DEFAULT),)
    whole = sum(each.share for each in tiers)
    hardware = Hardware(
        seed=seed,
        tiers=[tier(each) for each in tiers],
        shares=[each.share / whole for each in tiers],
        law=settings.law,
        spread=settings.spread,
        jitter=settings.jitter,
        dropouts=settings.dropouts,
    )
    return Modelled(_trace(subject, hardware, drains), hardware)


def tier(given: TierSettings) -> Tier:
    """A kind of device: a known one, one of one's own, or a known one with other figures.

    Raises:
        ConfigError: Of an unknown one a figure is missing.
    """
    known = TIERS.get(given.name)
    figures = {}
    for key in ("gflops", "idle_watts", "busy_watts", "link_mbit"):
        value = getattr(given, key)
        if value is None and known is None:
            raise ConfigError(
                TABLE,
                f"tiers: {given.name}",
                f"{key} is missing",
                hint=f"known kinds are {', '.join(TIERS)}; of another one give all four figures",
            )
        figures[key] = getattr(known, key) if value is None else Figure(value, "the configuration")
    if figures["busy_watts"].value < figures["idle_watts"].value:
        raise ConfigError(TABLE, f"tiers: {given.name}", "busy_watts below idle_watts")
    return Tier(given.name, **figures)


def _trace(subject: Subject, hardware: Hardware, drains: Drains) -> Trace:
    seed, settings = subject.file.seed, subject.settings
    by_day = settings.diurnal
    night = Diurnal(seed, by_day.low, by_day.high, by_day.peak, by_day.zones)
    match settings.trace:
        case "always":
            return Always()
        case "diurnal":
            return night
        case "file":
            devices = subject.data.devices
            names = devices.names if isinstance(devices, LazyDevices) else tuple(devices)
            return load(Path(settings.path), names, FIRST, settings.repeat_hours)
        case "battery":
            battery = settings.battery
            return Battery(
                seed=seed,
                capacity=battery.capacity_wh * HOUR,
                least=battery.least,
                panel=battery.panel_watts,
                charger=battery.charger_watts,
                plugged=night,
                idle=hardware.idle_watts,
                drains=drains,
            )


def check(subject: Subject) -> None:
    """Refuse, before it starts, a run that would wait for ever.

    Raises:
        ConfigError: The table does not fit the rest.
        InputError: At no hour of a week enough devices are online; says how many are.
    """
    _check_buffer(subject)
    if not subject.settings.keeps_clock:
        return
    wanted, trace = rules(subject).enough, modelled(subject).trace
    if subject.settings.trace == "always":
        return
    _check_policy(subject)
    nodes, start = subject.nodes, subject.settings.start_hour * HOUR
    looked = some_of(nodes, LOOKED_AT, subject.file.seed, 0)
    hours = np.arange(0, PATIENCE, STEP)
    counts = np.array([int(trace.online(looked, start + hour * HOUR).sum()) for hour in hours])
    most = round(int(counts.max()) * len(nodes) / max(len(looked), 1))
    if most < wanted:
        when = (subject.settings.start_hour + float(hours[int(counts.argmax())])) % 24
        raise InputError(
            f"at most {most} of {len(nodes)} devices are online at once (at {when:g} h UTC, in a week looked "
            f"at every {STEP} hours), and {wanted} are to be asked",
            hint=f"lower federation.{_asked_by(subject)} to {most}, or have more of them online"
            if most >= SMALLEST_SUM
            else "see [availability]: with these figures hardly a device is ever on",
        )


def _check_buffer(subject: Subject) -> None:
    """What asynchronous rounds need of a clock."""
    settings, strategy, devices = subject.settings, subject.file.strategy, len(subject.data.devices)
    if strategy.name != "fedbuff":
        return
    if not settings.keeps_clock:
        raise ConfigError(
            TABLE,
            "trace",
            'strategy "fedbuff" goes by a virtual clock, and nothing is said of one',
            hint="say who is online and how fast devices are, for example spread = 1.0",
        )
    for key in ("needed", "pause_minutes"):
        if getattr(settings, key):
            raise ConfigError(
                TABLE, key, "is about rounds of cohorts, and a buffer has none", hint="set it to 0"
            )
    if strategy.buffer > devices:
        raise ConfigError(
            "[strategy]",
            "buffer",
            f"{strategy.buffer} of {devices} devices: each is in a buffer once",
            hint=f"lower it, to {max(devices // 2, 2)} for example",
        )


def _asked_by(subject: Subject) -> str:
    return "devices_per_round" if subject.file.federation.devices_per_round else "minimum_devices"


def _check_policy(subject: Subject) -> None:
    """A policy names the least cohort; where everyone who is there is asked, cohorts vary."""
    protection = subject.protection
    if protection.masks == "on" and protection.multipliers and not subject.file.federation.devices_per_round:
        raise ConfigError(
            "[federation]",
            "devices_per_round",
            "devices come and go, and a policy wants to know how many are asked",
            hint='give a number, or set privacy.masks = "elided"',
        )
