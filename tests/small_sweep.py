"""A sweep of runs that take a fraction of a second each, carried out in this process."""

from pathlib import Path
from typing import Any

from covey_io import settings
from covey_simulations import origin
from covey_simulations.experiments.carrying import READ
from covey_simulations.experiments.cases import planned
from covey_simulations.experiments.pool import Here
from covey_simulations.experiments.sweep_file import SweepFile, base_of
from covey_simulations.experiments.sweep_folder import SweepFolder
from covey_simulations.experiments.sweep_progress import SilentSweep
from covey_simulations.experiments.sweeping import Sweeping, SweepWatch

FEDERATION: dict[str, Any] = {
    "name": "small",
    "model": {"name": "digits"},
    "data": {"source": "digits", "partition": "iid", "devices": 3, "examples": 120},
    "federation": {"rounds": 6, "validate_every": 2, "examples_cap": 64, "standardise": False},
    "privacy": {"noise": False, "masks": "elided"},
    "training": {"epochs": 3, "momentum": 0.9},
    "central": {"enabled": False},
    "release": {"int8": False},
    "simulation": {"engine": "serial"},
}
"""Without noise: what is learnt grows with the rounds."""


def sweep_file(**keys: Any) -> SweepFile:
    """A sweep of two learning rates, of which the second learns more, with two seeds."""
    usual = {
        "name": "rates",
        "base": FEDERATION,
        "seeds": [0, 1],
        "grid": {"training.learning_rate": [0.001, 0.05]},
    }
    return settings.convert(usual | keys, SweepFile, "a test")


def sweeping(runs: Path, watch: SweepWatch | None = None, **keys: Any) -> Sweeping:
    """One that is about to begin, or to be gone on with."""
    file = sweep_file(**keys)
    members = planned(file, base_of(file, Path()), origin.digests)
    return Sweeping(file, members, SweepFolder(runs / file.name), watch or SilentSweep())


def carried_out(runs: Path, *, retry: bool = False, **keys: Any) -> SweepFolder:
    """A sweep from begin to results."""
    work = sweeping(runs, **keys)
    work.begin(retry=retry)
    work.carry_out(Here(READ))
    work.write_results()
    return work.folder
