"""benchmarks/privacy_utility.py: what it prints and draws, and that a grid that was stopped goes on."""

import importlib
import json
import subprocess
import sys
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from covey_io import settings
from covey_server.privacy import protection
from covey_server.summary import Privacy, Summary
from covey_simulations.settings import SimulationFile
from covey_simulations.world import resolve

SCRIPT = Path(__file__).parents[1] / "benchmarks/privacy_utility.py"
TINY = ("federation.rounds=1", "federation.validate_every=1", "release.int8=false")

PRIVACY = Privacy(
    masks="elided",
    noise="skellam",
    simulated=True,
    unit="example",
    delta=1e-5,
    epsilon_server=3.99,
    epsilon_release=3.9,
    sums={"train": 40},
    unopened=0,
    statement="",
)
SUMMARY = Summary(
    name="a",
    simulation=True,
    model="wrist-private",
    rounds=40,
    devices=20,
    privacy=PRIVACY,
    accuracy_federated=0.95,
    accuracy_central=None,
    accuracy_fp32=0.9,
    accuracy_int8=0.89,
    model_sha256="0" * 64,
    package="a.covey",
    package_bytes=1,
    latency_p50_us=None,
    seconds=1.5,
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # its parts import one another by bare names
    return importlib.import_module("privacy_utility")


def results(script: ModuleType, *rows: tuple[str, float, int, float]) -> list[Any]:
    silent = msgspec.structs.replace(PRIVACY, noise="none", epsilon_server=None, epsilon_release=None)
    return [
        script.Result(
            setting,
            epsilon,
            seed,
            msgspec.structs.replace(
                SUMMARY, accuracy_fp32=accuracy, privacy=PRIVACY if epsilon < inf else silent
            ),
        )
        for setting, epsilon, seed, accuracy in rows
    ]


def test_help_says_what_is_printed() -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "accuracy_fp32" in found.stdout
    assert "--setting" in found.stdout


def test_a_point_is_run_once_and_again_only_when_its_configuration_changes(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = script.Point("example", 4.0, 0)
    first = script.result(point, tmp_path, list(TINY))
    line = json.loads(json.dumps(first.line()))
    assert (line["unit"], line["epsilon"], line["seed"]) == ("example", 4.0, 0)
    assert 3.9 < line["epsilon_server"] <= 4.0
    assert 0 < line["accuracy_fp32"] <= 1
    written = (tmp_path / point.name / "summary.json").stat().st_mtime_ns
    assert script.result(point, tmp_path, list(TINY)) == first
    assert (tmp_path / point.name / "summary.json").stat().st_mtime_ns == written
    asked: list[list[str]] = []
    monkeypatch.setattr(script.subprocess, "run", lambda command, **_: asked.append(command))
    script.result(point, tmp_path, [*TINY, "training.learning_rate=0.5"])  # another configuration
    assert "--set=training.learning_rate=0.5" in asked[0]


def test_every_point_of_the_grid_is_a_federation_that_keeps_its_epsilon(script: ModuleType) -> None:
    for name in script.SETTINGS:
        for epsilon in script.EPSILONS:
            point = script.Point(name, epsilon, 2)
            file = settings.load(point.file, SimulationFile, point.changes())
            found = protection(file, resolve(file.model), None, seeded=True)
            assert bool(found.multipliers) is (epsilon < inf)
            assert file.privacy.epsilon == epsilon or not file.privacy.noise
            assert not file.central.enabled
            assert file.seed == 2


def test_the_table_has_mean_and_range_of_the_seeds(script: ModuleType) -> None:
    rows = [("example", 4.0, 0, 0.9), ("example", 4.0, 1, 0.92), ("devices", inf, 0, 0.94)]
    lines = script.table(results(script, *rows)).splitlines()
    assert len(lines) == 4
    assert "| 4 | 3.99 | 3.9 | 91.0 % (90.0 to 92.0) | 89.0 % (89.0 to 89.0) |" in lines[2]
    assert lines[2].endswith("| 2 |")
    assert "| ∞ | \N{EN DASH} | \N{EN DASH} | 94.0 % |" in lines[3]


def test_the_plot_is_an_svg_and_the_same_each_time(script: ModuleType) -> None:
    rows = [("example", 4.0, 0, 0.9), ("example", inf, 0, 0.92), ("devices", 8.0, 0, 0.94)]
    drawn = script.plot(results(script, *rows))
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - drawn a moment ago
    assert script.plot(results(script, *rows)) == drawn
