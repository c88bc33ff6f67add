"""A federation small enough to be run from data to report many times over, and the command that runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from covey.package.verify import Package, verify
from covey_client import slots
from covey_io.packages import read_package
from covey_server.run_folder import RunFolder

NAME = "small"

TOML = """
name = "small"
seed = 3

[model]
name = "digits"

[data]
source = "digits"
partition = "iid"
devices = 3
examples = 120

[federation]
rounds = 2
validate_every = 1
examples_cap = 64

[privacy]
masks = "elided"
train_multiplier = 0.002
statistics_multiplier = 0.002
validate_multiplier = 0.002
calibrate_multiplier = 0.002

[strategy]
name = "fedadam"
learning_rate = 0.05

[central]
epochs = 1

[release]
int8 = true
calibration_examples = 16
"""

CROWD = (
    "privacy.masks=true",
    "data.devices=12",
    "data.examples=600",
    *(f"privacy.{kind}_multiplier=0.3" for kind in ("train", "statistics", "validate", "calibrate")),
)
"""Overrides with which answers are masked, under a policy: that takes at least ten devices, and noise that a
policy can promise something for."""

QUICK = ("release.int8=false", "central.enabled=false")
"""Overrides that leave out what takes longest."""


def command() -> str:
    """The `covey` that belongs to this interpreter."""
    beside = Path(sys.executable).with_name("covey")
    found = str(beside) if beside.exists() else shutil.which("covey")
    assert found, "covey is not installed"
    return found


def write(folder: Path) -> Path:
    """Write the federation's file."""
    path = folder / f"{NAME}.toml"
    path.write_text(TOML, "utf-8")
    return path


def sets(*overrides: str) -> list[str]:
    """`--set` for each."""
    return [word for override in overrides for word in ("--set", override)]


def covey(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A real `covey` process, to its end."""
    return subprocess.run(
        [command(), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


def summary(run: Path) -> dict[str, Any]:
    """summary.json."""
    found: dict[str, Any] = json.loads((run / "summary.json").read_bytes())
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    """Lines of a .jsonl file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def sums(run: Path) -> list[dict[str, Any]]:
    """Rows of the run's private sums, from its ledger."""
    return RunFolder.open(run).sum_rows()


def packaged(run: Path) -> Package:
    """The run's package, verified with the run's key."""
    return verify(read_package(run / f"{run.name}.covey"), (run / "keys" / "release.pub.pem").read_bytes())


def outcome(run: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on how often it was stopped; checks its files on the way."""
    told = summary(run)
    package, installed = packaged(run), slots.installed(run / "device")
    assert installed.files == package.files
    assert Path(told["package"]).name == f"{run.name}.covey"
    report = (run / "report.html").read_text("utf-8")
    assert report.lstrip().lower().startswith("<!doctype html>")
    assert report.rstrip().endswith("</html>")
    assert told["model_sha256"] in report
    assert not list(run.rglob("*.tmp"))
    return {
        "summary": {
            key: told[key] for key in told if key not in {"seconds", "latency_p50_us", "package", "privacy"}
        },
        # what was asked stays spent, so a run that was stopped may have spent more
        "privacy": {key: told["privacy"][key] for key in ("masks", "noise", "simulated", "unit", "delta")},
        "rounds": [{key: row[key] for key in row if key != "seconds"} for row in rows(run / "metrics.jsonl")],
        "checkpoints": sorted(path.name for path in (run / "checkpoints").iterdir()),
        "preprocessing": package.preprocessing,
        "variants": package.variants,
    }
