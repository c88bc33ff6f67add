"""Covey's experiments from Python, as short as the command line.

    from covey_simulations.api import simulate, sweep, compare, load

    run = simulate("digits.toml", {"federation.rounds": 5})
    run.plot()

Nothing heavy is imported before something is run.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covey_simulations.preparing import prepare

if TYPE_CHECKING:
    from covey_models.model import Model
    from covey_simulations.data.federated import FederatedData
    from covey_simulations.engines.settings import Stages
    from covey_simulations.experiments.comparison_result import Compared
    from covey_simulations.experiments.run_result import Run
    from covey_simulations.experiments.sweep_result import Sweep

Place = str | PathLike[str]
Changes = Mapping[str, Any]


def simulate(  # noqa: PLR0913 - what is run, where, how far, and who watches
    config: "Place | Changes | None" = None,
    changes: Changes | None = None,
    *,
    data: "FederatedData | Changes | None" = None,
    model: "Model | str | Changes | None" = None,
    stages: "Stages | None" = None,
    runs: Place = "runs",
    resume: bool = False,
    progress: bool | None = None,
    log_to: Sequence[str] = (),
    **tables: Any,
) -> "Run":
    """Run a federation, as `covey simulate` does.

    Args:
        config: A TOML file, or its tables; None where keywords say all.
        changes: Values by dotted key, as {"federation.rounds": 5}.
        data: Who holds what, as an object, or the [data] table.
        model: What is trained, as an object, a name, or the [model] table.
        stages: "training" ends with the last validation: no baseline, package or report. "all" has them all.
            None for what the configuration says, which is "all" if it says nothing.
        runs: Folder for runs. An earlier run of the same name is moved aside.
        resume: Go on with a run of this name and configuration that was stopped; a finished one is read.
        progress: Whether to show how it goes on; None for on a terminal alone.
        log_to: "tensorboard:DIR" or "mlflow:URI".
        **tables: Further keys and tables, as federation={"rounds": 5}, privacy={"noise": False}, seed=1.

    Raises:
        CoveyError: What went wrong, and the next step.
    """
    prepare()
    from covey_simulations.experiments import calling  # noqa: PLC0415 - heavy

    call = calling.call_of(config, changes or {}, data, model, tables)
    return calling.run(
        call, Path(runs), stages=stages, resume=resume, progress=progress, log_to=tuple(log_to)
    )


def sweep(  # noqa: PLR0913 - as above
    config: "Place | Changes | None" = None,
    changes: Changes | None = None,
    *,
    data: "FederatedData | None" = None,
    model: "Model | None" = None,
    runs: Place = "runs",
    retry_failed: bool = False,
    progress: bool | None = None,
    log_to: Sequence[str] = (),
    **keys: Any,
) -> "Sweep":
    """Run a federation in many variants and with many seeds, as `covey sweep` does; call it again to go on.

    Args:
        config: The sweep's TOML file, or its keys.
        changes: Values by dotted key, to the sweep's file, as {"parallel": 2}.
        data: Who holds what, as an object: runs then follow one another in this process.
        model: What is trained, as an object: likewise.
        runs: Folder for runs.
        retry_failed: Give runs that failed another chance.
        progress: Whether to show how it goes on; None for on a terminal alone.
        log_to: "tensorboard:DIR" or "mlflow:URI".
        **keys: Further keys, as name="rates", base="digits.toml", grid={"training.epochs": [1, 2]}.

    Returns:
        Its results; runs that failed are in them, and no error.

    Raises:
        CoveyError: The sweep itself is wrong.
    """
    prepare()
    from covey_simulations.experiments import calling  # noqa: PLC0415 - heavy
    from covey_simulations.experiments.carrying import Given  # noqa: PLC0415 - idem

    return calling.swept(
        config,
        changes or {},
        keys,
        Given(data, model),
        Path(runs),
        retry=retry_failed,
        progress=progress,
        log_to=tuple(log_to),
    )


def compare(
    *what: "Place | Run | Sweep", baseline: str | None = None, target: float | None = None
) -> "Compared":
    """Means and intervals over seeds, differences, rounds to a target, as `covey compare` has them.

    Args:
        *what: Runs and sweeps, or their folders.
        baseline: The case that differences are from; None for the first.
        target: Accuracy that rounds are counted up to, from 0 to 1.

    Raises:
        CoveyError: A folder is neither, or nothing is finished.
    """
    prepare()
    from covey_simulations.experiments import comparison, comparison_result  # noqa: PLC0415 - heavy

    paths = [Path(each) if isinstance(each, str | PathLike) else each.folder for each in what]
    return comparison_result.Compared(comparison.compare(paths, baseline, target))


def load(folder: Place) -> "Run | Sweep":
    """A finished run, or a sweep, from its folder.

    Raises:
        CoveyError: Neither is there.
    """
    prepare()
    from covey_simulations.experiments import run_result, sweep_folder, sweep_result  # noqa: PLC0415 - heavy

    path = Path(folder)
    if sweep_folder.is_sweep(path):
        return sweep_result.Sweep(path)
    return run_result.Run.read(path)
