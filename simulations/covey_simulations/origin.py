"""What a simulation's result depends on beside its configuration: a resumed run must find it unchanged."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import msgspec

from covey import __version__
from covey.errors import StateError
from covey_io import durable
from covey_simulations.settings import SimulationFile

NAME = "origin.json"


def hold_to_origin(file: SimulationFile, folder: Path) -> None:
    """Write the origin down at a run's start; compare it when the run is gone on with.

    Raises:
        StateError: Something changed since the run began, which is named; or origin.json is damaged.
    """
    found = _origin(file)
    path = folder / NAME
    if not path.exists():
        durable.replace(path, (json.dumps(found, indent=2) + "\n").encode())
        return
    began = _read(path)
    changed = sorted(key for key in found.keys() | began.keys() if found.get(key) != began.get(key))
    if changed:
        raise StateError(
            f"{folder}: changed since the run began: {', '.join(changed)}",
            hint="put it back, or start a new run",
        )


def _read(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except ValueError as error:
        raise StateError(f"{path} is damaged", hint="start a new run") from error


def _origin(file: SimulationFile) -> dict[str, str]:
    versions = {"covey": __version__, **{name: version(name) for name in ("torch", "numpy", "flwr")}}
    return versions | digests(file)


def digests(file: SimulationFile) -> dict[str, str]:
    """SHA-256 of the person's own files that decide the result, by path."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(file) if path.is_file()
    }


def _files(file: SimulationFile) -> list[Path]:
    """The person's own files that decide the result."""
    named = (file.model.file, file.data.file, file.strategy.file, file.availability.path)
    code = [Path(name) for name in named if name]
    folder = Path(file.data.path)
    data = [*sorted(folder.glob("*.npz")), *folder.glob("labels.txt")] if file.data.source == "folder" else []
    return code + data
