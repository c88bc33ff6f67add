"""What the report's pictures share: two widths each, lines over rounds, words beside lines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from covey_simulations.report import svg, text

WIDE: Final = 620
HALF: Final = 530
"""Two beside each other on a page."""
NARROW: Final = 350
MOST_POINTS: Final = 400
"""A line with more is drawn through means of neighbouring rounds."""


@dataclass(frozen=True)
class Chart:
    """One picture in two widths; the page shows the one that fits.

    Attributes:
        label: What it shows, in words.
        wide: For a page.
        narrow: For a phone.
    """

    label: str
    wide: Markup
    narrow: Markup


Points = Sequence[tuple[int, float]]
Series = tuple[NDArray[np.float64], NDArray[np.float64]]
Paint = Callable[[Figure, bool], None]
"""Fills a figure; the flag says that it is the narrow one."""


def bin_size(rounds: int) -> int:
    """How many neighbouring rounds one point of a line stands for."""
    return -(-rounds // MOST_POINTS)


def chart(name: str, label: str, paint: Paint, wide: tuple[int, int], narrow: tuple[int, int]) -> Chart:
    """A picture, drawn for both widths.

    Args:
        name: Begins every id; unique in the page.
        label: What it shows, in words.
        paint: Fills a figure.
        wide: Width and height for a page, CSS pixels.
        narrow: For a phone.
    """
    label = str(text.visible(label))
    return Chart(
        label,
        svg.drawn(lambda figure: paint(figure, False), wide, prefix=f"{name}-wide", label=label),
        svg.drawn(lambda figure: paint(figure, True), narrow, prefix=f"{name}-narrow", label=label),
    )


def series(points: Points) -> Series | None:
    """Rounds and values; means of neighbours when there are many; None when there is nothing to draw.

    The line is broken where a value is not a number.
    """
    if not any(text.measured(y) for _, y in points):
        return None
    bins = np.array_split(np.array(points, np.float64), -(-len(points) // bin_size(len(points))))
    x, y = np.array([(part[:, 0].mean(), _mean(part[:, 1])) for part in bins]).T
    return x, y


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are numbers; NaN without any."""
    numbers = values[np.isfinite(values)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def ends(points: Points) -> tuple[float, float]:
    """The first and the last number."""
    numbers = [y for _, y in points if text.measured(y)]
    return numbers[0], numbers[-1]


def line(axes: Axes, series: Series, last_round: int) -> None:
    """A line over the rounds 0 to `last_round`, with dots while they stand apart."""
    x, y = series
    marker = "o" if len(x) <= 30 else "none"  # noqa: PLR2004 - dots still apart
    axes.plot(x, y, color=svg.BLUE, marker=marker, markersize=4, markeredgewidth=0)
    axes.set_xlim(0, max(last_round, 1) * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("round")


def note(axes: Axes, words: str, height: float, where: str, colour: str = svg.MUTED) -> None:
    """Words beside a line: "above left", "below right" and so on."""
    side, end = where.split()
    axes.annotate(
        words,
        (0.01 if end == "left" else 0.995, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4 if side == "above" else -6),
        textcoords="offset points",
        ha="left" if end == "left" else "right",
        va="bottom" if side == "above" else "top",
        color=colour,
    )


def percent(value: float, _position: object) -> str:
    """A tick of an axis of shares."""
    return f"{100 * value:.0f}{text.SPACE}%"
