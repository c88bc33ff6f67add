"""A ledger as a table: private sums as rows for a spreadsheet, entries as JSON for a program."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from covey import merkle
from covey.ledger.entries import Abort, Settle
from covey.plan import Gradient, Plan
from covey.policy.checking import kind_of
from covey_audit.entry_words import Line
from covey_audit.report.words import visible

FORMAT: Final = "covey-ledger-export/1"
COLUMNS: Final = (
    "entry",
    "time",
    "run",
    "sum",
    "cohort_number",
    "round",
    "kind",
    "model",
    "unit",
    "cohort",
    "minimum",
    "corrupt",
    "length",
    "norm",
    "mechanism",
    "variance",
    "removal",
    "seeded",
    "sampling_rate",
    "masks",
    "policy",
    "plan",
    "outcome",
    "ended_by_entry",
    "advertised",
    "sharing",
    "survivors",
    "reason",
)
"""Of a private sum; what its cost follows from, and how it ended."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings by which a spreadsheet takes a text for a formula."""


def as_json(lines: Iterable[Line]) -> bytes:
    """Every entry with its place, its leaf hash and, for a reserve, the plan decoded. Nothing is checked."""
    return msgspec.json.encode(
        {"format": FORMAT, "checked": False, "entries": [fields(each) for each in lines]}
    )


def fields(line: Line) -> dict[str, Any]:
    """One entry, ready for JSON.

    Args:
        line: As read.
    """
    about: dict[str, Any] = {"index": line.index, "leaf_sha256": merkle.leaf_hash(line.data).hex()}
    if line.entry is None:
        return {**about, "fault": line.fault, "line": line.data.decode("utf-8", "replace")}
    about |= msgspec.to_builtins(line.entry)
    if line.plan is not None:
        about |= {"plan_sha256": line.digest, "plan_decoded": msgspec.to_builtins(line.plan)}
    return about


def as_csv(lines: Sequence[Line]) -> str:
    """A row for each private sum, in order (RFC 4180). Nothing is checked."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(_rows(lines))
    return out.getvalue()


def _rows(lines: Sequence[Line]) -> Iterator[dict[str, object]]:
    ends = _ends(lines)
    for line in lines:
        if line.plan is not None:
            asked, ended = _asked(line, line.plan), _ended(ends.get(line.digest))
            yield {name: visible(_cell(value)) for name, value in (asked | ended).items()}


def _ends(lines: Sequence[Line]) -> dict[str, Line]:
    """The first end of each sum, by its plan's digest."""
    found: dict[str, Line] = {}
    for line in lines:
        if isinstance(line.entry, Settle | Abort):
            found.setdefault(line.digest, line)
    return found


def _asked(line: Line, plan: Plan) -> dict[str, object]:
    noise = plan.noise
    return {
        "entry": line.index,
        "time": line.time,
        "run": plan.run,
        "sum": plan.sum,
        "cohort_number": plan.cohort_number,
        "round": plan.round,
        "kind": kind_of(plan),
        "model": plan.model,
        "unit": plan.unit,
        "cohort": plan.cohort,
        "minimum": plan.minimum,
        "corrupt": plan.corrupt,
        "length": plan.length,
        "norm": plan.norm,
        "mechanism": noise.mechanism if noise else "none",
        "variance": noise.variance if noise else 0,
        "removal": noise.removal if noise else False,
        "seeded": noise.seeded if noise else False,
        "sampling_rate": plan.task.sampling_rate if isinstance(plan.task, Gradient) else 1,
        "masks": plan.masks,
        "policy": plan.policy.sha256 if plan.policy else "",
        "plan": line.digest,
    }


def _ended(line: Line | None) -> dict[str, object]:
    entry = line.entry if line else None
    members = entry.members if isinstance(entry, Settle) else None
    return {
        "outcome": "opened" if members else "aborted" if isinstance(entry, Abort) else "unfinished",
        "ended_by_entry": line.index if line else "",
        "advertised": members.advertised if members else "",
        "sharing": members.sharing if members else "",
        "survivors": members.survivors if members else "",
        "reason": entry.reason if isinstance(entry, Abort) else "",
    }


def _cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe, which it does not show."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
