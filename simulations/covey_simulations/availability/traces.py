"""Who is online: always, by day and night, or as a file has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from covey_simulations.availability.keyed import Flags, Floats, Nodes, Times, uniform

HOUR, DAY = 3600.0, 24 * 3600.0


@dataclass(frozen=True)
class Always:
    """Everyone, at any time."""

    def online(self, nodes: Nodes, at: Times) -> Flags:
        """See `Trace`."""
        del at
        return np.ones(len(nodes), np.bool_)


@dataclass(frozen=True)
class Diurnal:
    """Idle, charging and on an unmetered link: mostly at night, by the device's own clock.

    A model, not a measurement. Its shape is that of Bonawitz et al., arXiv:1902.01046, section 9 and figure
    5: with devices more likely idle and charging at night, four times as many take part at the best hour as
    at the worst. The curve between the two is a cosine, the peak's hour and height are assumed. A device has
    one draw from noon to noon, so that it is online once a night and without gaps, longest where its luck is
    best.

    Attributes:
        seed: The run's.
        low: Share online at the worst hour.
        high: Share online at the best hour.
        peak: The best hour, local time.
        zones: Hours ahead of UTC; each device is in one of them, at random.
    """

    seed: int
    low: float = 0.1
    high: float = 0.4
    peak: float = 2.0
    zones: Sequence[float] = (0.0,)

    def online(self, nodes: Nodes, at: Times) -> Flags:
        """See `Trace`."""
        local = self.local_hours(nodes, at)
        night = np.floor((local - self.peak + 12) / 24).astype(np.int64)
        return np.asarray(uniform(self.seed, "night", nodes, night) < self.share(local), np.bool_)

    def local_hours(self, nodes: Nodes, at: Times) -> Floats:
        """Hours since midnight of the first day, by each device's own clock."""
        which = (uniform(self.seed, "zone", nodes) * len(self.zones)).astype(np.int64)
        return at / HOUR + np.asarray(self.zones, np.float64)[which]

    def share(self, local: Floats) -> Floats:
        """Share of devices online at a local hour."""
        wave = (1 + np.cos(2 * np.pi * (local - self.peak) / 24)) / 2
        return np.asarray(self.low + (self.high - self.low) * wave, np.float64)


@dataclass(frozen=True)
class Recorded:
    """As a file has it; a device that is not in it is never online. `recorded` makes one.

    Attributes:
        numbers: The devices' numbers, rising.
        keys: Of each stretch, rising: place of its device times `span`, plus its start, seconds.
        ends: Of each stretch, seconds.
        span: Longer than any stretch's end.
        period: After so many seconds it begins again; 0 for never.
    """

    numbers: Nodes
    keys: Floats
    ends: Floats
    span: float
    period: float

    def online(self, nodes: Nodes, at: Times) -> Flags:
        """See `Trace`."""
        if not len(self.numbers):
            return np.zeros(len(nodes), np.bool_)
        now = np.mod(at, self.period) if self.period else np.minimum(at, self.span)
        place = np.minimum(np.searchsorted(self.numbers, nodes), len(self.numbers) - 1)
        last = np.searchsorted(self.keys, place * self.span + now, side="right") - 1
        of_device = (last >= 0) & (np.floor(self.keys[last] / self.span).astype(np.int64) == place)
        return np.asarray((self.numbers[place] == nodes) & of_device & (now < self.ends[last]), np.bool_)


def recorded(stretches: Mapping[int, Sequence[tuple[float, float]]], period: float = 0.0) -> Recorded:
    """A trace from stretches of time.

    Args:
        stretches: By device: from and until, seconds.
        period: After so many seconds it begins again; 0 for never.
    """
    numbers = sorted(stretches)
    joined = [_joined(stretches[number]) for number in numbers]
    span = max((end for each in joined for _, end in each), default=0.0) + 1
    keys = [place * span + start for place, each in enumerate(joined) for start, _ in each]
    ends = [end for each in joined for _, end in each]
    return Recorded(
        np.array(numbers, np.int64), np.array(keys, np.float64), np.array(ends, np.float64), span, period
    )


def _joined(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """In order, and those that overlap or touch made one."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
