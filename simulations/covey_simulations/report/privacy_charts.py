"""Pictures of what privacy cost: ε by round, accuracy for ε, and accuracy beside another run's."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from covey_simulations.report import drawing, svg, text
from covey_simulations.report.facts import Round
from covey_simulations.report.protection import Protection

SIZES: Final = ((drawing.HALF, 300), (drawing.NARROW, 250))
BARS: Final = 2.0
"""Standard deviations of noise that a bar reaches to each side."""


def spending(protection: Protection) -> drawing.Chart | None:
    """ε in the server's view, by round; None without noise."""
    points = protection.spent
    series = drawing.series(points)
    if series is None:
        return None
    last, total = points[-1]

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        drawing.line(axes, series, last_round=last)
        axes.set_ylim(0, total * 1.15)
        axes.set_ylabel("ε")
        drawing.note(axes, f"ε = {total:.3g}", total, "above right", svg.BLUE)

    label = f"Privacy spent by round, against the server: ε = {total:.3g} after round {last}"
    return drawing.chart("spent", label, paint, *SIZES)


def trade(rounds: Sequence[Round], protection: Protection) -> drawing.Chart | None:
    """Accuracy of each validated round over the ε spent until then; None without either."""
    known = [(r.round, r.accuracy) for r in rounds if text.measured(r.accuracy)]
    if not known or not protection.spent:
        return None
    at, costs = zip(*protection.spent, strict=True)
    spent = np.interp([number for number, _ in known], at, costs)
    reached = np.array([accuracy for _, accuracy in known])
    noise = BARS * protection.accuracy_noise

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        axes.errorbar(
            spent, reached, noise, color=svg.BLUE, ecolor=svg.MUTED, elinewidth=1.4, marker="o", markersize=5
        )
        axes.set_xlim(0, float(spent.max()) * 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("ε spent, against the server")
        _shares(axes)

    label = (
        f"Accuracy for the ε spent: {text.percent(float(reached[-1]))} at {spent[-1]:.3g}, "
        f"{text.percent(float(reached[0]))} at {spent[0]:.3g}"
    )
    return drawing.chart("trade", label, paint, *SIZES)


def beside(own: Sequence[Round], own_name: str, other: Sequence[Round], name: str) -> drawing.Chart | None:
    """Accuracy by round of two runs; None when neither was validated."""
    runs = [(own_name, _validated(own), svg.BLUE, "-", "o"), (name, _validated(other), svg.ORANGE, "--", "D")]
    shown = [run for run in runs if run[1]]
    if not shown:
        return None

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        for words, points, colour, style, marker in shown:
            series = drawing.series(points)
            if series is not None:
                marks = marker if len(series[0]) <= 30 else "none"  # noqa: PLR2004 - dots still apart
                axes.plot(
                    *series,
                    color=colour,
                    linestyle=style,
                    marker=marks,
                    markersize=4,
                    label=text.short(words),
                )
        axes.set_xlim(0, max(number for _, points, *_ in shown for number, _ in points) * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("round")
        _shares(axes)
        figure.legend(loc="outside upper left", ncols=2)

    ends = [f"{words} ends at {text.percent(points[-1][1])}" for words, points, *_ in shown]
    label = f"Accuracy by round: {'; '.join(ends)}"
    return drawing.chart("beside", label, paint, (drawing.WIDE, 320), (drawing.NARROW, 280))


def _validated(rounds: Sequence[Round]) -> list[tuple[int, float]]:
    return [(r.round, r.accuracy) for r in rounds if text.measured(r.accuracy)]


def _shares(axes: Axes) -> None:
    axes.set_ylim(0, 1.05)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.yaxis.set_major_formatter(FuncFormatter(drawing.percent))
