"""A finished run's report, drawn again; of one that ended with its training, for the first time."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from covey.errors import InputError, StateError
from covey_io import settings
from covey_server.checkpoint import Checkpoint
from covey_server.coordinator import Federated
from covey_server.release import identity
from covey_server.run_folder import SUMMARY, RunFolder
from covey_simulations import beside as besides
from covey_simulations import runs
from covey_simulations.experiments.records import read as read_record
from covey_simulations.report import stored
from covey_simulations.report.facts import Beside, ReportFacts
from covey_simulations.reporting import Outcome, report_facts
from covey_simulations.run import VALIDATION
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read as read_scenario
from covey_strategies.queries.validate import ValidateSum


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """`validation.json`: the last validation's sums."""

    confusion: list[list[float]]
    examples: float
    right: float


def redraw(path: Path, beside: Path | None = None) -> Path:
    """Draw a run's report, and keep what it shows.

    Args:
        path: The run's folder.
        beside: A finished run to compare with; None keeps the one that it was drawn with.

    Returns:
        The report.

    Raises:
        InputError: No run is there, it is not finished, or its data or model cannot be read any more.
        StateError: A file of it is damaged.
    """
    folder, other = RunFolder.open(path), None if beside is None else besides.read(beside)
    if not (path / SUMMARY).is_file():
        raise InputError(f"{path} is not finished", hint=f"covey simulate --resume {path}")
    with folder.locked():
        facts = stored.read(path) if (path / stored.NAME).is_file() else _of_training(folder, other)
        return stored.write(facts if other is None else replace(facts, beside=other), path)


def _of_training(folder: RunFolder, beside: Beside | None) -> ReportFacts:
    """What the report shows of a run that ended with its training: all but what a package takes."""
    path = folder.path / VALIDATION
    if not path.is_file():
        raise InputError(
            f"{folder.path} keeps nothing to draw a report from",
            hint="an earlier version of covey made it: run it again",
        )
    scenario = read_scenario(settings.load(folder.path / runs.CONFIG, SimulationFile))
    state = _state(folder)
    federated = Federated(state.parameters, state.preprocessing, _validation(path))
    seconds = {"training": read_record(folder.path).summary.seconds}
    scaled = state.preprocessing or identity(scenario.model)
    outcome = Outcome(federated, scaled, None, None, None, None, {}, seconds)
    return report_facts(scenario, folder, outcome, beside)


def _state(folder: RunFolder) -> Checkpoint:
    saved = folder.latest()
    if saved is None:
        raise StateError(f"{folder.path} has no checkpoint", hint="run it again")
    return saved


def _validation(path: Path) -> ValidateSum:
    try:
        counts = msgspec.json.decode(path.read_bytes(), type=Counts)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path} is damaged: {error}", hint="run it again") from error
    return ValidateSum(np.array(counts.confusion), counts.examples, counts.right, float("nan"))
