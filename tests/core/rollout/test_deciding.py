"""Whether a ring opens: known answers, and how often the answer is wrong, by simulation."""

import math

import msgspec
import numpy as np
import pytest

from covey.errors import ProtocolError
from covey.rollout.deciding import Advance, Stop, Verdict, Wait, decide, devices_to_show, reports_over
from covey.rollout.health import RingHealth
from covey.rollout.plan import Limits
from rollout_plans import HOUR, plan

STRICT = plan(limits=Limits(report_seconds=HOUR))
LOOSE = plan()
SOAKED, OVER = HOUR, 2 * HOUR


def first(health: RingHealth, open_for: int = OVER, of: object = STRICT) -> Verdict:
    """Of the first ring alone."""
    assert isinstance(of, type(STRICT))
    return decide(of, (open_for,), (health,))


def test_a_good_ring_opens_the_next_once_it_has_soaked() -> None:
    good = RingHealth(50, 50, 0)
    early, then = first(good, SOAKED - 1), first(good, SOAKED)
    assert isinstance(early, Wait)
    assert "ring lab soaks for 0.0 h more" in early.because
    assert not early.for_people
    assert isinstance(then, Advance)
    assert then.because == (
        "ring lab: 0.0% of 50 devices have failed or not reported (0.0% to 5.8%): "
        "within the limit of 10 % at 95 % confidence"
    )


def test_a_bad_ring_stops_it_even_while_it_soaks() -> None:
    for time in (0, SOAKED, OVER):
        found = first(RingHealth(50, 20, 10), time)
        assert isinstance(found, Stop)
        assert "above the limit of 10 %" in found.because


def test_nine_failures_of_fifty_are_not_certain_to_be_above_ten_per_cent_and_ten_are() -> None:
    assert isinstance(first(RingHealth(50, 41, 9)), Wait)
    assert isinstance(first(RingHealth(50, 40, 10)), Stop)


def test_silent_devices_count_as_failed_once_their_time_is_over_and_not_before() -> None:
    silent = RingHealth(50, 30, 0)
    before, after = first(silent, OVER - 1), first(silent, OVER)
    assert isinstance(before, Wait)
    assert not before.for_people
    assert isinstance(after, Stop)
    assert reports_over(STRICT, STRICT.rings[0]) == OVER


def test_too_few_devices_are_no_rate() -> None:
    gone = first(RingHealth(4, 0, 4))
    assert isinstance(gone, Wait)
    assert gone.for_people
    assert gone.pauses
    assert "not within the limit" in gone.because
    assert isinstance(first(RingHealth(5, 0, 5)), Stop)
    assert isinstance(first(RingHealth(50, 0, 4), 0), Wait)
    assert isinstance(first(RingHealth(9, 0, 5), 0), Stop)


def test_too_few_reports_open_nothing() -> None:
    few = msgspec.structs.replace(
        LOOSE, rings=(msgspec.structs.replace(LOOSE.rings[0], minimum_reports=3), *LOOSE.rings[1:])
    )
    found = first(RingHealth(2, 2, 0), of=few)
    assert isinstance(found, Wait)
    assert (found.for_people, found.pauses) == (True, False)
    assert "2 of 2 devices have reported for certain, the plan wants 3" in found.because
    assert isinstance(first(RingHealth(3, 3, 0), of=few), Advance)


def test_a_ring_too_small_to_show_anything_waits_unless_the_plan_says_otherwise() -> None:
    small = RingHealth(2, 2, 0)
    strict, early, loose = first(small), first(small, OVER - 1, LOOSE), first(small, of=LOOSE)
    assert isinstance(strict, Wait)
    assert strict.for_people
    assert "may be above the limit" in strict.because
    assert isinstance(early, Wait)
    assert isinstance(loose, Advance)
    assert "unproven as the plan allows" in loose.because
    assert isinstance(first(RingHealth(2, 1, 1), of=LOOSE), Wait)


def test_what_looks_bad_and_is_not_certain_goes_on_only_with_people() -> None:
    poor = RingHealth(20, 17, 3)
    for of in (STRICT, LOOSE):
        early, late = first(poor, OVER - 1, of), first(poor, OVER, of)
        assert isinstance(early, Wait)
        assert isinstance(late, Wait)
        assert (early.for_people, early.pauses) == (False, False)
        assert (late.for_people, late.pauses) == (True, True)


def test_noise_that_drowns_a_ring_does_not_open_the_next() -> None:
    """All of twenty have failed, and the noise is as large: half must have succeeded for certain."""
    rng = np.random.default_rng(3)
    noisy = rng.normal(0, 20, (1000, 2)).tolist()
    found = [first(RingHealth(20, good, 20 + bad, 20.0), of=LOOSE) for good, bad in noisy]
    assert sum(isinstance(each, Advance) for each in found) <= 20


def test_a_ring_on_trust_holds_back_the_next_only_if_it_is_surely_bad() -> None:
    lab = msgspec.structs.replace(LOOSE.rings[0], minimum_reports=0)
    trusted = msgspec.structs.replace(LOOSE, rings=(lab, *LOOSE.rings[1:]))
    drowned, half, gone = RingHealth(2, -3, 4, 5.0), RingHealth(2, 1, 1), RingHealth(2, 0, 2)
    for health in (drowned, half):
        assert isinstance(first(health, OVER - 1, trusted), Wait)
        found = first(health, OVER, trusted)
        assert isinstance(found, Advance)
        assert "on trust" in found.because
        assert isinstance(first(health, OVER, LOOSE), Wait)
    assert isinstance(first(gone, OVER, trusted), Wait)
    strict = msgspec.structs.replace(trusted, limits=STRICT.limits)
    assert isinstance(first(drowned, OVER, strict), Wait)
    later = decide(trusted, (9 * HOUR, OVER), (drowned, RingHealth(500, 300, 200, 5.0)))
    assert isinstance(later, Stop)


def test_how_many_devices_show_the_limit() -> None:
    assert devices_to_show(Limits()) == 29
    assert isinstance(first(RingHealth(28, 28, 0), SOAKED), Wait)
    assert isinstance(first(RingHealth(29, 29, 0), SOAKED), Advance)
    assert devices_to_show(Limits(most_failed=1, confidence=99)) == 4603
    assert devices_to_show(Limits(most_failed=999, confidence=50)) == 1


def test_a_new_ring_that_fails_is_not_hidden_by_an_old_one() -> None:
    hidden = decide(STRICT, (9 * HOUR, OVER), (RingHealth(1000, 1000, 0), RingHealth(20, 8, 12)))
    assert isinstance(hidden, Stop)
    assert hidden.because.startswith("ring canary")
    slightly = decide(LOOSE, (9 * HOUR, OVER), (RingHealth(1000, 1000, 0), RingHealth(20, 17, 3)))
    assert isinstance(slightly, Wait)


def test_an_old_ring_that_fails_late_stops_it_too() -> None:
    late = decide(STRICT, (9 * HOUR, 0), (RingHealth(50, 30, 20), RingHealth(1000, 0, 0)))
    assert isinstance(late, Stop)
    assert late.because.startswith("ring lab")


def test_rings_together_show_what_each_alone_does_not() -> None:
    some = RingHealth(20, 20, 0)
    assert isinstance(first(some), Wait)
    assert isinstance(decide(STRICT, (9 * HOUR, OVER), (some, some)), Advance)
    poor = RingHealth(20, 16, 4)
    found = decide(STRICT, (9 * HOUR,) * 3, (poor, poor, poor))
    assert isinstance(found, Stop)
    assert found.because.startswith("all open rings")


def test_an_empty_roster_opens_nothing() -> None:
    for of in (STRICT, LOOSE):
        assert isinstance(first(RingHealth(0, 0, 0), of=of), Wait)


def test_with_noise_that_drowns_everything_nothing_opens_and_nothing_stops() -> None:
    for succeeded, failed in ((50, 0), (0, 50), (-900, 900), (2000, -2000)):
        assert isinstance(first(RingHealth(50, succeeded, failed, 1000.0), of=LOOSE), Wait)


def test_with_noise_that_is_small_it_decides_as_without() -> None:
    assert isinstance(first(RingHealth(500, 495, 5, 3.0)), Advance)
    assert isinstance(first(RingHealth(500, 380, 120, 3.0)), Stop)


@pytest.mark.parametrize("count", [math.nan, math.inf, -math.inf])
def test_a_count_that_is_no_number_is_refused(count: float) -> None:
    for health in (RingHealth(5, count, 0), RingHealth(5, 0, count), RingHealth(5, 0, 0, abs(count))):
        with pytest.raises(ProtocolError, match="no number"):
            first(health)


def test_health_of_another_number_of_rings_is_refused() -> None:
    with pytest.raises(ProtocolError, match="health of 1 rings, and 2 are open"):
        decide(STRICT, (HOUR, HOUR), (RingHealth(5, 5, 0),))


def simulated(
    share: float, expected: int, deviation: float, runs: int, silent: float = 0.0
) -> dict[str, float]:
    """How often each answer is given about a ring whose devices fail with this probability."""
    rng = np.random.default_rng(11)
    gone = rng.binomial(expected, silent, runs)
    failed = rng.binomial(expected - gone, share)
    well = expected - gone - failed + rng.normal(0, deviation, runs)
    bad = failed + rng.normal(0, deviation, runs)
    found = [
        type(first(RingHealth(expected, good, ill, deviation))).__name__
        for good, ill in zip(well.tolist(), bad.tolist(), strict=True)
    ]
    return {name: found.count(name) / runs for name in ("Advance", "Wait", "Stop")}


@pytest.mark.parametrize(
    ("expected", "deviation"), [(10, 0.0), (100, 0.0), (100, 5.0), (2000, 0.0), (2000, 20.0)]
)
def test_at_the_limit_neither_answer_is_given_more_often_than_allowed(
    expected: int, deviation: float
) -> None:
    """1,000 simulated rings; 0.078 is four standard deviations above 0.05."""
    found = simulated(0.1, expected, deviation, 1000)
    assert found["Stop"] <= 0.078
    assert found["Advance"] <= 0.078


@pytest.mark.parametrize(("expected", "deviation"), [(200, 0.0), (800, 10.0), (5000, 80.0)])
def test_a_fifth_that_fails_stops_it_and_a_fiftieth_does_not(expected: int, deviation: float) -> None:
    bad, good = simulated(0.2, expected, deviation, 300), simulated(0.02, expected, deviation, 300)
    assert bad["Stop"] >= 0.9
    assert bad["Advance"] == 0
    assert good["Advance"] >= 0.95
    assert good["Stop"] == 0


def test_a_tenth_that_is_silent_counts_beside_what_fails() -> None:
    assert simulated(0.09, 1000, 0.0, 200, silent=0.1)["Stop"] >= 0.95
    assert simulated(0.02, 1000, 0.0, 200, silent=0.03)["Advance"] >= 0.95
