"""How pooled examples are shared out: every partition uses every index exactly once.

iid         at random: the easy case
dirichlet   every device prefers some classes: label skew
by_time     contiguous blocks in the order of the data: drift from device to device
natural     the data says whose each example is

The first three give every device the same number of examples, to within one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from covey.errors import InputError
from covey.examples import Labels

Index = NDArray[np.int64]
Parts = tuple[Index, ...]


def iid(count: int, devices: int, rng: np.random.Generator) -> Parts:
    """Deal `count` examples at random.

    Returns:
        Sorted indices, one array per device.

    Raises:
        InputError: There are fewer examples than devices.
    """
    return _blocks(rng.permutation(count), devices)


def by_time(count: int, devices: int) -> Parts:
    """Cut `count` examples into contiguous blocks, in their order.

    Raises:
        InputError: There are fewer examples than devices.
    """
    return _blocks(np.arange(count), devices)


def natural(groups: Sequence[str]) -> dict[str, Index]:
    """The indices of each group, by name, in the order of the names."""
    names = np.asarray(groups, dtype=np.str_)
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def dirichlet(labels: Labels, devices: int, alpha: float, rng: np.random.Generator) -> Parts:
    """Deal examples with label skew: each device draws the class mix q ~ Dirichlet(alpha, …) it prefers.

    Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", arXiv:1909.06335: equal sizes, q drawn per device, examples taken without replacement.
    The paper writes Dirichlet(a p) for a prior p that sums to one; here `alpha` is counted per class, as most
    software does: with the uniform prior, the paper's a is alpha times the number of classes.

    Args:
        labels: Class of each example, shape (n,).
        devices: How many devices.
        alpha: Concentration per class, > 0. Small: one class a device. Large: the same mix everywhere.
        rng: Draws the mixes and the examples.

    Raises:
        InputError: There are fewer examples than devices.
    """
    classes = int(labels.max(initial=0)) + 1
    return by_preference(labels, preferences(devices, classes, alpha, rng), rng)


def preferences(devices: int, classes: int, alpha: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The class mix that each device prefers: shape (devices, classes), rows sum to one."""
    return rng.dirichlet(np.full(classes, alpha), size=devices)


def by_preference(labels: Labels, mixes: NDArray[np.float64], rng: np.random.Generator) -> Parts:
    """Deal examples so that each device's classes follow its mix for as long as the classes last.

    Devices draw one after another. A class that is used up is struck from the mixes that follow, so the last
    devices take what is left.

    Args:
        labels: Class of each example, shape (n,), below `mixes.shape[1]`.
        mixes: Preferred class mix, shape (devices, classes); see `preferences`.
        rng: Draws the examples.

    Raises:
        InputError: There are fewer examples than devices.
    """
    devices, classes = mixes.shape
    queues = [rng.permutation(np.flatnonzero(labels == label)) for label in range(classes)]
    left = np.array([len(queue) for queue in queues])
    parts = []
    for size, mix in zip(_sizes(len(labels), devices), mixes, strict=True):
        counts = _draw(size, mix, left, rng)
        parts.append(np.sort(np.concatenate(_pop(queues, left, counts))))
        left = left - counts
    return tuple(parts)


def _draw(size: int, mix: NDArray[np.float64], left: Index, rng: np.random.Generator) -> Index:
    """How many of each class: `size` in all, at most `left` of each, as close to `mix` as that allows.

    Each pass reaches `size` or uses up a class, so there are at most as many passes as classes.
    """
    counts = np.zeros_like(left)
    while counts.sum() < size:
        weights = np.where(counts < left, mix, 0.0)
        if not weights.sum() > 0:  # the mix has no weight on what is left: take the rest as it comes
            weights = (left - counts).astype(np.float64)
        more = rng.multinomial(size - counts.sum(), weights / weights.sum())
        counts = np.minimum(counts + more, left)
    return counts


def _pop(queues: Sequence[Index], left: Index, counts: Index) -> list[Index]:
    """The next `counts` of each class, where `left` are still in the queues."""
    return [queue[len(queue) - n :][:k] for queue, n, k in zip(queues, left, counts, strict=True)]


def _blocks(order: Index, devices: int) -> Parts:
    ends = np.cumsum(_sizes(len(order), devices))
    return tuple(np.sort(block) for block in np.split(order, ends[:-1]))


def _sizes(count: int, devices: int) -> list[int]:
    if count < devices:
        raise InputError(
            f"{count} examples cannot be dealt to {devices} devices: each needs at least one",
            hint=f"set data.devices to {count} or less, or raise data.examples",
        )
    size, extra = divmod(count, devices)
    return [size + 1] * extra + [size] * (devices - extra)
