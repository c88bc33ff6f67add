"""Pictures of a run on its virtual clock: accuracy and rounds over time, what each device spent."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from covey_simulations.report import drawing, svg, text
from covey_simulations.report.facts import Round

BARS: Final = 24
DAY: Final = 24
"""Hours: an axis that is longer has its ticks at halves of days."""
DOTS: Final = 30
"""Points of a line that still stand apart."""
UNITS: Final = ((2.0, 1.0, "hours"), (0.05, 60.0, "minutes"), (0.0, 3600.0, "seconds"))
"""Of an axis: from so many hours on, so many of it in an hour, its name."""
Units = Callable[[float | None], str]
Values = NDArray[np.float64]


def accuracy(rounds: Sequence[Round]) -> drawing.Chart | None:
    """Accuracy over simulated time; None where no validated round has an hour."""
    points = [(r.hours, r.accuracy) for r in rounds if text.measured(r.hours) and text.measured(r.accuracy)]
    if not points:
        return None
    x, y, unit = _columns(points)

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        marker = "o" if len(x) <= DOTS else "none"
        axes.plot(x, y, color=svg.BLUE, marker=marker, markersize=4, markeredgewidth=0)
        _time_axis(axes, x[-1], unit)
        axes.set_ylim(0, 1.1)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.yaxis.set_major_formatter(FuncFormatter(drawing.percent))

    label = f"Accuracy over {x[-1]:.3g} simulated {unit}: from {text.percent(y[0])} to {text.percent(y[-1])}"
    return drawing.chart("clock-accuracy", label, paint, (drawing.HALF, 300), (drawing.NARROW, 260))


def rounds_over_time(rounds: Sequence[Round]) -> drawing.Chart | None:
    """Rounds completed over simulated time: where it is flat, nothing could be asked."""
    points = [(r.hours, float(r.round)) for r in rounds if text.measured(r.hours)]
    if not points:
        return None
    x, y, unit = _columns(points)

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        axes.step([0.0, *x], [0.0, *y], where="post", color=svg.BLUE)
        _time_axis(axes, x[-1], unit)
        axes.set_ylim(0, y[-1] * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_ylabel("rounds")

    label = f"Rounds completed over {x[-1]:.3g} simulated {unit}: {y[-1]:.0f}"
    return drawing.chart("clock-rounds", label, paint, (drawing.HALF, 300), (drawing.NARROW, 240))


def joules(values: Sequence[float]) -> drawing.Chart | None:
    """Energy of each device, as a histogram."""
    return _spent("clock-joules", "Energy", values, text.energy)


def moved(values: Sequence[float]) -> drawing.Chart | None:
    """Bytes of each device, as a histogram."""
    return _spent("clock-bytes", "Traffic", values, text.size)


def _spent(name: str, what: str, values: Sequence[float], units: Units) -> drawing.Chart | None:
    if not values:
        return None
    found = np.array(values, np.float64)
    low, median, high = (float(each) for each in np.quantile(found, (0.25, 0.5, 0.75)))

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        top = float(found.max()) or 1.0
        counts, edges = np.histogram(found, BARS, (0.0, top))
        axes.axvspan(low, high, color=svg.BAND, linewidth=0, zorder=0, label="middle half of devices")
        axes.bar(
            edges[:-1],
            counts,
            np.diff(edges) * 0.92,
            align="edge",
            color=svg.BLUE,
            alpha=0.7,
            linewidth=0,
            zorder=2,
        )
        axes.axvline(median, color=svg.INK, linewidth=1.4, zorder=3, label="median")
        axes.set_xlim(0, top * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(3 if narrow else 5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units(value) if value else "0"))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_ylabel("devices")
        figure.legend(loc="outside upper left", ncols=2)

    label = f"{what} of each device: median {units(median)}, most {units(float(found.max()))}"
    return drawing.chart(name, label, paint, (drawing.HALF, 280), (drawing.NARROW, 260))


def _columns(points: Sequence[tuple[float, float]]) -> tuple[Values, Values, str]:
    """Times, values and the times' unit; of very many points some, evenly spaced."""
    chosen = np.linspace(0, len(points) - 1, min(len(points), drawing.MOST_POINTS)).round().astype(np.int64)
    x, y = np.array([points[place] for place in chosen], np.float64).T
    factor, unit = next((factor, unit) for least, factor, unit in UNITS if x[-1] >= least)
    return x * factor, y, unit


def _time_axis(axes: Axes, last: float, unit: str) -> None:
    axes.set_xlim(0, max(last, 1e-6) * 1.01)
    days = {"steps": [1, 1.2, 2.4, 4.8, 7.2, 10]} if unit == "hours" and last > DAY else {}
    axes.xaxis.set_major_locator(MaxNLocator(6, **days))
    axes.set_xlabel(f"simulated {unit}")
