"""A trace of one's own, from a file: who was online from when until when, in hours.

CSV, with a header:            TOML:

    device,from,until              [[online]]
    attic-3,0,6.5                  device = "attic-3"
    attic-3,22,30                  from = 0
                                   until = 6.5

A device is named as in the data set. Hours count from midnight, UTC, of the first day.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final

from covey.errors import ConfigError
from covey_io import settings
from covey_simulations.availability.traces import HOUR, Recorded, recorded

COLUMNS: Final = ["device", "from", "until"]

Stretch = tuple[str, float, float]


def load(path: Path, names: Sequence[str], first: int, repeat_hours: float) -> Recorded:
    """A fleet's trace.

    Args:
        path: A .csv or .toml file.
        names: Of the devices, in order.
        first: The number of the first.
        repeat_hours: After so many hours it begins again; 0 for never.

    Raises:
        ConfigError: No such file, or a line of it is none; names it.
    """
    numbers = _numbers(names, first)
    found: dict[int, list[tuple[float, float]]] = {}
    for where, (device, start, end) in _stretches(path):
        if device not in numbers:
            raise ConfigError(
                str(path), where, f"no device {device!r} in this data", hint=f"the first is {names[0]!r}"
            )
        if not (isfinite(start) and isfinite(end) and 0 <= start < end):
            raise ConfigError(
                str(path), where, f"from {start:g} until {end:g}", hint="hours, 0 <= from < until"
            )
        if repeat_hours and end > repeat_hours:
            raise ConfigError(
                str(path),
                where,
                f"until hour {end:g}, and it begins again after {repeat_hours:g}",
                hint="raise availability.repeat_hours, or cut the stretch in two",
            )
        found.setdefault(numbers[device], []).append((start * HOUR, end * HOUR))
    if not found:
        raise ConfigError(str(path), "", "no device is ever online", hint="give it lines: device,from,until")
    return recorded(found, repeat_hours * HOUR)


def _numbers(names: Sequence[str], first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names, start=first)}


def _stretches(path: Path) -> Iterable[tuple[str, Stretch]]:
    if path.suffix == ".toml":
        return _from_toml(path)
    if path.suffix == ".csv":
        return _from_csv(path)
    raise ConfigError(str(path), "", "neither .csv nor .toml", hint="see docs/availability.md")


def _from_csv(path: Path) -> Iterator[tuple[str, Stretch]]:
    rows = csv.reader(io.StringIO(settings.read_text(path)))
    if next(rows, None) != COLUMNS:
        raise ConfigError(str(path), "line 1", f"the header is {','.join(COLUMNS)}")
    for number, row in enumerate(rows, start=2):
        if row:
            where = f"line {number}"
            if len(row) != len(COLUMNS):
                raise ConfigError(str(path), where, f"{len(row)} columns instead of {len(COLUMNS)}")
            yield where, (row[0], _hours(path, where, row[1]), _hours(path, where, row[2]))


def _from_toml(path: Path) -> Iterator[tuple[str, Stretch]]:
    tables: Any = settings.read(path).get("online", [])
    for number, table in enumerate(tables if isinstance(tables, list) else [], start=1):
        where = f"[[online]] {number}"
        if not isinstance(table, dict) or set(table) != set(COLUMNS):
            raise ConfigError(str(path), where, f"has {', '.join(COLUMNS)} and nothing else")
        start, end = (_hours(path, where, table[key]) for key in ("from", "until"))
        yield where, (str(table["device"]), start, end)


def _hours(path: Path, where: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(path), where, f"{value!r} is no number of hours") from error
