from fractions import Fraction

import mpmath  # type: ignore[import-untyped]
import pytest

from covey.noise.removal import components
from covey.noise.skellam import skellam
from covey.noise.table import Table, reach
from covey.stream import Stream
from noise_laws import WHOLE, convolved, scaled_bessel, scaled_skellam, weights

KEY = bytes(range(32))


def distance(first: dict[int, int], second: dict[int, int], whole: int) -> Fraction:
    """Total variation between two laws in units of 1 / whole."""
    values = first.keys() | second.keys()
    return Fraction(sum(abs(first.get(v, 0) - second.get(v, 0)) for v in values), 2 * whole)


def variance_of(law: Table) -> Fraction:
    return Fraction(sum(value**2 * weight for value, weight in weights(law).items()), WHOLE)


@pytest.mark.parametrize("variance", [1, 2, 7, 100, 2924])
def test_every_weight_is_the_bessel_function_rounded_down(variance: int) -> None:
    law = skellam(variance)
    for value in range(1, reach(variance) + 1):
        assert 0 <= scaled_bessel(variance, value) - law.weight(value) < 1 + 2**-20


# As far out as the series of mpmath converges.
@pytest.mark.parametrize("variance", [52632, 1 << 20, 1 << 22, 1 << 24, 1 << 26])
@pytest.mark.parametrize("deviations", [0.01, 0.1, 0.5, 1, 2, 4])
def test_weights_of_large_variances_are_the_bessel_function(variance: int, deviations: float) -> None:
    value = round(deviations * variance**0.5)
    lost = scaled_bessel(variance, value) - skellam(variance).weight(value)
    assert 0 <= lost < 1 + 2**-20


@pytest.mark.parametrize("variance", [52632, 1 << 22, 1 << 26])
def test_every_weight_of_large_variances_is_the_forward_recurrence_rounded_down(variance: int) -> None:
    law = skellam(variance)
    for value, exact in enumerate(scaled_skellam(variance, law.largest + 10)):
        assert value == 0 or 0 <= exact - law.weight(value) < 1 + 2**-20


@pytest.mark.parametrize("variance", [1, 2, 7, 100])
def test_the_stated_distance_bounds_the_true_one(variance: int) -> None:
    law = skellam(variance)
    with mpmath.workdps(100):
        lost = [abs(scaled_bessel(variance, k) - law.weight(k)) for k in range(reach(variance) + 1)]
        true = (lost[0] + 2 * sum(lost[1:])) / 2 / WHOLE
        assert true + mpmath.mpf(2) ** -160 <= law.tv < 2.0**-110


@pytest.mark.parametrize("variance", [1, 3, 100, 52632, 1 << 22])
def test_the_variance_is_the_one_asked_for(variance: int) -> None:
    assert abs(variance_of(skellam(variance)) - variance) < Fraction(variance, 2**90)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 2), (3, 7), (40, 60)])
def test_a_sum_of_two_is_the_law_of_the_summed_variance(first: int, second: int) -> None:
    a, b, both = skellam(first), skellam(second), skellam(first + second)
    total = convolved(weights(a), weights(b))
    expected = {value: weight * WHOLE for value, weight in weights(both).items()}
    assert distance(total, expected, WHOLE**2) <= Fraction(a.tv + b.tv + both.tv)


def test_a_law_is_that_of_the_sum_of_many_equal_pieces() -> None:
    piece = weights(skellam(1))
    two = convolved(piece, piece)
    total, whole = convolved(two, two), WHOLE**4
    expected = {value: weight * WHOLE**3 for value, weight in weights(skellam(4)).items()}
    assert distance(total, expected, whole) <= Fraction(4 * skellam(1).tv + skellam(4).tv)


def test_noise_in_parts_that_are_all_kept_has_the_law_of_their_sum() -> None:
    kept = components(200, 6, 1, 4)
    total, whole = weights(skellam(kept[0])), WHOLE
    for variance in kept[1:]:
        total, whole = convolved(total, weights(skellam(variance))), whole * WHOLE
    expected = {value: weight * (whole // WHOLE) for value, weight in weights(skellam(sum(kept))).items()}
    tolerance = sum(skellam(variance).tv for variance in (*kept, sum(kept)))
    assert distance(total, expected, whole) <= Fraction(tolerance)


def test_variance_zero_is_no_noise_exactly() -> None:
    law = skellam(0)
    assert (law.largest, law.tv, law.weight(0)) == (0, 0.0, WHOLE)
    assert not law.draw(Stream(KEY), 1000).any()


def test_a_table_is_built_once() -> None:
    assert skellam(321) is skellam(321)


# A mean of 10^6 squares is off by the variance times √2/1000 (standard error); fixed keys, four of those.
@pytest.mark.parametrize("variance", [1, 1000, 1 << 22])
def test_drawn_values_have_mean_zero_and_the_variance(variance: int) -> None:
    drawn = skellam(variance).draw(Stream(KEY), 1_000_000).astype(float)
    assert abs(drawn.mean()) < 4e-3 * variance**0.5
    assert abs((drawn**2).mean() / variance - 1) < 4 * (2 + 1 / variance) ** 0.5 / 1000
