"""Noise that the server adds to opened sums: central differential privacy, and DP-FTRL. A simulation's alone.

McMahan et al., ICLR 2018, arXiv:1710.06963, algorithm 1 (a Gaussian on each round's sum); Choquette-Choo et
al., NeurIPS 2023, arXiv:2306.08153, algorithm 1 (correlated over rounds by a banded matrix; see
`covey.accounting.matrix`). Whoever adds the noise has seen the sum without it, so that nothing protects a
device from the server: this is what private sums do without, and is here to be compared with.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey import plan as plans
from covey import seeds
from covey.errors import InputError
from covey.noise.gaussian import Vector, correlated, gaussian
from covey.plan import CentralNoise, Plan
from covey.stream import KEY_BYTES
from covey_strategies.exchange import Settled

Arrays = dict[str, NDArray[Any]]

_EARLIER: Final = "central noise/"
_NODES: Final = "central asked/nodes"
_ROUNDS: Final = "central asked/rounds"


@dataclass(frozen=True)
class Central:
    """How a server's noise is correlated, for training; other sums' is independent.

    Attributes:
        bands: Rounds over which.
        separation: A device is asked at most once in so many.
    """

    bands: int = 1
    separation: int = 1

    @property
    def is_correlated(self) -> bool:
        """Whether a round's noise depends on those before it."""
        return self.bands > 1


class ServerNoise:
    """Adds noise, and remembers what correlated noise goes by.

    Args:
        seed: Decides the noise; None to draw it from the operating system.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._earlier: list[Vector] = []
        self._asked: dict[int, int] = {}

    def ask(self, cohort: Iterable[int], server_round: int, central: Central) -> None:
        """Take note of who is asked to train, before they are.

        Raises:
            InputError: One was asked too short a while ago: the claim would not hold.
        """
        for node in cohort:
            last = self._asked.get(node)
            if last is not None and 0 < server_round - last < central.separation:
                raise InputError(
                    f"round {server_round}: node {node} was asked in round {last}, and"
                    f" privacy.noise_separation is {central.separation}",
                    hint="correlated noise takes a fleet that is always there: leave out availability",
                )
            self._asked[node] = server_round
        oldest = server_round - central.separation
        self._asked = {node: last for node, last in self._asked.items() if last > oldest}

    def added(self, plan: Plan, settled: Settled) -> Settled:
        """The sum with noise; as it is where the plan leaves none to the server."""
        if plan.central is msgspec.UNSET:
            return settled
        fresh = gaussian(sqrt(plan.central.variance), plan.length, self._key(plan))
        noise = self._correlated(fresh, plan.central)
        return replace(settled, total=settled.total + np.rint(noise).astype(np.int64))

    def _correlated(self, fresh: Vector, central: CentralNoise) -> Vector:
        if central.bands == 1:
            return fresh
        noise = correlated(fresh, self._earlier, central.bands)
        self._earlier = [noise, *self._earlier][: central.bands - 1]
        return noise

    def _key(self, plan: Plan) -> bytes:
        """Keyed by round and kind: a round that is asked again comes to the same."""
        if self._seed is None:
            return os.urandom(KEY_BYTES)
        which = plan.round, plans.kind(plan), plan.cohort, plan.cohort_number
        return seeds.key(self._seed, "server noise", *which)

    def saved(self) -> Arrays:
        """What a run that is gone on with needs."""
        found: Arrays = {f"{_EARLIER}{place:06d}": each for place, each in enumerate(self._earlier)}
        if self._asked:
            found[_NODES] = np.array(list(self._asked), np.float64)
            found[_ROUNDS] = np.array(list(self._asked.values()), np.float64)
        return found

    def restore(self, state: Arrays) -> None:
        """The inverse of `saved`."""
        self._earlier = [value for name, value in sorted(state.items()) if name.startswith(_EARLIER)]
        nodes, rounds = state.get(_NODES, np.array([])), state.get(_ROUNDS, np.array([]))
        self._asked = {int(node): int(last) for node, last in zip(nodes, rounds, strict=True)}
