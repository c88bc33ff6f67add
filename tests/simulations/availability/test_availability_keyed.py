"""Random numbers of many devices: the same for the same keys, uniform, and unrelated otherwise."""

import numpy as np
import pytest

from covey_simulations.availability.keyed import normal, uniform

MANY = np.arange(50_000)


def test_a_number_follows_from_its_keys_and_nothing_else() -> None:
    all_at_once, one = uniform(3, "x", MANY, 7), uniform(3, "x", np.array([123]), 7)
    assert all_at_once[123] == one[0]
    assert uniform(3, "x", MANY, np.full(len(MANY), 7))[123] == one[0]


@pytest.mark.parametrize("other", [(4, "x", 7), (3, "y", 7), (3, "x", 8)])
def test_other_keys_give_unrelated_numbers(other: tuple[int, str, int]) -> None:
    seed, purpose, key = other
    found = np.corrcoef(uniform(3, "x", MANY, 7), uniform(seed, purpose, MANY, key))[0, 1]
    assert abs(found) < 0.02


def test_numbers_are_uniform_and_neighbours_unrelated() -> None:
    found = uniform(0, "u", MANY)
    counts, _ = np.histogram(found, 50, (0, 1))
    assert counts.sum() == len(MANY)
    assert ((counts - 1000) ** 2 / 1000).sum() < 85  # chi squared, 49 degrees of freedom: 1 in 1,000
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.02


def test_normal_numbers_have_their_moments() -> None:
    found = normal(0, "n", MANY)
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 1) < 0.02
    assert abs(np.mean(found**4) - 3) < 0.2
