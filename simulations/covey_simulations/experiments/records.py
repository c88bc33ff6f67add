"""A run as an experiment sees it: one row of results, and its rounds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.errors import InputError, StateError
from covey_io import settings
from covey_server import summary as summaries
from covey_server.run_folder import SUMMARY, RunFolder
from covey_server.sum_rows import Row
from covey_server.summary import Summary
from covey_simulations import origin, runs
from covey_simulations.experiments import resources
from covey_simulations.sent import sent
from covey_simulations.settings import SimulationFile

Column = NDArray[Any]
VERSIONS: Final = ("covey", "torch", "numpy", "flwr")


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        folder: Where it is.
        file: Its configuration.
        summary: What it came to.
        rounds: Its rows of metrics.jsonl.
        sent: Bytes that a device sent which answered every time, masks included.
        resources: What it took of the machine; zeros where that was not counted.
        versions: Of what it was run with.
    """

    folder: Path
    file: SimulationFile
    summary: Summary
    rounds: tuple[Row, ...]
    sent: int
    resources: resources.Resources
    versions: Mapping[str, str]

    @property
    def metrics(self) -> dict[str, Column]:
        """Columns over the rounds; NaN where a round has no value."""
        return columns(self.rounds)

    @property
    def ended_early(self) -> bool:
        """Whether it has fewer rounds than were planned."""
        return len(self.rounds) < self.file.federation.rounds

    @property
    def best(self) -> float | None:
        """The highest accuracy of its validations."""
        return max(_accuracies(self.rounds).values(), default=None)

    def rounds_to(self, target: float | None) -> int | None:
        """The first validated round that has this accuracy; None where none has."""
        if target is None:
            return None
        return next((at for at, value in _accuracies(self.rounds).items() if value >= target), None)


def read(path: Path) -> Record:
    """A finished run's record.

    Raises:
        InputError: No run is there, or it is not finished, or it is no simulation's.
        StateError: A file of it is damaged, or of another version of covey.
    """
    folder = RunFolder.open(path)
    if not (path / SUMMARY).is_file():
        raise InputError(f"{path} is not finished", hint=f"covey simulate --resume {path}")
    try:
        found = summaries.read(path / SUMMARY)
    except ValueError as error:
        raise StateError(f"{path / SUMMARY} is not a summary", hint="run it again") from error
    return Record(
        folder=path,
        file=settings.load(path / runs.CONFIG, SimulationFile),
        summary=found,
        rounds=tuple(folder.rows()),
        sent=sum(kind.bytes_per_device for kind in sent(folder.sum_rows())),
        resources=resources.read(path),
        versions=_versions(path / origin.NAME),
    )


def row_of(record: Record, target: float | None) -> dict[str, Any]:
    """What a run came to, in plain values; None where there is no such thing."""
    told, taken = record.summary, record.resources
    last = record.rounds[-1]
    return {
        "rounds": told.rounds,
        "ended_early": record.ended_early,
        "accuracy": told.accuracy_federated,
        "accuracy_best": record.best,
        "accuracy_fp32": told.accuracy_fp32,
        "accuracy_int8": told.accuracy_int8,
        "accuracy_central": told.accuracy_central,
        "rounds_to_target": record.rounds_to(target),
        "loss": last["loss"],
        "epsilon_server": told.privacy.epsilon_server,
        "epsilon_release": told.privacy.epsilon_release,
        "delta": told.privacy.delta,
        "unit": told.privacy.unit,
        "bytes_per_device": record.sent,
        **_clock(told),
        "seconds": taken.seconds or told.seconds,
        "cpu_seconds": taken.cpu_seconds or None,
        "peak_memory_mb": taken.peak_memory_mb or None,
        "model_sha256": told.model_sha256,
        **{f"version_{name}": record.versions.get(name) for name in VERSIONS},
    }


def _clock(told: Summary) -> dict[str, float | None]:
    """What a run took on its virtual clock; modelled, not measured."""
    if told.clock is None:
        return {"simulated_hours": None, "joules_per_device": None, "joules_in_all": None}
    return {
        "simulated_hours": told.clock.hours,
        "joules_per_device": told.clock.joules.mean,
        "joules_in_all": told.clock.joules_in_all,
    }


def columns(rows: Sequence[Row]) -> dict[str, Column]:
    """Rows as columns: whole numbers where all are, else floats with NaN for what is missing, or objects."""
    names = dict.fromkeys(key for row in rows for key in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: list[Any]) -> Column:
    kinds = {type(value) for value in values}
    if kinds <= {int} or kinds <= {bool}:
        return np.array(values)
    if kinds <= {int, float, type(None)}:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values, object)


def _accuracies(rounds: Sequence[Row]) -> dict[int, float]:
    return {row["round"]: row["accuracy"] for row in rounds if row["accuracy"] is not None}


def _versions(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except ValueError as error:
        raise StateError(f"{path} is damaged", hint="run it again") from error


def configuration(file: SimulationFile) -> dict[str, Any]:
    """The resolved configuration in plain values."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(file))
    return plain
