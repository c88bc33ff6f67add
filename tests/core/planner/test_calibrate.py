"""The least multipliers for a target, and what several kinds of sums cost together."""

from math import inf, nan

import pytest

from covey.accounting import Skellam, epsilon, rho_cap
from covey.errors import InputError
from covey.plan import Unit
from covey.planner import Allotment, Query, Target
from covey.planner.calibrate import calibrated, guaranteed, spent

TARGET = Target(4, 1e-5)
TRAIN = Query("train", 4423, 200)
SAMPLED = Query("train", 4423, 200, 0.1)
STATISTICS = Query("statistics", 7, 1)
VALIDATE = Query("validate", 40, 20)
UNIT = 1 << 10


def server(unit: Unit, allotments: tuple[Allotment, ...]) -> float:
    return spent(unit, allotments, TARGET.delta, guaranteed(UNIT)).value


def cost(query: Query, multiplier: float) -> float:
    """ε of one kind alone."""
    event = Skellam(UNIT, query.length, round(multiplier**2 * UNIT**2 + 0.5), query.sampling_rate)
    return epsilon([(event, query.sums)], TARGET.delta).value


def rho(allotment: Allotment) -> float:
    return guaranteed(UNIT)(allotment).zcdp()[0].rho * allotment.query.sums


@pytest.mark.parametrize("query", [TRAIN, SAMPLED, STATISTICS, VALIDATE])
def test_one_kind_takes_the_whole_target_and_no_more(query: Query) -> None:
    (found,) = calibrated("example", [query], TARGET, UNIT)
    assert cost(query, found.multiplier) <= TARGET.epsilon < cost(query, found.multiplier - 0.0001)
    assert round(found.multiplier, 4) == found.multiplier


def test_for_a_device_all_kinds_add_up_in_their_shares() -> None:
    statistics, validate, train = calibrated("device", [TRAIN, STATISTICS, VALIDATE], TARGET, UNIT)
    cap = rho_cap(4, 1e-5)
    assert rho(statistics) == pytest.approx(0.03 * cap, rel=1e-3)
    assert rho(validate) == pytest.approx(0.07 * cap, rel=1e-3)
    assert rho(train) == pytest.approx(0.90 * cap, rel=1e-3)
    assert 3.999 < server("device", (statistics, validate, train)) <= 4
    assert sum(map(rho, (statistics, validate, train))) <= cap


def test_for_an_example_held_out_ones_cost_in_parallel() -> None:
    allotments = calibrated("example", [VALIDATE, SAMPLED, STATISTICS], TARGET, UNIT)
    by_kind = {each.query.kind: each for each in allotments}
    assert rho(by_kind["statistics"]) == pytest.approx(0.03 * rho_cap(4, 1e-5), rel=1e-3)
    assert 3.999 < cost(VALIDATE, by_kind["validate"].multiplier) <= 4
    trained = tuple(each for each in allotments if each.query.kind != "validate")
    assert 3.999 < server("example", trained) <= 4
    assert server("example", allotments) == max(
        server("example", trained), server("example", (by_kind["validate"],))
    )


def test_a_kind_that_is_not_asked_leaves_its_share_to_training() -> None:
    (alone,) = calibrated("device", [TRAIN], TARGET, UNIT)
    beside = calibrated("device", [TRAIN, STATISTICS], TARGET, UNIT)[-1]
    crowded = calibrated("device", [TRAIN, STATISTICS, VALIDATE], TARGET, UNIT)[-1]
    assert alone.multiplier < beside.multiplier < crowded.multiplier


def test_without_training_the_last_kind_takes_what_remains() -> None:
    allotments = calibrated("device", [STATISTICS, VALIDATE], TARGET, UNIT)
    assert 3.999 < server("device", allotments) <= 4


@pytest.mark.parametrize("target", [0.5, 1, 2, 8, 20])
def test_a_run_stays_within_its_target(target: float) -> None:
    for unit, train in (("device", TRAIN), ("example", SAMPLED)):
        wanted: Unit = "device" if unit == "device" else "example"
        allotments = calibrated(wanted, [train, STATISTICS, VALIDATE], Target(target, 1e-5), UNIT)
        found = spent(wanted, allotments, 1e-5, guaranteed(UNIT)).value
        assert target * 0.999 < found <= target


@pytest.mark.parametrize("bad", [nan, inf, -inf, -1, 0, 1e9])
def test_unusable_targets_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="epsilon is"):
        calibrated("device", [TRAIN], Target(bad, 1e-5), UNIT)
    with pytest.raises(InputError, match="delta is"):
        calibrated("device", [TRAIN], Target(4, bad), UNIT)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([], "at least one"),
        ([TRAIN, TRAIN], "each kind of sum once"),
        ([Query("train", 10, 0)], "train: sums is 0"),
        ([Query("train", 10, -3)], "train: sums is -3"),
        ([Query("train", 0, 1)], "length is 0"),
        ([Query("train", 1 << 40, 1)], "length is"),
        ([Query("train", 10, 1, nan)], "sampling_rate is nan"),
        ([Query("train", 10, 1, 1.5)], "sampling_rate is 1.5"),
        ([Query("train", 10, 1, 0)], "sampling_rate is 0"),
        ([SAMPLED], "do not sample a device"),
    ],
)
def test_unusable_queries_are_refused(queries: list[Query], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        calibrated("device", queries, TARGET, UNIT)
    assert caught.value.hint


def test_a_target_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(InputError, match="raise epsilon, or take fewer sums"):
        calibrated("device", [Query("train", 4423, 10**11)], TARGET, UNIT)
