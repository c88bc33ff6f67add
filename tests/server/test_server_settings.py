from collections.abc import Callable
from math import cos, pi, sqrt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ConfigError
from covey.plan import Train, Validate
from covey_io import settings
from covey_io.settings import convert
from covey_server.run_folder import RunFolder
from covey_server.settings import (
    FederationFile,
    scheduled,
    server_rate,
    train_task,
    validate_task,
)
from covey_server.strategy_settings import Schedule, StrategySettings


def file(rounds: int = 10, **tables: dict[str, Any]) -> FederationFile:
    """A federation's file with some values of its own."""
    plain: dict[str, Any] = {"name": "a", "model": {"name": "digits"}, "federation": {"rounds": rounds}}
    for table, values in tables.items():
        plain[table] = plain.get(table, {}) | values
    return convert(plain, FederationFile, "a.toml")


def rates(rounds: int, **strategy: Any) -> list[float]:
    decided = file(rounds, strategy=strategy)
    return [server_rate(decided, server_round) for server_round in range(1, rounds + 1)]


def test_constant_is_constant() -> None:
    assert rates(3, learning_rate=0.4) == [0.4, 0.4, 0.4]


def test_cosine_by_hand() -> None:
    # 0.5 (1 + cos(pi k / 4)) for k = 0..3
    expected = [0.8, 0.8 * (2 + sqrt(2)) / 4, 0.4, 0.8 * (2 - sqrt(2)) / 4]
    assert rates(4, learning_rate=0.8, schedule="cosine") == pytest.approx(expected)


def test_warm_up_rises_evenly_and_then_stays() -> None:
    assert rates(6, learning_rate=1.0, warmup_rounds=4) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_cosine_begins_after_the_warm_up() -> None:
    found = rates(6, learning_rate=1.0, warmup_rounds=2, schedule="cosine")
    assert found[:2] == pytest.approx([0.5, 1.0])
    assert found[2:] == pytest.approx([0.5 * (1 + cos(pi * k / 4)) for k in range(4)])


@pytest.mark.parametrize("warmup", [2, 3, 100])
def test_a_warm_up_as_long_as_the_run_leaves_one_round_at_the_full_rate(warmup: int) -> None:
    assert rates(3, learning_rate=1.0, warmup_rounds=warmup) == pytest.approx([0.5, 1.0, 1.0])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_single_round_has_the_full_rate(schedule: Schedule) -> None:
    assert rates(1, learning_rate=0.3, warmup_rounds=5, schedule=schedule) == [0.3]


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from(["constant", "cosine"]), st.floats(1e-6, 10))
def test_a_rate_is_always_one_that_a_plan_may_have(
    rounds: int, warmup: int, schedule: Schedule, rate: float
) -> None:
    found = rates(rounds, learning_rate=rate, warmup_rounds=warmup, schedule=schedule)
    assert all(0 < each <= rate * (1 + 1e-12) for each in found)
    assert max(found) == pytest.approx(rate)
    warm = min(warmup, rounds - 1)
    assert found[:warm] == sorted(found[:warm])
    assert found[warm:] == sorted(found[warm:], reverse=True)


def test_the_devices_rate_follows_its_own_schedule() -> None:
    decided = file(4, training={"learning_rate": 0.8, "schedule": "cosine"})
    found = [train_task(decided, server_round).learning_rate for server_round in range(1, 5)]
    assert found == pytest.approx([scheduled(0.8, "cosine", n, 4) for n in range(1, 5)])
    assert found[2] == pytest.approx(0.4)
    assert [server_rate(decided, n) for n in range(1, 5)] == [1.0] * 4


def test_a_training_task_says_what_the_file_says() -> None:
    decided = file(
        training={"epochs": 2, "batch_size": 9, "learning_rate": 0.3, "momentum": 0.4, "gradient_clip": 5.0},
        federation={"weighting": "devices", "examples_cap": 77, "update_clip": 6.0},
        strategy={"name": "fedprox", "proximal_mu": 0.5},
    )
    assert train_task(decided, 3) == Train(
        epochs=2,
        batch_size=9,
        learning_rate=0.3,
        momentum=0.4,
        gradient_clip=5.0,
        proximal_mu=0.0,  # the strategy's own word, which Private takes from it
        weighting="devices",
        examples_cap=77,
        update_clip=6.0,
    )
    assert validate_task(decided) == Validate(77)


BUILT: dict[str, tuple[type[FedAvg], dict[str, float]]] = {
    "fedavg": (FedAvg, {}),
    "fedprox": (FedProx, {"proximal_mu": 0.25}),
    "fedadam": (FedAdam, {"eta": 0.3, "beta_1": 0.7, "beta_2": 0.8, "tau": 0.01}),
    "fedyogi": (FedYogi, {"eta": 0.3, "beta_1": 0.7, "beta_2": 0.8, "tau": 0.01}),
    "fedavgm": (FedAvgM, {"server_learning_rate": 0.3, "server_momentum": 0.6}),
    "scaffold": (FedAvgM, {"server_learning_rate": 0.3, "server_momentum": 0.0}),
    "fedper": (FedAvg, {}),
}


@pytest.mark.parametrize("name", BUILT)
def test_every_strategy_is_built_with_its_numbers(name: str) -> None:
    values = {
        "learning_rate": 0.3,
        "momentum": 0.6,
        "beta_1": 0.7,
        "beta_2": 0.8,
        "tau": 0.01,
        "proximal_mu": 0.25,
    }
    strategy = msgspec.convert({"name": name, **values}, StrategySettings).build()
    kind, expected = BUILT[name]
    assert type(strategy) is kind
    assert {key: getattr(strategy, key) for key in expected} == expected
    assert strategy.fraction_train == 1.0
    assert (strategy.min_train_nodes, strategy.min_available_nodes) == (1, 1)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("federation", "rounds", 0),
        ("federation", "minimum_devices", -1),
        ("federation", "devices_per_round", -1),
        ("federation", "weighting", "loss"),
        ("federation", "update_clip", 0),
        ("federation", "update_clip", float("inf")),
        ("federation", "round_timeout", float("nan")),
        ("training", "learning_rate", float("nan")),
        ("training", "learning_rate", float("inf")),
        ("training", "momentum", 1.0),
        ("training", "gradient_clip", -1.0),
        ("training", "gradient_clip", float("inf")),
        ("training", "sampling_rate", 0.0),
        ("training", "sampling_rate", 1.1),
        ("training", "augmentations", -1),
        ("training", "augmentations", 257),
        ("training", "expected_batch", -1.0),
        ("strategy", "name", "fedmedian"),
        ("strategy", "learning_rate", float("inf")),
        ("strategy", "warmup_rounds", -1),
        ("strategy", "beta_1", 1.0),
        ("strategy", "tau", 0.0),
    ],
)
def test_a_value_out_of_range_is_named(table: str, key: str, value: object) -> None:
    plain: dict[str, Any] = {"name": "a", "model": {"name": "digits"}, "federation": {"rounds": 1}}
    plain[table] = plain.get(table, {}) | {key: value}
    with pytest.raises(ConfigError) as caught:
        convert(plain, FederationFile, "a.toml")
    assert caught.value.key == f"{table}.{key}"


def test_a_sum_over_one_device_is_none() -> None:
    with pytest.raises(ConfigError, match="minimum_devices is 0, or at least 2"):
        file(federation={"minimum_devices": 1})


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "..", "a b", "a\n", "a" * 64])
def test_a_run_is_named_so_that_its_name_is_a_folder(name: str) -> None:
    plain = {"name": name, "model": {"name": "digits"}, "federation": {"rounds": 1}}
    with pytest.raises(ConfigError) as caught:
        convert(plain, FederationFile, "a.toml")
    assert caught.value.key == "name"


@pytest.mark.parametrize("change", [lambda f: f, lambda f: msgspec.structs.replace(f, seed=2**62)])
@pytest.mark.parametrize("privacy", [{}, {"epsilon": 3.0}, {"remove_excess": False, "masks": "elided"}])
def test_a_file_survives_being_written_down(
    tmp_path: Path, change: Callable[[FederationFile], FederationFile], privacy: dict[str, Any]
) -> None:
    decided = change(file(strategy={"name": "fedyogi", "learning_rate": 0.1}, privacy=privacy))
    RunFolder.create(tmp_path / "a", msgspec.to_builtins(decided))
    assert settings.load(tmp_path / "a/config.toml", FederationFile) == decided
