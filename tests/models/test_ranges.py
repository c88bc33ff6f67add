import numpy as np
import pytest
from numpy.typing import NDArray

from covey_models import ranges
from covey_models.ranges import BINS, bins, counts, edges, lost, norm, read, rows

SCALE = 4.0
TOP = float(edges(SCALE)[-1])


def test_every_value_lies_in_the_bin_whose_edges_hold_it() -> None:
    ends = edges(SCALE)
    np.testing.assert_allclose(ends[1:] / ends[:-1], 2 ** (1 / 3))
    assert (ends[0], ends[-1]) == (SCALE / 64, SCALE * 16)
    np.testing.assert_array_equal(bins(ends, SCALE), np.arange(BINS - 1))
    np.testing.assert_array_equal(bins(ends * 1.001, SCALE), np.arange(1, BINS))
    assert bins(np.array([0.0, np.inf, np.nan]), SCALE).tolist() == [0, BINS - 1, BINS - 1]


def test_a_row_is_one_hot_per_tensor_and_side() -> None:
    first = np.array([[[1.0, -2.0]], [[3.0, 0.5]]])
    second = np.array([[np.nan], [-1e9]])
    found = counts(rows([first, second], (SCALE, 1.0))[1], 2)
    assert found[0].argmax(1).tolist() == [bins(np.array(3.0), SCALE), 0]
    assert found[1].argmax(1).tolist() == [0, BINS - 1]
    assert rows([first, second], (SCALE, 1.0))[0].sum() == 4


@pytest.mark.parametrize("bad", [0.0, 1e30, -1e30, np.nan, np.inf, -np.inf])
def test_every_row_has_the_same_norm_whatever_the_values(bad: float) -> None:
    values = [np.full((3, 2), bad, np.float32), np.full((3, 1, 4), 1.0, np.float32)]
    found = rows(values, (SCALE, SCALE))
    assert found.shape == (3, ranges.length(2))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), norm(2))


def test_no_examples_give_no_rows_and_unequal_ones_are_refused() -> None:
    assert rows([np.zeros((0, 5))], (1.0,)).shape == (0, ranges.length(1))
    with pytest.raises(ValueError, match="1 examples at one point and 2"):
        rows([np.zeros((2, 5)), np.zeros((1, 5))], (1.0, 1.0))


def histogram(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts(rows([x], (SCALE,)).sum(0), 1)


def values(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Activations whose largest value per example varies by about an octave."""
    return rng.normal(size=(n, 50)) * np.exp(rng.normal(size=(n, 1)) * 0.25)


def test_without_noise_the_range_holds_every_value_and_is_at_most_a_bin_wider() -> None:
    x = values(500, np.random.default_rng(0))
    ((low, high),) = read(histogram(x), (SCALE,), 0.0, 500)
    assert x.max() <= high <= x.max() * 2 ** (1 / 3)
    assert x.min() >= low >= x.min() * 2 ** (1 / 3)


@pytest.mark.parametrize("deviation", [3.0, 15.0, 30.0])
def test_noise_moves_the_range_little(deviation: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        x = values(1000, rng)
        noisy = histogram(x) + rng.normal(size=(1, 2, BINS)) * deviation
        ((low, high),) = read(noisy, (SCALE,), deviation, 1000)
        most = np.sort(x.max(1))
        assert most[700] < high < most[-1] * 2
        assert low < 0


def test_ranges_under_noise_are_rather_too_wide_than_too_narrow() -> None:
    rng = np.random.default_rng(2)
    cut = []
    for _ in range(200):
        x = values(1000, rng)
        noisy = histogram(x) + rng.normal(size=(1, 2, BINS)) * 15
        ((_, high),) = read(noisy, (SCALE,), 15.0, 1000)
        cut.append((x.max(1) > high).mean())
    assert np.mean(cut) < 0.03
    assert np.max(cut) < 0.1


def test_noise_alone_gives_the_public_scale_and_is_told() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(200, 2, BINS)) * 20
    gone = lost(noise, 20.0, 1000)
    assert gone.mean() > 0.99
    found = read(noise, (SCALE,) * 200, 20.0, 1000)
    assert all(pair == (-SCALE, SCALE) for pair, both in zip(found, gone, strict=True) if both.all())


def test_fewer_examples_than_noise_hides_are_not_looked_for() -> None:
    cells = np.zeros((1, 2, BINS))
    cells[0, :, 20] = 1000.0
    assert not lost(cells, 10.0, 1000).any()
    assert lost(cells, 10.0, 40).all()
    assert lost(np.zeros((1, 2, BINS)), 0.0, 0).all()


def test_what_lies_beyond_the_last_edge_gives_a_finite_range() -> None:
    ((low, high),) = read(histogram(np.array([[1e9, -1e9]])), (SCALE,), 0.0, 1)
    assert high == -low == pytest.approx(TOP * 2 ** (1 / 3))


def test_a_tensor_that_is_zero_keeps_a_little_room() -> None:
    assert read(histogram(np.zeros((9, 4))), (SCALE,), 0.0, 9) == ((-SCALE / 64, SCALE / 64),)


@pytest.mark.parametrize(("shape", "deviation"), [((1, 2, 31), 1.0), ((2, 2, 32), 1.0), ((1, 2, 32), -1.0)])
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], deviation: float) -> None:
    with pytest.raises(ValueError, match=r"histograms of shape|a deviation of"):
        read(np.zeros(shape), (1.0,), deviation, 10)
