"""What all permitted answers cost by the noise alone."""

from math import log
from typing import Any

import pytest

from covey.accounting import ORDERS, Skellam, epsilon
from covey.policy.reading import parse
from covey.policy.terms import Policy
from covey.policy.worst import groups, worst
from policy_texts import policy_text


def read(**changes: Any) -> Policy:
    return parse(policy_text(**changes), "policy.toml")


def gaussian(rho: float, delta: float) -> float:
    """The conversion written down a second time (arXiv:2004.00010, Proposition 12)."""
    return min(rho * a + log(1 - 1 / a) - log(delta * a) / (a - 1) for a in ORDERS)


def test_for_devices_all_kinds_add_up() -> None:
    found = worst(read())  # 40 answers at z = 6, 20 at z = 8
    assert found.together == pytest.approx(gaussian(40 / 72 + 20 / 128, 1e-5), rel=1e-9)
    assert found.one["train"] == pytest.approx(gaussian(1 / 72, 1e-5), rel=1e-9)
    assert found.alone["validate"] == pytest.approx(gaussian(20 / 128, 1e-5), rel=1e-9)


def test_for_examples_validation_is_beside_the_rest() -> None:
    found = worst(read(budget__unit="example"))
    assert groups(read(budget__unit="example")) == (("train",), ("validate",))
    assert found.together == found.alone["train"] > found.alone["validate"]


def test_for_examples_the_costlier_group_counts_either_way() -> None:
    found = worst(read(budget__unit="example", queries__validate__noise_multiplier="1"))
    assert found.together == found.alone["validate"] > found.alone["train"]


def test_coins_make_training_cheaper_and_nothing_else() -> None:
    whole = worst(read(budget__unit="example"))
    tossed = worst(read(budget__unit="example", queries__train__sampling_rate="0.1"))
    assert tossed.alone["train"] < whole.alone["train"] / 3
    other = worst(read(budget__unit="example", queries__validate__sampling_rate="0.1"))
    assert other.alone == whole.alone


def test_the_budgets_answers_are_given_where_they_cost_most() -> None:
    found = worst(read(budget__answers=45))
    assert found.together == pytest.approx(gaussian(40 / 72 + 5 / 128, 1e-5), rel=1e-9)
    assert worst(read(budget__answers=1)).together == worst(read()).one["train"]
    assert worst(read(budget__answers=1)).alone["validate"] == worst(read()).one["validate"]


def test_what_the_cap_leaves_room_for_is_the_last_that_fits() -> None:
    found = worst(read())
    room = found.affordable["train"]
    assert gaussian(room / 72, 1e-5) <= 8 < gaussian((room + 1) / 72, 1e-5)
    assert worst(read(queries__train__noise_multiplier="0.1")).affordable["train"] == 0
    assert worst(read(queries__train__noise_multiplier="10000")).affordable["train"] == 1_000_000


def test_a_devices_own_figure_is_a_little_larger() -> None:
    """The closed form leaves out rounding and the Skellam law; the plan's cost has both."""
    mu, norm = 36 << 20, 1 << 10
    counted = epsilon([(Skellam(norm, 4000, mu), 40)], 1e-5).value
    told = worst(read()).alone["train"]
    assert told < counted < told * 1.01


def test_extremes_are_numbers() -> None:
    loud = worst(read(queries__train__noise_multiplier="10000", queries__train__answers=1))
    silent = worst(read(queries__train__noise_multiplier="1e-4", queries__train__answers=1_000_000))
    assert 0 < loud.one["train"] < 0.1
    assert silent.alone["train"] == pytest.approx(2 * 60 * 5e7)
    assert worst(read(queries=None)).together == 0
