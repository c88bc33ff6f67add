"""A run's private sums as rows, read from the ledger: for summaries, reports and scripts.

reserve    everything that a claim about a sum is computed from, and what a person wants to know of it
settle     how many devices were in it
abort      why it was given up
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from covey import plan as plans
from covey import ring
from covey.errors import ProtocolError, StateError
from covey.ledger.entries import Abort, AnyEntry, Reserve, Settle, decode
from covey.plan import Gradient, Plan
from covey_io.ledger_files import LedgerFiles

Row = dict[str, Any]


def rows_of(found: Iterable[AnyEntry], run: str) -> list[Row]:
    """The sums of one run, in the ledger's order.

    Args:
        found: The ledger's entries.
        run: The run's identifier.
    """
    return [
        reserve_row(plan) if isinstance(entry, Reserve) else end_row(plan, entry)
        for plan, entry in _own(found, run)
    ]


def read_entries(files: LedgerFiles) -> list[AnyEntry]:
    """All entries of a ledger.

    Raises:
        StateError: One is no entry: the ledger is damaged.
    """
    lines, _ = files.lines()
    return [decoded(files, number, line) for number, line in enumerate(lines)]


def decoded(files: LedgerFiles, number: int, line: bytes) -> AnyEntry:
    """One entry of a ledger.

    Raises:
        StateError: It is none: the ledger is damaged.
    """
    try:
        return decode(line, blame="local")
    except ProtocolError as error:
        raise StateError(
            f"{files.entries} is damaged: entry {number}: {error.message}",
            hint="put it back as it was; nothing was overwritten",
        ) from error


def open_plans(found: Iterable[AnyEntry], run: str) -> list[Plan]:
    """A run's plans that were reserved and have no end."""
    unfinished: dict[str, Plan] = {}
    for plan, entry in _own(found, run):
        if isinstance(entry, Reserve):
            unfinished[plans.digest(entry.plan)] = plan
        else:
            unfinished.pop(entry.plan, None)
    return list(unfinished.values())


def _own(found: Iterable[AnyEntry], run: str) -> Iterator[tuple[Plan, Reserve | Settle | Abort]]:
    """Entries about sums of a run, each with its plan."""
    known: dict[str, Plan] = {}
    for entry in found:
        if isinstance(entry, Reserve):
            plan = plans.from_bytes(entry.plan)
            if plan.run == run:
                known[plans.digest(entry.plan)] = plan
                yield plan, entry
        elif isinstance(entry, Settle | Abort) and entry.plan in known:
            yield known[entry.plan], entry


def end_row(plan: Plan, entry: Settle | Abort) -> Row:
    """How a sum ended."""
    if isinstance(entry, Abort):
        return {**_named("abort", plan), "reason": entry.reason}
    sets = {} if entry.sets is None else msgspec.to_builtins(entry.sets)
    members = entry.members
    return {
        **_named("settle", plan),
        "devices": members.survivors,
        "advertised": members.advertised,
        "sharing": members.sharing,
        "noise_left": members.noise_left,
        "evidence": entry.evidence,
        **sets,
    }


def reserve_row(plan: Plan) -> Row:
    """What a claim about a sum is computed from, and what a person wants to know of it."""
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
        "sampling_rate": plan.task.sampling_rate if isinstance(plan.task, Gradient) else 1.0,
        "masks": plan.masks,
        "suite": None if plan.suite is None else msgspec.to_builtins(plan.suite),
        "noise": None if plan.noise is None else msgspec.to_builtins(plan.noise),
        **({} if plan.central is msgspec.UNSET else {"central": msgspec.to_builtins(plan.central)}),
    }


def _named(event: str, plan: Plan) -> Row:
    return {
        "event": event,
        "sum": plan.sum,
        "cohort_number": plan.cohort_number,
        "round": plan.round,
        "kind": plans.kind(plan),
    }
