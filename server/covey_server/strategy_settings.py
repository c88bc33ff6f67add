"""The `[strategy]` table of a federation file: what the server does with the devices' answers."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi

from covey.errors import InputError
from covey_models.registry import executed

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Schedule = Literal["constant", "cosine"]
Robust = Literal["none", "median", "trimmed-mean", "geometric-median"]

FEW: Final[dict[str, Any]] = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
"""A strategy that never waits for more nodes than the cohort it is shown."""


class StrategySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the server does with the mean.

    Attributes:
        name: FedAvg arXiv:1602.05629; FedProx arXiv:1812.06127; FedAdam and FedYogi arXiv:2003.00295;
            FedAvgM arXiv:1909.06335; SCAFFOLD arXiv:1910.06378; FedPer arXiv:1912.00818; FedBuff
            arXiv:2106.06639.
        file: Instead of a name: a Python file of one's own that defines `build(settings)`.
        learning_rate: Of the server optimiser (FedAdam, FedYogi, FedAvgM, SCAFFOLD, FedBuff).
        schedule: Of that rate over the rounds.
        warmup_rounds: Over so many rounds the rate first rises evenly; the schedule begins after them.
        momentum: FedAvgM.
        beta_1: FedAdam, FedYogi.
        beta_2: FedAdam, FedYogi.
        tau: FedAdam, FedYogi.
        proximal_mu: FedProx.
        control_clip: SCAFFOLD: largest L2 norm of the change of a device's control variate.
        personal: FedPer: layers that stay on each device, by name.
        robust: Instead of the mean over all devices: a robust rule over the means of the groups that
            `privacy.largest_cohort` makes.
        trim: "trimmed-mean": share of the groups that is left out at either end, element by element.
        buffer: FedBuff: devices in one sum, K.
        concurrency: FedBuff: devices that train at the same time, M.
    """

    name: Literal["fedavg", "fedprox", "fedadam", "fedyogi", "fedavgm", "scaffold", "fedper", "fedbuff"] = (
        "fedavg"
    )
    file: str = ""
    learning_rate: Positive = 1.0
    schedule: Schedule = "constant"
    warmup_rounds: Annotated[int, msgspec.Meta(ge=0)] = 0
    momentum: Share = 0.9
    beta_1: Share = 0.9
    beta_2: Share = 0.99
    tau: Positive = 1e-3
    proximal_mu: NotNegative = 0.0
    control_clip: Positive = 1.0
    personal: Annotated[tuple[str, ...], msgspec.Meta(max_length=1024)] = ()
    robust: Robust = "none"
    trim: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.1
    buffer: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 10
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20

    def build(self) -> FedAvg:
        """Flower's strategy, or one's own.

        Raises:
            InputError: The file fails, or does not build a strategy that consumes a mean.
        """
        return from_file(Path(self.file), self) if self.file else self._named()

    def _named(self) -> FedAvg:
        match self.name:
            case "fedavg" | "fedper" | "fedbuff":
                return FedAvg(**FEW)
            case "fedprox":
                return FedProx(proximal_mu=self.proximal_mu, **FEW)
            case "fedavgm" | "scaffold":
                momentum = self.momentum if self.name == "fedavgm" else 0.0
                return FedAvgM(server_learning_rate=self.learning_rate, server_momentum=momentum, **FEW)
            case "fedadam" | "fedyogi":
                kind = FedAdam if self.name == "fedadam" else FedYogi
                return kind(
                    eta=self.learning_rate, beta_1=self.beta_1, beta_2=self.beta_2, tau=self.tau, **FEW
                )


def from_file(path: Path, settings: StrategySettings) -> FedAvg:
    """The strategy that a user's Python file builds. Runs the file.

    Args:
        path: Defines `build(settings)`, which gives a strategy that consumes a mean.
        settings: What it is given.

    Raises:
        InputError: No such file, the file fails, or it builds something else.
    """
    if not path.is_file():
        raise InputError(f"no strategy file {path}")
    build = getattr(executed(path, "strategy"), "build", None)
    if not callable(build):
        raise InputError(f"{path} defines no build", hint="define def build(settings): return FedAvg(...)")
    try:
        strategy = build(settings)
    except Exception as error:
        raise InputError(f"{path}: build failed: {type(error).__name__}: {error}") from error
    if not isinstance(strategy, FedAvg):
        raise InputError(
            f"{path}: build gave {type(strategy).__name__}",
            hint="give a strategy derived from flwr.serverapp.strategy.FedAvg that consumes a mean",
        )
    return strategy
