"""Means over seeds with 95 % intervals, alone and as differences between cases that share seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Final

import numpy as np
from scipy.stats import t as student

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, and where the mean over all seeds is thought to lie.

    Attributes:
        mean: Of the values.
        half: Half of the 95 % interval's width; None for one value, which has no interval.
        n: How many values.
    """

    mean: float
    half: float | None
    n: int

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.half is None else self.mean + self.half


def estimate(values: Sequence[float | None]) -> Estimate | None:
    """Mean and Student's interval, mean ± t(0.975, n-1)·s/√n; None without a number.

    It takes seeds as a sample of seeds: nothing in it knows how few examples an accuracy was counted on.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908), 1-25.

    Args:
        values: One a seed; what is None or no number is left out.
    """
    known = np.array([value for value in values if value is not None and isfinite(value)], np.float64)
    if not len(known):
        return None
    if len(known) == 1:
        return Estimate(float(known[0]), None, 1)
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, len(known) - 1))
    half = quantile * float(known.std(ddof=1)) / sqrt(len(known))
    return Estimate(float(known.mean()), half, len(known))


def paired(values: Mapping[int, float | None], baseline: Mapping[int, float | None]) -> Estimate | None:
    """Mean difference over the seeds that both have: what a seed does to both falls out.

    Args:
        values: By seed.
        baseline: By seed; taken off.
    """
    differences = [
        value - other
        for seed, value in values.items()
        if value is not None and (other := baseline.get(seed)) is not None
    ]
    return estimate(differences)
