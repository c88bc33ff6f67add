"""What left each device, from a run's own record of its sums."""

from collections.abc import Sequence

from covey.planner import Cohort, traffic
from covey.secagg.graph import quorum
from covey_server.sum_rows import Row
from covey_simulations.report.facts import SentKind


def sent(rows: Sequence[Row]) -> tuple[SentKind, ...]:
    """By kind of query: what a device sent that was asked every time."""
    asked = [row for row in rows if row["event"] == "reserve" and row["cohort_number"] == 0]
    kinds = {row["kind"]: [each for each in asked if each["kind"] == row["kind"]] for row in asked}
    return tuple(_sent_kind(kind, of_kind) for kind, of_kind in kinds.items())


def _sent_kind(kind: str, rows: list[Row]) -> SentKind:
    last = rows[-1]
    return SentKind(
        kind=kind,
        sums=len(rows),
        elements=last["elements"],
        bytes_per_answer=last["bytes_per_device"],
        bytes_for_masks=for_masks(last),
        bytes_per_device=sum(row["bytes_per_device"] + for_masks(row) for row in rows),
        parts=tuple((part["name"], part["length"], part["clip"]) for part in last["parts"]),
    )


def for_masks(row: Row) -> int:
    """About how many bytes a device sends beside its vector for one masked sum; 0 without masks.

    Args:
        row: A reserve.
    """
    suite, asked, corrupt = row["suite"], row["asked"], row["corrupt"]
    if suite is None:
        return 0
    threshold, neighbours = suite["threshold"] or quorum(asked, corrupt), suite["neighbours"] or asked - 1
    cohort = Cohort(asked, corrupt, row["minimum"], threshold, neighbours, suite["profile"])
    removal = bool(row["noise"] and row["noise"]["removal"])
    found = traffic(cohort, row["elements"], suite["bits"], removal=removal)
    return found.up - found.vector
