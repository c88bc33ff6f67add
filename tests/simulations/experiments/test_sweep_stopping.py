from math import inf, isnan, nan
from typing import Any

import pytest

from covey.errors import ConfigError
from covey_simulations.experiments.cases import planned
from covey_simulations.experiments.halving import accuracy_at, rungs, survivors
from covey_simulations.experiments.stopping import is_enough
from covey_simulations.experiments.sweep_file import HalvingSettings, StopSettings
from small_sweep import FEDERATION, sweep_file


def rows(*values: float | None, metric: str = "accuracy") -> list[dict[str, Any]]:
    return [
        {"round": number, "accuracy": None, "loss": 1.0} | {metric: value}
        for number, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("values", "enough"),
    [
        ((0.5, 0.6, 0.7), False),
        ((0.5, 0.6, 0.6, 0.6), True),  # two rounds without anything better
        ((0.5, 0.6, None, 0.6), True),
        ((0.5, 0.6, 0.604, 0.606), True),  # better, but by less than min_delta
        ((0.5, 0.6, 0.604, 0.62), False),
        ((0.7, 0.5, 0.6), True),
        ((None, None), False),
        ((), False),
    ],
)
def test_patience_is_of_rounds_since_the_best(values: tuple[float | None, ...], enough: bool) -> None:
    assert is_enough(rows(*values), StopSettings(patience=2, min_delta=0.01)) is enough


def test_a_target_ends_a_run_when_the_last_validation_has_it() -> None:
    stop = StopSettings(target=0.9)
    assert not is_enough(rows(0.5, 0.89, None), stop)
    assert is_enough(rows(0.5, 0.9, None), stop)


def test_of_losses_less_is_better_and_what_is_no_number_is_none() -> None:
    assert is_enough(rows(1.0, 0.2, metric="loss"), StopSettings(metric="loss", target=0.3))
    assert not is_enough(rows(1.0, 0.4, nan, inf, metric="loss"), StopSettings(metric="loss", target=0.3))
    falling, rising = rows(3.0, 2.0, 1.0, metric="loss"), rows(1.0, 2.0, 3.0, metric="loss")
    stop = StopSettings(metric="loss", patience=2)
    assert [is_enough(each, stop) for each in (falling, rising)] == [False, True]


def test_a_decision_does_not_change_when_a_run_is_gone_on_with() -> None:
    known = rows(0.5, 0.7, 0.6, 0.65, 0.66, 0.9)
    stop = StopSettings(patience=3)
    assert [is_enough(known[:end], stop) for end in range(1, 7)] == [False] * 4 + [True, False]


def halved(rounds: int, every: int, **halving: int) -> list[int]:
    federation = FEDERATION | {"federation": {"rounds": rounds, "validate_every": every}}
    file = sweep_file(base=federation)
    return rungs(HalvingSettings(**halving), planned(file, federation, lambda _: {}))


def test_rungs_grow_by_the_factor_and_stand_at_validations() -> None:
    assert halved(100, 1, first=5, factor=3) == [5, 15, 45]
    assert halved(100, 10, first=15, factor=2) == [10, 30, 60]
    assert halved(10, 5, first=10, factor=2) == []


def test_a_ranking_needs_a_validation_before_it() -> None:
    with pytest.raises(ConfigError, match="the first is after 10"):
        halved(100, 10, first=5)


def test_cases_are_ranked_after_as_many_rounds() -> None:
    file = sweep_file(grid={"federation.rounds": [4, 8]})
    with pytest.raises(ConfigError, match=r"same federation\.rounds"):
        rungs(HalvingSettings(first=2), planned(file, FEDERATION, lambda _: {}))


def test_the_best_third_goes_on_in_the_order_of_the_file() -> None:
    accuracies = {"a": [0.5, 0.7], "b": [0.9, nan], "c": [nan], "d": [0.6, 0.6], "e": [0.95]}
    assert survivors(accuracies, 3) == ["b", "e"]
    assert survivors(accuracies, 100) == ["e"]
    assert survivors({"a": [0.6], "b": [0.6]}, 2) == ["a"]


def test_an_accuracy_at_a_rung_is_the_last_that_was_known_there() -> None:
    known = rows(0.1, None, 0.3, 0.4)
    assert [accuracy_at(known, rung) for rung in (1, 2, 3, 9)] == [0.1, 0.1, 0.3, 0.4]
    assert isnan(accuracy_at(rows(None), 3))
