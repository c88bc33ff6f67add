#!/usr/bin/env python3
"""Accuracy against ε on the wrist data: a grid of whole `covey simulate` runs, a table and a plot.

One JSON object a line, one line for each run, as it ends or is found finished in --runs:

  setting           example: 20 real devices, the promise is about one example
                    devices: 1,000 simulated devices in one sum, about a whole device; semi-honest-server
                    cohorts: the same in two sums of 500; malicious-server (asked for by --setting)
  unit, epsilon     what the promise is about; the ε asked of the whole run, "inf" without noise
  epsilon_server    the ε spent against the server, from the run's own record of sums; null without noise
  epsilon_release   against an outsider who sees only what is released
  seed
  accuracy_query    the last model by the private query, as noisy as its answer
  accuracy_fp32     the packaged model on all held-out windows, exact: what only a simulation can read
  accuracy_int8     the packaged int8 model, likewise
  seconds           of the run, by the clock
  model_sha256

Then a markdown table (mean, least to most of the seeds). A run is named after its point; one with the same
configuration and a summary is not run again, so a grid that was stopped goes on.

  benchmarks/privacy_utility.py --runs runs/privacy-utility --plot docs/privacy-utility.svg
  benchmarks/privacy_utility.py --setting cohorts --epsilon 8
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from privacy_utility_report import Result, plot, table

from covey_io import settings
from covey_server import summary
from covey_simulations.settings import SimulationFile

SIMULATIONS = Path(__file__).parents[1] / "simulations"
COVEY = (sys.executable, "-c", "from covey_cli.main import main; main()")
EPSILONS = (2.0, 4.0, 8.0, inf)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Setting:
    """One line of the plot.

    Attributes:
        file: Its TOML file in simulations/.
        clip: The key that bounds one unit's influence on a training sum.
        clips: Its value at each ε; what is lost to clipping is weighed against noise, so it grows with ε.
        changes: KEY=VALUE, to the file.
    """

    file: str
    clip: str
    clips: Mapping[float, float]
    changes: tuple[str, ...] = ()


_DEVICE_CLIPS = {2.0: 0.84, 4.0: 0.84, 8.0: 1.2, inf: 1.68}
SETTINGS = {
    "example": Setting(
        "privacy-utility.toml", "training.gradient_clip", {2.0: 1.4, 4.0: 2.0, 8.0: 2.8, inf: 2.8}
    ),
    "devices": Setting("privacy-utility-devices.toml", "federation.update_clip", _DEVICE_CLIPS),
    "cohorts": Setting(
        "privacy-utility-devices.toml",
        "federation.update_clip",
        _DEVICE_CLIPS,
        (
            "privacy.profile=malicious-server",
            "privacy.largest_cohort=500",
            "federation.minimum_devices=475",
        ),
    ),
}


@dataclass(frozen=True)
class Point:
    """One run of the grid."""

    setting: str
    epsilon: float
    seed: int

    @property
    def name(self) -> str:
        """Of its run."""
        return f"{self.setting}-{self.epsilon:g}-seed-{self.seed}"

    @property
    def file(self) -> Path:
        """Its setting's file."""
        return SIMULATIONS / SETTINGS[self.setting].file

    def changes(self) -> list[str]:
        """KEY=VALUE, to its setting's file."""
        setting = SETTINGS[self.setting]
        noise = f"privacy.epsilon={self.epsilon}" if self.epsilon < inf else "privacy.noise=false"
        clip = f"{setting.clip}={setting.clips[self.epsilon]}"
        return [f"name={self.name}", f"seed={self.seed}", noise, clip, *setting.changes]


def main() -> None:
    """Run what is missing of the grid; print lines and table, draw the plot."""
    arguments = _parser().parse_args()
    overrides, results = arguments.overrides or [], list[Result]()
    for point in _grid(arguments):
        if arguments.finished and not _finished(arguments.runs / point.name, _asked(point, overrides)):
            continue
        results.append(result(point, arguments.runs, overrides))
        print(json.dumps(results[-1].line()), flush=True)
    print(f"\n{table(results)}")
    if arguments.plot and results:
        arguments.plot.write_text(plot(results), "utf-8")


def result(point: Point, runs: Path, overrides: list[str]) -> Result:
    """What a point came to, running it if it is not in `runs`.

    Args:
        point: Which run.
        runs: Folder for runs.
        overrides: KEY=VALUE, to every point's file.

    Raises:
        CalledProcessError: The run failed; `runs`/<name>.log says why.
    """
    folder = runs / point.name
    if not _finished(folder, _asked(point, overrides)):
        changes = [f"--set={each}" for each in (*point.changes(), *overrides)]
        command = [*COVEY, "simulate", str(point.file), "--runs", str(runs), *changes]
        runs.mkdir(parents=True, exist_ok=True)
        with (runs / f"{point.name}.log").open("wb") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return Result(point.setting, point.epsilon, point.seed, summary.read(folder / "summary.json"))


def _asked(point: Point, overrides: list[str]) -> SimulationFile:
    return settings.load(point.file, SimulationFile, [*point.changes(), *overrides])


def _finished(folder: Path, asked: SimulationFile) -> bool:
    if not (folder / "summary.json").is_file():
        return False
    return settings.load(folder / "config.toml", SimulationFile) == asked


def _grid(arguments: argparse.Namespace) -> Iterator[Point]:
    """Whole rows of the table first: what is stopped half-way has all seeds of some points."""
    for setting in arguments.setting or ("example", "devices"):
        for epsilon in arguments.epsilon or EPSILONS:
            for seed in SEEDS if arguments.seed is None else arguments.seed:
                yield Point(setting, epsilon, seed)


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    add = parser.add_argument
    add("--setting", action="append", choices=tuple(SETTINGS), help="(example devices)")
    add("--epsilon", type=float, action="append", choices=EPSILONS, help="of the whole run (2 4 8 inf)")
    add("--seed", type=int, action="append", help="of everything random (0 1 2)")
    add("--runs", type=Path, default=Path("runs/privacy-utility"), help="folder for runs (%(default)s)")
    add("--finished", action="store_true", help="run nothing: only what is finished in --runs")
    add("--plot", type=Path, help="where to write the plot, an SVG file (nowhere)")
    add("--set", dest="overrides", metavar="KEY=VALUE", action="append", help="to the file of every run")
    parser.epilog = "--setting, --epsilon, --seed and --set may be given more than once."
    return parser


if __name__ == "__main__":
    sys.exit(main())
