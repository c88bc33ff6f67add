"""Finding a place for a run, and a run to go on with."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from covey.errors import InputError
from covey_io import settings
from covey_server.run_folder import RunFolder
from covey_simulations.settings import SimulationFile

CONFIG = "config.toml"


def start(file: SimulationFile, runs: Path) -> tuple[RunFolder, Path | None]:
    """A fresh folder `runs/<name>`; an earlier run there is moved aside, never overwritten.

    The caller holds the name; see `RunFolder.locked`.

    Returns:
        The folder, and where an earlier run went.

    Raises:
        InputError: What is there is no run.
    """
    path = runs / file.name
    moved = _move_aside(path) if path.exists() else None
    return RunFolder.create(path, msgspec.to_builtins(file)), moved


def _move_aside(path: Path) -> Path:
    """Rename an earlier run; anything else that is there is somebody's and stays.

    Raises:
        InputError: What is there is no run.
    """
    if not (path / "run.json").is_file() and not _is_what_a_crash_left(path):
        raise InputError(
            f"{path} is there and is not a run", hint="move it away, or choose another name or --runs"
        )
    number = 1
    while (aside := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return path.rename(aside)


def _is_what_a_crash_left(path: Path) -> bool:
    """Whether a run was cut short before it had begun; see `RunFolder.create`."""
    names = {each.name for each in path.iterdir()} if path.is_dir() else {"a file"}
    return names <= {"checkpoints", CONFIG, f".{CONFIG}.tmp", ".run.json.tmp"}


def resume(path: Path, overrides: Sequence[str]) -> tuple[SimulationFile, RunFolder]:
    """An unfinished run and its configuration.

    Raises:
        InputError: No run is there, it is finished, or something is to be changed half-way.
    """
    if overrides:
        raise InputError("a run that is resumed keeps its configuration", hint="leave out --set and --seed")
    folder = RunFolder.open(path)
    if (path / "summary.json").exists():
        raise InputError(f"{path} is finished", hint=f"its report: {path / 'report.html'}")
    return settings.load(path / CONFIG, SimulationFile), folder
