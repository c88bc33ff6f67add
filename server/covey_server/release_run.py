"""A finished run, and what a release is to be made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from covey.errors import InputError, StateError
from covey.package.contents import Contents, read
from covey_io import settings
from covey_io.packages import read_package
from covey_models.model import Model
from covey_models.registry import find, from_file
from covey_server.checkpoint import Checkpoint
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile
from covey_server.summary import Summary

Int8 = Literal["as-run", "weights-only", "none"]


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the run.

    Attributes:
        name: The package's name; None for the run's.
        version: Its version; None for the run's identifier.
        parent: The archive of the release before; None for the one that the federation names, if any.
        int8: "as-run": the variant that the run made, where it made one. "weights-only": quantised anew,
            which needs no data. "none": float32 alone.
    """

    name: str | None = None
    version: str | None = None
    parent: Path | None = None
    int8: Int8 = "as-run"


@dataclass(frozen=True)
class Finished:
    """A finished run, read.

    Attributes:
        folder: Where.
        file: What was asked for.
        state: The last checkpoint.
        summary: What it came to.
        package: The package that it made for itself.
        model: The architecture.
    """

    folder: RunFolder
    file: FederationFile
    state: Checkpoint
    summary: Summary
    package: Contents
    model: Model


def federation(folder: RunFolder) -> FederationFile:
    """What a run was asked for; tables that only a simulation has are left out.

    Raises:
        ConfigError: The configuration cannot be read.
    """
    path = folder.path / "config.toml"
    known = {
        key: value for key, value in settings.read(path).items() if key in FederationFile.__struct_fields__
    }
    return settings.convert(known, FederationFile, str(path))


def finished_run(run: Path) -> Finished:
    """A finished run's folder, read.

    Raises:
        InputError: It is not finished, or was not trained.
        StateError: A file of it is damaged.
    """
    folder = RunFolder.open(run)
    path = run / "summary.json"
    if not path.is_file():
        raise InputError(f"{run} is not finished", hint="go on with the run first")
    try:
        summary = msgspec.json.decode(path.read_bytes(), type=Summary)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path} is damaged: {error}", hint="put it back as it was") from error
    if summary.package is None:
        raise InputError(
            f"{run} ended with its training: it has no package",
            hint=f"covey simulate {run / 'config.toml'} --set simulation.stages=all",
        )
    state = folder.latest()
    if state is None:
        raise InputError(f"{run} has no checkpoint", hint="name a run that was trained")
    file = federation(folder)
    model = from_file(Path(file.model.file)) if file.model.file else find(file.model.name)
    package = read(read_package(run / f"{file.name}.covey"))
    return Finished(folder, file, state, summary, package, model)
