"""Finding a place for a run, and a run to go on with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from covey.errors import InputError
from covey_io import settings
from covey_server.run_folder import RunFolder
from covey_simulations.settings import SimulationFile

CONFIG = "config.toml"


def start(file: SimulationFile, runs: Path) -> tuple[RunFolder, Path | None]:
    """A fresh folder `runs/<name>`; an earlier run there is moved aside, never overwritten.

    Returns:
        The folder, and where an earlier run went.

    Raises:
        InputError: The earlier run is still going, or what is there is no folder.
    """
    path = runs / file.name
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is not a folder", hint="move it away, or choose another --runs")
    moved = _move_aside(path) if path.exists() else None
    return RunFolder.create(path, _tables(file)), moved


def _tables(file: SimulationFile) -> dict[str, Any]:
    """TOML has no null: a key that is None is left out, and read back as None."""
    tables: dict[str, Any] = _pruned(msgspec.to_builtins(file))
    return tables


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(each) for key, each in value.items() if each is not None}
    return value


def _move_aside(path: Path) -> Path:
    with RunFolder(path).locked():
        number = 1
        while (aside := path.with_name(f"{path.name}-{number}")).exists():
            number += 1
        return path.rename(aside)


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
