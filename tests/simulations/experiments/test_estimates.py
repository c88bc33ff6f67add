from math import inf, nan, sqrt

import numpy as np
import pytest

from covey_simulations.experiments.estimates import estimate, paired

T2 = 4.302652729911275
"""Student's 97.5 % quantile with 2 degrees of freedom, from the tables."""


def test_a_mean_has_students_interval() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.n) == (2.0, 3)
    assert found.half == pytest.approx(T2 / sqrt(3))
    assert found.low == pytest.approx(2 - T2 / sqrt(3))
    assert found.high == pytest.approx(2 + T2 / sqrt(3))


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    found = estimate([0.5, None, nan, inf])
    assert found is not None
    assert (found.mean, found.half, found.low, found.high, found.n) == (0.5, None, None, None, 1)
    assert estimate([None, nan]) is None


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [estimate(list(rng.normal(5, 2, 4))) for _ in range(4000)]
    held = np.mean([each.low <= 5 <= each.high for each in found if each and each.low and each.high])
    assert held == pytest.approx(0.95, abs=0.015)


def test_differences_are_of_the_same_seeds() -> None:
    values, baseline = {0: 0.7, 1: 0.9, 3: 0.1, 4: None}, {1: 0.8, 0: 0.6, 2: 0.0, 4: 0.3}
    found = paired(values, baseline)
    assert found is not None
    assert found.n == 2
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(0, abs=1e-9)  # what the seeds do to both falls out
    assert paired({0: 1.0}, {1: 1.0}) is None
