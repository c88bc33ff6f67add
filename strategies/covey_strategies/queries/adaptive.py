"""A clip norm that follows the updates: adaptive clipping.

Andrew, Thakkar, McMahan, Ramaswamy, NeurIPS 2021, arXiv:1905.03871, algorithm 1. Each answer says in one bit
whether the update was within the clip norm C. From the noisy fraction b of those that were, the server moves
C geometrically towards the quantile q of the updates' norms:

    C⁺ = C · exp(-η_C (b - q))

The bit, sent as ±1/2, is a part of the one private sum, with its own share of Δ²: the paper's theorem 1, with
noise of deviation z / (2 √share) on the count. A fraction that noise takes out of [0, 1] is moved back. C
follows from noisy sums alone, so it costs nothing more. It never passes a public maximum, which is what a
policy bounds.
"""

from dataclasses import dataclass, replace
from math import exp
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Shape
from covey.plan import Train
from covey_strategies.beside import Arrays, Round

PART: Final = "within"
HALF: Final = 0.5
SHARE: Final = 0.05
"""Of the sensitivity that the update has: noise on the update grows by 2.5 %."""
_KEY: Final = "clip norm"
_LEAST: Final = 1e-6
"""Of the maximum: below, no update would be left to speak of."""


def shape() -> Shape:
    """How the bit is laid out."""
    return Shape(1, HALF, SHARE)


def bits(task: Train, changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Device half: +1/2 for an update within the clip norm, else -1/2.

    Args:
        task: What was asked.
        changes: (devices, d), not clipped.

    Returns:
        (devices, 1).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", changes, changes))
        return np.where(norms <= task.update_clip, HALF, -HALF)[:, None]


@dataclass(frozen=True)
class Clip:
    """Server half: the clip norm, between rounds; see `covey_strategies.beside.Beside`.

    Attributes:
        norm: C.
        quantile: Share of the updates that are to be within.
        rate: How fast C moves, η_C.
        most: The public maximum.
    """

    norm: float
    quantile: float
    rate: float
    most: float

    def asked(self, task: Train, parameters: Parameters) -> tuple[Train, Parameters]:
        """The task with the clip norm of this round."""
        return msgspec.structs.replace(task, update_clip=self.norm, within=True), parameters

    def learnt(self, round_: Round) -> "Clip":
        """With the next clip norm."""
        within = min(max(float(round_.sums[PART][0]) / round_.devices + HALF, 0.0), 1.0)
        moved = self.norm * exp(-self.rate * (within - self.quantile))
        return replace(self, norm=min(max(moved, _LEAST * self.most), self.most))

    def saved(self) -> Arrays:
        """C."""
        return {_KEY: np.array([self.norm])}

    def restored(self, state: Arrays) -> "Clip":
        """The inverse of `saved`."""
        return replace(self, norm=float(state[_KEY][0])) if _KEY in state else self
