"""Each algorithm over a federation of digits: that it learns, on every engine alike, and through a stop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from covey.arrays import Parameters
from covey.errors import InputError, StateError
from covey.examples import Examples, LocalData
from covey_io.settings import convert
from covey_server.coordinator import RoundEnded
from covey_server.run_folder import RunFolder
from covey_simulations import run as runs
from covey_simulations import runs as run_places
from covey_simulations.api import simulate
from covey_simulations.experiments.run_result import Run
from covey_simulations.memory import MEMORIES
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read

NOISY = dict.fromkeys(("train_multiplier", "validate_multiplier", "statistics_multiplier"), 0.002)

OWN = """
from flwr.serverapp.strategy import FedAvgM

def build(settings):
    return FedAvgM(
        server_learning_rate=settings.learning_rate, server_momentum=0.5,
        min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1,
    )
"""


def tables(engine: str = "batched", **changes: Any) -> dict[str, Any]:
    """Ten devices, each with a few of the ten classes for the most part; ten rounds."""
    found: dict[str, Any] = {
        "name": engine,
        "seed": 3,
        "model": {"name": "digits"},
        "data": {"source": "digits", "partition": "dirichlet", "alpha": 0.2, "devices": 10, "examples": 800},
        "federation": {"rounds": 10, "validate_every": 10, "weighting": "devices", "examples_cap": 256},
        "training": {"epochs": 2, "learning_rate": 0.1},
        "privacy": {"masks": "elided", "noise": False},
        "simulation": {"engine": engine, "workers": 2, "stages": "training"},
    }
    for key, table in changes.items():
        found[key] = found.get(key, {}) | table
    return found


def run(place: Path, engine: str = "batched", data: Any = None, **changes: Any) -> Run:
    return simulate(tables(engine, **changes), data=data, runs=place)


def apart(one: Parameters, other: Parameters) -> float:
    """Relative L2 distance."""
    return float(
        np.sqrt(
            sum(float(np.square(one[name].astype(float) - other[name]).sum()) for name in other)
            / sum(float(np.square(each.astype(float)).sum()) for each in other.values())
        )
    )


ALGORITHMS: dict[str, dict[str, Any]] = {
    "scaffold": {"strategy": {"name": "scaffold"}},
    "fedper": {"strategy": {"name": "fedper", "personal": ["5"]}},
    "adaptive": {"privacy": {"clipping": "adaptive", "clip_start": 0.5}},
    "median": {"strategy": {"robust": "median"}, "privacy": {"largest_cohort": 3}},
    "central": {"privacy": NOISY | {"noise": True, "noise_at": "server"}},
    "ftrl": {
        "privacy": NOISY | {"noise": True, "noise_at": "server", "noise_bands": 2, "noise_separation": 2},
        "federation": {"devices_per_round": 5},
    },
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns(tmp_path: Path, name: str) -> None:
    found = run(tmp_path, **ALGORITHMS[name])
    assert found.accuracy > 0.75


@pytest.mark.parametrize("name", ["scaffold", "fedper"])
def test_every_engine_comes_to_the_same(tmp_path: Path, name: str) -> None:
    """Of a cohort that is another one each round: whichever process a device is in finds what it has kept."""
    changes: dict[str, Any] = {"federation": {"rounds": 3, "devices_per_round": 6}}
    changes |= ALGORITHMS[name] | {"training": {"learning_rate": 0.02}}
    found = {engine: run(tmp_path, engine, **changes) for engine in ("serial", "batched", "processes")}
    assert apart(found["batched"].parameters, found["serial"].parameters) < 1e-5
    assert apart(found["processes"].parameters, found["batched"].parameters) == 0
    assert found["batched"].accuracy == pytest.approx(found["serial"].accuracy, abs=0.02)


def test_scaffold_gets_further_where_devices_differ(tmp_path: Path) -> None:
    """With many local steps and one or two classes a device, FedAvg drifts."""
    changes: dict[str, Any] = {"data": {"alpha": 0.05}, "training": {"epochs": 8, "learning_rate": 0.05}}
    plain = run(tmp_path / "plain", **changes)
    found = run(tmp_path / "scaffold", **changes, strategy={"name": "scaffold"})
    assert found.accuracy > plain.accuracy + 0.02


def test_own_layers_know_their_device(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"data": {"alpha": 0.05}, "federation": {"rounds": 4, "validate_every": 4}}
    plain = run(tmp_path / "plain", **changes)
    found = run(tmp_path / "fedper", **changes, **ALGORITHMS["fedper"])
    assert found.accuracy > plain.accuracy + 0.1


def test_the_clip_norm_finds_the_updates(tmp_path: Path) -> None:
    found = run(tmp_path, **ALGORITHMS["adaptive"])
    saved = RunFolder.open(found.folder).latest()
    assert saved is not None
    assert 0.5 < float(saved.optimiser["clip norm"][0]) < 10.0


def test_one_spoilt_device_ends_a_mean_and_no_median(tmp_path: Path) -> None:
    data = read(convert(tables(), SimulationFile, "a.toml")).data
    name = next(iter(data.devices))
    local = data.devices[name]
    spoilt = LocalData(Examples(local.train.x * -50, local.train.y), local.held_out)
    data = replace(data, devices=dict(data.devices) | {name: spoilt})
    changes: dict[str, Any] = {"federation": {"standardise": False, "update_clip": 100.0, "rounds": 6}}
    mean = run(tmp_path / "mean", data=data, **changes)
    median = run(tmp_path / "median", data=data, **changes, **ALGORITHMS["median"])
    assert median.accuracy > mean.accuracy + 0.2


def test_a_strategy_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN, "utf-8")
    found = run(tmp_path, strategy={"file": str(path), "learning_rate": 0.9})
    assert found.accuracy > 0.75


class Stopping:
    """A display that stops a run."""

    def __init__(self, after: int) -> None:
        self.after = after

    def stage(self, name: str) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def round_ended(self, ended: RoundEnded) -> None:
        """Stop, perhaps."""
        if ended.round == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["scaffold", "ftrl"])
def test_a_run_that_was_stopped_comes_to_the_same(tmp_path: Path, name: str) -> None:
    changes = ALGORITHMS[name] | {"federation": {"rounds": 6, "validate_every": 3, "devices_per_round": 5}}
    whole = run(tmp_path / "whole", **changes)
    scenario = read(convert(tables(**changes), SimulationFile, "a.toml"))
    folder, _ = run_places.start(scenario.file, tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        runs.simulate(scenario, folder, Stopping(4))
    lost = folder.checkpoints / "round-000004.ckpt"
    lost.unlink(missing_ok=True)  # as if it had stopped before: devices are a round ahead
    found = runs.simulate(scenario, folder, Stopping(0))
    assert found.model_sha256 == whole.summary.model_sha256
    assert found.accuracy_federated == pytest.approx(whole.accuracy, abs=1e-9)


def test_devices_too_far_ahead_of_the_checkpoint_are_told(tmp_path: Path) -> None:
    scenario = read(convert(tables(**ALGORITHMS["scaffold"]), SimulationFile, "a.toml"))
    folder, _ = run_places.start(scenario.file, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runs.simulate(scenario, folder, Stopping(6))
    saved = folder.latest()
    assert saved is not None
    for path in folder.checkpoints.iterdir():
        path.unlink()
    folder.save(msgspec.structs.replace(saved, round=3))  # as if nothing newer could be read
    with pytest.raises(StateError, match="gone, and the run goes on"):
        runs.simulate(scenario, folder, Stopping(0))


def test_under_a_policy_devices_answer_what_it_names(tmp_path: Path) -> None:
    """Masked, with a control variate and a clip indicator beside the update."""
    privacy = {"masks": True, "noise": True, "epsilon": 20.0, "clipping": "adaptive", "dropouts": 0.1}
    changes = ALGORITHMS["scaffold"] | {"privacy": privacy, "federation": {"rounds": 1, "validate_every": 1}}
    found = run(tmp_path, "serial", **changes)
    assert 'options = ["control-variates", "clip-indicator"]' in (found.folder / "policy").read_text("utf-8")
    (trained,) = (
        row for row in RunFolder.open(found.folder).sum_rows() if row["kind"] == "train" and "parts" in row
    )
    assert [part["name"] for part in trained["parts"]] == ["update", "loss", "control", "within"]
    assert len(list((found.folder / MEMORIES).iterdir())) == 10


def test_without_a_state_devices_keep_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, federation={"rounds": 1})
    assert not (found.folder / MEMORIES).exists()


def test_what_the_server_adds_is_said_everywhere(tmp_path: Path) -> None:
    found = run(tmp_path, **ALGORITHMS["ftrl"])
    told = found.summary.privacy
    assert (told.noise, told.epsilon_server) == ("central", None)
    assert told.epsilon_release is not None
    assert "THE SERVER ADDS THE NOISE" in told.statement
    assert "no ε against it" in told.statement
    assert found.summary.package is None
    assert {row["noise"] for row in RunFolder.open(found.folder).sum_rows() if row["event"] == "reserve"} == {
        None
    }


def test_devices_that_keep_files_are_on_one_machine(tmp_path: Path) -> None:
    changes = ALGORITHMS["scaffold"] | {"simulation": {"ray_address": "10.0.0.7:6379"}}
    with pytest.raises(InputError, match="other machines do not see"):
        run(tmp_path, "ray", **changes)
