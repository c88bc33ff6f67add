"""What a device finds around it: power, heat, network, disk and memory, as the kernel tells it.

Everything is read below a root folder, so that a made-up device can be described by files. What cannot be
read is None: unknown, and never taken for good news by `covey_client.conditions`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

Metered = Callable[[], bool | None]
"""Whether the network costs by the byte; None if nobody can tell."""

ROOT: Final = Path("/")
_POWER: Final = "sys/class/power_supply"
_THERMAL: Final = "sys/class/thermal"
_COLDEST, _HOTTEST = -60.0, 200.0
_ASK_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Surroundings:
    """A device's surroundings at one moment.

    Attributes:
        local: Local time, without a zone.
        on_ac: Whether it is fed from outside; a device without a battery always is.
        battery: Charge of the emptiest battery, percent; None if it has none.
        metered: Whether its network costs by the byte; None if nobody can tell.
        celsius: Of its hottest sensor; None if it has none.
        disk_bytes: Free for this process, where its state is; None if it cannot be read.
        memory_bytes: Free or at once available; None if it cannot be read.
    """

    local: datetime
    on_ac: bool
    battery: float | None
    metered: bool | None
    celsius: float | None
    disk_bytes: int | None
    memory_bytes: int | None


def read(
    state: Path,
    *,
    root: Path = ROOT,
    metered: Metered = lambda: None,
    clock: Callable[[], datetime] = datetime.now,
) -> Surroundings:
    """The surroundings now.

    Args:
        state: A folder on the disk that matters.
        root: Where `sys` and `proc` are.
        metered: Tells about the network.
        clock: Tells the local time.
    """
    batteries = tuple(_batteries(root))
    return Surroundings(
        local=clock(),
        on_ac=_is_fed(root, batteries),
        battery=min((_number(each / "capacity", 0.0) for each in batteries), default=None),
        metered=metered(),
        celsius=max(_temperatures(root), default=None),
        disk_bytes=_disk(state),
        memory_bytes=_memory(root),
    )


def ask_network_manager(command: str = "nmcli") -> bool | None:
    """Whether any network that is connected is metered, or guessed to be, as NetworkManager sees it.

    Args:
        command: Its client.
    """
    argv = [command, "-t", "-f", "GENERAL.STATE,GENERAL.METERED", "device", "show"]
    try:
        found = subprocess.run(  # noqa: S603 - a fixed command without a shell
            argv,
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=True,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return metered_in(found.stdout.decode("utf-8", "replace"))


def metered_in(told: str) -> bool | None:
    """What `nmcli -t -f GENERAL.STATE,GENERAL.METERED device show` means; None if it is not certain.

    Lines for each device: `GENERAL.STATE:100 (connected)`, and `GENERAL.METERED:` with `yes`, `no`,
    `yes (guessed)`, `no (guessed)` or `unknown`. Loopback and bridges, which NetworkManager does not manage,
    are `100 (connected (externally))` and settle nothing.
    """
    lines = [line.partition(":")[::2] for line in told.splitlines()]
    states = [value for name, value in lines if name == "GENERAL.STATE"]
    metered = [value for name, value in lines if name == "GENERAL.METERED"]
    words = {
        value.split(" ")[0]
        for state, value in zip(states, metered, strict=False)
        if state.startswith("100") and "externally" not in state
    }
    if "yes" in words:
        return True
    return False if words == {"no"} else None


def _batteries(root: Path) -> Iterator[Path]:
    """The device's own; a mouse's battery says that its scope is a device."""
    for supply in _entries(root / _POWER, "*"):
        own = _text(supply / "scope") != "Device" and _text(supply / "present") != "0"
        if own and _text(supply / "type") in {"Battery", "UPS"}:
            yield supply


def _is_fed(root: Path, batteries: tuple[Path, ...]) -> bool:
    """As systemd's ConditionACPower has it: from outside, or without a battery to be fed from."""
    lines = [
        _text(supply / "online")
        for supply in _entries(root / _POWER, "*")
        if _text(supply / "type") in {"Mains", "USB", "Wireless"} and _text(supply / "scope") != "Device"
    ]
    if any(line and line != "0" for line in lines):
        return True
    if not batteries:
        return True
    return not lines and all(_text(each / "status") in {"Charging", "Full"} for each in batteries)


def _temperatures(root: Path) -> Iterator[float]:
    for zone in _entries(root / _THERMAL, "thermal_zone*"):
        celsius = _number(zone / "temp", float("nan")) / 1000
        if _COLDEST < celsius < _HOTTEST:  # a sensor that is off tells nonsense
            yield celsius


def _disk(state: Path) -> int | None:
    try:
        return shutil.disk_usage(state).free
    except OSError:
        return None


def _memory(root: Path) -> int | None:
    """MemAvailable of /proc/meminfo, which is in KiB (proc(5))."""
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        amount = value.split()
        if name == "MemAvailable" and amount and amount[0].isdecimal():
            return int(amount[0]) * 1024
    return None


def _entries(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace").strip()
    except OSError:  # not there, or a driver that does not answer
        return ""


def _number(path: Path, unknown: float) -> float:
    try:
        return float(_text(path))
    except ValueError:
        return unknown
