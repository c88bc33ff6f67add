"""What a person decides about a federation, as frozen structs read from TOML."""

from math import cos, pi
from typing import Annotated, Any, Literal

import msgspec
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi

from covey.plan import Train, Validate, Weighting

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
RunName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,62}\Z")]
Schedule = Literal["constant", "cosine"]


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which model: one of the registry by name, or a Python file of one's own that defines MODEL."""

    name: str = ""
    file: str = ""


class FederationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rounds, cohorts, and the public constants that bound every answer; see `covey.plan.Train`."""

    rounds: Annotated[int, msgspec.Meta(ge=1, le=999_999)]
    devices_per_round: Annotated[int, msgspec.Meta(ge=0)] = 0
    minimum_devices: Annotated[int, msgspec.Meta(ge=2)] = 2
    validate_every: Count = 10
    weighting: Weighting = "examples"
    examples_cap: Count = 512
    update_clip: Positive = 10.0
    standardise: bool = True
    round_timeout: Positive = 3600.0


class TrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Local SGD on a device."""

    epochs: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 16
    learning_rate: Positive = 0.05
    schedule: Schedule = "constant"
    momentum: Share = 0.0
    gradient_clip: NotNegative = 0.0


class StrategySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the server does with the mean.

    Attributes:
        name: FedAvg arXiv:1602.05629; FedProx arXiv:1812.06127; FedAdam and FedYogi arXiv:2003.00295;
            FedAvgM arXiv:1909.06335.
        learning_rate: Of the server optimiser (FedAdam, FedYogi, FedAvgM).
        schedule: Of that rate over the rounds.
        warmup_rounds: Over so many rounds the rate first rises evenly; the schedule begins after them.
        momentum: FedAvgM.
        beta_1: FedAdam, FedYogi.
        beta_2: FedAdam, FedYogi.
        tau: FedAdam, FedYogi.
        proximal_mu: FedProx.
    """

    name: Literal["fedavg", "fedprox", "fedadam", "fedyogi", "fedavgm"] = "fedavg"
    learning_rate: Positive = 1.0
    schedule: Schedule = "constant"
    warmup_rounds: Annotated[int, msgspec.Meta(ge=0)] = 0
    momentum: Share = 0.9
    beta_1: Share = 0.9
    beta_2: Share = 0.99
    tau: Positive = 1e-3
    proximal_mu: NotNegative = 0.0

    def build(self) -> FedAvg:
        """Flower's strategy, which never waits for more nodes than the cohort it is shown."""
        few: dict[str, Any] = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
        match self.name:
            case "fedavg":
                return FedAvg(**few)
            case "fedprox":
                return FedProx(proximal_mu=self.proximal_mu, **few)
            case "fedavgm":
                return FedAvgM(server_learning_rate=self.learning_rate, server_momentum=self.momentum, **few)
            case "fedadam":
                return FedAdam(
                    eta=self.learning_rate, beta_1=self.beta_1, beta_2=self.beta_2, tau=self.tau, **few
                )
            case "fedyogi":
                return FedYogi(
                    eta=self.learning_rate, beta_1=self.beta_1, beta_2=self.beta_2, tau=self.tau, **few
                )


class FederationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A federation on a fleet, as written in TOML."""

    name: RunName
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    model: ModelSettings
    federation: FederationSettings
    training: TrainingSettings = TrainingSettings()
    strategy: StrategySettings = StrategySettings()


def train_task(file: FederationFile, server_round: int) -> Train:
    """What a device is asked to do in a round, from 1."""
    federation, training = file.federation, file.training
    return Train(
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=scheduled(training.learning_rate, training.schedule, server_round, federation.rounds),
        momentum=training.momentum,
        gradient_clip=training.gradient_clip,
        proximal_mu=0.0,
        weighting=federation.weighting,
        examples_cap=federation.examples_cap,
        update_clip=federation.update_clip,
    )


def validate_task(file: FederationFile) -> Validate:
    """What a device is asked when it validates."""
    return Validate(file.federation.examples_cap)


def server_rate(file: FederationFile, server_round: int) -> float:
    """The server optimiser's learning rate in a round, from 1."""
    strategy, rounds = file.strategy, file.federation.rounds
    warm = min(strategy.warmup_rounds, rounds - 1)
    if server_round <= warm:
        return strategy.learning_rate * server_round / warm
    return scheduled(strategy.learning_rate, strategy.schedule, server_round - warm, rounds - warm)


def scheduled(rate: float, schedule: Schedule, server_round: int, rounds: int) -> float:
    """The rate of a round: constant, or half a cosine from `rate` in round 1 towards 0 after the last."""
    if schedule == "constant":
        return rate
    return rate * 0.5 * (1 + cos(pi * (server_round - 1) / rounds))
