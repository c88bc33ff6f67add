"""What the report says of a run's protection, from rows of its book."""

from math import sqrt
from typing import Any

import numpy as np
import pytest

from covey_server.spending import spent
from covey_simulations import protected
from covey_simulations.protected import accuracy_noise, kinds, noise_of, protection_of, spent_by_round
from covey_simulations.sent import for_masks, sent
from covey_strategies.queries.validate import ValidateSum
from sum_rows import Row, abort, noise, reserve, settle, settled

DELTA = 1e-5
SUITE = {
    "profile": "malicious-server",
    "cipher": "chacha20",
    "bits": 24,
    "neighbours": 0,
    "threshold": 0,
}


def validation(serial: int, **changes: Any) -> Row:
    parts = [
        {"name": "confusion", "length": 49, "clip": 1.0, "scale": 512.0},
        {"name": "examples and right", "length": 2, "clip": 1.4, "scale": 256.0},
        {"name": "loss", "length": 1, "clip": 20.0, "scale": 2.0},
    ]
    return reserve(serial, "validate", elements=52, bytes_per_device=150, parts=parts, **changes)


def test_a_kind_counts_its_sums_and_those_not_opened() -> None:
    first, second, third = (reserve(serial) for serial in (1, 2, 3))
    (found,) = kinds([first, settle(first), second, abort(second), third])
    assert (found.kind, found.sums, found.unopened) == ("train", 3, 2)
    assert (found.asked, found.minimum, found.corrupt) == (20, 14, 1)
    assert found.multiplier == 1.0  # sd 2^10 over Δ = 2^10


def test_where_sums_of_a_kind_differ_what_protects_least_is_named() -> None:
    (found,) = kinds([reserve(1), reserve(2, noise=noise(1 << 18), minimum=12, corrupt=2)])
    assert (found.multiplier, found.minimum, found.corrupt) == (0.5, 12, 2)


def test_one_sum_without_noise_leaves_its_kind_without_a_multiplier_and_the_run_without_epsilon() -> None:
    rows = [reserve(1), reserve(2, noise=None), validation(2)]
    assert [kind.multiplier for kind in kinds(rows)] == [None, 1.0]
    assert spent_by_round(rows, DELTA) == ()


def test_epsilon_by_round_ends_at_the_runs_own() -> None:
    rows = settled([*(reserve(serial) for serial in range(1, 9)), validation(9, round=8)])
    found = spent_by_round(rows, DELTA)
    assert [number for number, _ in found] == list(range(1, 9))
    assert [cost for _, cost in found] == sorted(cost for _, cost in found)
    whole = spent(rows, DELTA).server
    assert whole is not None
    assert found[-1][1] == whole.value


def test_a_sum_asked_again_after_a_crash_counts_with_its_round() -> None:
    once = spent_by_round([reserve(1), reserve(2)], DELTA)
    again = spent_by_round([reserve(1), reserve(2), reserve(3, round=2)], DELTA)
    assert again[0] == once[0]
    assert again[1][1] > once[1][1]


def test_of_many_rounds_some_are_shown_the_first_and_the_last_among_them() -> None:
    found = spent_by_round([reserve(serial) for serial in range(1, 201)], DELTA)
    assert len(found) == protected.MOST_POINTS
    assert (found[0][0], found[-1][0]) == (1, 200)


def test_the_noise_of_a_count_is_the_last_opened_validations_in_its_own_units() -> None:
    early, last, given_up = validation(1, noise=noise(1)), validation(2), validation(3, noise=noise(1))
    assert (
        noise_of([*settled([early, last]), given_up, abort(given_up)], "confusion") == 2.0
    )  # sd 1024 over scale 512


def test_noise_of_several_cohorts_adds_up() -> None:
    cohorts = [validation(1, cohort_number=number, cohorts=2) for number in (0, 1)]
    assert noise_of(settled(cohorts), "confusion") == pytest.approx(2 * sqrt(2))


def test_without_noise_or_validation_counts_have_none() -> None:
    assert noise_of(settled([validation(1, noise=None)]), "confusion") == 0
    assert noise_of(settled([reserve(1)]), "confusion") == 0


def validated(examples: float, right: float) -> ValidateSum:
    return ValidateSum(np.zeros((7, 7)), examples, right, 0.5)


def test_the_noise_of_an_accuracy_is_what_noisy_sums_show() -> None:
    draws = np.random.default_rng(1).normal((1000, 920), 20.0, (20_000, 2))
    shares = draws[:, 1] / draws[:, 0]
    assert accuracy_noise(validated(1000, 920), 20.0) == pytest.approx(shares.std(), rel=0.05)
    assert accuracy_noise(validated(0, 0), 20.0) == 0


def test_it_comes_together() -> None:
    rows = settled([reserve(1), validation(2, round=1)])
    found = protection_of(rows, DELTA, validated(1000, 750))
    assert [kind.kind for kind in found.kinds] == ["train", "validate"]
    assert found.count_noise == 2.0
    assert found.accuracy_noise == pytest.approx(4.0 * 1.25 / 1000)


def test_what_masks_take_is_counted_beside_the_vectors() -> None:
    (bare,) = sent([reserve(1), reserve(2)])
    (masked,) = sent([reserve(1, suite=SUITE), reserve(2, suite=SUITE)])
    assert (bare.bytes_for_masks, bare.bytes_per_device) == (0, 800)
    assert 5_000 < masked.bytes_for_masks < 10_000  # some 370 bytes for each of nineteen others
    assert masked.bytes_per_device == 800 + 2 * masked.bytes_for_masks


def test_masks_cost_a_device_of_a_sparse_graph_less() -> None:
    sparse = SUITE | {"profile": "semi-honest-server", "neighbours": 8, "threshold": 5}
    assert for_masks(reserve(1, suite=sparse)) < for_masks(reserve(1, suite=SUITE)) / 2


def test_cohorts_of_one_sum_ask_a_device_once() -> None:
    rows = [reserve(1, cohort_number=number, cohorts=2) for number in (0, 1)]
    assert sent(rows)[0].sums == 1
