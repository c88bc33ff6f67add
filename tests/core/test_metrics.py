import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.metrics import accuracy, count, cross_entropies, false_negatives, false_positives, macro_f1, wilson

CONFUSION = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]], np.int64)


# R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("events", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_published_intervals(events: int, trials: int, low: float, high: float) -> None:
    rate = wilson(events, trials)
    assert rate.value == events / trials
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)


@given(st.floats(-5, 1e6), st.floats(0.5, 1e6))
def test_the_interval_stays_inside_and_holds_the_value(events: float, trials: float) -> None:
    rate = wilson(events, trials)
    assert 0 <= rate.low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= rate.high <= 1


@pytest.mark.parametrize("trials", [0, -3.5])
def test_without_trials_nothing_is_known(trials: float) -> None:
    rate = wilson(2, trials)
    assert math.isnan(rate.value)
    assert (rate.low, rate.high, rate.trials) == (0.0, 1.0, 0.0)


def test_count_has_truth_in_rows() -> None:
    counts = count(np.array([0, 0, 2, 1]), np.array([0, 1, 2, 1]), 4)
    expected = np.zeros((4, 4), np.int64)
    expected[[0, 0, 2, 1], [0, 1, 2, 1]] = 1
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


def test_count_of_nothing_is_zero() -> None:
    empty = np.zeros(0, np.int64)
    np.testing.assert_array_equal(count(empty, empty, 2), np.zeros((2, 2)))


def test_accuracy_is_the_diagonal() -> None:
    assert accuracy(CONFUSION).value == 17 / 20
    assert accuracy(CONFUSION).trials == 20


def test_false_negatives_go_by_row() -> None:
    first, second, absent = false_negatives(CONFUSION)
    assert (first.value, second.value) == (0.2, 0.1)
    assert math.isnan(absent.value)


def test_false_positives_go_by_column() -> None:
    first, second, absent = false_positives(CONFUSION)
    assert (first.value, second.value, absent.value) == (0.1, 0.2, 0.0)
    assert absent.trials == 20


def test_macro_f1_leaves_out_absent_classes() -> None:
    assert macro_f1(CONFUSION) == pytest.approx((16 / 19 + 18 / 21) / 2)
    assert math.isnan(macro_f1(np.zeros((3, 3), np.int64)))


def test_noised_counts_are_accepted() -> None:
    noised = CONFUSION + np.array([[0.5, -2.5, -0.7], [0.2, 0.1, -0.3], [0.4, -0.2, 0.1]])
    for rate in (accuracy(noised), *false_negatives(noised), *false_positives(noised)):
        assert 0 <= rate.low <= rate.high <= 1


def test_cross_entropy_is_a_stable_sum() -> None:
    logits = np.array([[0, 0], [1000, 0], [0, 1000]], np.float32)
    assert cross_entropies(logits, np.array([0, 0, 0])).sum() == pytest.approx(math.log(2) + 0 + 1000)
    assert cross_entropies(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)).sum() == 0
