"""Rows of `sums.jsonl`, and what they cost computed a second time, by a library that is not ours."""

from collections import Counter
from collections.abc import Iterable
from math import ceil
from typing import Any, Literal

from covey.accounting import Event, Skellam
from covey_audit.accountants import with_dp_accounting

Row = dict[str, Any]
View = Literal["server", "settled", "release"]


def noise(variance: int = 1 << 20, **changes: Any) -> Row:
    """What a reserve says of its noise."""
    return {"mechanism": "skellam", "variance": variance, "removal": False, "seeded": True} | changes


def reserve(serial: int, kind: str = "train", **changes: Any) -> Row:
    """Twenty devices are about to be asked, at least fourteen must answer."""
    row = {
        "event": "reserve",
        "sum": serial,
        "cohort_number": 0,
        "round": serial,
        "kind": kind,
        "unit": "device",
        "asked": 20,
        "cohorts": 1,
        "minimum": 14,
        "corrupt": 1,
        "elements": 100,
        "bytes_per_device": 400,
        "parts": [{"name": "update", "length": 100, "clip": 1.0, "scale": 1024.0}],
        "norm": 1024,
        "sampling_rate": 1.0,
        "masks": "on",
        "suite": None,
        "noise": noise(),
    }
    return row | changes


def settle(row: Row, devices: int = 20, noise_left: int = 0, **changes: Any) -> Row:
    """It was opened."""
    end = {"event": "settle", "devices": devices, "sharing": row["asked"], "noise_left": noise_left}
    return _named(row) | end | changes


def abort(row: Row) -> Row:
    """It was given up."""
    return _named(row) | {"event": "abort", "reason": "too few"}


def _named(row: Row) -> Row:
    return {key: row[key] for key in ("sum", "cohort_number", "round", "kind")}


def settled(rows: Iterable[Row], devices: int = 20, **changes: Any) -> list[Row]:
    """Each reserve, and its end."""
    return [each for row in rows for each in (row, settle(row, devices, **changes))]


def recomputed(rows: list[Row], delta: float, view: View) -> float:
    """ε of a run's sums with Skellam noise, from nothing but its rows."""
    ends = {(row["sum"], row["cohort_number"]): row for row in rows if row["event"] == "settle"}
    of_sum: dict[int, list[Row]] = {}
    for row in rows:
        if row["event"] == "reserve":
            of_sum.setdefault(row["sum"], []).append(row)
    groups: dict[bool, Counter[Event]] = {False: Counter(), True: Counter()}
    for cohorts in of_sum.values():
        events = [_event(row, ends.get((row["sum"], row["cohort_number"])), view) for row in cohorts]
        held_out = cohorts[0]["unit"] == "example" and cohorts[0]["kind"] == "validate"
        groups[held_out][min(events, key=lambda event: event.variance)] += 1
    return max(with_dp_accounting(list(each.items()), delta) for each in groups.values() if each)


def _event(row: Row, end: Row | None, view: View) -> Skellam:
    variance = row["noise"]["variance"]
    if view == "release" and end is not None:
        variance = _left(row, end)
    elif view != "release" and row["masks"] == "none":
        most = row["asked"] if row["noise"]["removal"] else row["minimum"]
        variance = ceil(variance / (most - row["corrupt"]))
    elif view == "settled" and end is not None and not row["noise"]["removal"]:
        honest = end["devices"] - row["corrupt"]
        variance = sum(ceil(variance / (row["minimum"] - row["corrupt"])) for _ in range(honest))
    return Skellam(row["norm"], row["elements"], variance, row["sampling_rate"])


def _left(row: Row, end: Row) -> int:
    """Added up device by device and component by component."""
    variance, corrupt = row["noise"]["variance"], row["corrupt"]
    sharing, devices = end["sharing"], end["devices"]
    if not row["noise"]["removal"]:
        return int(devices * ceil(variance / (row["minimum"] - corrupt)))
    honest = sharing - corrupt
    each = [honest] + [(honest - k + 1) * (honest - k) for k in range(1, sharing - row["minimum"] + 1)]
    shares = [-(-variance // ratio) for ratio in each]
    kept = sum(shares[: sharing - devices + 1])
    return int(devices * kept)  # what was left in and should have been taken off is not counted on
