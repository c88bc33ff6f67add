"""From what a caller in Python says to a run or a sweep."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from rich.console import Console

from covey.errors import ConfigError, InputError
from covey_io import settings
from covey_models.model import Model
from covey_server.run_folder import SUMMARY, RunFolder
from covey_simulations import origin, runs
from covey_simulations.data.federated import FederatedData
from covey_simulations.engines.settings import Stages
from covey_simulations.experiments import sweep_file, trackers
from covey_simulations.experiments.carrying import READ, Given
from covey_simulations.experiments.cases import planned
from covey_simulations.experiments.changes import overrides
from covey_simulations.experiments.pool import Executor, Here, Pool
from covey_simulations.experiments.run_result import Run
from covey_simulations.experiments.sweep_file import SweepFile
from covey_simulations.experiments.sweep_folder import SweepFolder
from covey_simulations.experiments.sweep_progress import LiveSweep, PlainSweep, SilentSweep, sweep_progress
from covey_simulations.experiments.sweep_result import Sweep
from covey_simulations.experiments.sweep_terminal import LOG
from covey_simulations.experiments.sweeping import Sweeping
from covey_simulations.experiments.watching import Several, Silent
from covey_simulations.progress import LiveProgress, PlainProgress
from covey_simulations.progress import progress as run_progress
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read

GIVEN: Final = "(handed over in Python)"
"""In a configuration, instead of a path, where data was given as an object."""
UNNAMED: Final = "simulation"
Config = str | PathLike[str] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Call:
    """A run that was asked for.

    Attributes:
        file: Its configuration.
        given: What is not read from it.
    """

    file: SimulationFile
    given: Given


def call_of(
    config: Config,
    changes: Mapping[str, Any],
    data: FederatedData | Mapping[str, Any] | None,
    model: Model | str | Mapping[str, Any] | None,
    tables: Mapping[str, Any],
) -> Call:
    """A run from a file, or tables, and what is said beside it; what is said later wins.

    Raises:
        ConfigError: It is no federation.
    """
    said = dict(tables)
    if isinstance(data, FederatedData):
        said["data"] = {"source": "folder", "path": GIVEN}
    elif data is not None:
        said["data"] = data
    if model is not None:
        said["model"] = _model_table(model)
    given = Given(
        data if isinstance(data, FederatedData) else None, model if isinstance(model, Model) else None
    )
    base, source = _tables(config)
    replaced = {key for key, value in (("data", given.data), ("model", given.model)) if value is not None}
    base = {key: value for key, value in base.items() if key not in replaced}
    every = [*overrides(said), *overrides(changes)]
    return Call(settings.convert({"name": UNNAMED} | base, SimulationFile, source, every), given)


def run(  # noqa: PLR0913 - as its caller's caller says
    call: Call,
    where: Path,
    *,
    stages: Stages | None,
    resume: bool,
    progress: bool | None,
    log_to: tuple[str, ...],
) -> Run:
    """Carry a run out in this process, or go on with it.

    Args:
        call: What is asked for.
        where: Folder for runs.
        stages: How far it goes; None for what the configuration says.
        resume: Go on with one that was stopped; read one that is finished.
        progress: Whether to show how it goes on; None for on a terminal alone.
        log_to: Where rounds are written besides.

    Raises:
        CoveyError: What went wrong, and the next step.
    """
    trackers.check(log_to)
    path, file = where / call.file.name, call.file
    threads = torch.get_num_threads()
    try:
        with RunFolder(path).locked(), _watch(progress) as display:
            begun = resume and (path / "run.json").is_file()
            if begun:
                file = _as_begun(path, call)
                if (path / SUMMARY).is_file():
                    return Run.read(path)
            display.stage("data")
            scenario = read(file, data=call.given.data, model=call.given.model)
            folder = RunFolder.open(path) if begun else runs.start(file, where)[0]
            with trackers.opened(log_to, file, folder) as tracking:
                watcher = Several([display, *tracking])
                found = simulate(scenario, folder, watcher, stages=stages)
                for tracker in tracking:
                    tracker.finished(found)
    finally:
        torch.set_num_threads(threads)  # a run takes one; the caller's own work may have more
    return Run.read(path)


def swept(  # noqa: PLR0913 - as its caller's caller says
    config: Config,
    changes: Mapping[str, Any],
    keys: Mapping[str, Any],
    given: Given,
    where: Path,
    *,
    retry: bool,
    progress: bool | None,
    log_to: tuple[str, ...],
) -> Sweep:
    """Carry a sweep out, or go on with it.

    Args:
        config: Its TOML file, or its keys.
        changes: Values by dotted key.
        keys: Further ones.
        given: What is not read from configurations: runs then follow one another in this process.
        where: Folder for runs.
        retry: Runs that failed get another chance.
        progress: Whether to show how it goes on; None for on a terminal alone.
        log_to: Where rounds are written besides.

    Raises:
        CoveyError: The sweep itself is wrong.
    """
    trackers.check(log_to)
    file, base = _sweep_of(config, changes, keys)
    folder = SweepFolder(where / file.name)
    members = planned(file, _with_given(base, given), partial(_digests, given.digests()))
    threads = torch.get_num_threads()
    try:
        with folder.locked(), _sweep_watch(progress) as watch:
            sweeping = Sweeping(file, members, folder, watch, log_to)
            sweeping.begin(retry=retry)
            try:
                _carry_out(sweeping, given)
            finally:
                sweeping.write_results()
    finally:
        torch.set_num_threads(threads)
    return Sweep(folder.path)


def _carry_out(sweeping: Sweeping, given: Given) -> None:
    if given != READ:
        here: Executor = Here(given)
        sweeping.carry_out(here)
        return
    with Pool(sweeping.file.parallel, sweeping.folder.path / LOG) as pool:
        sweeping.carry_out(pool)


def _digests(given: Mapping[str, str], file: SimulationFile) -> dict[str, str]:
    return origin.digests(file) | dict(given)


def _sweep_of(
    config: Config, changes: Mapping[str, Any], keys: Mapping[str, Any]
) -> tuple[SweepFile, dict[str, Any]]:
    """The sweep and its base; a path in what is said here is from the current folder."""
    read_from = Path(config).parent if isinstance(config, str | PathLike) else Path()
    table, source = _tables(config)
    file = settings.convert(table | _built_in(keys), SweepFile, source, list(overrides(changes)))
    said_here = "base" in keys or "base" in changes
    return file, sweep_file.base_of(file, Path() if said_here else read_from)


def _built_in(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values; paths are strings, ranges are lists.

    Raises:
        ConfigError: A value is neither a number, nor text, nor made of such.
    """
    try:
        found: dict[str, Any] = msgspec.to_builtins(dict(keys), enc_hook=_plain)
    except NotImplementedError as error:
        raise ConfigError("configuration", "", f"{error} is no value of it") from error
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, PathLike):
        return str(value)
    if isinstance(value, range):
        return list(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise NotImplementedError(type(value).__name__)


def _with_given(base: Mapping[str, Any], given: Given) -> dict[str, Any]:
    found = dict(base)
    if given.data is not None:
        found["data"] = {"source": "folder", "path": GIVEN}
    if given.model is not None:
        found["model"] = {"name": given.model.name}
    return found


def _tables(config: Config) -> tuple[dict[str, Any], str]:
    """Tables, and what an error calls them."""
    if config is None:
        return {}, "keywords"
    if isinstance(config, Mapping):
        return _built_in(config), "configuration"
    return settings.read(Path(config)), str(config)


def _model_table(model: Model | str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(model, Model):
        return {"name": model.name}
    if isinstance(model, str):
        return {"file": model} if model.endswith(".py") else {"name": model}
    return dict(model)


def _as_begun(path: Path, call: Call) -> SimulationFile:
    """The configuration that a run began with.

    Raises:
        InputError: It was another, or objects were handed over that cannot be compared.
    """
    if call.given != READ:
        raise InputError(
            "a run whose data or model was handed over as an object cannot be gone on with",
            hint="leave resume out, or name the data and the model in the configuration",
        )
    began = settings.load(path / runs.CONFIG, SimulationFile)
    if began != call.file:
        raise ConfigError(str(path), "", "was begun with another configuration", hint="leave resume out")
    return began


def _watch(progress: bool | None) -> Silent | PlainProgress | LiveProgress:
    return run_progress(Console()) if _shown(progress) else Silent()


def _sweep_watch(progress: bool | None) -> SilentSweep | PlainSweep | LiveSweep:
    return sweep_progress(Console()) if _shown(progress) else SilentSweep()


def _shown(progress: bool | None) -> bool:
    """On a terminal; a notebook's output is none."""
    return sys.stdout.isatty() if progress is None else progress
