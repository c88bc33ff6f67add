"""Everything a simulation knows before training: data, model, devices, folder."""

from dataclasses import dataclass
from pathlib import Path

from covey.errors import ConfigError
from covey.seeds import generator
from covey_models.model import Model
from covey_models.registry import find, from_file
from covey_server.run_folder import RunFolder
from covey_server.settings import ModelSettings
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.federation import load
from covey_simulations.fleet import Fleet, fleet
from covey_simulations.settings import SimulationFile


@dataclass(frozen=True)
class World:
    """A simulation before it trains."""

    file: SimulationFile
    folder: RunFolder
    data: FederatedData
    model: Model
    fleet: Fleet

    @property
    def logs(self) -> Path:
        """Where the devices keep their own logs."""
        return self.folder.path / "devices"


def prepare(file: SimulationFile, folder: RunFolder) -> World:
    """Read the data, find the model, set up the devices.

    Raises:
        InputError: They do not fit together.
        DataError: The data is missing or is not the one expected.
    """
    model = resolve(file.model)
    data = load(file.data, generator(file.seed, "data"))
    devices = fleet(data, model, file.seed, folder.path / "devices")
    return World(file, folder, data, model, devices)


def resolve(settings: ModelSettings) -> Model:
    """The model that the configuration means.

    Raises:
        ConfigError: Neither or both of name and file.
        InputError: No such model.
    """
    if bool(settings.name) == bool(settings.file):
        raise ConfigError("[model]", "name or file", "give one of them: a model's name, or a Python file")
    return find(settings.name) if settings.name else from_file(Path(settings.file))
