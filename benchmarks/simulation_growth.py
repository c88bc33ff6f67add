"""How a round grows with the fleet and with the cohort, as points to measure and as a picture."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulation_lines import Line
from simulation_peers import workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLEETS = (1_000, 10_000)
COHORTS = (10, 100, 1_000, 10_000)
COHORT = 100
"""Of every fleet whose size is what changes."""
FLEET = 10_000
"""Or the cohort, if that is larger, where the cohort is what changes."""
ROUNDS = 6

INK = "#767676"
"""Reads on white and on black: a picture in a page does not know which it stands on."""
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
PANELS = (
    ("fleet", "clients", "devices in the fleet"),
    ("cohort", "cohort", "devices in a round"),
)
MEASURES = (
    ("round_s", "seconds a round"),
    ("cpu_ms_per_update", "CPU ms an update"),
    ("peak_rss_mb", "peak memory, MB"),
)


def points(fleets: Sequence[int], cohorts: Sequence[int]) -> Iterator[workload.Workload]:
    """W1, larger and smaller."""
    for fleet in fleets:
        yield replace(workload.W1, name="fleet", clients=fleet, cohort=min(COHORT, fleet), rounds=ROUNDS)
    for cohort in cohorts:
        yield replace(workload.W1, name="cohort", clients=max(FLEET, cohort), cohort=cohort, rounds=ROUNDS)


def table(lines: Iterable[Line]) -> str:
    """Markdown: a row for each point."""
    head = (
        "| engine | devices | a round | " + " | ".join(title for _, title in MEASURES) + " |",
        "|---" * 6 + "|",
    )
    rows = [
        f"| {_name(each)} | {each['clients']:,} | {each['cohort']:,} | "
        + " | ".join(f"{each[measure]:,.4g}" for measure, _ in MEASURES)
        + " |"
        for each in lines
    ]
    return "\n".join((*head, *rows))


def plot(lines: Iterable[Line]) -> str:
    """SVG, two columns: by fleet and by cohort."""
    import matplotlib as mpl  # noqa: PLC0415 - a second or two, which measuring does not owe
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    lines = [each for each in lines if each["workload"] in {"fleet", "cohort"}]
    names = list(dict.fromkeys(_name(each) for each in lines))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 6.6), layout="constrained")
        grid = figure.subplots(len(MEASURES), len(PANELS), sharex="col", sharey="row", squeeze=False)
        for row, (measure, title) in zip(grid, MEASURES, strict=True):
            for axes, (kind, size, _) in zip(row, PANELS, strict=True):
                for name, colour, mark in zip(names, COLOURS, MARKS, strict=False):
                    here = [each for each in lines if _name(each) == name and each["workload"] == kind]
                    _draw(axes, sorted((each[size], each[measure]) for each in here), name, colour, mark)
                _style(axes)
            row[0].set_title(title, loc="left")
        for axes, (_, _, label) in zip(grid[-1], PANELS, strict=True):
            axes.set_xlabel(label)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", frameon=False, ncols=2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "\n".join(text.rstrip() for text in buffer.getvalue().splitlines()) + "\n"


def _name(each: Line) -> str:
    return f"{each['peer']}, {each['engine']}"


def _draw(axes: "Axes", found: Sequence[tuple[float, float]], name: str, colour: str, mark: str) -> None:
    x, y = zip(*found, strict=True) if found else ((), ())
    axes.plot(x, y, f"-{mark}", color=colour, markersize=5, linewidth=1.8, label=name)


def _style(axes: "Axes") -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color=INK, alpha=0.3, linewidth=0.6)
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
