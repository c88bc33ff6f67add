"""Devices without end: each draws what it holds from a pool, with replacement, when it is asked.

A device has a class mix q ~ Dirichlet(alpha, …) of its own, as in Hsu, Qi and Brown, arXiv:1909.06335. The
class of each of its examples is drawn from q, and the example evenly from the pool's of that class. All of it
follows from the seed and the device's position, so that no device needs to be kept.
"""

from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from covey.errors import InputError
from covey.examples import Examples, LocalData
from covey.seeds import generator
from covey_simulations.data.devices import LazyDevices, Sizes
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.names import Alone, Numbered
from covey_simulations.data.partitions import Index

HELD_OUT_SHARE: Final = 4
"""A device holds out one example for so many that it trains on, rounded up."""

Size = TypeVar("Size", Index, np.int64)


@dataclass(frozen=True)
class Drawing:
    """How devices are generated.

    Attributes:
        devices: How many.
        examples: Fewest and most that one trains on; any number between is as likely.
        alpha: Concentration of the class mixes, per class; smaller means fewer classes on each device.
        seed: Decides all of it.
    """

    devices: int
    examples: tuple[int, int]
    alpha: float
    seed: int


def resampled(data: FederatedData, drawing: Drawing) -> FederatedData:
    """Devices that draw from all of `data`: training examples from those trained on, held-out from held out.

    Raises:
        InputError: There is nothing to draw from.
    """
    pool = LocalData(data.all_train(), data.all_held_out())
    if not len(pool.train):
        raise InputError(f"{data.name}: no training examples to draw from", hint="choose another data.split")
    devices = Resampled(pool, len(data.labels), drawing)
    note = (
        f"Synthetic: {drawing.devices:,} devices are generated. Each draws {drawing.examples[0]} to "
        f"{drawing.examples[1]} training examples with replacement from the {len(pool.train):,} of "
        f"{data.name}, by a class mix of its own (Dirichlet, alpha {drawing.alpha:g}), and holds out a "
        "quarter as many, drawn alike from the test part."
    )
    return replace(
        data,
        name=f"synthetic-{data.name}",
        devices=devices,
        groups=Alone(devices.names),
        synthetic=True,
        notes=(note,),
    )


class Resampled(LazyDevices):
    """Devices that are drawn when they are asked for. Memory: the pool, and 8 bytes for each device."""

    def __init__(self, pool: LocalData, classes: int, drawing: Drawing) -> None:
        """Draw how many examples each device holds, and nothing else yet.

        Args:
            pool: Drawn from; `train` is not empty.
            classes: Labels lie below this.
            drawing: How.
        """
        self.names = Numbered(drawing.devices)
        self._pool, self._classes, self._drawing = pool, classes, drawing
        self._train, self._held_out = _Shelves.of(pool.train), _Shelves.of(pool.held_out)
        least, most = drawing.examples
        rng = generator(drawing.seed, "resampled sizes")
        self._train_sizes = rng.integers(least, most, size=drawing.devices, endpoint=True)

    @property
    def sizes(self) -> Sizes:
        """How many examples each holds."""
        return Sizes(self._train_sizes, self._held_out_size(self._train_sizes))

    def at(self, position: int) -> LocalData:
        """What the device at a position holds: some tens of microseconds."""
        rng = generator(self._drawing.seed, "resampled", position)
        mix = rng.dirichlet(np.full(self._classes, self._drawing.alpha))
        size = self._train_sizes[position]
        return LocalData(
            self._train.draw(mix, int(size), rng),
            self._held_out.draw(mix, int(self._held_out_size(size)), rng),
        )

    def all_train(self) -> Examples:
        """The pool's: what a device's are drawn from."""
        return self._pool.train

    def all_held_out(self) -> Examples:
        """The pool's."""
        return self._pool.held_out

    def _held_out_size(self, train: Size) -> Size:
        return -(-train // HELD_OUT_SHARE) if len(self._pool.held_out) else train * 0


@dataclass(frozen=True)
class _Shelves:
    """A pool's examples, to be found by class.

    Attributes:
        examples: The pool.
        order: Its indices, class by class.
        labels: The classes that occur, in order.
        starts: Where each of them begins in `order`.
        counts: How many there are of each.
    """

    examples: Examples
    order: Index
    labels: Index
    starts: Index
    counts: Index

    @classmethod
    def of(cls, pool: Examples) -> "_Shelves":
        labels, starts, counts = np.unique(np.sort(pool.y), return_index=True, return_counts=True)
        return cls(pool, np.argsort(pool.y, kind="stable"), labels, starts, counts)

    def draw(self, mix: NDArray[np.float64], count: int, rng: np.random.Generator) -> Examples:
        """So many examples with replacement; none of an empty pool.

        Args:
            mix: Share of each class, shape (classes,); of classes that do not occur here nothing is drawn.
            count: How many.
            rng: Draws them.
        """
        if not len(self.labels):
            return self.examples
        shares = np.cumsum(mix[self.labels])
        if not shares[-1] > 0:  # none of the classes that this device has occurs here
            shares = np.arange(1.0, len(self.labels) + 1)
        which, within = rng.random((2, count))
        shelf = np.searchsorted(shares[:-1], which * shares[-1], side="right")
        place = self.starts[shelf] + (within * self.counts[shelf]).astype(np.int64)
        return Examples(self.examples.x.take(self.order[place], 0), self.labels[shelf])
