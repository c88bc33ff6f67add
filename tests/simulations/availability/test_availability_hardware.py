"""What an update takes of a device."""

from dataclasses import replace

import numpy as np
import pytest

from covey_simulations.availability.clock import ended
from covey_simulations.availability.hardware import Hardware
from covey_simulations.availability.model import Modelled
from covey_simulations.availability.tiers import EFFICIENCY, LINK_WATTS, ROUND_TRIP, TIERS
from covey_simulations.availability.traces import HOUR, Always, recorded
from covey_simulations.availability.work import Attempts, Work

NODES = np.arange(2, 10_002)
WORK = Work(2e9, 1e6, 5e5)
PI4 = Hardware(1, [TIERS["pi4"]], [1.0])


def test_by_hand_one_pi_4() -> None:
    found = Modelled(Always(), PI4).attempt(5, 0.0, WORK)
    compute = 2e9 / (11.889e9 * EFFICIENCY)
    moving = 8 * 1.5e6 / 50e6 + ROUND_TRIP
    assert found.finished
    assert found.seconds == pytest.approx(compute + moving)
    assert found.joules == pytest.approx(compute * (7.2 - 3.0) + moving * LINK_WATTS)
    assert found.bytes == pytest.approx(1.5e6)


def test_a_device_that_is_cut_off_has_spent_what_it_had_until_then() -> None:
    attempts = PI4.attempts(np.array([5]), WORK, 0)
    down, compute, _ = attempts.phases[:, 0]
    joules, moved = attempts.spent(float(down / 2))
    assert (joules[0], moved[0]) == (pytest.approx(down / 2 * LINK_WATTS), pytest.approx(5e5))
    joules, moved = attempts.spent(float(down + compute / 4))
    assert joules[0] == pytest.approx(down * LINK_WATTS + compute / 4 * 4.2)
    assert moved[0] == 1e6


def test_tiers_are_shared_out_and_stay_with_their_devices() -> None:
    mixed = Hardware(1, [TIERS["pi4"], TIERS["pi5"]], [0.25, 0.75])
    kinds = mixed.kinds(NODES)
    assert abs(float((kinds == 1).mean()) - 0.75) < 0.02
    assert mixed.kinds(NODES[70:71])[0] == kinds[70]
    assert set(mixed.idle_watts(NODES).tolist()) == {3.0, 3.5}


def test_half_of_the_devices_are_slower_than_their_tier_by_a_log_normal_law() -> None:
    slow = replace(PI4, spread=1.0).slowness(NODES)
    assert abs(float((slow > 1).mean()) - 0.5) < 0.02
    assert abs(float(np.log(slow).std()) - 1) < 0.03


def test_a_pareto_law_has_a_heavy_tail() -> None:
    slow = replace(PI4, law="pareto", spread=1.5).slowness(NODES)
    assert slow.min() >= 1
    for factor in (2.0, 8.0):  # P(slower than x) = x^-1.5
        assert float((slow > factor).mean()) == pytest.approx(factor**-1.5, rel=0.15)


def test_jitter_changes_from_time_to_time_and_slowness_does_not() -> None:
    jittery = replace(PI4, spread=1.0, jitter=0.2)
    first, second, again = (jittery.attempts(NODES[:100], WORK, key).phases[1] for key in (1, 2, 1))
    assert np.array_equal(first, again)
    assert 0.1 < float(np.log(first / second).std()) < 0.5


def test_some_drop_out_on_the_way() -> None:
    found = replace(PI4, dropouts=0.08).attempts(NODES, WORK, 4)
    whole = PI4.attempts(NODES[:1], WORK, 4)
    assert abs(float((~found.finished).mean()) - 0.08) < 0.01
    assert found.ends[found.finished] == pytest.approx(whole.ends[0])
    early = found.ends[~found.finished] / whole.ends[0]
    assert abs(float(early.mean()) - 0.5) < 0.05


def test_a_device_that_goes_offline_before_the_end_drops_out() -> None:
    trace = recorded({2: [(0.0, HOUR)], 3: [(0.0, 1.0)]})
    found = Modelled(trace, PI4).attempts(np.array([2, 3]), 0.0, WORK, 0)
    assert found.finished.tolist() == [True, False]
    assert found.ends[1] < found.ends[0]


def attempts(ends: list[float], finished: list[bool]) -> Attempts:
    zero = np.zeros((3, len(ends)))
    return Attempts(np.array(finished, np.bool_), np.array(ends), zero, zero, zero)


@pytest.mark.parametrize(
    ("finished", "needed", "seconds", "answered"),
    [
        ([True, True, True], 0, 9.0, [True, True, True]),  # until the last
        ([True, False, True], 0, 60.0, [True, False, True]),  # one never does: until the timeout
        ([True, True, True], 2, 5.0, [True, False, True]),  # enough have
        ([False, True, True], 2, 9.0, [False, True, True]),
        ([False, False, True], 2, 60.0, [False, False, True]),
    ],
)
def test_a_stage_lasts_until_all_or_enough_have_answered_or_the_timeout(
    finished: list[bool], needed: int, seconds: float, answered: list[bool]
) -> None:
    found = ended(attempts([2.0, 9.0, 5.0], finished), 60.0, needed)
    assert (found.seconds, found.answered.tolist()) == (seconds, answered)


def test_who_is_too_late_is_not_in_it() -> None:
    found = ended(attempts([2.0, 90.0], [True, True]), 60.0)
    assert (found.seconds, found.answered.tolist()) == (60.0, [True, False])


def test_nobody_asked_takes_no_time() -> None:
    assert ended(attempts([], []), 60.0).seconds == 0.0
