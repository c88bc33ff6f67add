from fractions import Fraction

import mpmath  # type: ignore[import-untyped]
import pytest

from covey.noise.discrete_gaussian import discrete_gaussian
from covey.noise.skellam import skellam
from covey.noise.table import reach
from covey.stream import Stream
from noise_laws import WHOLE, scaled_gaussian, weights

KEY = bytes(range(32))


@pytest.mark.parametrize("variance", [1, 2, 7, 100, 2924, 1 << 22])
def test_every_weight_is_the_gaussian_function_rounded_down(variance: int) -> None:
    law = discrete_gaussian(variance)
    for value, exact in enumerate(scaled_gaussian(variance, reach(variance))):
        assert value == 0 or 0 <= exact - law.weight(value) < 1 + 2**-20


@pytest.mark.parametrize("variance", [1, 2, 7, 100])
def test_the_stated_distance_bounds_the_true_one(variance: int) -> None:
    law = discrete_gaussian(variance)
    with mpmath.workdps(100):
        lost = [
            abs(exact - law.weight(value))
            for value, exact in enumerate(scaled_gaussian(variance, reach(variance)))
        ]
        true = (lost[0] + 2 * sum(lost[1:])) / 2 / WHOLE
        assert true + mpmath.mpf(2) ** -160 <= law.tv < 2.0**-110


@pytest.mark.parametrize("variance", [1, 3, 100, 52632])
def test_the_variance_is_at_most_the_parameter_and_close_to_it(variance: int) -> None:
    law = weights(discrete_gaussian(variance))
    true = Fraction(sum(value**2 * weight for value, weight in law.items()), WHOLE)
    # The deficit falls as exp(-2π²v): 10^-7 of the variance at v = 1 and nothing to see at 3.
    assert -(2.0**-90) < float((variance - true) / variance) < 5e-7


def test_it_is_not_the_skellam_law() -> None:
    assert discrete_gaussian(5).weight(0) != skellam(5).weight(0)
    # The Skellam law has the heavier tail.
    assert discrete_gaussian(5).weight(20) < skellam(5).weight(20)


def test_parameter_zero_is_no_noise_exactly() -> None:
    law = discrete_gaussian(0)
    assert (law.largest, law.tv, law.weight(0)) == (0, 0.0, WHOLE)
    assert not law.draw(Stream(KEY), 1000).any()


def test_a_table_is_built_once() -> None:
    assert discrete_gaussian(321) is discrete_gaussian(321)


@pytest.mark.parametrize("variance", [1, 1000, 1 << 22])
def test_drawn_values_have_mean_zero_and_the_variance(variance: int) -> None:
    drawn = discrete_gaussian(variance).draw(Stream(KEY), 1_000_000).astype(float)
    assert abs(drawn.mean()) < 4e-3 * variance**0.5
    assert abs((drawn**2).mean() / variance - 1) < 4 * 2**0.5 / 1000
