"""`covey sweep`, `covey compare` and `covey report`."""

from pathlib import Path
from typing import Annotated

import typer

from covey_simulations.commands import Runs, Set
from covey_simulations.preparing import prepare

LogTo = Annotated[
    list[str] | None,
    typer.Option("--log-to", metavar="KIND:WHERE", help="Also to tensorboard:DIR or mlflow:URI; repeatable."),
]


def sweep(  # noqa: PLR0913 - options of a command
    file: Annotated[Path, typer.Argument(help="The sweep's TOML file.", show_default=False)],
    *,
    overrides: Set = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", min=1, help="Runs at the same time; replaces the file's.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Give runs that failed another chance.")
    ] = False,
    log_to: LogTo = None,
    runs: Runs = Path("runs"),
) -> None:
    """Run a federation in many variants and with many seeds, several runs at once.

    The file names a base federation, and what varies: [grid] has lists of values of which every combination
    is a case, [[cases]] have names and values, seeds = [0, 1, 2] are run with each. [stop] ends runs that
    have shown enough, [halving] lets only the better cases go on. See docs/experiments.md.

    The sweep's folder is runs/<name>: a run's folder for each, results.csv with a row a run, rounds.csv with
    a row a round, the same as Parquet where pyarrow is installed, and configurations.json. Stop it whenever
    you like: the same command skips what is finished and goes on with the rest.

    \b
    covey sweep examples/sweep.toml
    covey sweep examples/sweep.toml --set seeds=[0,1,2,3,4] --parallel 2
    covey sweep examples/sweep.toml --retry-failed
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    prepare()
    from covey_simulations.experiments import sweep_terminal  # noqa: PLC0415 - see `preparing`

    changes = [*(overrides or []), *([] if parallel is None else [f"parallel={parallel}"])]
    sweep_terminal.sweep(file, changes, runs, retry=retry_failed, log_to=tuple(log_to or ()))
