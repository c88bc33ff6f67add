"""A comparison as one HTML file that needs nothing beside it, and its curves as a picture."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from covey import __version__
from covey.errors import InputError
from covey_io import durable
from covey_simulations.experiments import comparison_table, figures
from covey_simulations.experiments.comparison import Comparison, Line
from covey_simulations.experiments.curves import Curve
from covey_simulations.experiments.estimates import Estimate
from covey_simulations.experiments.figures import MOST_CURVES, MOST_ROWS, Row
from covey_simulations.report import drawing, text

TEMPLATE: Final = "compare.html.j2"
KINDS: Final = ("svg", "png")


def write(comparison: Comparison, path: Path) -> Path:
    """Write the page.

    Returns:
        Where it is.
    """
    durable.make_folder(path.resolve().parent)
    durable.replace(path.resolve(), render(comparison, _now()).encode())
    return path


def write_curves(comparison: Comparison, path: Path) -> Path:
    """Write accuracy and loss by round as a picture.

    Raises:
        InputError: The name ends in something else than .svg or .png.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise InputError(f"{path} is no picture that is drawn here", hint="end the name in .svg or .png")
    durable.make_folder(path.resolve().parent)
    durable.replace(path.resolve(), figures.saved(plot(comparison), kind))
    return path


def plot(comparison: Comparison) -> figures.Drawn:
    """Accuracy and training loss by round, with intervals."""
    found = [drawn(comparison, metric) for metric in ("accuracy", "loss")]

    def paint(figure: Figure, narrow: bool) -> None:
        names = (("accuracy", True), ("training loss, nats", False))
        for axes, curves, (label, shares) in zip(figure.subplots(1, 2), found, names, strict=True):
            if curves:
                figures.over_rounds(curves, label, shares=shares, narrow=narrow)(axes)
        shown = max(found, key=len)
        if len(shown) > 1:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside upper left", ncols=figures.legend_columns(shown, narrow=narrow)
            )

    return figures.alone(paint, (880, 360))


def render(comparison: Comparison, when: str) -> str:
    """The page, the same text for the same comparison and time; every string in it may be hostile."""
    environment = Environment(
        loader=PackageLoader("covey_simulations", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text.visible,
    )
    environment.filters["between"] = _between
    environment.filters |= {"percent": text.percent, "points": text.points, "decimal": text.decimal}
    environment.filters |= {"size": text.size, "seconds": text.seconds, "count": text.count}
    return environment.get_template(TEMPLATE).render(_view(comparison, when))


def drawn(comparison: Comparison, metric: str) -> list[Curve]:
    """The curves that are drawn: of many cases the baseline and the best."""
    found = [curve for curve in comparison.curves(metric) if len(curve.rounds)]
    if len(found) <= MOST_CURVES:
        return found
    ranked = [line.case for line in sorted(comparison.lines, key=_rank) if line.case != comparison.baseline]
    kept = {comparison.baseline, *ranked[: MOST_CURVES - 1]}
    return [curve for curve in found if curve.case in kept]


def _view(comparison: Comparison, when: str) -> dict[str, Any]:
    accuracy, loss = drawn(comparison, "accuracy"), drawn(comparison, "loss")
    rows = [_row(line) for line in comparison.lines if line.accuracy]
    differences = [
        Row(line.case, line.difference) for line in comparison.lines if line.difference is not None
    ]
    return {
        "comparison": comparison,
        "when": when,
        "version": __version__,
        "runs": sum(line.n for line in comparison.lines),
        "columns": [cell.name for cell in comparison_table.cells(comparison, comparison.lines[0])],
        "lines": [(line, comparison_table.cells(comparison, line)) for line in comparison.lines],
        "remarks": list(comparison_table.remarks(comparison)),
        "accuracy_chart": _curves("accuracy", "Accuracy", accuracy, shares=True),
        "loss_chart": _curves("loss", "Training loss", loss, shares=False),
        "left_out": len(comparison.lines) - len(accuracy),
        "cut": any(curve.cut for curve in accuracy),
        "rows_chart": _in_rows("cases", "Accuracy by case", rows, "accuracy", zero=False),
        "differences_chart": _in_rows(
            "differences", "Difference by case", differences, "points of accuracy", zero=True
        ),
        "more_rows": max(len(rows) - MOST_ROWS, 0),
    }


def _curves(name: str, words: str, curves: Sequence[Curve], *, shares: bool) -> drawing.Chart | None:
    if not curves:
        return None

    def paint(figure: Figure, narrow: bool) -> None:
        draw = figures.over_rounds(curves, "" if shares else "nats per example", shares=shares, narrow=narrow)
        figures.with_legend(draw, curves, narrow=narrow)(figure, narrow)

    told = text.percent if shares else text.decimal
    ends = "; ".join(f"{curve.case} ends at {told(float(curve.mean[-1]))}" for curve in curves)
    tall = 18 * (len(curves) - 1)  # the narrow legend has a line a case
    return drawing.chart(
        name, f"{words} by round: {ends}", paint, (drawing.HALF, 330), (drawing.NARROW, 280 + tall)
    )


def _in_rows(name: str, words: str, rows: Sequence[Row], label: str, *, zero: bool) -> drawing.Chart | None:
    shown = sorted(rows, key=lambda row: -row.found.mean)[:MOST_ROWS]
    if not shown:
        return None

    def paint(figure: Figure, narrow: bool) -> None:
        figures.in_rows(shown, label, zero=zero, narrow=narrow)(figure, narrow)

    told = text.points if zero else text.percent
    said = "; ".join(f"{row.name} {told(row.found.mean)}" for row in shown)
    height = 27 * len(shown) + 62
    return drawing.chart(name, f"{words}: {said}", paint, (drawing.HALF, height), (drawing.NARROW, height))


def _row(line: Line) -> Row:
    values = [run.summary.accuracy_federated for run in line.runs.values()]
    assert line.accuracy is not None  # noqa: S101 - the caller has looked
    return Row(line.case, line.accuracy, values)


def _between(found: Estimate) -> str:
    """An interval of shares, in words."""
    ends = figures.interval(found, shares=True)
    return "" if ends is None else f"{text.percent(ends[0])} to {text.percent(ends[1])}"


def _rank(line: Line) -> float:
    return -line.accuracy.mean if line.accuracy else 0.0


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="minutes")
