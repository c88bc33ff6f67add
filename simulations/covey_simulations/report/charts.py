"""The report's pictures, each drawn once for a page and once for a phone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from covey.metrics import Rate
from covey_simulations.report import svg, text
from covey_simulations.report.facts import DeviceResult, Round

WIDE: Final = 620
HALF: Final = 530
"""Two beside each other on a page."""
NARROW: Final = 350
MOST_POINTS: Final = 400
"""A line with more is drawn through means of neighbouring rounds."""
MOST_ROWS: Final = 40
MOST_DOTS: Final = 200
MOST_CLASSES: Final = 60
MARKERS: Final = (("o", svg.BLUE), ("D", svg.ORANGE), ("^", svg.BLUE), ("s", svg.ORANGE))


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


Series = tuple[NDArray[np.float64], NDArray[np.float64]]
Paint = Callable[[Figure, bool], None]
"""Fills a figure; the flag says that it is the narrow one."""


def accuracy(rounds: Sequence[Round], central: float | None, guess: float) -> Chart | None:
    """Accuracy by round, against pooled training and a guess that sees no input.

    Args:
        rounds: In order; those without validation are left out.
        central: Accuracy of the same network trained on pooled data, if known.
        guess: Accuracy of always naming the commonest class.
    """
    series = _series([(r.round, r.accuracy) for r in rounds])
    if series is None:
        return None
    last = float(series[1][-1])

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        _line(axes, series, last_round=rounds[-1].round)
        axes.set_ylim(0, 1.1)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        if text.measured(central) and central is not None:
            axes.axhline(central, color=svg.ORANGE, linestyle=(0, (6, 3)), linewidth=1.5)
            _note(axes, f"pooled {text.percent(central)}", central, above=True, left=True, colour=svg.ORANGE)
        axes.axhline(guess, color=svg.MUTED, linestyle=(0, (1, 2)), linewidth=1.5)
        _note(axes, f"blind guess {text.percent(guess)}", guess, above=guess < 0.1, left=False)  # noqa: PLR2004
        below = last - guess > 0.3 or last > 1  # noqa: PLR2004 - room for two labels
        _note(axes, f"federated {text.percent(last)}", last, above=not below, left=False, colour=svg.BLUE)

    label = f"Accuracy by round: from {text.percent(float(series[1][0]))} to {text.percent(last)}" + (
        f"; pooled training reaches {text.percent(central)}" if text.measured(central) else ""
    )
    return _chart("accuracy", label, paint, (HALF, 300), (NARROW, 260))


def loss(rounds: Sequence[Round]) -> Chart | None:
    """Training loss by round; rounds in which it was not a number are left out."""
    series = _series([(r.round, r.loss) for r in rounds])
    if series is None:
        return None

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        _line(axes, series, last_round=rounds[-1].round)
        axes.set_ylim(0, max(float(series[1].max()) * 1.08, 1e-9))
        axes.set_ylabel("nats per example")

    first, last = text.decimal(float(series[1][0])), text.decimal(float(series[1][-1]))
    return _chart(
        "loss", f"Training loss by round: from {first} to {last}", paint, (HALF, 300), (NARROW, 240)
    )


def devices(results: Sequence[DeviceResult]) -> Chart | None:
    """Accuracy per device: a dot each, by group and sorted, or a histogram when there are many."""
    rows = _rows(results)
    values = np.array([value for row in rows.values() for _, value in row])
    if not len(values):
        return None
    low, median, high = (float(v) for v in np.quantile(values, (0.25, 0.5, 0.75)))
    dots = len(rows) <= MOST_ROWS and len(values) <= MOST_DOTS

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        axes.axvspan(low, high, color=svg.BAND, linewidth=0, zorder=0, label="middle half of devices")
        axes.axvline(median, color=svg.INK, linewidth=1.2, zorder=1, label="median")
        (_dots if dots else _histogram)(axes, rows, values)
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("accuracy on the device's held-out examples")
        figure.legend(loc="outside upper left", ncols=2 if narrow else 4)

    label = (
        f"Accuracy per device, {len(values)} devices: lowest {text.percent(float(values.min()))}, "
        f"median {text.percent(median)}, highest {text.percent(float(values.max()))}"
    )
    height = 23 * len(rows) + 90 if dots else 280
    return _chart("devices", label, paint, (WIDE, height), (NARROW, height + 30))


def false_negatives(labels: Sequence[str], rates: Sequence[Rate]) -> Chart | None:
    """Missed share of each class with its interval; the classes most often missed when there are many."""
    known = [(label, rate) for label, rate in zip(labels, rates, strict=True) if rate.trials > 0]
    if not known:
        return None
    if len(known) > MOST_CLASSES:
        known = sorted(known, key=lambda pair: -pair[1].value)[:MOST_CLASSES]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.add_subplot()
        places = range(len(known))
        lows, highs = ([getattr(rate, end) for _, rate in known] for end in ("low", "high"))
        axes.hlines(places, lows, highs, color=svg.BLUE, linewidth=3, alpha=0.45)
        _marks(axes, [rate.value for _, rate in known], places, "o", svg.BLUE)
        _categories(axes, [label for label, _ in known], narrow=narrow)
        axes.set_xlim(0, min(max(*highs, 0.05) * 1.06, 1.02))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("share of the class that was missed")

    worst = max(known, key=lambda pair: pair[1].value)
    label = f"False-negative rate per class, highest for {worst[0]}: {text.percent(worst[1].value)}"
    height = 25 * len(known) + 60
    return _chart("missed", label, paint, (WIDE, height), (NARROW, height))


def bin_size(rounds: int) -> int:
    """How many neighbouring rounds one point of a line stands for."""
    return -(-rounds // MOST_POINTS)


def _chart(name: str, label: str, paint: Paint, wide: tuple[int, int], narrow: tuple[int, int]) -> Chart:
    return Chart(
        label,
        svg.drawn(lambda figure: paint(figure, False), wide, prefix=f"{name}-wide", label=label),
        svg.drawn(lambda figure: paint(figure, True), narrow, prefix=f"{name}-narrow", label=label),
    )


def _series(points: Sequence[tuple[int, float | None]]) -> Series | None:
    """Rounds and values that are numbers; means of neighbours when there are many; None without any."""
    known = np.array([(x, y) for x, y in points if y is not None and np.isfinite(y)], np.float64)
    if not len(known):
        return None
    binned = [part.mean(axis=0) for part in np.array_split(known, -(-len(known) // bin_size(len(known))))]
    x, y = np.array(binned).T
    return x, y


def _line(axes: Axes, series: Series, last_round: int) -> None:
    x, y = series
    marker = {"marker": "o", "markersize": 4} if len(x) <= 30 else {}  # noqa: PLR2004 - dots still apart
    axes.plot(x, y, color=svg.BLUE, markeredgewidth=0, **marker)
    axes.set_xlim(0, max(last_round, 1) * 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("round")


def _note(
    axes: Axes, words: str, height: float, *, above: bool, left: bool, colour: str = svg.MUTED
) -> None:
    """Words beside a line, at one end of the picture."""
    axes.annotate(
        words,
        (0.01 if left else 0.995, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4 if above else -6),
        textcoords="offset points",
        ha="left" if left else "right",
        va="bottom" if above else "top",
        color=colour,
    )


Rows = dict[str, list[tuple[str, float]]]


def _rows(results: Sequence[DeviceResult]) -> Rows:
    """Kind and accuracy of each group's devices, best group first; the kind is the name without the group's."""
    rows: Rows = {}
    for device in results:
        if device.accuracy is not None and np.isfinite(device.accuracy):
            kind = device.name.removeprefix(device.group).strip(" -_./:")
            rows.setdefault(device.group, []).append((kind, device.accuracy))
    return dict(sorted(rows.items(), key=lambda row: -sum(value for _, value in row[1]) / len(row[1])))


def _dots(axes: Axes, rows: Rows, values: NDArray[np.float64]) -> None:
    kinds = sorted({kind for row in rows.values() for kind, _ in row})
    if not 1 < len(kinds) <= len(MARKERS) or "" in kinds:
        kinds = []
    lows, highs = ([end(value for _, value in row) for row in rows.values()] for end in (min, max))
    axes.hlines(range(len(rows)), lows, highs, color=svg.MUTED, linewidth=1.2)
    for number, (marker, colour) in enumerate(MARKERS[: max(len(kinds), 1)]):
        found = [
            (value, place)
            for place, row in enumerate(rows.values())
            for kind, value in row
            if not kinds or kind == kinds[number]
        ]
        words = text.short(kinds[number]) if kinds else "one device"
        _marks(axes, [value for value, _ in found], [place for _, place in found], marker, colour, words)
    _categories(axes, list(rows))
    low, high = float(values.min()), float(values.max())
    margin = max((high - low) * 0.06, 0.01)
    axes.set_xlim(max(low - margin, -0.01), min(high + margin, 1.01))


def _histogram(axes: Axes, _rows: Rows, values: NDArray[np.float64]) -> None:
    low, high = float(values.min()), float(values.max())
    width = 0.01 if high - low < 0.2 else 0.025 if high - low < 0.5 else 0.05  # noqa: PLR2004 - some 20 bars
    edges = np.arange(np.floor(low / width), np.floor(high / width) + 2) * width
    counts, _ = np.histogram(values, edges)
    axes.bar(edges[:-1], counts, width * 0.92, align="edge", color=svg.BLUE, linewidth=0, zorder=2)
    axes.set_ylabel("devices")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.plot([low], [0], "v", color=svg.ORANGE, markersize=9, clip_on=False, zorder=3, label="lowest")


def _marks(  # noqa: PLR0917 - x, y and how they look
    axes: Axes, x: Sequence[float], y: Sequence[int], marker: str, colour: str, words: str = "_hidden"
) -> None:
    axes.plot(
        x,
        y,
        marker,
        color=colour,
        markersize=8.5 if marker == "o" else 7.5,
        markeredgecolor=svg.PAPER,
        markeredgewidth=1,
        clip_on=False,
        label=words,
    )


def _categories(axes: Axes, names: Sequence[str], *, narrow: bool = False) -> None:
    """One row a name, the first on top."""
    most = 18 if narrow else 26
    axes.set_yticks(range(len(names)), [text.short(name, most) for name in names])
    axes.tick_params(axis="y", labelcolor=svg.INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=True, axis="x")


def _percent(value: float, _position: object) -> str:
    return f"{100 * value:.0f}{text.SPACE}%"
