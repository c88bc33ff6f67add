"""One configuration, every engine: the same run."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from covey.arrays import Parameters
from covey.errors import CoveyError, InputError, StateError
from covey.examples import Examples, LocalData
from covey_models.model import Model
from covey_models.registry import find, names
from covey_simulations.api import simulate
from covey_simulations.data.federated import FederatedData
from covey_simulations.engines.processes import share_out, started
from covey_simulations.experiments.run_result import Run

SIZES = (14, 0, 1, 9, 12, 11)
STRATEGIES = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedavgm")
NOISY = {"noise": True} | dict.fromkeys(
    ("train_multiplier", "validate_multiplier", "statistics_multiplier"), 0.002
)
RAYS_OWN = pytest.mark.filterwarnings(  # Ray leaves its server to be collected
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def made(model: Model, sizes: tuple[int, ...] = SIZES, seed: int = 3) -> FederatedData:
    """Classes that differ by an offset, so that there is something to learn."""
    rng, devices = np.random.default_rng(seed), {}
    for place, size in enumerate(sizes):
        parts = []
        for count in (size, 3):
            y = rng.integers(0, model.classes, count)
            x = (
                rng.normal(0, 1, (count, *model.input_shape))
                + y.reshape(-1, *(1,) * len(model.input_shape)) / 4
            )
            parts.append(Examples(x.astype(np.float32), y))
        devices[f"device-{place}"] = LocalData(*parts)
    groups = {name: name for name in devices}
    return FederatedData("made", "CC0-1.0", "", model.labels, model.input_shape, devices, groups, True)


def run(place: Path, engine: str, model: Model, data: FederatedData | None = None, **changes: Any) -> Run:
    """Twenty rounds without masks."""
    tables: dict[str, Any] = {
        "name": engine,
        "federation": {"rounds": 20, "minimum_devices": 2, "validate_every": 10},
        "privacy": {"masks": "elided", "noise": False},
        "training": {"batch_size": 6, "learning_rate": 0.02},
        "simulation": {"engine": engine, "workers": 2},
        "release": {"int8": False},
    }
    for key, table in changes.items():
        tables[key] = tables[key] | table if isinstance(table, dict) and key in tables else table
    return simulate(
        tables, data=made(model) if data is None else data, model=model, stages="training", runs=place
    )


def apart(one: Parameters, other: Parameters) -> float:
    """Relative L2 distance."""
    distance = sum(float(np.square(one[name].astype(float) - other[name]).sum()) for name in other)
    return float(
        np.sqrt(distance / sum(float(np.square(each.astype(float)).sum()) for each in other.values()))
    )


@pytest.mark.parametrize("name", names())
def test_twenty_rounds_of_every_model_are_those_of_the_devices_one_by_one(tmp_path: Path, name: str) -> None:
    """With momentum and a clip on the devices, and noise in the sums."""
    changes: dict[str, Any] = {"training": {"momentum": 0.5, "gradient_clip": 1.0}, "privacy": NOISY}
    serial = run(tmp_path, "serial", find(name), **changes)
    batched = run(tmp_path, "batched", find(name), **changes)
    assert apart(batched.parameters, serial.parameters) <= 1e-5
    assert batched.metrics["loss"] == pytest.approx(serial.metrics["loss"], rel=1e-3)
    assert batched.metrics["accuracy"][-1] == pytest.approx(serial.metrics["accuracy"][-1], abs=0.06)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_twenty_rounds_with_every_optimiser_are_those_of_the_devices_one_by_one(
    tmp_path: Path, strategy: str
) -> None:
    changes: dict[str, Any] = {"strategy": {"name": strategy, "learning_rate": 0.01, "proximal_mu": 0.1}}
    serial = run(tmp_path, "serial", find("digits"), **changes)
    batched = run(tmp_path, "batched", find("digits"), **changes)
    assert apart(batched.parameters, serial.parameters) <= 1e-5


@pytest.mark.parametrize("unit", ["device", "example"])
def test_processes_come_to_what_one_process_comes_to(tmp_path: Path, unit: str) -> None:
    changes: dict[str, Any] = {
        "federation": {"rounds": 3, "examples_cap": 16},
        "privacy": NOISY | {"unit": unit},
    }
    if unit == "example":
        changes |= {"training": {"gradient_clip": 1.0, "expected_batch": 40, "sampling_rate": 0.7}}
    found = [
        run(tmp_path, engine, find("digits"), **changes) for engine in ("serial", "batched", "processes")
    ]
    assert apart(found[1].parameters, found[0].parameters) <= 1e-6
    assert apart(found[2].parameters, found[1].parameters) <= 1e-6
    assert (found[1].metrics["accuracy"] == found[2].metrics["accuracy"])[
        ~np.isnan(found[1].metrics["accuracy"])
    ].all()


@pytest.mark.long
@RAYS_OWN
def test_ray_comes_to_the_same_through_flowers_runtime(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    changes: dict[str, Any] = {"federation": {"rounds": 3}, "privacy": NOISY}
    found = run(tmp_path, "ray", find("digits"), **changes)
    batched = run(tmp_path, "batched", find("digits"), **changes)
    assert apart(found.parameters, batched.parameters) <= 1e-6


@RAYS_OWN
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        run(tmp_path, "ray", find("digits"), simulation={"ray_address": "127.0.0.1:1"})


def test_masks_are_answered_device_by_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="masks are on") as refused:
        run(
            tmp_path,
            "batched",
            find("digits"),
            made(find("digits"), (4,) * 12),
            privacy={"masks": True},
            federation={"minimum_devices": 0},
        )
    assert 'privacy.masks = "elided"' in refused.value.hint


def test_a_cohort_is_shared_out_evenly() -> None:
    assert share_out(range(7), 3) == [(0, 3, 6), (1, 4), (2, 5)]
    assert share_out(range(2), 3) == [(0,), (1,)]
    assert share_out((), 3) == []


class _Deadly:
    """Ends the process that asks it."""

    def total(self, *_: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class _Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def total(self, *_: object) -> Any:
        raise self.error


class _Plan:
    length = 3


def test_a_process_that_was_killed_ends_the_run_with_a_hint() -> None:
    with started(_Deadly(), 2) as processes, pytest.raises(StateError, match="has ended") as raised:
        processes.total(_Plan(), {}, [1, 2, 3], 0)  # type: ignore[arg-type]
    assert "memory_mb" in raised.value.hint


@pytest.mark.parametrize(
    ("error", "told"), [(InputError("no such thing"), "no such thing"), (KeyError("x"), "KeyError: 'x'")]
)
def test_what_goes_wrong_in_a_process_is_said_by_the_run(error: Exception, told: str) -> None:
    with started(_Failing(error), 2) as processes, pytest.raises(CoveyError, match=told):
        processes.total(_Plan(), {}, [1, 2, 3], 0)  # type: ignore[arg-type]
