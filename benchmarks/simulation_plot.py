"""The picture of how a round grows. Its background is left out, and its grey reads on white and on black."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from simulation_growth import MEASURES
from simulation_lines import Line, name

INK = "#767676"
COLOURS = ("#2f7fd6", "#cc6b28", "#3f9a4f", "#a05fc0")
MARKS = ("o", "D", "s", "^")
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "covey",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.labelcolor": INK,
}
SIZE = (5.2, 6.6)
"""Inches: some 370 points wide, so that a phone shows its words at about their size."""
PANELS = (
    ("fleet", "clients", "devices in the fleet"),
    ("cohort", "cohort", "devices in a round"),
)
UNITS = ((1_000_000, "M"), (1_000, "k"))
DECADES = 20
"""An axis that spans less than so many times its least value has ticks between the powers of ten."""


def plot(lines: Iterable[Line]) -> str:
    """SVG: a row for each measure, a column by fleet and one by cohort."""
    lines = [each for each in lines if each["workload"] in {kind for kind, _, _ in PANELS}]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        grid = figure.subplots(len(MEASURES), len(PANELS), sharex="col", sharey="row", squeeze=False)
        for row, (measure, title) in zip(grid, MEASURES, strict=True):
            for axes, (kind, size, _) in zip(row, PANELS, strict=True):
                _curves(axes, [each for each in lines if each["workload"] == kind], size, measure)
            _scale(row[0], measure, [each[measure] for each in lines])
            row[0].set_title(title, loc="left")
        for axes, (_, _, label) in zip(grid[-1], PANELS, strict=True):
            axes.set_xlabel(label)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", frameon=False, ncols=2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "\n".join(text.rstrip() for text in buffer.getvalue().splitlines()) + "\n"


def _curves(axes: Axes, lines: Sequence[Line], size: str, measure: str) -> None:
    """One for each engine."""
    for engine, colour, mark in zip(dict.fromkeys(map(name, lines)), COLOURS, MARKS, strict=False):
        found = sorted((each[size], each[measure]) for each in lines if name(each) == engine)
        x, y = zip(*found, strict=True)
        axes.plot(x, y, f"-{mark}", color=colour, markersize=5, linewidth=1.8, label=engine)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _count(value)))
    axes.minorticks_off()
    axes.grid(color=INK, alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: Axes, measure: str, values: Sequence[float]) -> None:
    """Memory from 0 up, as all of it counts; what spans decades by powers of ten."""
    if measure == "peak_rss_mb":
        axes.set_ylim(0, 1.1 * max(values))
    else:
        axes.set_yscale("log")
        between = (1.0, 2.0, 5.0) if max(values) < DECADES * min(values) else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=between))
        axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))


def _count(value: float) -> str:
    for unit, letter in UNITS:
        if value >= unit:
            return f"{value / unit:g} {letter}"
    return f"{value:g}"
