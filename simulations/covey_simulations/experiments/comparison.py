"""Cases beside one another: means with intervals, differences from a baseline, rounds to a target, costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covey.errors import InputError
from covey_simulations.experiments import curves
from covey_simulations.experiments.curves import Curve
from covey_simulations.experiments.estimates import Estimate, estimate, paired
from covey_simulations.experiments.gathering import Gathered, gather
from covey_simulations.experiments.records import Record

Runs = Mapping[int, Record]
"""Of one case, by seed."""


@dataclass(frozen=True)
class Line:
    """One case.

    Attributes:
        case: Its name.
        runs: Its runs, by seed.
        accuracy: Of the last validation.
        best: The highest of a run's validations.
        exact: Of the packaged model on all held-out examples; None where nothing was packaged.
        difference: In accuracy from the baseline, over shared seeds; None of the baseline itself.
        rounds_to_target: Over the runs that have reached it.
        reached: How many have; None without a target.
        loss: In training, in the last round.
        epsilon: Most of any run, against the server; None where a run had no noise.
        delta: That goes with it.
        sent: Bytes that a device sent; most of any run.
        rounds: Trained.
        seconds: A run took, by the clock.
    """

    case: str
    runs: Runs
    accuracy: Estimate | None
    best: Estimate | None
    exact: Estimate | None
    difference: Estimate | None
    rounds_to_target: Estimate | None
    reached: int | None
    loss: Estimate | None
    epsilon: float | None
    delta: float
    sent: int
    rounds: Estimate | None
    seconds: Estimate | None

    @property
    def n(self) -> int:
        """Runs."""
        return len(self.runs)


@dataclass(frozen=True)
class Comparison:
    """What runs and sweeps come to beside one another.

    Attributes:
        name: Of what is compared.
        lines: A case each.
        baseline: The case that differences are from.
        target: Accuracy that rounds are counted up to; None for none.
        missing: Lines about runs that are not finished.
    """

    name: str
    lines: tuple[Line, ...]
    baseline: str
    target: float | None
    missing: tuple[str, ...]

    @property
    def noisy(self) -> bool:
        """Whether an accuracy is as noisy as the private sum that gave it."""
        return any(run.summary.privacy.noise != "none" for line in self.lines for run in line.runs.values())

    @property
    def best(self) -> Line:
        """The case with the highest accuracy."""
        return max(self.lines, key=lambda line: line.accuracy.mean if line.accuracy else float("-inf"))

    def curves(self, metric: str) -> tuple[Curve, ...]:
        """A column of the rounds, of each case."""
        return tuple(curves.curve(line.case, list(line.runs.values()), metric) for line in self.lines)

    def rows(self) -> list[dict[str, Any]]:
        """A plain row a case; None where there is no such thing."""
        return [_row(line) for line in self.lines]


def compare(paths: Sequence[Path], baseline: str | None = None, target: float | None = None) -> Comparison:
    """Read finished runs and sweeps, and compare their cases.

    Args:
        paths: Of runs and sweeps.
        baseline: The case that differences are from; None for the first.
        target: Accuracy that rounds are counted up to; None for the sweep's own, if it has one.

    Raises:
        InputError: A folder is neither, nothing is finished, or no case has the baseline's name.
        StateError: A file of a run is damaged.
    """
    return compared(gather(paths), baseline, target)


def compared(found: Gathered, baseline: str | None = None, target: float | None = None) -> Comparison:
    """As `compare`, of what was read."""
    first = next(iter(found.cases)) if baseline is None else baseline
    if first not in found.cases:
        raise InputError(f"no case {first!r}", hint=f"cases: {'; '.join(found.cases)}")
    wanted = found.target if target is None else target
    base = found.cases[first]
    lines = [_line(case, runs, None if case == first else base, wanted) for case, runs in found.cases.items()]
    return Comparison(found.name, tuple(lines), first, wanted, found.missing)


def _line(case: str, runs: Runs, baseline: Runs | None, target: float | None) -> Line:
    epsilons = [run.summary.privacy.epsilon_server for run in runs.values()]
    known = [epsilon for epsilon in epsilons if epsilon is not None]
    to_target = [run.rounds_to(target) for run in runs.values()]
    return Line(
        case=case,
        runs=runs,
        accuracy=_over(runs, _accuracy),
        best=_over(runs, lambda run: run.best),
        exact=_over(runs, lambda run: run.summary.accuracy_fp32),
        difference=None if baseline is None else paired(_by_seed(runs), _by_seed(baseline)),
        rounds_to_target=estimate(to_target),
        reached=None if target is None else sum(rounds is not None for rounds in to_target),
        loss=_over(runs, lambda run: run.rounds[-1]["loss"]),
        epsilon=max(known) if len(known) == len(epsilons) else None,
        delta=max(run.summary.privacy.delta for run in runs.values()),
        sent=max(run.sent for run in runs.values()),
        rounds=_over(runs, lambda run: len(run.rounds)),
        seconds=_over(runs, lambda run: run.resources.seconds or run.summary.seconds),
    )


def _accuracy(run: Record) -> float:
    return run.summary.accuracy_federated


def _by_seed(runs: Runs) -> dict[int, float | None]:
    return {seed: _accuracy(run) for seed, run in runs.items()}


def _over(runs: Runs, value: Callable[[Record], float | None]) -> Estimate | None:
    return estimate([value(run) for run in runs.values()])


def _row(line: Line) -> dict[str, Any]:
    row: dict[str, Any] = {"case": line.case, "n": line.n}
    for name in ("accuracy", "difference", "best", "exact", "loss", "rounds", "rounds_to_target", "seconds"):
        found: Estimate | None = getattr(line, name)
        row |= {
            name: found.mean if found else None,
            f"{name}_low": found.low if found else None,
            f"{name}_high": found.high if found else None,
        }
    return row | {
        "reached_target": line.reached,
        "epsilon": line.epsilon,
        "delta": line.delta,
        "bytes_per_device": line.sent,
    }
