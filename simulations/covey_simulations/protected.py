"""What protected a run's sums, from the rows of its sums and from nothing else: for the report."""

from collections.abc import Sequence
from itertools import groupby
from math import hypot, sqrt

import numpy as np

from covey_server.spending import spent
from covey_server.sum_rows import Row
from covey_simulations.report.protection import ProtectedKind, Protection
from covey_strategies.queries.validate import ValidateSum

MOST_POINTS = 60
"""Rounds at which ε is computed; composing thousands of prefixes would take longer than the run."""


def protection_of(rows: Sequence[Row], delta: float, found: ValidateSum) -> Protection:
    """What the report shows of a run's protection.

    Args:
        rows: Of the run's sums; see `covey_server.sum_rows`.
        delta: δ of the whole run.
        found: What the last validation gave.
    """
    return Protection(
        kinds=kinds(rows),
        spent=spent_by_round(rows, delta),
        count_noise=noise_of(rows, "confusion"),
        accuracy_noise=accuracy_noise(found, noise_of(rows, "examples and right")),
    )


def kinds(rows: Sequence[Row]) -> tuple[ProtectedKind, ...]:
    """By kind, in the order they were first asked."""
    reserves = [row for row in rows if row["event"] == "reserve"]
    settled = {(row["sum"], row["cohort_number"]) for row in rows if row["event"] == "settle"}
    names = dict.fromkeys(row["kind"] for row in reserves)
    return tuple(_kind([row for row in reserves if row["kind"] == name], settled) for name in names)


def _kind(reserves: list[Row], settled: set[tuple[int, int]]) -> ProtectedKind:
    """Where sums of one kind differ (a cohort may be smaller), what protects least is named."""
    noises = [row["noise"] for row in reserves]
    multipliers = [
        sqrt(noise["variance"]) / row["norm"] for noise, row in zip(noises, reserves, strict=True) if noise
    ]
    return ProtectedKind(
        kind=reserves[0]["kind"],
        sums=len(reserves),
        unopened=sum((row["sum"], row["cohort_number"]) not in settled for row in reserves),
        multiplier=min(multipliers) if len(multipliers) == len(reserves) else None,
        sampling_rate=max(row["sampling_rate"] for row in reserves),
        asked=max(row["asked"] for row in reserves),
        minimum=min(row["minimum"] for row in reserves),
        corrupt=max(row["corrupt"] for row in reserves),
    )


def spent_by_round(rows: Sequence[Row], delta: float) -> tuple[tuple[int, float], ...]:
    """Rounds and ε in the server's view of everything asked up to and with each; of many rounds, some.

    Empty if a sum had no noise. Sums that a crash made be asked again stand with the round they were for.
    """
    reserves = [row for row in rows if row["event"] == "reserve"]
    if not reserves or not all(row["noise"] for row in reserves):
        return ()
    rounds = sorted({row["round"] for row in reserves})
    chosen = np.linspace(0, len(rounds) - 1, min(len(rounds), MOST_POINTS)).round().astype(int)
    return tuple((rounds[place], _spent_until(reserves, rounds[place], delta)) for place in chosen)


def _spent_until(reserves: Sequence[Row], last: int, delta: float) -> float:
    cost = spent([row for row in reserves if row["round"] <= last], delta).server
    return cost.value if cost else 0.0


def noise_of(rows: Sequence[Row], part: str) -> float:
    """Standard deviation of the noise in a number of the last validation that was opened.

    It is what honest devices guarantee: with removal, and without it a little less than what was added.

    Args:
        rows: Of the run's sums; see `covey_server.sum_rows`.
        part: Of the answer, that the number is in.
    """
    settled = {(row["sum"], row["cohort_number"]) for row in rows if row["event"] == "settle"}
    opened = [
        row
        for row in rows
        if row["event"] == "reserve"
        and row["kind"] == "validate"
        and (row["sum"], row["cohort_number"]) in settled
    ]
    last = [list(cohorts) for _, cohorts in groupby(opened, key=lambda row: row["sum"])][-1:]
    return sqrt(sum(_variance(row, part) for cohorts in last for row in cohorts))


def _variance(row: Row, part: str) -> float:
    scale = next(each["scale"] for each in row["parts"] if each["name"] == part)
    return row["noise"]["variance"] / scale**2 if row["noise"] else 0.0


def accuracy_noise(found: ValidateSum, noise: float) -> float:
    """Standard deviation of an accuracy, right over examples, to first order in the noise of both.

    Args:
        found: What a validation gave.
        noise: Standard deviation of either's own noise.
    """
    return noise * hypot(1.0, found.accuracy) / found.examples if found.examples > 0 else 0.0
