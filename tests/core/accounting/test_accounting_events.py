"""Events, their formulas and how they add up."""

from math import exp, inf, nan, pi, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.accounting import (
    ORDERS,
    DiscreteGaussian,
    Event,
    Norms,
    Skellam,
    Zcdp,
    epsilon,
    multiplier_equivalent,
    rho_cap,
    rounded_norms,
)
from covey.accounting.events import discrete_gaussian_bounds
from covey.accounting.sampling import amplified
from covey.errors import InputError

DELTA = 1e-5
MODEL = Skellam(1024, 4423, (8 * 1024) ** 2)


def test_rounding_moves_a_short_vector_by_at_most_the_root_of_its_length() -> None:
    assert rounded_norms(1, 4) == Norms(l1=4, l2=2)
    assert rounded_norms(1, 16).l2 == pytest.approx(sqrt(1 + 4 + 1 + 2))
    assert rounded_norms(3, 1).l2 == pytest.approx(sqrt(9 + 0.25 + 3 + 0.5))
    assert rounded_norms(0.25, 1).l2 == pytest.approx(sqrt(0.0625 + 0.25 + 0.25 + 0.5))


def test_entries_are_integers_so_the_first_norm_is_at_most_the_second_squared() -> None:
    norms = rounded_norms(1, 1_000_000)
    assert norms.l1 == pytest.approx(norms.l2**2)


def test_formulas_a_and_b_never_have_a_negative_part() -> None:
    assert MODEL.bounds()[0].xi < 0
    first, second = MODEL.zcdp()
    assert (first.xi, first.rho) == (0, MODEL.bounds()[0].rho)
    assert second.rho < first.rho


def test_orders_are_integers_from_two_up() -> None:
    assert ORDERS[0] == 2
    assert list(ORDERS) == sorted(set(ORDERS))


@given(st.floats(1, 4096), st.integers(1, 10**6), st.integers(1, 2**40), st.sampled_from(ORDERS))
def test_formulas_a_and_b_are_never_below_the_bound(
    sensitivity: float, length: int, variance: int, order: int
) -> None:
    event = Skellam(sensitivity, length, variance)
    for line in event.zcdp():
        assert line.renyi(order) >= event.renyi(order) * (1 - 1e-12)


@given(st.floats(0.0001, 0.99), st.sampled_from(ORDERS), st.floats(1e-6, 10), st.floats(0, 1))
def test_sampling_never_costs(rate: float, order: int, rho: float, xi: float) -> None:
    bounds = (Zcdp(rho, xi),)
    more = amplified(min(1.0, rate * 1.01), order, bounds)
    assert 0 <= amplified(rate, order, bounds) <= more * (1 + 1e-9) <= bounds[0].renyi(order) * (1 + 1e-8)


def test_a_tiny_rate_is_not_lost_in_rounding() -> None:
    # The leading term, a·q²·(e^ε(2) - 1)/2 at order a: far below what 1 + x can hold in a float.
    rate, bounds = 1e-11, (Zcdp(0.005),)
    assert amplified(rate, 2, bounds) == pytest.approx(rate**2 * (exp(0.01) - 1), rel=1e-9)


def test_formula_b_is_taken_where_noise_is_scarce() -> None:
    scarce = Skellam(50, 1, 10)
    assert epsilon([scarce], DELTA).formula == "B"
    assert epsilon([MODEL], DELTA).formula == "A"


def test_sums_add_up_however_they_are_listed() -> None:
    small = Skellam(1024, 20, (40 * 1024) ** 2)
    listed = epsilon([*([MODEL] * 3), small, small], DELTA)
    counted = epsilon([(small, 2), (MODEL, 3)], DELTA)
    assert listed.value == pytest.approx(counted.value, rel=1e-12)
    assert listed.zcdp.rho == pytest.approx(3 * MODEL.zcdp()[0].rho + 2 * small.zcdp()[0].rho)
    assert counted.value > epsilon([(MODEL, 3)], DELTA).value


def test_nothing_released_costs_nothing() -> None:
    for nothing in ([], [(MODEL, 0)]):
        assert epsilon(nothing, DELTA).value == 0


def test_a_sampled_run_is_never_worse_than_the_unsampled_one() -> None:
    coarse = Skellam(4, 10_000, 400, 0.999)
    plain = Skellam(4, 10_000, 400)
    for rounds in (1, 10, 1000):
        assert epsilon([(coarse, rounds)], DELTA).value <= epsilon([(plain, rounds)], DELTA).value


def test_sampled_and_unsampled_sums_add_up_by_their_curves() -> None:
    sampled = Skellam(1024, 4423, (4 * 1024) ** 2, 0.1)
    both = epsilon([(sampled, 100), MODEL], DELTA)
    assert both.formula == "sampled"
    assert epsilon([(sampled, 100)], DELTA).value < both.value
    assert both.value < epsilon([(sampled, 100)], DELTA).value + epsilon([MODEL], DELTA).value


def test_discrete_gaussians_leave_the_gaussian_figure_when_noise_is_fine() -> None:
    event = DiscreteGaussian(1 << 14, 1000, (1 << 16) ** 2, 16)
    deviation = 4 * (1 << 16)
    expected = (event.norms.l2 / deviation) ** 2 / 2
    for line in event.zcdp():
        assert line.rho == pytest.approx(expected)
        assert line.xi == 0
    assert multiplier_equivalent(event) == pytest.approx(deviation / event.norms.l2)


def test_discrete_gaussians_pay_for_not_adding_up_to_one() -> None:
    norms = Norms(l1=10, l2=5)
    tau = 10 * (exp(-(pi**2)) + exp(-4 * pi**2 / 3))
    first, second, third = discrete_gaussian_bounds(norms, 100, 1, 3)
    assert first.rho == pytest.approx(25 / 6)
    assert first.xi == pytest.approx(100 * tau)
    assert second.rho == pytest.approx((25 / 3 + 2 * 10 / sqrt(3) * tau + 100 * tau**2) / 2)
    assert third.rho == pytest.approx((5 / sqrt(3) + 10 * tau) ** 2 / 2)


def test_one_discrete_gaussian_is_whole() -> None:
    assert discrete_gaussian_bounds(Norms(l1=2, l2=2), 100, 1, 1)[0] == Zcdp(2.0, 0.0)


def test_both_mechanisms_agree_when_noise_is_fine() -> None:
    skellam = epsilon([(Skellam(1 << 14, 1000, 16 * (1 << 16) ** 2), 10)], DELTA).value
    gaussian = epsilon([(DiscreteGaussian(1 << 14, 1000, (1 << 16) ** 2, 16), 10)], DELTA).value
    assert skellam == pytest.approx(gaussian, rel=1e-6)


def test_the_equivalent_multiplier_is_nowhere_more_private() -> None:
    event = Skellam(1 << 4, 100, 1024)
    equal = multiplier_equivalent(event)
    assert all(order / (2 * equal**2) >= event.renyi(order) for order in ORDERS)


@pytest.mark.parametrize("bad", [nan, inf, -inf, 0, -1, 2.0**41])
def test_an_unusable_sensitivity_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="sensitivity is"):
        Skellam(bad, 10, 100)
    with pytest.raises(InputError, match="sensitivity is"):
        DiscreteGaussian(bad, 10, 100, 5)


@pytest.mark.parametrize("bad", [nan, 0, -0.5, 1.5, 1e-300])
def test_an_unusable_rate_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="sampling_rate is"):
        Skellam(1, 10, 100, bad)
    with pytest.raises(InputError, match="sampling_rate is"):
        DiscreteGaussian(1, 10, 100, 5, bad)


@pytest.mark.parametrize("bad", [0, -1, 1 << 200, True, 2.5])
def test_unusable_counts_are_refused(bad: int) -> None:
    for make in (
        lambda: Skellam(1, bad, 100),
        lambda: Skellam(1, 10, bad),
        lambda: DiscreteGaussian(1, 10, bad, 5),
        lambda: DiscreteGaussian(1, 10, 100, bad),
    ):
        with pytest.raises(InputError, match="not a whole number"):
            make()


@pytest.mark.parametrize("bad", [-1, 1 << 60])
def test_an_unusable_number_of_sums_is_refused(bad: int) -> None:
    with pytest.raises(InputError, match="number of sums"):
        epsilon([(MODEL, bad)], DELTA)


@pytest.mark.parametrize("bad", [nan, 0, -1e-5, 1, inf])
def test_an_unusable_delta_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="delta is"):
        epsilon([MODEL], bad)
    with pytest.raises(InputError, match="delta is"):
        rho_cap(4, bad)


@pytest.mark.parametrize("bad", [nan, -1, inf])
def test_an_unusable_target_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="epsilon is"):
        rho_cap(bad, DELTA)


def test_a_target_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="no release at all"):
        rho_cap(0.001, DELTA)
    with pytest.raises(InputError, match="no release at all"):
        rho_cap(4, DELTA, xi=4)


def test_a_cap_leaves_room_for_its_xi() -> None:
    assert rho_cap(4, DELTA, xi=0.5) < rho_cap(4, DELTA)
    assert rho_cap(4, DELTA, xi=0.5) == rho_cap(3.5, DELTA)


def test_extreme_numbers_stay_finite() -> None:
    extremes: list[Event] = [
        Skellam(2.0**40, 1 << 30, 1),
        Skellam(2.0**40, 1 << 30, 1, 0.5),
        Skellam(1, 1, 1 << 100, 1e-12),
        DiscreteGaussian(2.0**40, 1 << 30, 1, 1 << 10),
    ]
    for event in extremes:
        assert 0 <= epsilon([(event, 1 << 40)], 1e-30).value < inf
