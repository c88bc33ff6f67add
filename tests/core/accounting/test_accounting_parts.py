"""Rounding, adaptive clipping, the sampler's share of δ."""

from fractions import Fraction
from math import inf, nan, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.accounting import adaptive_clipping, delta_of_sampler, round_down, round_up
from covey.errors import InputError


@given(st.floats(-1e6, 1e6), st.integers(0, 8))
def test_rounding_goes_the_safe_way_by_less_than_a_digit(value: float, digits: int) -> None:
    up, down = (
        Fraction(f"{round_up(value, digits):.{digits}f}"),
        Fraction(f"{round_down(value, digits):.{digits}f}"),
    )
    assert down <= Fraction(value) <= up <= down + Fraction(1, 10**digits)


def test_rounding_prints_as_decimals() -> None:
    assert f"{round_up(4.0000001, 3):.3f}" == "4.001"
    assert f"{round_down(0.3730147, 6):.6f}" == "0.373014"
    assert round_up(4.0, 3) == round_down(4.0, 3) == 4.0
    assert round_up(inf, 3) == inf


def test_adaptive_clipping_splits_one_budget() -> None:
    split = adaptive_clipping(5, 4, 1)
    assert split.update_multiplier == pytest.approx(6.405126, abs=5e-7)
    assert split.weight == pytest.approx(1.601282, abs=5e-7)
    assert split.sensitivity == pytest.approx(1.281025, abs=5e-7)


@given(st.floats(0.1, 100), st.floats(1.001, 100), st.floats(0.01, 100))
def test_adaptive_clipping_is_one_event_at_the_multiplier(z: float, ratio: float, clip: float) -> None:
    split = adaptive_clipping(z, z * ratio / 2, clip)
    assert z * split.sensitivity == pytest.approx(split.update_multiplier * clip)
    assert split.sensitivity == pytest.approx(sqrt(clip**2 + split.weight**2 / 4))


@pytest.mark.parametrize("deviation", [2.5, 1, 1e-6])
def test_adaptive_clipping_refuses_bits_that_cost_all(deviation: float) -> None:
    with pytest.raises(InputError, match=r"raise count_deviation above 2\.5"):
        adaptive_clipping(5, deviation, 1)


@pytest.mark.parametrize("bad", [nan, inf, 0, -1])
def test_adaptive_clipping_refuses_what_is_no_number(bad: float) -> None:
    for numbers in ((bad, 4, 1), (5, bad, 1), (5, 4, bad)):
        with pytest.raises(InputError, match="not between"):
            adaptive_clipping(*numbers)


def sampler(delta: float, epsilon: float, tv: float, draws: int = 10) -> float:
    return delta_of_sampler(delta, epsilon, contributors=draws, length=100, rounds=3, tv=tv)


def test_an_exact_sampler_costs_nothing() -> None:
    assert sampler(1e-5, 4, 0) == 1e-5
    assert sampler(1e-5, 1e6, 0) == 1e-5
    assert sampler(1e-5, 1e6, 0.5, draws=0) == 1e-5


def test_a_table_costs_its_distance_for_each_draw_in_both_worlds() -> None:
    assert sampler(1e-5, 0, 1e-9) == pytest.approx(1e-5 + 2 * 3000 * 1e-9)


def test_what_a_sampler_costs_is_at_most_everything() -> None:
    assert sampler(1e-5, 1e6, 1e-30) == 1
    assert sampler(1e-5, 600, 1e-30) == 1


@pytest.mark.parametrize(("epsilon", "tv"), [(nan, 0), (-1, 0), (1, nan), (1, -1), (1, 2)])
def test_a_sampler_with_unusable_numbers_is_refused(epsilon: float, tv: float) -> None:
    with pytest.raises(InputError, match="not between"):
        sampler(1e-5, epsilon, tv)
