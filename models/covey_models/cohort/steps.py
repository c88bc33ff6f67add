"""Which examples each device of a cohort takes in each step, side by side and padded.

A device's epoch is its own permutation, cut into equal batches as `Local.batches` does. Devices with more
batches come first, so that those that still have a step are always the first few.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from covey.errors import InputError
from covey_models.training import Local, number_of_batches

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """One step of the first few devices.

    Attributes:
        x: (devices, batch, *input_shape), as the network wants it; padded with examples of the same device.
        y: int64 (devices, batch).
        share: float32 (devices, batch): 1 / b for the b examples of a device's batch, 0 for padding.
        sizes: float32 (devices,): b.
    """

    x: Tensor
    y: Tensor
    share: Tensor
    sizes: Tensor


class Cohort:
    """Devices in the order of their number of batches, most first; those without examples are last.

    Args:
        locals_: What each trains on.
        seeds: Each device's, as for `covey_models.training.train`.
        batch_size: Examples a step, about.
    """

    def __init__(self, locals_: Sequence[Local], seeds: Sequence[int], batch_size: int) -> None:
        counts = np.array([len(local.examples) for local in locals_], np.int64)
        steps = np.array([number_of_batches(int(count), batch_size) for count in counts], np.int64)
        self.order: Index = np.argsort(-steps, kind="stable")
        self.steps = steps[self.order]
        self.counts = counts[self.order]
        self._size = batch_size
        self._locals = [locals_[place] for place in self.order]
        self._seeds = [seeds[place] for place in self.order]
        self._generators = [torch.Generator().manual_seed(seed) for seed in self._seeds]
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])
        self._augmented = any(local.augment is not None for local in locals_)
        self._pooled = None if self._augmented else _pooled(self._locals)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def seed(self) -> int:
        """Of the first device."""
        return int(self._seeds[0])

    def epoch(self) -> Iterator[Batch]:
        """One pass over everybody's examples, in fresh orders; step by step."""
        return self._augmented_epoch() if self._pooled is None else self._plain_epoch(*self._pooled)

    def _plain_epoch(self, x: Tensor, y: Tensor) -> Iterator[Batch]:
        if not self.counts.sum():
            return
        orders = [
            torch.randperm(int(count), generator=generator)
            for count, generator in zip(self.counts, self._generators, strict=True)
            if count
        ]
        order = torch.cat(orders).numpy() + np.repeat(self._starts[:-1], self.counts)
        for step in range(int(self.steps[0])):
            index, share, sizes = self._step(step)
            chosen = torch.from_numpy(order[index])
            yield Batch(x[chosen], y[chosen], torch.from_numpy(share), torch.from_numpy(sizes))

    def _step(self, step: int) -> tuple[Index, NDArray[np.float32], NDArray[np.float32]]:
        """Places in the concatenated orders; see `torch.tensor_split` for the cuts."""
        active = int((self.steps > step).sum())
        steps, counts = self.steps[:active], self.counts[:active]
        least, more = np.divmod(counts, steps)
        sizes = least + (step < more)
        begin = self._starts[:active] + step * least + np.minimum(step, more)
        place = np.arange(int(sizes.max()))
        used = place < sizes[:, None]
        index = begin[:, None] + np.where(used, place, 0)
        share = used / sizes[:, None].astype(np.float32)
        return index, share.astype(np.float32), sizes.astype(np.float32)

    def _augmented_epoch(self) -> Iterator[Batch]:
        """Augmentation draws from a device's own generator, batch by batch: so do we."""
        passes = [
            local.batches(self._size, generator)
            for local, generator in zip(self._locals, self._generators, strict=True)
        ]
        for step in range(int(self.steps[0]) if len(self.steps) else 0):
            active = int((self.steps > step).sum())
            yield _padded([next(each) for each in passes[:active]])


def _pooled(locals_: Sequence[Local]) -> tuple[Tensor, Tensor]:
    """All devices' inputs, scaled, and labels.

    Raises:
        InputError: Two devices are asked to scale in two ways.
    """
    scalings = {local.preprocessing for local in locals_}
    if len(scalings) > 1:
        raise InputError("devices of one cohort that scale their inputs in different ways")
    x = np.concatenate([local.examples.x for local in locals_])
    y = np.concatenate([local.examples.y for local in locals_])
    return locals_[0].scaled(torch.from_numpy(x)), torch.from_numpy(y)


def _padded(batches: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    sizes = torch.tensor([len(y) for _, y in batches])
    longest = int(sizes.max())
    place = torch.arange(longest)
    used = place < sizes[:, None]
    index = torch.where(used, place, 0)
    x = torch.stack([x[chosen] for (x, _), chosen in zip(batches, index, strict=True)])
    y = torch.stack([y[chosen] for (_, y), chosen in zip(batches, index, strict=True)])
    return Batch(x, y, used / sizes[:, None].float(), sizes.float())
