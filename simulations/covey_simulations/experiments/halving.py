"""Successive halving: up to which rounds cases train before they are ranked, and which go on."""

from collections.abc import Mapping, Sequence
from math import ceil, nan

import numpy as np

from covey.errors import ConfigError
from covey_server.sum_rows import Row
from covey_simulations.experiments.cases import Planned
from covey_simulations.experiments.sweep_file import HalvingSettings


def rungs(halving: HalvingSettings, runs: Sequence[Planned]) -> list[int]:
    """Rounds after which cases are ranked, each with a validation; the last round is not among them.

    Raises:
        ConfigError: Runs differ in rounds or validations, or the first ranking has no validation before it.
    """
    lengths = {(run.file.federation.rounds, run.file.federation.validate_every) for run in runs}
    if len(lengths) > 1:
        raise ConfigError("sweep", "halving", "all cases need the same federation.rounds and validate_every")
    ((rounds, every),) = lengths
    if halving.first < every:
        raise ConfigError(
            "sweep", "halving.first", f"{halving.first} rounds have no validation, the first is after {every}"
        )
    found, rung = [], halving.first
    while rung < rounds:
        found.append(rung - rung % every)
        rung *= halving.factor
    return found


def survivors(accuracies: Mapping[str, Sequence[float]], factor: int) -> list[str]:
    """Cases that go on: of n the best ⌈n / factor⌉, by mean accuracy; in the order given.

    Args:
        accuracies: Of each case, of its seeds, NaN where one is not known; a case without any is last.
        factor: One in so many goes on.
    """
    means = {case: _mean(values) for case, values in accuracies.items()}
    ranked = sorted(means, key=lambda case: -means[case])  # a stable sort: of equals, the first
    kept = set(ranked[: ceil(len(ranked) / factor)])
    return [case for case in means if case in kept]


def accuracy_at(rows: Sequence[Row], rung: int) -> float:
    """What the last validation up to a round found; NaN without any."""
    known = [row["accuracy"] for row in rows if row["round"] <= rung and row["accuracy"] is not None]
    return known[-1] if known else nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("-inf")
