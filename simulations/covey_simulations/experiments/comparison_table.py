"""A comparison as words: the cells of its table, for a terminal and for a page."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from covey_simulations.experiments.comparison import Comparison, Line
from covey_simulations.experiments.estimates import Estimate
from covey_simulations.report import text

PIPE_WIDTH = 200
"""Columns where the output is no terminal: nothing is broken or left out."""


@dataclass(frozen=True)
class Cell:
    """One figure of a case.

    Attributes:
        name: Of the column.
        words: As people read it.
        note: Its interval; may be empty.
    """

    name: str
    words: str
    note: str = ""


def cells(comparison: Comparison, line: Line) -> list[Cell]:
    """Of a case, in the order of the columns."""
    found = [
        Cell("Runs", str(line.n)),
        _share("Accuracy", line.accuracy),
        _difference(comparison, line),
        _share("Best on the way", line.best),
    ]
    if any(each.exact for each in comparison.lines):
        found.append(_share("Packaged fp32", line.exact))
    if comparison.target is not None:
        found.append(_to_target(comparison.target, line))
    return [
        *found,
        Cell("Training loss", text.decimal(line.loss.mean if line.loss else None)),
        Cell("ε", "none" if line.epsilon is None else f"{line.epsilon:g}"),
        Cell("Sent by a device", text.size(line.sent)),
        Cell("Rounds", text.tenths(line.rounds.mean if line.rounds else None).removesuffix(".0")),
        Cell("Time a run", text.seconds(line.seconds.mean if line.seconds else None)),
    ]


def remarks(comparison: Comparison) -> Iterator[str]:
    """What a reader should know with the figures."""
    if any(line.n > 1 for line in comparison.lines):
        yield "±: half of a 95 % interval of the mean over seeds (Student's t)."
    if any(line.n == 1 for line in comparison.lines):
        yield "n = 1 has no interval: one seed says nothing of the next. Run more: seeds = [0, 1, 2]."
    if any(line.epsilon is None for line in comparison.lines):
        yield "ε none: runs without noise, or with the server's: they promise nothing against it."
    if comparison.noisy:
        yield "Accuracies are those of private sums, with the sums' noise; “packaged fp32” is exact."
    if any(line.difference and line.difference.n < line.n for line in comparison.lines):
        yield "A difference is over the seeds that a case shares with the baseline."
    if comparison.target is not None and any(line.reached not in {line.n, None} for line in comparison.lines):
        yield "Rounds to the target are of the runs that have reached it."
    yield from comparison.missing


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison as a table, and what a reader should know with it."""
    if not console.is_terminal:
        console = Console(file=console.file, width=PIPE_WIDTH, force_terminal=False)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Case")
    for cell in cells(comparison, comparison.lines[0]):
        table.add_column(cell.name, justify="right")
    for line in comparison.lines:
        words = [f"{cell.words} {cell.note}".strip() for cell in cells(comparison, line)]
        table.add_row(_plain(line.case), *words)
    console.print(table, markup=False, highlight=False)
    for remark in remarks(comparison):
        console.print(remark, markup=False, highlight=False, soft_wrap=True)


def _share(name: str, found: Estimate | None) -> Cell:
    if found is None:
        return Cell(name, text.NOT_MEASURED)
    return Cell(name, text.percent(found.mean), "" if found.half is None else f"± {100 * found.half:.1f}")


def _difference(comparison: Comparison, line: Line) -> Cell:
    name = "Against baseline, points"
    if line.case == comparison.baseline:
        return Cell(name, "baseline")
    if line.difference is None:
        return Cell(name, "no seed in common")
    half = line.difference.half
    return Cell(
        name,
        text.points(line.difference.mean).removesuffix(f"{text.SPACE}points"),
        "" if half is None else f"± {100 * half:.1f}",
    )


def _to_target(target: float, line: Line) -> Cell:
    name = f"Rounds to {100 * target:.4g} %"
    if line.rounds_to_target is None:
        return Cell(name, "not reached")
    found = line.rounds_to_target
    half = "" if found.half is None else f"± {found.half:.1f}"
    part = "" if line.reached == line.n else f"({line.reached} of {line.n})"
    return Cell(name, text.tenths(found.mean).removesuffix(".0"), f"{half} {part}".strip())


def _plain(words: str) -> str:
    """For rich, which reads square brackets as style."""
    return words.replace("[", r"\[")
