"""A sweep as a person writes it: a federation, what varies in it, seeds, and when a run may end early."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from covey.errors import ConfigError
from covey_io import settings
from covey_server.settings import Count, NotNegative, RunName
from covey_simulations.engines.settings import Stages

Seed = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Order = Literal["cases", "seeds"]
Metric = Literal["accuracy", "loss"]


class StopSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a run has shown enough; looked at after each validation.

    Attributes:
        metric: "accuracy" on held-out examples, or "loss" in training.
        patience: Ends a run that has not become better for so many rounds; None for never.
        min_delta: Less than this is not better.
        target: Ends a run that has come so far; None for never.
    """

    metric: Metric = "accuracy"
    patience: Count | None = None
    min_delta: NotNegative = 0.0
    target: float | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that ends nothing."""
        if self.patience is None and self.target is None:
            raise ValueError("[stop] needs patience, or target, or both")


class HalvingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Successive halving: all cases train a little, the better ones go on, and so forth.

    Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
    AISTATS 2016, figure 1; by rounds, with all seeds of a case together.

    Attributes:
        first: Rounds that every case gets.
        factor: One case in so many goes on, to so many times the rounds.
    """

    first: Count
    factor: Annotated[int, msgspec.Meta(ge=2, le=100)] = 3


class SweepFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sweep, as written in TOML.

    Attributes:
        name: Of its folder.
        base: The federation that all runs start from: a path from the sweep's own folder, or its tables.
        seeds: Each case is run with each.
        parallel: Runs at the same time, each in a process of its own.
        stages: How far a run goes.
        order: "cases": all seeds of a case first; "seeds": all cases with the first seed first.
        target: Accuracy that rounds are counted up to.
        grid: For keys of the federation, lists of values: every combination is a case.
        cases: Sets of values with a name; with a grid, each is combined with all of it.
        stop: When a run has shown enough.
        halving: Which cases go on.
    """

    name: RunName
    base: str | dict[str, Any]
    seeds: Annotated[tuple[Seed, ...], msgspec.Meta(min_length=1, max_length=1000)] = (0,)
    parallel: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    stages: Stages = "training"
    order: Order = "cases"
    target: float | None = None
    grid: dict[str, Any] = {}
    cases: tuple[dict[str, Any], ...] = ()
    stop: StopSettings | None = None
    halving: HalvingSettings | None = None

    @property
    def wanted(self) -> float | None:
        """Accuracy that rounds are counted up to: what is said, or what ends a run."""
        if self.target is None and self.stop is not None and self.stop.metric == "accuracy":
            return self.stop.target
        return self.target


def load(path: Path, changes: Sequence[str] = ()) -> tuple[SweepFile, dict[str, Any]]:
    """Read a sweep and the federation that it starts from.

    Args:
        path: Its file.
        changes: KEY=VALUE, to it.

    Returns:
        The sweep, and the tables of its base, unchecked.

    Raises:
        ConfigError: One of them cannot be read, or the sweep has an unknown key or a wrong value.
    """
    file = settings.load(path, SweepFile, changes)
    return file, base_of(file, path.parent)


def base_of(file: SweepFile, folder: Path) -> dict[str, Any]:
    """Tables of the federation that a sweep starts from.

    Args:
        file: The sweep.
        folder: From which its path is read.

    Raises:
        ConfigError: It cannot be read.
    """
    if isinstance(file.base, dict):
        return file.base
    if not file.base:
        raise ConfigError("sweep", "base", "name a federation's TOML file, or write it as [base]")
    return settings.read(folder / file.base)
