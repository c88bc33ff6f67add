"""The server's noise: its law, that a key repeats it, and its correlation against C⁻¹ z."""

import numpy as np
import pytest
from scipy import stats

from covey.noise.gaussian import correlated, gaussian


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_it_is_normal() -> None:
    found = gaussian(3.0, 200_001, key(1))
    assert found.shape == (200_001,)
    assert stats.kstest(found, "norm", args=(0, 3.0)).pvalue > 1e-3
    assert abs(np.corrcoef(found[:100_000], found[100_000:200_000])[0, 1]) < 0.02


def test_a_key_repeats_it_and_another_does_not() -> None:
    np.testing.assert_array_equal(gaussian(1.0, 9, key(1)), gaussian(1.0, 9, key(1)))
    assert not np.array_equal(gaussian(1.0, 9, key(1)), gaussian(1.0, 9, key(2)))
    assert gaussian(1.0, 0, key(1)).shape == (0,)


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_rounds_are_correlated_by_the_inverse_matrix(bands: int) -> None:
    steps = 8
    weights = [1.0, 1 / 2, 3 / 8, 5 / 16, 35 / 128, 63 / 256, 231 / 1024, 429 / 2048][:bands]
    matrix = sum(np.diag([weight] * (steps - j), -j) for j, weight in enumerate(weights))
    fresh = np.stack([gaussian(1.0, 6, key(step)) for step in range(steps)])
    found: list[np.ndarray] = []
    for row in fresh:
        found.insert(0, correlated(row, found, bands))
    np.testing.assert_allclose(np.stack(found[::-1]), np.linalg.solve(matrix, fresh), atol=1e-12)


def test_only_the_last_rounds_count() -> None:
    rounds = [gaussian(1.0, 4, key(step)) for step in range(6)]
    np.testing.assert_array_equal(correlated(rounds[0], rounds[1:], 3), correlated(rounds[0], rounds[1:3], 3))
