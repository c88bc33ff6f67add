"""When a device's owner lets it work: windows of local time, by day of the week, across midnight too.

A window begins on the days that it names: `fri 22:00-06:00` ends on Saturday morning. Arithmetic is with the
wall clock, as an owner means it; in a night when clocks change, an hour may be more or less.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXPECTED: Final = 'expected "22:00-06:00", "mon-fri 12:00-13:30" or "sat,sun 00:00-24:00"'
_DAY: Final = 24 * 60
_WEEK: Final = len(DAYS)
_TEXT: Final = re.compile(r"(?:(?P<days>[a-z,-]+) +)?(?P<begin>\d\d:\d\d) *- *(?P<end>\d\d:\d\d)")


@dataclass(frozen=True)
class Window:
    """A stretch of time that comes every week.

    Attributes:
        days: On which it begins; 0 is Monday.
        begin: Minutes after midnight.
        length: Minutes, 1 to 1440.
    """

    days: frozenset[int]
    begin: int
    length: int

    def last_begin(self, now: datetime) -> datetime | None:
        """When it began, if it is open now."""
        for back in (0, 1):
            start = _midnight(now) + timedelta(days=-back, minutes=self.begin)
            if start.weekday() in self.days and start <= now < start + timedelta(minutes=self.length):
                return start
        return None

    def next_begin(self, now: datetime) -> datetime:
        """When it begins next, after now."""
        starts = (_midnight(now) + timedelta(days=ahead, minutes=self.begin) for ahead in range(_WEEK + 1))
        return next(start for start in starts if start > now and start.weekday() in self.days)


def parse(text: str) -> Window:
    """A window as an owner writes it.

    Raises:
        ValueError: It is none; says what is expected.
    """
    match = _TEXT.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r}: {EXPECTED}")
    begin, end = _minutes(match["begin"]), _minutes(match["end"])
    if begin in {end, _DAY}:
        raise ValueError(f"{text!r}: an empty window; a whole day is 00:00-24:00")
    return Window(_days(match["days"]), begin, (end - begin) % _DAY or _DAY)


def seconds_until_open(windows: Sequence[Window], now: datetime) -> float:
    """Until one of the windows is open; 0 if one is, or if there is none.

    Args:
        windows: Any of them will do.
        now: Local time.
    """
    if not windows or any(each.last_begin(now) for each in windows):
        return 0.0
    return min((each.next_begin(now) - now).total_seconds() for each in windows)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _minutes(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    total = hours * 60 + minutes
    if minutes >= 60 or total > _DAY:  # noqa: PLR2004 - of an hour
        raise ValueError(f"{text!r}: no time of day")
    return total


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(_WEEK))
    return frozenset(day for part in text.split(",") for day in _span(part))


def _span(text: str) -> list[int]:
    """`tue`, or `fri-mon`."""
    first, dash, last = text.partition("-")
    names = (first, last) if dash else (first, first)
    if any(name not in DAYS for name in names):
        raise ValueError(f"{text!r}: expected days such as mon, mon-fri or sat,sun")
    begin, end = (DAYS.index(name) for name in names)
    return [(begin + step) % _WEEK for step in range((end - begin) % _WEEK + 1)]
