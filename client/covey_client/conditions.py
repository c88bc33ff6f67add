"""What a device's owner lets it do, and when: the table `[when]` of device.toml.

Reading is in `covey_client.surroundings`; here it is decided, by pure functions. An owner's "only" is taken
at its word: what cannot be told counts as not given. Nothing of this leaves the device: a server learns that
it is not available, never why.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from covey.errors import ConfigError
from covey_client import surroundings, windows
from covey_client.surroundings import Metered, Surroundings
from covey_client.windows import Window

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Celsius = Annotated[float, msgspec.Meta(ge=0, le=150)]
Megabytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]

MB: Final = 1_000_000
SOON: Final = 60.0
LATER: Final = 600.0
FRESH_SECONDS: Final = 5.0


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[when]`.

    Attributes:
        windows: It begins work within any of these; empty for always.
        only_on_ac: Not on its battery.
        least_battery: Percent, whether it charges or not; a device without a battery has enough.
        only_unmetered: Not on a network that costs by the byte.
        metered: Who knows whether it does: "ask" NetworkManager, or the owner, "yes" or "no".
        stop_celsius: From here on it begins nothing, and training is held.
        go_celsius: Below this it goes on.
        least_disk_mb: Free, in megabytes.
        least_memory_mb: Available, in megabytes.
    """

    windows: tuple[str, ...] = ()
    only_on_ac: bool = False
    least_battery: Percent = 0.0
    only_unmetered: bool = False
    metered: Literal["ask", "yes", "no"] = "ask"
    stop_celsius: Celsius = 80.0
    go_celsius: Celsius = 70.0
    least_disk_mb: Megabytes = 100
    least_memory_mb: Megabytes = 0


@dataclass(frozen=True)
class Available:
    """The device may begin."""


@dataclass(frozen=True)
class NotNow:
    """It may not.

    Attributes:
        reason: For its owner.
        retry_after: Seconds after which it is worth asking again.
    """

    reason: str
    retry_after: float


Decision = Available | NotNow


def check(rules: Rules, source: str) -> tuple[Window, ...]:
    """The windows of an owner's rules, which are checked.

    Args:
        rules: As they were read.
        source: What an error calls their file.

    Raises:
        ConfigError: A window is none, or the device would never cool down enough.
    """
    if rules.go_celsius >= rules.stop_celsius:
        raise ConfigError(
            source, "when.go_celsius", f"expected less than stop_celsius, {rules.stop_celsius:g}"
        )
    try:
        return tuple(windows.parse(each) for each in rules.windows)
    except ValueError as error:
        raise ConfigError(source, "when.windows", str(error)) from error


def is_hot(rules: Rules, found: Surroundings, was_hot: bool) -> bool:
    """Whether it is too hot: from the upper mark on, until it is below the lower one.

    Args:
        rules: The owner's.
        found: Now.
        was_hot: Before.
    """
    if found.celsius is None:
        return False
    return found.celsius >= (rules.go_celsius if was_hot else rules.stop_celsius)


def decide(rules: Rules, opening: tuple[Window, ...], found: Surroundings, hot: bool) -> Decision:
    """Whether the device may begin.

    Args:
        rules: The owner's.
        opening: The windows in them.
        found: Its surroundings.
        hot: As `is_hot` says.

    Returns:
        Of several reasons not to, the one that takes longest to pass.
    """
    reasons = [
        *chain(
            _closed(opening, found), _strained(rules, found, hot), _unfed(rules, found), _costly(rules, found)
        ),
        *_full(rules, found),
    ]
    return max(reasons, key=lambda each: each.retry_after, default=Available())


def strain(rules: Rules, found: Surroundings, hot: bool) -> str:
    """Why training that has begun is held for a while; empty if it is not. Heat and battery only."""
    return next((each.reason for each in _strained(rules, found, hot)), "")


def _closed(opening: tuple[Window, ...], found: Surroundings) -> Iterator[NotNow]:
    if wait := windows.seconds_until_open(opening, found.local):
        yield NotNow("outside the windows of [when]", wait)


def _strained(rules: Rules, found: Surroundings, hot: bool) -> Iterator[NotNow]:
    if hot:
        yield NotNow(f"{found.celsius:.0f} °C; it goes on below {rules.go_celsius:g} °C", SOON)
    if found.battery is not None and found.battery < rules.least_battery:
        yield NotNow(f"battery at {found.battery:.0f} %, expected {rules.least_battery:g} %", LATER)


def _unfed(rules: Rules, found: Surroundings) -> Iterator[NotNow]:
    if rules.only_on_ac and not found.on_ac:
        yield NotNow("it runs on its battery", LATER)


def _costly(rules: Rules, found: Surroundings) -> Iterator[NotNow]:
    if not rules.only_unmetered or found.metered is False:
        return
    yield NotNow(
        "the network is metered" if found.metered else "whether the network is metered is unknown", LATER
    )


def _full(rules: Rules, found: Surroundings) -> Iterator[NotNow]:
    for what, free, least in (
        ("disk", found.disk_bytes, rules.least_disk_mb),
        ("memory", found.memory_bytes, rules.least_memory_mb),
    ):
        if least and (free is None or free < least * MB):
            known = "unknown" if free is None else f"{free / MB:.0f} MB"
            yield NotNow(f"free {what} {known}, expected {least} MB", SOON)


class Conditions:
    """An owner's rules and the device's surroundings. Any thread may ask.

    Args:
        rules: The owner's.
        state: A folder on the disk that matters.
        source: The rules' file, for errors.
        reads: Reads the surroundings; None for this machine's own.
        clock: Seconds that never go back; what was read stays good for a few.

    Raises:
        ConfigError: The rules cannot be followed.
    """

    def __init__(
        self,
        rules: Rules,
        state: Path,
        source: str = "device.toml",
        *,
        reads: Callable[[], Surroundings] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self.windows = check(rules, source)
        self._reads = reads or partial(surroundings.read, state, metered=_knows(rules))
        self._clock = clock
        self._lock = threading.Lock()
        self._hot = False
        self._read_at = -float("inf")
        self._found: Surroundings | None = None

    def now(self) -> Decision:
        """Whether the device may begin."""
        found, hot = self._look()
        return decide(self.rules, self.windows, found, hot)

    def hindrance(self) -> str:
        """Why it may not, for its owner; empty if it may."""
        decision = self.now()
        return decision.reason if isinstance(decision, NotNow) else ""

    def strain(self) -> str:
        """Why training that has begun is held; empty if it is not."""
        found, hot = self._look()
        return strain(self.rules, found, hot)

    def _look(self) -> tuple[Surroundings, bool]:
        with self._lock:
            now = self._clock()
            if self._found is None or now - self._read_at >= FRESH_SECONDS:
                self._found, self._read_at = self._reads(), now
                self._hot = is_hot(self.rules, self._found, self._hot)
            return self._found, self._hot


def _knows(rules: Rules) -> Metered:
    """Who knows about the network; nobody is asked where it does not matter."""
    if rules.metered != "ask":
        return lambda: rules.metered == "yes"
    return surroundings.ask_network_manager if rules.only_unmetered else lambda: None
