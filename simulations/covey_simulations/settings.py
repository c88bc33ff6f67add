"""The TOML file of a simulated federation: a federation's own tables, and what only a simulation has."""

import msgspec

from covey_server.settings import (
    Count,
    FederationFile,
    FederationSettings,
    NotNegative,
    Positive,
    ReleaseSettings,
)
from covey_simulations.availability.settings import AvailabilitySettings
from covey_simulations.data.settings import DataSettings
from covey_simulations.engines.settings import EngineSettings

__all__ = ["CentralSettings", "FederationSettings", "ReleaseSettings", "SimulationFile"]


class CentralSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The baseline: the same network trained on everyone's data in one place.

    Attributes:
        enabled: Whether to train it.
        epochs: Over the pooled training examples.
        batch_size: Examples a step.
        learning_rate: Of Adam, in the first epoch; half a cosine to 0 over the epochs.
        gradient_clip: Largest L2 norm of one batch's gradient; 0 for no limit.
    """

    enabled: bool = True
    epochs: Count = 40
    batch_size: Count = 32
    learning_rate: Positive = 0.01
    gradient_clip: NotNegative = 1.0


class SimulationFile(FederationFile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A simulated federation, as written in TOML.

    Attributes:
        private_noise: Draw noise and coins from the operating system, as a fleet does, and not from the seed:
            the run cannot be repeated.
        data: Who holds what.
        central: The baseline.
        simulation: What works the fleet out.
        availability: Who can be asked when, and how long it takes.
    """

    private_noise: bool = False
    data: DataSettings
    central: CentralSettings = CentralSettings()
    simulation: EngineSettings = EngineSettings()
    availability: AvailabilitySettings = AvailabilitySettings()
