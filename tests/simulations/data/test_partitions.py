import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError
from covey_simulations.data.partitions import (
    LEAST,
    Parts,
    by_class_shares,
    by_preference,
    by_time,
    class_shares,
    dirichlet,
    iid,
    natural,
    preferences,
)

SEEDS = st.integers(0, 2**32 - 1)
ALPHAS = st.floats(1e-4, 1e4)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_shares_all(parts: Parts, count: int, devices: int) -> None:
    """Every index once, every device the same number to within one, every part in order."""
    assert len(parts) == devices
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert {len(part) for part in parts} <= {count // devices, count // devices + 1}
    assert all((np.diff(part) > 0).all() for part in parts)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    devices = draw(st.integers(1, 30))
    return draw(st.integers(devices, 400)), devices


@given(counts(), SEEDS)
def test_iid_uses_every_index_once(shape: tuple[int, int], seed: int) -> None:
    assert_shares_all(iid(*shape, generator(seed)), *shape)


@given(counts())
def test_time_blocks_are_contiguous(shape: tuple[int, int]) -> None:
    parts = by_time(*shape)
    assert_shares_all(parts, *shape)
    assert np.concatenate(parts).tolist() == list(range(shape[0]))


@given(counts(), st.integers(1, 12), ALPHAS, SEEDS)
def test_dirichlet_uses_every_index_once(
    shape: tuple[int, int], classes: int, alpha: float, seed: int
) -> None:
    count, devices = shape
    labels = generator(seed).integers(0, classes, count)
    assert_shares_all(dirichlet(labels, devices, alpha, generator(seed)), count, devices)


@given(counts(), SEEDS)
def test_mixes_without_weight_on_what_is_left_still_share_all(shape: tuple[int, int], seed: int) -> None:
    count, devices = shape
    labels = generator(seed).integers(0, 3, count)
    only_the_first_class = np.tile([1.0, 0.0, 0.0], (devices, 1))
    assert_shares_all(by_preference(labels, only_the_first_class, generator(seed)), count, devices)


def test_by_preference_gives_what_is_preferred() -> None:
    labels = np.repeat([0, 1], 50)
    parts = by_preference(labels, np.array([[1.0, 0.0], [0.0, 1.0]]), generator(1))
    assert [labels[part].tolist() for part in parts] == [[0] * 50, [1] * 50]


@given(st.lists(st.sampled_from(["x", "y", "z"]), max_size=30))
def test_natural_follows_the_groups(groups: list[str]) -> None:
    parts = natural(groups)
    assert list(parts) == sorted(set(groups))
    assert sorted(i for part in parts.values() for i in part.tolist()) == list(range(len(groups)))
    assert all(groups[i] == name for name, part in parts.items() for i in part.tolist())


def test_natural_tells_apart_names_of_any_length() -> None:
    assert list(natural(["a", "abc", "ab"])) == ["a", "ab", "abc"]


def skew(alpha: float) -> float:
    """Mean total variation between a device's classes and the pool's, over 40 devices and 10 classes."""
    labels = np.tile(np.arange(10), 400)
    parts = dirichlet(labels, 40, alpha, generator(0))
    shares = np.array([np.bincount(labels[part], minlength=10) / len(part) for part in parts])
    return float(np.abs(shares - 0.1).sum(axis=1).mean() / 2)


def test_smaller_alpha_means_more_skew() -> None:
    assert skew(0.01) > 0.7 > skew(0.5) > 0.3 > skew(5) > 0.15 > skew(1000)


def test_preferences_are_mixes() -> None:
    mixes = preferences(6, 4, 0.5, generator(0))
    assert mixes.shape == (6, 4)
    assert np.allclose(mixes.sum(axis=1), 1)


def test_the_same_seed_gives_the_same_parts_and_another_does_not() -> None:
    labels = np.arange(200) % 5

    def both(seed: int) -> list[list[int]]:
        rng = generator(seed)
        return [part.tolist() for part in (*iid(200, 4, rng), *dirichlet(labels, 4, 0.5, rng))]

    assert both(3) == both(3) != both(4)


def test_fewer_examples_than_devices_are_refused() -> None:
    too_few = pytest.raises(InputError, match="3 examples cannot be dealt to 4 devices")
    with too_few:
        iid(3, 4, generator(0))
    with too_few:
        by_time(3, 4)
    with too_few:
        dirichlet(np.array([0, 1, 2]), 4, 0.5, generator(0))


@pytest.mark.parametrize("count", [0, 3])
def test_where_not_everyone_needs_one_the_last_have_none(count: int) -> None:
    labels, mixes = np.arange(count) % 2, preferences(5, 2, 0.5, generator(0))
    for parts in (
        iid(count, 5, generator(0), everyone=False),
        by_time(count, 5, everyone=False),
        by_preference(labels, mixes, generator(0), everyone=False),
    ):
        assert [len(part) for part in parts] == [1] * count + [0] * (5 - count)
        assert sorted(parts.order.tolist()) == list(range(count))


def test_parts_are_a_sequence() -> None:
    parts = by_time(5, 3)
    assert [part.tolist() for part in parts] == [part.tolist() for part in parts[:]] == [[0, 1], [2, 3], [4]]
    assert parts[-1].tolist() == [4]
    assert parts.sizes.tolist() == [2, 2, 1]
    with pytest.raises(IndexError):
        parts[3]


def test_nothing_cannot_be_dealt() -> None:
    with pytest.raises(InputError, match="0 examples"):
        dirichlet(np.array([], np.int64), 4, 0.5, generator(0))


@given(st.integers(1, 5), st.integers(1, 12), st.floats(0.5, 1e4), SEEDS)
def test_class_shares_split_every_class_and_leave_everyone_some(
    devices: int, classes: int, alpha: float, seed: int
) -> None:
    labels = np.tile(np.arange(classes), 400)
    shares = class_shares(labels, classes + 1, devices, alpha, generator(seed))  # the last has no examples
    parts = by_class_shares(labels, shares, generator(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert parts.sizes.min() >= LEAST
    dealt = np.array([np.bincount(labels[part], minlength=classes + 1) for part in parts]).T
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.abs(dealt[:-1] - shares[:-1] * 400).max() < 1 + 1e-6


def test_a_device_with_an_even_share_takes_no_more() -> None:
    labels = np.tile(np.arange(10), 100)
    shares = class_shares(labels, 10, 4, 0.1, generator(0))
    held = np.cumsum(shares * 100, axis=0)
    assert (shares[1:][held[:-1] >= 250] == 0).all()
    assert held[-1].max() > 250 > held[-1].min()  # sizes differ


def test_small_alpha_puts_a_class_on_few_devices() -> None:
    labels = np.tile(np.arange(10), 400)
    of = [class_shares(labels, 10, 10, alpha, generator(0)) for alpha in (0.1, 100.0)]
    assert np.mean([row.max() for row in of[0]]) > 0.5
    assert np.mean([row.max() for row in of[1]]) < 0.2


@pytest.mark.parametrize(("count", "devices", "alpha"), [(50, 6, 1.0), (200, 10, 1e-3)])
def test_what_leaves_a_device_with_next_to_nothing_is_refused(count: int, devices: int, alpha: float) -> None:
    with pytest.raises(InputError, match="split class by class"):
        class_shares(np.zeros(count, np.int64), 1, devices, alpha, generator(0))
