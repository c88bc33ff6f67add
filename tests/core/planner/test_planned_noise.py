"""What each device adds, and what is left."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError
from covey.noise.table import LARGEST_VARIANCE
from covey.planner import Assumptions, Cohort, cohort_for, noise_for
from covey.planner.noise import excess, total_variance

TWENTY = cohort_for(Assumptions(20))


def with_minimum(devices: int, minimum: int) -> Cohort:
    return cohort_for(Assumptions(devices, minimum=minimum))


def test_the_variance_is_of_the_decimal_multiplier_and_rounded_up() -> None:
    assert total_variance(4, 1024) == 16 * 1024**2
    assert total_variance(0.1, 10) == 1
    assert total_variance(1.1, 10) == 121
    assert total_variance(1.1001, 10) == 122


def test_without_removal_honest_devices_share_the_noise() -> None:
    budget = noise_for(TWENTY, 4, 1024, removal=False)
    assert budget.shares == (-(-16 * 1024**2 // 13),)
    assert budget.variance <= 13 * budget.shares[0] < budget.variance + 13
    assert budget.release_variance == 14 * budget.shares[0]
    assert excess(budget) == pytest.approx(1.24, abs=0.005)


def test_with_removal_the_shares_are_those_of_the_protocol() -> None:
    budget = noise_for(with_minimum(20, 17), 1, 1000, removal=True)
    assert budget.shares == (52632, 2924, 3268, 3677)
    assert budget.most == 20 * sum(budget.shares)


@given(st.integers(12, 60), st.integers(1, 4), st.floats(0, 0.25), st.floats(0.5, 8))
def test_what_is_released_never_carries_less_than_promised(
    devices: int, corrupt: int, dropouts: float, multiplier: float
) -> None:
    cohort = cohort_for(Assumptions(devices, corrupt, dropouts))
    kept = noise_for(cohort, multiplier, 256, removal=False)
    assert kept.release_variance == cohort.minimum * sum(kept.shares) > kept.variance
    removed = noise_for(cohort, multiplier, 256, removal=True)
    for dropped in range(cohort.tolerance + 1):
        present = (devices - dropped) * sum(removed.shares[: dropped + 1])
        assert present >= removed.release_variance >= removed.variance
        assert present >= (devices - dropped) * removed.variance / (devices - corrupt - dropped)


def test_noise_beyond_the_sampler_names_the_sensitivity_that_fits() -> None:
    with pytest.raises(InputError, match="lower sensitivity to 512"):
        noise_for(TWENTY, 40, 1024, removal=False)
    assert max(noise_for(TWENTY, 40, 512, removal=False).shares) <= LARGEST_VARIANCE
    with pytest.raises(InputError, match="raise epsilon, take fewer sums, or ask more devices"):
        noise_for(TWENTY, 4000, 1024, removal=False)


def test_removal_for_too_many_drop_outs_is_refused() -> None:
    wide = cohort_for(Assumptions(200))
    with pytest.raises(InputError, match="turn removal off, or raise minimum to 168"):
        noise_for(wide, 1, 1024, removal=True)
    assert len(noise_for(with_minimum(200, 168), 1, 1024, removal=True).shares) == 33


@pytest.mark.parametrize("bad", [nan, inf, 0, -1, 1e300, 1e-9])
def test_unusable_multipliers_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="noise_multiplier is"):
        noise_for(TWENTY, bad, 1024, removal=False)
