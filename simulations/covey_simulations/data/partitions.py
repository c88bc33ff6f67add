"""How pooled examples are shared out: every partition uses every index exactly once.

iid             at random: the easy case
dirichlet       every device prefers some classes: label skew
by_class_shares every class is split by itself: label skew, and devices of different sizes
by_time         contiguous blocks in the order of the data: drift from device to device
natural         the data says whose each example is

iid, dirichlet and by_time give every device the same number of examples, to within one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from covey.errors import InputError
from covey.examples import Labels

Index = NDArray[np.int64]

LEAST: Final = 10
"""Training examples that `class_shares` leaves every device, as the benchmark it follows does."""
_DRAWS: Final = 1000
"""Before it gives up."""
_ROUNDING: Final = 1e-9
"""A sum of shares that is a whole number but for floating point is that number."""


@dataclass(frozen=True, eq=False)
class Parts(Sequence[Index]):
    """Sorted indices, one part per device, in two arrays however many devices there are.

    Attributes:
        order: Every index once, the first device's first, shape (count,).
        ends: Where each part begins, and at last `count`: shape (devices + 1,).
    """

    order: Index
    ends: Index

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, device: int) -> Index: ...
    @overload
    def __getitem__(self, device: slice) -> list[Index]: ...
    def __getitem__(self, device: int | slice) -> Index | list[Index]:
        if isinstance(device, slice):
            return [self[each] for each in range(len(self))[device]]
        part = range(len(self))[device]
        return self.order[self.ends[part] : self.ends[part + 1]]

    def __iter__(self) -> Iterator[Index]:
        return map(self.__getitem__, range(len(self)))

    @property
    def sizes(self) -> Index:
        """How many indices each part has, shape (devices,)."""
        return np.diff(self.ends)


def iid(count: int, devices: int, rng: np.random.Generator, *, everyone: bool = True) -> Parts:
    """Deal `count` examples at random.

    Args:
        count: How many examples.
        devices: How many devices.
        rng: Decides.
        everyone: Refuse to leave a device without any.

    Raises:
        InputError: There are fewer examples than devices.
    """
    return _blocks(rng.permutation(count), devices, everyone=everyone)


def by_time(count: int, devices: int, *, everyone: bool = True) -> Parts:
    """Cut `count` examples into contiguous blocks, in their order.

    Args:
        count: How many examples.
        devices: How many devices.
        everyone: Refuse to leave a device without any.

    Raises:
        InputError: There are fewer examples than devices.
    """
    return _blocks(np.arange(count), devices, everyone=everyone)


def natural(groups: Sequence[str]) -> dict[str, Index]:
    """The indices of each group, by name, in the order of the names."""
    names, owners = np.unique(np.asarray(groups, np.str_), return_inverse=True)
    order, counts = np.argsort(owners, kind="stable"), np.bincount(owners, minlength=len(names))
    return {
        str(name): order[end - count : end]
        for name, count, end in zip(names, counts, np.cumsum(counts), strict=True)
    }


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


def by_preference(
    labels: Labels, mixes: NDArray[np.float64], rng: np.random.Generator, *, everyone: bool = True
) -> Parts:
    """Deal examples so that each device's classes follow its mix for as long as the classes last.

    Devices draw one after another. A class that is used up is struck from the mixes that follow, so the last
    devices take what is left.

    Args:
        labels: Class of each example, shape (n,), below `mixes.shape[1]`.
        mixes: Preferred class mix, shape (devices, classes); see `preferences`.
        rng: Draws the examples.
        everyone: Refuse to leave a device without any.

    Raises:
        InputError: There are fewer examples than devices.
    """
    devices, classes = mixes.shape
    queues = [rng.permutation(np.flatnonzero(labels == label)) for label in range(classes)]
    sizes = _sizes(len(labels), devices, everyone=everyone)
    left = np.array([len(queue) for queue in queues])
    counts = np.zeros((devices, classes), np.int64)
    for device, (size, mix) in enumerate(zip(sizes.tolist(), mixes, strict=True)):
        counts[device] = _draw(size, mix, left, rng)
        left = left - counts[device]
    owners = [np.repeat(np.arange(devices), counts[:, label]) for label in range(classes)]
    return _gathered(np.concatenate(queues), np.concatenate(owners), sizes)


def class_shares(
    labels: Labels, classes: int, devices: int, alpha: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """How each class is split between devices: q ~ Dirichlet(alpha, …) over the devices, class by class.

    Li, Diao, Chen and He, "Federated learning on non-IID data silos: an experimental study", ICDE 2022,
    arXiv:2102.02079, distribution-based label imbalance; as in the authors' code, a device that holds an even
    share of all examples gets nothing of the classes that follow, and all is drawn anew until every device
    has `LEAST` examples. Sizes differ from device to device, unlike those of `dirichlet`.

    Args:
        labels: Class of each training example, shape (n,), below `classes`.
        classes: How many classes.
        devices: How many devices.
        alpha: Concentration per device, > 0. Small: a class is on few devices.
        rng: Draws the shares.

    Returns:
        Shape (classes, devices), rows sum to one.

    Raises:
        InputError: So many devices cannot have `LEAST` examples each, or no draw gave them that.
    """
    counts = np.bincount(labels, minlength=classes)
    for _ in range(_DRAWS if len(labels) >= LEAST * devices else 0):
        shares, held = np.empty((classes, devices)), np.zeros(devices)
        for label, count in enumerate(counts.tolist()):
            shares[label] = _open(rng.dirichlet(np.full(devices, alpha)), held < len(labels) / devices)
            held += shares[label] * count
        if held.min() >= LEAST + classes:  # rounding takes less than one example a class
            return shares
    raise InputError(
        f"{len(labels)} examples, split class by class with alpha {alpha:g}, leave some of {devices} devices "
        f"fewer than {LEAST}",
        hint="set data.devices lower, or raise data.alpha or data.examples",
    )


def by_class_shares(labels: Labels, shares: NDArray[np.float64], rng: np.random.Generator) -> Parts:
    """Split every class between the devices, at random, in the shares given.

    Args:
        labels: Class of each example, shape (n,), below `shares.shape[0]`.
        shares: Of each class by device, shape (classes, devices), rows sum to one; see `class_shares`.
        rng: Draws the examples.
    """
    classes, devices = shares.shape
    queues = [rng.permutation(np.flatnonzero(labels == label)) for label in range(classes)]
    owners = [_owners(len(queue), of_class) for queue, of_class in zip(queues, shares, strict=True)]
    everyone = np.concatenate(owners)
    return _gathered(np.concatenate(queues), everyone, np.bincount(everyone, minlength=devices))


def _open(share: NDArray[np.float64], still: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A share of those alone who may take more, if any may; one of nothing is an even one."""
    takers = still if still.any() else np.ones_like(still)
    kept = np.where(takers, share, 0.0)
    weights = kept if kept.sum() > 0 else np.where(takers, 1.0, 0.0)
    found: NDArray[np.float64] = weights / weights.sum()
    return found


def _owners(count: int, shares: NDArray[np.float64]) -> Index:
    """Who owns each of `count` examples, in order of the devices: shape (count,)."""
    ends = np.floor(np.cumsum(shares) * count + _ROUNDING).astype(np.int64)
    ends[-1] = count
    return np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))


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


def _blocks(order: Index, devices: int, *, everyone: bool) -> Parts:
    sizes = _sizes(len(order), devices, everyone=everyone)
    return _gathered(order, np.repeat(np.arange(devices), sizes), sizes)


def _gathered(indices: Index, owners: Index, sizes: Index) -> Parts:
    """Parts from the owner of each index, and how many each owns."""
    return Parts(indices[np.lexsort((indices, owners))], np.concatenate(([0], np.cumsum(sizes))))


def _sizes(count: int, devices: int, *, everyone: bool) -> Index:
    if everyone and count < devices:
        raise InputError(
            f"{count} examples cannot be dealt to {devices} devices: each needs at least one",
            hint=f"set data.devices to {count} or less, or raise data.examples; or draw with replacement, "
            'whatever the number of devices, with data.partition = "resampled"',
        )
    sizes = np.full(devices, count // devices)
    sizes[: count % devices] += 1
    return sizes
