"""When a run has shown enough, by its rounds alone: one that is gone on with decides as it did before."""

from collections.abc import Sequence
from math import isfinite

from covey_server.sum_rows import Row
from covey_simulations.experiments.sweep_file import StopSettings


def is_enough(rows: Sequence[Row], stop: StopSettings) -> bool:
    """Whether a run ends here.

    Args:
        rows: Its rounds so far, as in metrics.jsonl.
        stop: The rule.
    """
    sign = 1.0 if stop.metric == "accuracy" else -1.0
    points = [(row["round"], sign * row[stop.metric]) for row in rows if _measured(row[stop.metric])]
    if not points:
        return False
    if stop.target is not None and points[-1][1] >= sign * stop.target:
        return True
    return stop.patience is not None and rows[-1]["round"] - _best(points, stop.min_delta) >= stop.patience


def _measured(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _best(points: Sequence[tuple[int, float]], least: float) -> int:
    """The round that was last better than all before it, by at least so much."""
    best_round, best = points[0]
    for number, value in points[1:]:
        if value > best + least:
            best_round, best = number, value
    return best_round
