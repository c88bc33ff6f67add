"""A comparison, or a report drawn again, that a person asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from rich.console import Console

from covey.errors import InputError
from covey_simulations.experiments import comparison, comparison_page, comparison_table, tables
from covey_simulations.experiments.redrawing import redraw
from covey_simulations.experiments.sweep_folder import is_sweep
from covey_simulations.terminal import say

PAGE: Final = "compare.html"
Printed = Literal["table", "csv", "json"]


def compare(  # noqa: PLR0913 - options of a command
    what: Sequence[Path],
    baseline: str | None,
    target: float | None,
    *,
    printed: Printed,
    html: Path | None,
    plot: Path | None,
) -> None:
    """Print a comparison, and write what is asked for.

    Args:
        what: Folders of runs and sweeps.
        baseline: The case that differences are from; None for the first.
        target: Accuracy that rounds are counted up to.
        printed: How.
        html: Where a page goes.
        plot: Where a picture of the curves goes.

    Raises:
        InputError: A folder is neither, nothing is finished, or no case has the baseline's name.
        StateError: A file of a run is damaged.
    """
    found, console = comparison.compare(what, baseline, target), Console()
    match printed:
        case "table":
            comparison_table.show(found, console)
        case "csv":
            console.file.write(tables.as_csv(found.rows()))
        case "json":
            told = {"baseline": found.baseline, "target": found.target, "cases": found.rows()}
            text = msgspec.json.format(msgspec.json.encode(told), indent=2)
            console.file.write(f"{text.decode()}\n")
    errors = Console(stderr=printed != "table")
    if html is not None:
        say(errors, str(comparison_page.write(found, html)))
    if plot is not None:
        say(errors, str(comparison_page.write_curves(found, plot)))


def report(what: Path, beside: Path | None) -> None:
    """Draw a run's report again, or a sweep's page; prints where it is.

    Raises:
        InputError: Neither is there, or nothing is finished.
        StateError: A file of a run is damaged.
    """
    if is_sweep(what) and beside is not None:
        raise InputError("a sweep stands beside nothing", hint="covey compare SWEEP RUN --html FILE")
    page = (
        comparison_page.write(comparison.compare([what]), what / PAGE)
        if is_sweep(what)
        else redraw(what, beside)
    )
    say(Console(), str(page))
