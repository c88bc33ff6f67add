"""`covey sweep`, `covey compare` and `covey report`."""

from pathlib import Path
from typing import Annotated

import typer

from covey_simulations.commands import LogTo, Runs, Set
from covey_simulations.preparing import prepare


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


def compare(  # noqa: PLR0913 - options of a command
    what: Annotated[list[Path], typer.Argument(metavar="RUN|SWEEP...", help="Folders under runs/.")],
    *,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="CASE", help="Differences are from it; else the first."),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option("--target", min=0.0, max=1.0, help="Accuracy that rounds are counted up to, as 0.9."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the figures as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with curves and table.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the curves: FILE.svg or FILE.png.")
    ] = None,
) -> None:
    """Compare finished runs and sweeps, case by case.

    Runs that differ in nothing but name and seed are one case; a sweep has its own. The table has means over
    seeds with 95 % intervals, and differences from a baseline over the seeds that both have.

    \b
    covey compare runs/digits runs/digits-adam
    covey compare runs/optimisers --baseline fedavg --target 0.9
    covey compare runs/optimisers --html compare.html --plot curves.svg
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    prepare()
    from covey_simulations.experiments import compare_terminal  # noqa: PLC0415 - see `preparing`

    compare_terminal.compare(
        what,
        baseline,
        target,
        printed="json" if as_json else "csv" if as_csv else "table",
        html=html,
        plot=plot,
    )


def report(
    what: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="A folder under runs/.")],
    *,
    beside: Annotated[
        Path | None,
        typer.Option("--beside", metavar="RUN", help="A finished run's folder, to compare with."),
    ] = None,
) -> None:
    """Draw a finished run's report again, or a sweep's page; nothing is run for it.

    A run that ended with its training has a report by this alone: without a package, and with what every
    device would see of the model, for which its data is read once more.

    \b
    covey report runs/digits
    covey report runs/digits --beside runs/digits-adam
    covey report runs/optimisers
    """  # noqa: D301 - as above
    prepare()
    from covey_simulations.experiments import compare_terminal  # noqa: PLC0415 - see `preparing`

    compare_terminal.report(what, beside)
