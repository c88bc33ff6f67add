"""Exact intervals, held against scipy's beta distribution and against simulated counts."""

import numpy as np
import pytest
from scipy.stats import beta, binom

from covey.rollout.health_interval import lower_end, share_interval, tail, upper_end


@pytest.mark.parametrize("total", [1, 2, 5, 29, 100, 3_000, 100_000])
@pytest.mark.parametrize("error", [0.005, 0.05, 0.25])
def test_the_ends_are_clopper_s_and_pearson_s(total: int, error: float) -> None:
    for count in sorted({0, 1, total // 50, total // 3, total - 1, total}):
        low = 0.0 if count == 0 else beta.ppf(error, count, total - count + 1)
        high = 1.0 if count == total else beta.ppf(1 - error, count + 1, total - count)
        assert lower_end(count, total, error) == pytest.approx(low, abs=1e-9)
        assert upper_end(count, total, error) == pytest.approx(high, abs=1e-9)


def test_the_tail_is_that_of_a_binomial() -> None:
    for total, share in ((1, 0.5), (7, 0.1), (1000, 0.02), (50_000, 0.4)):
        for count in (1, max(total // 10, 1), total):
            assert tail(count, total, share) == pytest.approx(binom.sf(count - 1, total, share), abs=1e-11)
    assert tail(3, 5, 0.0) == 0
    assert tail(3, 5, 1.0) == 1


def test_known_intervals() -> None:
    assert share_interval(0, 0, 29, 0, 0.05).high == pytest.approx(0.0981446, abs=1e-6)
    assert share_interval(10, 10, 50, 0, 0.05).low == pytest.approx(0.1127216, abs=1e-6)
    assert share_interval(2, 7, 50, 0, 0.05).low == lower_end(2, 50, 0.05)
    assert share_interval(2, 7, 50, 0, 0.05).high == upper_end(7, 50, 0.05)
    assert share_interval(10, 10, 50, 0, 0.05).words == "11.3% to 31.6%"


def test_counts_beyond_what_can_be_are_taken_for_what_can() -> None:
    assert share_interval(-30, -20, 10, 0, 0.05) == share_interval(0, 0, 10, 0, 0.05)
    assert share_interval(30, 40, 10, 0, 0.05) == share_interval(10, 10, 10, 0, 0.05)
    assert share_interval(0, 0, 0, 3, 0.05) == share_interval(0, 0, 0, 0, 0.05)
    assert (share_interval(0, 0, 0, 0, 0.05).low, share_interval(0, 0, 0, 0, 0.05).high) == (0, 1)


def test_a_sum_of_floats_is_the_whole_number_that_it_should_be() -> None:
    almost = 0.1 + 0.2 + 9.7  # a hair below 10
    assert share_interval(almost - 1e-12, almost + 1e-12, 50, 0, 0.05) == share_interval(10, 10, 50, 0, 0.05)


def test_noise_widens_and_a_lot_of_it_says_nothing() -> None:
    quiet, noisy, deaf = (share_interval(10, 10, 50, deviation, 0.05) for deviation in (0, 2, 1000))
    assert noisy.low < quiet.low
    assert quiet.high < noisy.high
    assert (deaf.low, deaf.high) == (0, 1)


@pytest.mark.parametrize(
    ("total", "share", "deviation"), [(8, 0.1, 0.0), (60, 0.1, 0.0), (60, 0.1, 4.0), (900, 0.03, 9.0)]
)
def test_each_end_errs_no_more_often_than_allowed(total: int, share: float, deviation: float) -> None:
    """2,000 simulated counts; 0.07 is four standard deviations of the count above 0.05."""
    rng = np.random.default_rng(7)
    counts = rng.binomial(total, share, 2000) + rng.normal(0, deviation, 2000)
    found = [share_interval(each, each, total, deviation, 0.05) for each in counts.tolist()]
    assert sum(each.low > share for each in found) / 2000 <= 0.07
    assert sum(each.high < share for each in found) / 2000 <= 0.07
