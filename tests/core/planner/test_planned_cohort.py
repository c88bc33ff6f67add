"""How many devices must answer."""

from math import inf, nan

import pytest

from covey.errors import InputError
from covey.planner import Assumptions, Cohort, cohort_for, minimum_for


def test_thirty_percent_of_twenty_devices_may_drop_out() -> None:
    cohort = cohort_for(Assumptions(20))
    assert cohort == Cohort(20, 1, 14, 11, 19, "malicious-server")
    assert (cohort.honest, cohort.tolerance) == (13, 6)


@pytest.mark.parametrize(
    ("devices", "corrupt", "threshold", "dropped"),
    [(10, 1, 6, 4), (12, 2, 8, 4), (20, 2, 12, 8), (50, 5, 28, 22), (100, 10, 56, 44)],
)
def test_as_many_may_drop_out_as_leave_the_threshold(
    devices: int, corrupt: int, threshold: int, dropped: int
) -> None:
    least = cohort_for(Assumptions(devices, corrupt, minimum=devices - dropped))
    assert (least.threshold, least.minimum, least.tolerance) == (threshold, threshold, dropped)
    with pytest.raises(InputError, match=f"minimum = {threshold} tolerates most"):
        cohort_for(Assumptions(devices, corrupt, minimum=devices - dropped - 1))


@pytest.mark.parametrize(
    ("devices", "dropouts", "minimum"),
    [(10, 0.1, 9), (10, 0.3, 7), (15, 0.2, 12), (10, 0.11, 8), (10, 0, 10)],
)
def test_drop_outs_are_counted_as_the_decimal_that_was_written(
    devices: int, dropouts: float, minimum: int
) -> None:
    assert minimum_for(devices, 1, dropouts) == minimum


def test_two_honest_devices_are_always_left() -> None:
    assert cohort_for(Assumptions(10, 8, dropouts=0)).minimum == 10
    with pytest.raises(InputError, match="corrupt is 9"):
        cohort_for(Assumptions(10, 9, dropouts=0))


def test_too_many_drop_outs_name_how_many_would_do() -> None:
    with pytest.raises(InputError, match=r"lower dropouts to 0\.45"):
        minimum_for(20, 1, 0.6)
    assert minimum_for(20, 1, 0.45) == 11


def test_the_hint_for_drop_outs_can_be_followed() -> None:
    for devices in range(10, 200):
        with pytest.raises(InputError) as caught:
            minimum_for(devices, 3, 0.9)
        minimum_for(devices, 3, float(caught.value.hint.split()[-1]))


def test_a_large_fleet_is_planned_on_a_sparse_graph() -> None:
    cohort = cohort_for(Assumptions(1000, 50, dropouts=0.2, profile="semi-honest-server"))
    assert (cohort.neighbours, cohort.threshold) == (76, 39)
    assert cohort.honest == 750


@pytest.mark.parametrize(
    ("assumptions", "message"),
    [
        (Assumptions(9), "ask at least 10 devices"),
        (Assumptions(0), "devices is 0"),
        (Assumptions(-5), "devices is -5"),
        (Assumptions(1 << 60), "10 to 10,000 devices"),
        (Assumptions(501), "plan cohorts of at most 500 devices with the same corrupt"),
        (Assumptions(499, profile="semi-honest-server"), "500 to 10000 devices"),
        (Assumptions(10_001, profile="semi-honest-server"), "500 to 10000 devices"),
        (Assumptions(20, 0), "the server may always control one device"),
        (Assumptions(20, -1), "corrupt is -1"),
        (Assumptions(20, dropouts=nan), "dropouts is nan"),
        (Assumptions(20, dropouts=inf), "dropouts is inf"),
        (Assumptions(20, dropouts=-0.1), "dropouts is -0.1"),
        (Assumptions(20, dropouts=1.0), "dropouts is 1"),
        (Assumptions(20, minimum=21), "minimum is 21"),
        (Assumptions(20, minimum=0), "minimum is 0"),
    ],
)
def test_impossible_cohorts_are_refused_with_a_next_step(assumptions: Assumptions, message: str) -> None:
    with pytest.raises(InputError) as caught:
        cohort_for(assumptions)
    assert message in str(caught.value)
    assert caught.value.hint
