"""The figures that the formulas were agreed on, to 6 digits."""

from math import erfc, exp, sqrt

import pytest

from covey.accounting import Skellam, Zcdp, epsilon, multiplier_equivalent, rho_cap
from covey.accounting.zcdp import to_epsilon

FINE = 1 << 14
DELTA = 1e-5


def exactly(value: float) -> object:
    """Equal to the 6 decimals of a printed figure."""
    return pytest.approx(value, abs=5.1e-7, rel=0)


def at_honest(multiplier: float, sensitivity: int, honest: int) -> int:
    """Total variance when each of `honest` devices adds its rounded-up share."""
    total = round((multiplier * sensitivity) ** 2)
    return honest * -(-total // honest)


WHOLE_DEVICE = [
    (28, 4, 10**4, 30, 1e-5, 6.838126, 6.3257),
    (140, 4, 10**5, 50, 1e-6, 10.106357, 9.4822),
    (140, 8, 10**5, 100, 1e-6, 6.735229, 6.3121),
    (700, 6, 10**6, 100, 1e-7, 10.183997, 9.6023),
]


@pytest.mark.parametrize("row", WHOLE_DEVICE)
def test_unsampled_skellam(row: tuple[int, float, int, int, float, float, float]) -> None:
    honest, z, length, rounds, delta, expected, gaussian = row
    event = Skellam(FINE, length, at_honest(z, FINE, honest))
    found = epsilon([(event, rounds)], delta)
    assert found.value == exactly(expected)
    assert (found.formula, found.zcdp.xi) == ("A", 0)
    assert exact_gaussian(sqrt(rounds) / z, delta) == pytest.approx(gaussian, abs=5.1e-5)
    assert found.value > gaussian


def exact_gaussian(shift: float, delta: float) -> float:
    """The exact ε of a Gaussian shifted by `shift` deviations (Balle and Wang, ICML 2018, Theorem 8)."""

    def spent(value: float) -> float:
        return normal(shift / 2 - value / shift) - exp(value) * normal(-shift / 2 - value / shift)

    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > delta else (low, middle)
    return high


def normal(value: float) -> float:
    """The standard normal distribution function."""
    return erfc(-value / sqrt(2)) / 2


SAMPLED = [
    (0.3, 5, 200, 1 << 10, 1024.916447, 26214400, 4.995529, 4.044518),
    (0.3, 5, 200, 1 << 14, 16384.526045, 6710886400, 4.999839, 4.040368),
    (0.5, 6, 400, 1 << 10, 1024.916447, 37748736, 5.994635, 8.791510),
    (0.1, 2, 300, 1 << 10, 1024.916447, 4194304, 1.998211, 4.578977),
    (0.05, 1.5, 500, 1 << 12, 4096.604170, 37748736, 1.499779, 4.171355),
]


@pytest.mark.parametrize("row", SAMPLED)
def test_sampled_skellam(row: tuple[float, float, int, int, float, int, float, float]) -> None:
    q, z, rounds, sensitivity, l2, variance, equal, expected = row
    event = Skellam(sensitivity, 3300, variance, q)
    assert variance == (z * sensitivity) ** 2
    assert event.norms.l2 == exactly(l2)
    assert multiplier_equivalent(event) == exactly(equal)
    found = epsilon([(event, rounds)], DELTA)
    assert found.value == exactly(expected)
    assert found.formula == "sampled"


def test_sampled_skellam_with_coarse_integers() -> None:
    event = Skellam(1 << 4, 100, 1024, 0.3)
    assert event.zcdp()[0].xi > 0
    assert epsilon([(event, 50)], DELTA).value == exactly(6.649182)


CAPS = [(4, 1e-5, 0.373015), (8, 1e-5, 1.228035), (8, 1e-6, 1.036153)]


@pytest.mark.parametrize(("target", "delta", "nearest"), CAPS)
def test_rho_cap_is_the_printed_figure_rounded_down(target: float, delta: float, nearest: float) -> None:
    cap = rho_cap(target, delta)
    assert cap == pytest.approx(nearest, abs=1.1e-6)
    assert spends(cap, delta) <= target < spends(cap + 1e-6, delta)
    # The figures above are rounded to the nearest digit, which is up here: a cap must not be.
    assert spends(nearest, delta) > target


def spends(rho: float, delta: float) -> float:

    return to_epsilon(Zcdp(rho), delta)[0]
