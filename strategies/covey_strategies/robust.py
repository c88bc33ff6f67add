"""Robust rules over groups: what single answers are hidden for, group means may still be used for.

Masks hide each answer, so a server cannot leave out the one that stands apart. It can ask in groups: each has
a private sum of its own, with noise of its own, and the server combines the groups' means by a rule that a
few spoilt ones cannot move far. A dishonest device spoils its whole group, so there have to be more groups
than dishonest devices twice over.

    median            of each element (Yin et al., ICML 2018, arXiv:1803.01498, definition 1)
    trimmed-mean      of each element, without the smallest and the largest (the same, definition 2)
    geometric-median  the point whose distances to the groups' means have the least sum (RFA: Pillutla,
                      Kakade, Harchaoui, IEEE TSP 2022, arXiv:1912.13445, algorithm 2, smoothed Weiszfeld)

What comes out follows from noisy sums alone, and costs no privacy. It has more noise than the mean.
"""

from dataclasses import dataclass, replace
from math import floor
from typing import Final, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters, layout_of
from covey.errors import RoundAborted
from covey.plan import Train
from covey_strategies.private_sum import PrivateSum
from covey_strategies.queries import train
from covey_strategies.queries.train import TrainSum

Rule = Literal["median", "trimmed-mean", "geometric-median"]
Points = NDArray[np.float64]

LEAST_GROUPS: Final = 3
"""With two, there is no telling which one is spoilt."""
STEPS: Final = 64
"""Most of Weiszfeld's."""
SMOOTH: Final = 1e-6
"""Distances below count as this."""
_SETTLED: Final = 1e-9


@dataclass(frozen=True)
class Robust:
    """How groups are combined.

    Attributes:
        rule: The rule.
        trim: "trimmed-mean": share of the groups left out at either end.
    """

    rule: Rule
    trim: float = 0.1

    def read(self, task: Train, collected: PrivateSum, parameters: Parameters) -> TrainSum:
        """The update that groups' sums come to.

        Args:
            task: What was asked.
            collected: The round's sum, by groups.
            parameters: As they were sent.

        Raises:
            RoundAborted: Too few groups were opened, or had anything to say.
        """
        whole = train.read(task, collected.sums, parameters, collected.devices)
        groups = [
            train.read(task, each.sums, parameters, each.devices)
            for each in collected.groups
            if train.weight_in(task, each.sums, each.devices) > 0
        ]
        if len(groups) < LEAST_GROUPS:
            raise RoundAborted(
                f"{len(groups)} groups gave a sum, a robust rule takes {LEAST_GROUPS}",
                hint="ask more devices, or lower privacy.largest_cohort so that there are more groups",
            )
        layout = layout_of(whole.update)
        means = np.stack([layout.flatten(each.update) for each in groups])
        return replace(whole, update=layout.unflatten(self.combined(means)))

    def combined(self, means: Points) -> NDArray[np.float64]:
        """One point for several.

        Args:
            means: (groups, d).

        Returns:
            (d,).
        """
        match self.rule:
            case "median":
                found: NDArray[np.float64] = np.median(means, axis=0)
            case "trimmed-mean":
                found = trimmed_mean(means, self.trim)
            case "geometric-median":
                found = geometric_median(means)
            case _ as never:
                assert_never(never)
        return found


def trimmed_mean(means: Points, trim: float) -> NDArray[np.float64]:
    """The mean of each element without the ⌊trim · groups⌋ smallest and as many largest.

    Args:
        means: (groups, d).
        trim: In [0, 1/2).
    """
    cut = floor(trim * len(means))
    kept = np.sort(means, axis=0)[cut : len(means) - cut]
    found: NDArray[np.float64] = kept.mean(axis=0)
    return found


def geometric_median(means: Points) -> NDArray[np.float64]:
    """The smoothed Weiszfeld iteration, from the mean on: each step weighs points by one over their distance.

    Args:
        means: (groups, d).
    """
    found: NDArray[np.float64] = means.mean(axis=0)
    for _ in range(STEPS):
        beta = 1 / np.maximum(np.linalg.norm(means - found, axis=1), SMOOTH)
        moved: NDArray[np.float64] = beta @ means / beta.sum()
        if np.linalg.norm(moved - found) <= _SETTLED * (1 + np.linalg.norm(moved)):
            return moved
        found = moved
    return found
