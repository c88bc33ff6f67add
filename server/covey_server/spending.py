"""What a run's rows say of what its sums have cost; see `covey.spending`."""

from collections.abc import Iterable

import msgspec

from covey import spending
from covey.plan import CentralNoise, Noise
from covey.spending import Asked, Ended, Spent, Sum
from covey_server.sum_rows import Row

__all__ = ["Spent", "spent", "sums_of"]


def spent(rows: Iterable[Row], delta: float) -> Spent:
    """The cost of a run's sums.

    Args:
        rows: Of the run, at least one of them a reserve; see `covey_server.book`.
        delta: δ of the whole run.
    """
    return spending.spent(sums_of(rows), delta)


def sums_of(rows: Iterable[Row]) -> list[Sum]:
    """Each sum, and how it was opened."""
    known = list(rows)
    settled = {(row["sum"], row["cohort_number"]): row for row in known if row["event"] == "settle"}
    reserves = [row for row in known if row["event"] == "reserve"]
    return [(_asked(row), _ended(settled.get((row["sum"], row["cohort_number"])))) for row in reserves]


def _asked(row: Row) -> Asked:
    return Asked(
        run="",
        sum=row["sum"],
        cohort_number=row["cohort_number"],
        kind=row["kind"],
        unit=row["unit"],
        cohort=row["asked"],
        minimum=row["minimum"],
        corrupt=row["corrupt"],
        length=row["elements"],
        norm=row["norm"],
        sampling_rate=row["sampling_rate"],
        masks=row["masks"],
        noise=msgspec.convert(row["noise"], Noise | None),
        central=msgspec.convert(row.get("central"), CentralNoise | None),
        round=row["round"] if "central" in row else 0,
    )


def _ended(row: Row | None) -> Ended | None:
    return None if row is None else Ended(row["devices"], row["sharing"])
