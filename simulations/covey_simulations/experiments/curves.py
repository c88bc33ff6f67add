"""A metric by round over the seeds of a case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey_simulations.experiments.estimates import estimate
from covey_simulations.experiments.records import Record

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Means with intervals.

    Attributes:
        case: Whose.
        rounds: At which all of its runs have the metric, shape (k,).
        mean: Over its runs, shape (k,).
        half: Half widths of the 95 % intervals, NaN for one run, shape (k,).
        n: Runs.
        cut: Whether some of its runs went on after others had ended: the line ends with the first.
    """

    case: str
    rounds: Numbers
    mean: Numbers
    half: Numbers
    n: int
    cut: bool


def curve(case: str, runs: Sequence[Record], metric: str) -> Curve:
    """The mean of a column over runs, where all of them have it.

    Args:
        case: Whose they are.
        runs: At least one.
        metric: A column of the rounds, such as "accuracy" or "loss".
    """
    values = [_by_round(run, metric) for run in runs]
    shared = sorted(set.intersection(*(set(known) for known in values)))
    found = [estimate([known[at] for known in values]) for at in shared]
    means = [each.mean if each else np.nan for each in found]
    halves = [np.nan if each is None or each.half is None else each.half for each in found]
    ends = {max(known, default=0) for known in values}
    return Curve(
        case, np.array(shared, np.float64), np.array(means), np.array(halves), len(runs), len(ends) > 1
    )


def _by_round(run: Record, metric: str) -> dict[int, float]:
    return {
        row["round"]: float(row[metric])
        for row in run.rounds
        if row.get(metric) is not None and np.isfinite(row[metric])
    }
