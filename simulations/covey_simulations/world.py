"""Everything a simulation knows before training: data, model, devices, folder."""

from dataclasses import dataclass
from pathlib import Path

from covey import plan as plans
from covey.errors import ConfigError, InputError
from covey.ledger.entries import Reserve
from covey.plan import SMALLEST_COHORT, Health
from covey.planner.cohort import Assumptions, cohort_for
from covey.seeds import generator
from covey_io import settings
from covey_models.model import Model
from covey_models.registry import find, from_file
from covey_server import algorithms
from covey_server.policy_draft import cohorts
from covey_server.privacy import protection
from covey_server.run_folder import CALIBRATION, GATE, RunFolder
from covey_server.settings import ModelSettings
from covey_server.sum_rows import read_entries
from covey_simulations import memory
from covey_simulations.availability import built as availability
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.federation import load
from covey_simulations.fleet import DEVICE_LOGS, Fleet, Past, Setting, check_fit, fleet
from covey_simulations.policing import Federation
from covey_simulations.runs import CONFIG
from covey_simulations.settings import SimulationFile
from covey_strategies.protection import Protection


@dataclass(frozen=True)
class Scenario:
    """What a configuration stands for, before anything is written."""

    file: SimulationFile
    data: FederatedData
    model: Model
    protection: Protection


@dataclass(frozen=True)
class World:
    """A scenario with its devices and the run's folder."""

    scenario: Scenario
    folder: RunFolder
    fleet: Fleet

    @property
    def file(self) -> SimulationFile:
        """The configuration."""
        return self.scenario.file

    @property
    def data(self) -> FederatedData:
        """Who holds what."""
        return self.scenario.data

    @property
    def model(self) -> Model:
        """What is trained."""
        return self.scenario.model

    @property
    def logs(self) -> Path:
        """Where the devices keep their own logs."""
        return self.folder.path / DEVICE_LOGS


def read(file: SimulationFile, *, data: FederatedData | None = None, model: Model | None = None) -> Scenario:
    """Find the model and read the data.

    Args:
        file: The configuration.
        data: Instead of what its [data] names.
        model: Instead of what its [model] names.

    Raises:
        ConfigError: How much noise is not said.
        InputError: They do not fit together, too few devices are asked for masks, or no policy could allow
            it.
        DataError: The data is missing or is not the one expected.
    """
    model = resolve(file.model) if model is None else model
    data = load(file.data, generator(file.seed, "data")) if data is None else data
    check_fit(data, model)
    if file.release.gate:
        from covey_server import gating  # noqa: PLC0415 - brings ONNX

        gating.parent(file, model)
    protected = protection(file, model, None, seeded=not file.private_noise)
    if protected.masks == "on":
        _check_masks(file, protected, len(data.devices))
        Federation(file, model, protected, len(data.devices)).check()
    availability.check(availability.Subject(file, file.availability, data, model, protected))
    return Scenario(file, data, model, protected)


def _check_masks(file: SimulationFile, protected: Protection, devices: int) -> None:
    """Rounds ask a cohort; at the end all devices validate."""
    asked = min(file.federation.devices_per_round or devices, devices)
    if asked < SMALLEST_COHORT:
        raise InputError(
            f"{asked} devices in a sum do not hide one another, masks need {SMALLEST_COHORT}",
            hint='ask more devices, or set [privacy] masks = "elided" for the same numbers without masks',
        )
    for size, minimum in cohorts(file, devices, protected):
        cohort_for(Assumptions(size, protected.corrupt, minimum=minimum, profile=protected.profile))


def populate(scenario: Scenario, folder: RunFolder) -> World:
    """Set up the devices.

    Raises:
        StateError: The run's keys, its ledger, its checkpoint or what devices keep are damaged.
    """
    if algorithms.is_stateful(scenario.file):
        saved = folder.latest()
        memory.check(folder.path, saved.round if saved else 0)
    setting = Setting(
        scenario.data,
        scenario.model,
        scenario.file,
        scenario.protection,
        folder.path,
        _past(scenario.file, folder),
    )
    return World(scenario, folder, fleet(setting))


def finished(folder: RunFolder) -> World:
    """A finished run's devices, set up once more: they asked and answered all of it before.

    Raises:
        CoveyError: The run cannot be read any more.
    """
    file = settings.load(folder.path / CONFIG, SimulationFile)
    scenario = read(file)
    entered = read_entries(folder.ledger)
    reserved = [plans.from_bytes(each.plan) for each in entered if isinstance(each, Reserve)]
    past = Past(len(reserved), sum(isinstance(plan.task, Health) for plan in reserved))
    protected = scenario.protection
    return World(
        scenario,
        folder,
        fleet(Setting(scenario.data, scenario.model, file, protected, folder.path, past)),
    )


def _past(file: SimulationFile, folder: RunFolder) -> Past:
    """What a run asked before it was stopped, and how much of that it asks again."""
    reserves = [row for row in folder.sum_rows() if row["event"] == "reserve"]
    if not reserves:
        return Past()
    saved, federation = folder.latest(), file.federation
    done = saved.round if saved else 0
    validated = sum(map(federation.validates, range(1, done + 1)))
    whole = (federation.standardise and saved is not None) + done + validated
    # after the last round the counts of its validation are gone with the process
    last = done == federation.rounds and not federation.devices_per_round
    if done == federation.rounds:  # else what was kept is of a model that is lost
        whole += sum((folder.path / name).exists() for name in (CALIBRATION, GATE))
    return Past(len(reserves), len({row["sum"] for row in reserves}) - whole + last)


def resolve(settings: ModelSettings) -> Model:
    """The model that the configuration means.

    Raises:
        ConfigError: Neither or both of name and file.
        InputError: No such model.
    """
    if bool(settings.name) == bool(settings.file):
        raise ConfigError("[model]", "name or file", "give one of them: a model's name, or a Python file")
    return find(settings.name) if settings.name else from_file(Path(settings.file))
