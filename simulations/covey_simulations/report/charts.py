"""The report's pictures, each drawn once for a page and once for a phone."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from covey.metrics import Rate
from covey_simulations.report import drawing, svg, text
from covey_simulations.report.facts import DeviceResult, Round

LABEL_ROOM: Final = 0.1
"""Height of a label, as a share of accuracy."""
MOST_ROWS: Final = 40
MOST_DOTS: Final = 200
MOST_CLASSES: Final = 60
MARKERS: Final = (("o", svg.BLUE, 10.5), ("D", svg.ORANGE, 6.5), ("^", svg.BLUE, 8.5), ("s", svg.ORANGE, 5.5))
"""Shape, colour and size by kind of device: where two coincide, the larger shows behind the smaller."""


def accuracy(rounds: Sequence[Round], central: float | None, guess: float) -> drawing.Chart | None:
    """Accuracy by round, against pooled training and a guess that sees no input.

    Args:
        rounds: In order; those without validation are left out.
        central: Accuracy of the same network trained on pooled data, if known.
        guess: Accuracy of always naming the commonest class.
    """
    points = [(r.round, r.accuracy) for r in rounds if text.measured(r.accuracy)]
    series = drawing.series(points)
    if series is None:
        return None
    first, last = drawing.ends(points)

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        drawing.line(axes, series, last_round=rounds[-1].round)
        axes.set_ylim(0, 1.1)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.yaxis.set_major_formatter(FuncFormatter(drawing.percent))
        if text.measured(central):
            axes.axhline(central, color=svg.ORANGE, linestyle=(0, (6, 3)), linewidth=1.5)
            drawing.note(axes, f"pooled {text.percent(central)}", central, "above left", svg.ORANGE)
        axes.axhline(guess, color=svg.MUTED, linestyle=(0, (1, 2)), linewidth=1.5)
        under_guess = "below" if guess >= LABEL_ROOM else "above"
        drawing.note(axes, f"blind guess {text.percent(guess)}", guess, f"{under_guess} right")
        recent = series[1][-max(len(series[1]) // 3, 1) :]  # the part of the line above or below the label
        side, beside = ("below", recent.min()) if last - guess > 3 * LABEL_ROOM else ("above", recent.max())
        drawing.note(axes, f"federated {text.percent(last)}", float(beside), f"{side} right", svg.BLUE)

    label = f"Accuracy by round: from {text.percent(first)} to {text.percent(last)}" + (
        f"; pooled training reaches {text.percent(central)}" if text.measured(central) else ""
    )
    return drawing.chart("accuracy", label, paint, (drawing.HALF, 300), (drawing.NARROW, 260))


def loss(rounds: Sequence[Round]) -> drawing.Chart | None:
    """Training loss by round; rounds in which it was not a number are left out."""
    points = [(r.round, r.loss) for r in rounds]
    series = drawing.series(points)
    if series is None:
        return None

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        drawing.line(axes, series, last_round=rounds[-1].round)
        low, high = float(np.nanmin(series[1])), float(np.nanmax(series[1]))
        axes.set_ylim(min(low * 1.08, 0), max(high * 1.08, 1e-9))  # noise may take it below 0
        axes.set_ylabel("nats per example")

    first, last = (text.decimal(end) for end in drawing.ends(points))
    return drawing.chart(
        "loss",
        f"Training loss by round: from {first} to {last}",
        paint,
        (drawing.HALF, 300),
        (drawing.NARROW, 240),
    )


def devices(results: Sequence[DeviceResult]) -> drawing.Chart | None:
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
        axes.axvline(median, color=svg.INK, linewidth=1.4, zorder=1 if dots else 3, label="median")
        if dots:
            _dots(axes, rows, values, narrow=narrow)
        else:
            _histogram(axes, values)
        axes.xaxis.set_major_formatter(FuncFormatter(drawing.percent))
        axes.set_xlabel("accuracy")
        figure.legend(loc="outside upper left", ncols=2 if narrow else 4)

    label = (
        f"Accuracy per device, {len(values)} devices: lowest {text.percent(float(values.min()))}, "
        f"median {text.percent(median)}, highest {text.percent(float(values.max()))}"
    )
    height = 23 * len(rows) + 90 if dots else 280
    return drawing.chart("devices", label, paint, (drawing.WIDE, height), (drawing.NARROW, height + 30))


def false_negatives(labels: Sequence[str], rates: Sequence[Rate]) -> drawing.Chart | None:
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
        axes.hlines(places, lows, highs, color=svg.BLUE, linewidth=3, alpha=0.7)
        _marks(axes, [rate.value for _, rate in known], places, ("o", svg.BLUE, 8.5))
        _categories(axes, [label for label, _ in known], narrow=narrow)
        axes.set_xlim(0, min(max(*highs, 0.05) * 1.06, 1.02))
        axes.xaxis.set_major_formatter(FuncFormatter(drawing.percent))
        axes.set_xlabel("share of the class missed")

    worst = max(known, key=lambda pair: pair[1].value)
    label = f"False-negative rate per class, highest for {worst[0]}: {text.percent(worst[1].value)}"
    height = 25 * len(known) + 60
    return drawing.chart("missed", label, paint, (drawing.WIDE, height), (drawing.NARROW, height))


Marker = tuple[str, str, float]
Rows = dict[str, list[tuple[str, float]]]


def _rows(results: Sequence[DeviceResult]) -> Rows:
    """Kind and accuracy of each group's devices, best group first.

    A device's kind is its name without the group's: "left" for s01-left of s01.
    """
    rows: Rows = {}
    for device in results:
        if text.measured(device.accuracy):
            kind = device.name.removeprefix(device.group).strip(" -_./:")
            rows.setdefault(device.group, []).append((kind, device.accuracy))
    return dict(sorted(rows.items(), key=lambda row: -sum(value for _, value in row[1]) / len(row[1])))


def _dots(axes: Axes, rows: Rows, values: NDArray[np.float64], *, narrow: bool) -> None:
    kinds = sorted({kind for row in rows.values() for kind, _ in row})
    if not 1 < len(kinds) <= len(MARKERS) or "" in kinds:
        kinds = []
    lows, highs = ([end(value for _, value in row) for row in rows.values()] for end in (min, max))
    axes.hlines(range(len(rows)), lows, highs, color=svg.MUTED, linewidth=1.2)
    for number, marker in enumerate(MARKERS[: max(len(kinds), 1)]):
        found = [
            (value, place)
            for place, row in enumerate(rows.values())
            for kind, value in row
            if not kinds or kind == kinds[number]
        ]
        words = text.short(kinds[number]) if kinds else "one device"
        _marks(axes, [value for value, _ in found], [place for _, place in found], marker, words)
    _categories(axes, list(rows), narrow=narrow)
    low, high = float(values.min()), float(values.max())
    margin = max((high - low) * 0.06, 0.01)
    axes.set_xlim(max(low - margin, -0.01), min(high + margin, 1.01))


def _histogram(axes: Axes, values: NDArray[np.float64]) -> None:
    low, high = float(values.min()), float(values.max())
    width = 0.01 if high - low < 0.2 else 0.025 if high - low < 0.5 else 0.05  # noqa: PLR2004 - some 20 bars
    start = int(low / width)
    edges = np.arange(start, max(int(np.ceil(high / width)), start + 1) + 1) * width  # the last bin is closed
    counts, _ = np.histogram(values, edges)
    axes.bar(edges[:-1], counts, width * 0.92, align="edge", color=svg.BLUE, alpha=0.7, linewidth=0, zorder=2)
    axes.set_ylabel("devices")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.plot([low], [0], "v", color=svg.ORANGE, markersize=9, clip_on=False, zorder=3, label="lowest")


def _marks(axes: Axes, x: Sequence[float], y: Sequence[int], marker: Marker, words: str = "_hidden") -> None:
    shape, colour, size = marker
    axes.plot(
        x,
        y,
        shape,
        color=colour,
        markersize=size,
        markeredgecolor=svg.PAPER,
        markeredgewidth=1,
        clip_on=False,
        label=words,
    )


def _categories(axes: Axes, names: Sequence[str], *, narrow: bool) -> None:
    """One row a name, the first on top."""
    most = 20 if narrow else 26
    axes.set_yticks(range(len(names)), [text.short(name, most) for name in names])
    axes.tick_params(axis="y", labelcolor=svg.INK, pad=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=True, axis="x")
