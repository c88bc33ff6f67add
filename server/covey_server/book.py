"""A run's sums, written down where an operator and a reviewer find them: `sums.jsonl`, a line an event.

{"event": "reserve", …}  before a plan is sent: everything that a claim about its sum is computed from
{"event": "settle", …}   after it was opened, before anything is done with it
{"event": "abort", …}    after it was given up; it stays spent

A reserve without an end is what a crash left: it is aborted when the run goes on, and stays spent.
"""

from typing import Any

import msgspec

from covey import plan as plans
from covey import ring
from covey.plan import Plan
from covey_server.run_folder import Row, RunFolder
from covey_strategies.exchange import Settled

CRASHED = "the server stopped before the sum was opened"


class RunBook:
    """The book of one run.

    Args:
        folder: The run's, locked by the caller.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._last = max((row["sum"] for row in folder.sum_rows()), default=0)

    def next_sum(self) -> int:
        """A serial number that was never used."""
        self._last += 1
        return self._last

    def reserve(self, plan: Plan) -> None:
        """Before a plan is sent."""
        self._folder.log_sum(reserve_row(plan))

    def settle(self, plan: Plan, settled: Settled) -> None:
        """After a sum was opened."""
        row = {
            **_named("settle", plan),
            "devices": settled.devices,
            "sharing": settled.sharing,
            "noise_left": settled.noise_left,
            **settled.sets,
        }
        self._folder.log_sum(row)

    def abort(self, plan: Plan, reason: str) -> None:
        """After a sum was given up."""
        self._folder.log_sum({**_named("abort", plan), "reason": reason})

    def close_crashed(self) -> None:
        """Abort what a crash left open."""
        for row in open_rows(self._folder.sum_rows()):
            named = {key: row[key] for key in ("sum", "cohort_number", "round", "kind")}
            self._folder.log_sum({"event": "abort", **named, "reason": CRASHED})


def open_rows(rows: list[Row]) -> list[Row]:
    """Reserves without an end."""
    ended = {(row["sum"], row["cohort_number"]) for row in rows if row["event"] != "reserve"}
    return [
        row for row in rows if row["event"] == "reserve" and (row["sum"], row["cohort_number"]) not in ended
    ]


def reserve_row(plan: Plan) -> Row:
    """What a claim about a sum is computed from, and what a person wants to know of it."""
    task: Any = plan.task
    return {
        **_named("reserve", plan),
        "unit": plan.unit,
        "asked": plan.cohort,
        "cohorts": plan.cohorts,
        "minimum": plan.minimum,
        "corrupt": plan.corrupt,
        "elements": plan.length,
        "bytes_per_device": ring.packed_size(plan.length, plan.bits),
        "parts": [{"name": p.name, "length": p.length, "clip": p.clip, "scale": p.scale} for p in plan.parts],
        "norm": plan.norm,
        "sampling_rate": getattr(task, "sampling_rate", 1.0),
        "masks": plan.masks,
        "suite": None if plan.suite is None else msgspec.to_builtins(plan.suite),
        "noise": None if plan.noise is None else msgspec.to_builtins(plan.noise),
    }


def _named(event: str, plan: Plan) -> Row:
    return {
        "event": event,
        "sum": plan.sum,
        "cohort_number": plan.cohort_number,
        "round": plan.round,
        "kind": plans.kind(plan),
    }
