"""The bounds beside exact Rényi divergences of one-dimensional Skellam noise."""

from functools import lru_cache
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from covey.accounting.events import skellam_bounds
from covey.accounting.norms import Norms
from covey.accounting.sampling import amplified
from covey.accounting.zcdp import Zcdp


@lru_cache(maxsize=64)
def log_pmf(variance: int, reach: int) -> NDArray[np.float64]:
    """The logarithm of e^-μ I_k(μ) for k = -reach..reach, by ratios of Bessel functions from the far end."""
    ratios = np.zeros(reach + 1)
    ratio = 0.0
    for k in range(reach + 50, 0, -1):
        ratio = 1 / (2 * k / variance + ratio)
        if k <= reach:
            ratios[k] = log(ratio)
    half = np.cumsum(ratios)
    half -= log(2 * np.exp(half[1:]).sum() + 1)
    return np.concatenate([half[:0:-1], half])


def worlds(variance: int, shift: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-probabilities of the noise and of the noise moved by `shift`, on one grid."""
    logs = log_pmf(variance, 20 * variance + 4000)
    return logs[shift:], logs[: len(logs) - shift]


def divergence(first: NDArray[np.float64], second: NDArray[np.float64], order: int) -> float:
    """The Rényi divergence of two distributions given by their logarithms."""
    return float(np.logaddexp.reduce(order * first + (1 - order) * second)) / (order - 1)


def exact(variance: int, shift: int, order: int) -> float:
    return divergence(*worlds(variance, shift), order)


def lines(variance: int, shift: int) -> tuple[Zcdp, Zcdp]:
    return skellam_bounds(Norms(l1=shift, l2=shift), variance)


def bound(variance: int, shift: int, order: int) -> float:
    return min(line.renyi(order) for line in lines(variance, shift))


@pytest.mark.parametrize(
    ("variance", "shift", "order", "expected", "bounded"),
    [
        (1, 1, 2, 0.874881852, 2.5),
        (4, 1, 2, 0.245721316, 0.390625),
        (4, 2, 8, 2.192424838, 4.75),
        (100, 10, 8, 3.614700171, 4.039),
        (100, 10, 32, 9.349363647, 16.15),
        (2500, 50, 16, 7.823264771, 8.003112),
    ],
)
def test_known_divergences(variance: int, shift: int, order: int, expected: float, bounded: float) -> None:
    assert exact(variance, shift, order) == pytest.approx(expected, abs=1e-9)
    assert bound(variance, shift, order) == pytest.approx(bounded, abs=1e-6)


small = st.integers(1, 60)


@given(small, st.integers(1, 12), st.integers(2, 24))
@settings(max_examples=60, deadline=None)
def test_the_bound_is_never_below_the_exact_divergence(variance: int, shift: int, order: int) -> None:
    assert exact(variance, shift, order) <= bound(variance, shift, order) * (1 + 1e-12)


@given(small, st.integers(1, 8), st.integers(2, 16), st.floats(0.001, 0.999))
@settings(max_examples=60, deadline=None)
def test_sampling_is_never_below_the_exact_divergence(
    variance: int, shift: int, order: int, rate: float
) -> None:
    without, present = worlds(variance, shift)
    mixed = np.logaddexp(without + np.log1p(-rate), present + log(rate))
    claimed = amplified(rate, order, lines(variance, shift)) * (1 + 1e-9)
    assert divergence(mixed, without, order) <= claimed
    assert divergence(without, mixed, order) <= claimed
