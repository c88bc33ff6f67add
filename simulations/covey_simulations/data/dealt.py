"""Devices to which a pool was dealt: each takes its examples out of the pool when it is asked."""

import numpy as np
from numpy.typing import NDArray

from covey.examples import Examples, LocalData
from covey_simulations.data.devices import LazyDevices, Sizes
from covey_simulations.data.names import Numbered
from covey_simulations.data.partitions import Parts


class Dealt(LazyDevices):
    """Every example of a pool on one device. Memory: the pool, and an index for each example and device."""

    def __init__(self, pool: LocalData, train: Parts, held_out: Parts) -> None:
        """Both parts are dealt to the same devices.

        Args:
            pool: What was dealt.
            train: Each device's share of `pool.train`.
            held_out: Each device's share of `pool.held_out`.
        """
        if len(train) != len(held_out):
            raise ValueError(f"dealt to {len(train)} devices and to {len(held_out)}")
        self.names = Numbered(len(train))
        self._pool, self._train, self._held_out = pool, train, held_out

    @property
    def sizes(self) -> Sizes:
        """How many examples each holds."""
        return Sizes(self._train.sizes, self._held_out.sizes)

    def at(self, position: int) -> LocalData:
        """Copies of the pool's examples that the device at a position holds, in the pool's order."""
        return LocalData(
            self._pool.train.take(self._train[position]), self._pool.held_out.take(self._held_out[position])
        )

    def all_train(self) -> Examples:
        """The pool's, in the order of the devices."""
        return self._pool.train.take(self._train.order)

    def all_held_out(self) -> Examples:
        """The pool's, in the order of the devices."""
        return self._pool.held_out.take(self._held_out.order)

    def of_one_class(self) -> NDArray[np.bool_]:
        """Which of them train on one class only, shape (devices,)."""
        labels = self._pool.train.y[self._train.order]
        changes = np.concatenate(([0], np.cumsum(labels[1:] != labels[:-1]), [0]))
        first, last = self._train.ends[:-1], self._train.ends[1:] - 1
        found: NDArray[np.bool_] = (self._train.sizes > 0) & (changes[first] == changes[last])
        return found
