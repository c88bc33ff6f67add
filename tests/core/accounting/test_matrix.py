"""The banded matrix mechanism against matrices that are written out, and every way to take part."""

from itertools import combinations, pairwise
from math import comb, log, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from covey.accounting import MatrixGaussian, epsilon, rounded_norms
from covey.accounting.matrix import coefficients, inverse, participations, squared_sensitivity
from covey.errors import InputError

Matrix = NDArray[np.float64]


def dense(bands: int, steps: int) -> Matrix:
    """C, written out."""
    matrix = np.zeros((steps, steps))
    for row in range(steps):
        for column in range(max(0, row - bands + 1), row + 1):
            matrix[row, column] = comb(2 * (row - column), row - column) / 4 ** (row - column)
    return matrix


def patterns(steps: int, separation: int) -> list[tuple[int, ...]]:
    """All sets of rounds of which any two are so far apart."""
    return [
        rounds
        for count in range(1, steps + 1)
        for rounds in combinations(range(steps), count)
        if all(b - a >= separation for a, b in pairwise(rounds))
    ]


def test_the_coefficients_are_of_the_square_root_of_the_sum() -> None:
    """Without a cut, C·C is the matrix of ones that sums up."""
    assert coefficients(4) == (1.0, 0.5, 0.375, 0.3125)
    whole = dense(9, 9)
    np.testing.assert_allclose(whole @ whole, np.tril(np.ones((9, 9))), atol=1e-12)


@pytest.mark.parametrize(
    ("bands", "separation", "steps"), [(1, 1, 4), (1, 3, 8), (3, 3, 9), (3, 4, 9), (4, 5, 6)]
)
def test_nobody_moves_it_further(bands: int, separation: int, steps: int) -> None:
    """Over all ways to take part and all signs of rows; equal where no column is cut off at the end."""
    matrix, bound = dense(bands, steps), squared_sensitivity(bands, steps, separation)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    furthest = 0.0
    for rounds in patterns(steps, separation):
        for sign in signs if len(rounds) <= 3 else [np.ones(len(rounds))]:
            row = np.zeros(steps)
            row[list(rounds)] = sign[: len(rounds)]
            furthest = max(furthest, float(np.sum((matrix @ row) ** 2)))
    assert furthest <= bound + 1e-12
    if steps >= (participations(steps, separation) - 1) * separation + bands:
        assert furthest == pytest.approx(bound)


def test_rows_in_any_direction_move_it_no_further() -> None:
    """Rows are vectors of at most unit length, not signs."""
    rng, bands, separation, steps = np.random.default_rng(1), 3, 4, 10
    bound = squared_sensitivity(bands, steps, separation)
    for rounds in patterns(steps, separation):
        rows = np.zeros((steps, 5))
        directions = rng.normal(size=(len(rounds), 5))
        rows[list(rounds)] = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        assert np.sum((dense(bands, steps) @ rows) ** 2) <= bound + 1e-12


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 3), st.data())
def test_rounds_that_were_asked_again_are_more_rows(
    bands: int, steps: int, extra: int, data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.integers(0, steps - 1), min_size=extra, max_size=extra))
    matrix = dense(bands, steps)
    longer = np.concatenate([matrix, matrix[again]])
    bound = squared_sensitivity(bands, steps, bands, repeats=extra)
    for rounds in patterns(steps, bands):
        assert np.sum(longer[:, list(rounds)].sum(axis=1) ** 2) <= bound + 1e-12


@pytest.mark.parametrize("bands", [1, 2, 5, 12])
def test_the_inverse(bands: int) -> None:
    column = np.linalg.inv(dense(bands, 12))[:, 0]
    np.testing.assert_allclose(inverse(bands, 12), column, atol=1e-12)


def test_noise_over_more_rounds_than_devices_rest_is_refused() -> None:
    with pytest.raises(InputError, match="every 3 rounds, and noise is correlated over 4") as caught:
        MatrixGaussian(1024, 100, 1 << 20, bands=4, steps=10, separation=3)
    assert "noise_bands to 3" in caught.value.hint


def test_one_band_is_the_gaussian_mechanism_as_often_as_a_device_takes_part() -> None:
    one = MatrixGaussian(1024, 100, 10**8)
    four = MatrixGaussian(1024, 100, 10**8, steps=12, separation=3)
    (line,) = one.bounds()
    assert line.rho == pytest.approx(rounded_norms(1024, 100).l2 ** 2 / (2 * 10**8))
    assert four.renyi(7) == pytest.approx(4 * one.renyi(7))
    assert epsilon([four], 1e-5).value == pytest.approx(epsilon([(one, 4)], 1e-5).value)


def test_known_answer() -> None:
    """Δ = 1024 and d = 1000 give D2 = 1024.62…; z = 4, 60 rounds, each device in every tenth, 8 bands."""
    found = MatrixGaussian(1024, 1000, (4 * 1024) ** 2, bands=8, steps=60, separation=10)
    column = (
        1 + 0.5**2 + 0.375**2 + 0.3125**2 + 0.2734375**2 + 0.24609375**2 + 0.2255859375**2 + 0.20947265625**2
    )
    row = min(1024 + sqrt(1000), sqrt(1024**2 + 250 + 1024 + sqrt(1000) / 2))
    (line,) = found.bounds()
    assert line.rho == pytest.approx(6 * column * row**2 / (2 * 4096**2), rel=1e-12)
    by_hand = min(line.rho * a + log1p(-1 / a) - log(1e-5 * a) / (a - 1) for a in range(2, 65))
    assert epsilon([found], 1e-5).value == pytest.approx(by_hand, rel=1e-9)
    assert by_hand == pytest.approx(3.697, abs=1e-3)


def test_correlated_noise_leaves_less_in_the_model_for_the_same_epsilon() -> None:
    """What counts is the noise in sums over rounds: the mean of its variance, at the same sensitivity."""
    steps, separation = 64, 16

    def left(bands: int) -> float:
        noise = np.cumsum(np.linalg.inv(dense(bands, steps)), axis=0)
        return float(np.mean(np.sum(noise**2, axis=1)) * squared_sensitivity(bands, steps, separation))

    assert left(16) < 0.6 * left(1)
