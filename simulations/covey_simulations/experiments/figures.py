"""Pictures of several cases: curves with intervals, accuracies and differences in rows.

Each is painted with a palette: one of a page's variables, which follow its light or dark scheme, or one of
plain colours on white, for a file or a notebook.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from covey_simulations.experiments.curves import Curve
from covey_simulations.experiments.estimates import Estimate
from covey_simulations.report import drawing, svg, text

MOST_CURVES: Final = 8
"""More cannot be told apart."""
MOST_ROWS: Final = 40
LINES: Final = (
    (svg.BLUE, "o", "-"),
    (svg.ORANGE, "D", (0, (5, 2))),
    (svg.GREEN, "^", (0, (1, 1.2))),
    (svg.PURPLE, "s", (0, (6, 2, 1, 2))),
    (svg.PINK, "v", (0, (3, 1.5))),
    (svg.TEAL, "P", (0, (8, 2))),
    (svg.OLIVE, "X", (0, (4, 2, 1, 2, 1, 2))),
    (svg.BROWN, "h", (0, (2, 3))),
)
"""Colour, marker and dashes by case: any one of them tells cases apart."""
PLAIN: Final = {
    svg.INK: "#1b1f24",
    svg.MUTED: "#57606a",
    svg.GRID: "#e6e9ed",
    svg.BLUE: "#0b62a8",
    svg.ORANGE: "#b34700",
    svg.BAND: "#dbeaf7",
    svg.PAPER: "#ffffff",
    svg.GREEN: "#1a7f4b",
    svg.PURPLE: "#7a3fb0",
    svg.PINK: "#b8327a",
    svg.OLIVE: "#746500",
    svg.TEAL: "#08707e",
    svg.BROWN: "#7a5a45",
}
"""The page's light scheme, for pictures that stand alone."""
Paint = Callable[[Figure, bool], None]
"""Fills a figure in a page's colours; the flag says that it is the narrow one."""


class Drawn(Figure):
    """A figure that a notebook shows, whatever its settings."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144)
        return buffer.getvalue()


@dataclass(frozen=True)
class Row:
    """One line of a picture in rows.

    Attributes:
        name: Of the case.
        found: Mean and interval.
        values: Of single runs.
    """

    name: str
    found: Estimate
    values: Sequence[float] = ()


def over_rounds(curves: Sequence[Curve], label: str, *, shares: bool, narrow: bool) -> Callable[[Axes], None]:
    """Means of cases by round, with their intervals as bands.

    Args:
        curves: At most `MOST_CURVES`.
        label: Of the vertical axis; empty for none.
        shares: Whether values are shares, shown in per cent.
        narrow: Whether it is for a phone.
    """

    def paint(axes: Axes) -> None:
        for curve, (colour, marker, dashes) in zip(curves, LINES, strict=False):
            marks = marker if len(curve.rounds) <= (12 if narrow else 25) else "none"
            axes.plot(
                curve.rounds,
                curve.mean,
                color=colour,
                linestyle=dashes,
                marker=marks,
                markersize=4.5,
                markeredgewidth=0,
                label=squeezed(curve.case, _most(narrow=narrow)),
                zorder=3,
            )
            if np.isfinite(curve.half).any():
                low, high = curve.mean - curve.half, curve.mean + curve.half
                axes.fill_between(curve.rounds, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("round")
        axes.set_xlim(0, max(float(curve.rounds[-1]) for curve in curves if len(curve.rounds)) * 1.02)
        axes.set_ylim(*_limits(curves, shares=shares))
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        if label:
            axes.set_ylabel(label)
        if shares:
            axes.yaxis.set_major_formatter(FuncFormatter(_tenths_of_percent(axes)))

    return paint


def with_legend(draw: Callable[[Axes], None], curves: Sequence[Curve], *, narrow: bool) -> Paint:
    """One set of axes under a legend that has as many columns as fit."""

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        draw(axes)
        if len(curves) > 1:
            figure.legend(loc="outside upper left", ncols=legend_columns(curves, narrow=narrow))

    return paint


def legend_columns(curves: Sequence[Curve], *, narrow: bool) -> int:
    """Of a legend over the width of a picture."""
    widest = max(len(squeezed(curve.case, _most(narrow=narrow))) for curve in curves)
    room = drawing.NARROW if narrow else drawing.HALF
    return max(1, min(len(curves), int(room / (7.4 * widest + 45))))


def in_rows(rows: Sequence[Row], label: str, *, zero: bool, narrow: bool) -> Paint:
    """Means with intervals, a row a case; single runs as small dots behind.

    Args:
        rows: In the order from top to bottom.
        label: Of the horizontal axis.
        zero: Whether values are differences, which a line at nought divides.
        narrow: Whether it is for a phone.
    """

    def paint(figure: Figure, _narrow: bool) -> None:
        axes = figure.add_subplot()
        if zero:
            axes.axvline(0, color=svg.MUTED, linewidth=1.2, zorder=1)
        for place, row in enumerate(rows):
            if (ends := interval(row.found, shares=not zero)) is not None:
                axes.hlines(place, *ends, color=svg.BLUE, linewidth=3, alpha=0.55, zorder=2)
            axes.plot(
                list(row.values),
                [place] * len(row.values),
                "o",
                color=svg.MUTED,
                markersize=4,
                markeredgewidth=0,
                alpha=0.75,
                zorder=3,
            )
            axes.plot([row.found.mean], [place], "D", color=svg.BLUE, markersize=7.5, zorder=4)
        most = 24 if narrow else 40
        axes.set_yticks(range(len(rows)), [squeezed(row.name, most) for row in rows])
        axes.tick_params(axis="y", labelcolor=svg.INK, pad=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(3 if narrow else 6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_points if zero else _tenths_of_percent(axes, "x")))
        axes.set_xlabel(label)

    return paint


def interval(found: Estimate, *, shares: bool) -> tuple[float, float] | None:
    """Ends of an interval; of shares without what is beyond 0 and 1. None for one value."""
    if found.low is None or found.high is None:
        return None
    return (max(found.low, 0.0), min(found.high, 1.0)) if shares else (found.low, found.high)


def squeezed(name: str, most: int) -> str:
    """A name on one line; what tells cases apart often stands at its end, so the middle goes."""
    line = text.short(name, len(name) + 1)
    if len(line) <= most:
        return line
    head = most // 3
    return f"{line[:head].rstrip()}…{line[head + 1 - most :].lstrip()}"


def alone(paint: Paint, size: tuple[int, int]) -> Drawn:
    """A figure in plain colours on white, for a file or a notebook.

    Args:
        paint: Fills it, in a page's colours.
        size: Width and height in CSS pixels.
    """
    with mpl.rc_context(_plain_style()):
        figure = Drawn(figsize=(size[0] / 72, size[1] / 72), dpi=72, layout="constrained")
        paint(figure, False)
        for artist in figure.findobj():
            _recolour(artist)
        figure.set_facecolor(PLAIN[svg.PAPER])
    return figure


def saved(figure: Figure, kind: str) -> bytes:
    """A figure as a file: "svg" or "png"."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "covey", "svg.fonttype": "none"}):
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
        figure.savefig(buffer, format=kind, dpi=72 if kind == "svg" else 200, metadata=metadata)
    return buffer.getvalue()


def _most(*, narrow: bool) -> int:
    """Characters of a name in a legend."""
    return 38 if narrow else 60


def _plain_style() -> Any:  # matplotlib types the keys one by one
    style: Any = dict(mpl.rcParamsDefault.items()) | svg.STYLE
    kept = {key: value for key, value in style.items() if not key.startswith("backend")}
    return {key: PLAIN.get(value, value) if isinstance(value, str) else value for key, value in kept.items()}


def _recolour(artist: Any) -> None:
    """Put plain colours where a page has variables."""
    for name in ("color", "edgecolor", "facecolor", "markerfacecolor", "markeredgecolor"):
        get, put = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
        if get is None or put is None:
            continue
        plain = _plain_colour(get())
        if plain is not None:
            put(plain)


def _plain_colour(value: Any) -> Any:
    """The colour that stands for a page's, alpha kept; None where it is not a page's."""
    try:
        rgba = mpl.colors.to_rgba_array(value)
    except (ValueError, TypeError):
        return None
    if len(rgba) != 1:
        return None
    found = PLAIN.get(mpl.colors.to_hex(rgba[0]))
    return None if found is None else mpl.colors.to_rgba(found, rgba[0][3])


def _limits(curves: Sequence[Curve], *, shares: bool) -> tuple[float, float]:
    """What is drawn, and a little room; the first rounds, which fall far out, may leave the picture."""
    halves = [np.nan_to_num(curve.half) for curve in curves]
    lows = np.concatenate([curve.mean - half for curve, half in zip(curves, halves, strict=True)])
    highs = np.concatenate([curve.mean + half for curve, half in zip(curves, halves, strict=True)])
    means = np.concatenate([curve.mean for curve in curves])
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    room = max((high - low) * 0.12, 0.002 if shares else 1e-9)
    bottom, top = max(float(np.nanmin(lows)), low - 2 * room), min(float(np.nanmax(highs)), high + 2 * room)
    if shares:
        return max(bottom - room, 0.0), min(top + room, 1.0)
    return (bottom - room if low < 0 else 0.0), top + room  # noise may take a loss below nought


def _tenths_of_percent(axes: Axes, side: str = "y") -> Callable[[float, object], str]:
    """Ticks of an axis of shares, with a decimal where the axis is short."""

    def words(value: float, _position: object) -> str:
        low, high = axes.get_ylim() if side == "y" else axes.get_xlim()
        digits = 1 if high - low < 0.05 else 0  # noqa: PLR2004 - ticks less than a point apart
        return f"{100 * value:.{digits}f}{text.SPACE}%"

    return words


def _points(value: float, _position: object) -> str:
    """Ticks of an axis of differences of shares."""
    return "0" if abs(value) < 1e-12 else f"{100 * value:+.3g}".replace("-", text.MINUS)  # noqa: PLR2004 - rounding
