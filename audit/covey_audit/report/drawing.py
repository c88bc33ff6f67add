"""SVG by small functions: each gives the text of an element, coloured by the page's CSS variables.

A picture has no script, no style of its own and no id, so that many of them stand in one page. Text is
escaped here. Coordinates are in pixels of a viewBox; the page scales it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Final, Literal

from markupsafe import Markup, escape

from covey_audit.report import words

FONT: Final = 13
"""Of all text in a picture, pixels."""
Anchor = Literal["start", "middle", "end"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """A picture's size, and where in it the axes are.

    Attributes:
        width: Of the picture, pixels.
        height: Likewise.
        left: Room beside the axes.
        right: Likewise.
        top: Room above them.
        bottom: Room below them.
        x: What the horizontal axis spans; never empty.
        y: What the vertical one spans; never empty.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x: Range
    y: Range

    def across(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def down(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y
        return self.base - (value - low) / (high - low) * (self.base - self.top)

    @property
    def base(self) -> float:
        """Where the vertical axis begins, pixels from the top."""
        return self.height - self.bottom

    @property
    def end(self) -> float:
        """Where the horizontal axis ends, pixels from the left."""
        return self.width - self.right


def picture(frame: Frame, elements: Iterable[str], label: str) -> Markup:
    """A whole picture.

    Args:
        frame: Its size.
        elements: Of it, from back to front, as the functions below make them.
        label: What it shows, for whoever cannot see it.
    """
    box = f"0 0 {_number(frame.width)} {_number(frame.height)}"
    name = escape(words.one_line(label, 2000))
    body = "".join(elements)
    return Markup(f'<svg class="chart" viewBox="{box}" role="img" aria-label="{name}">{body}</svg>')  # noqa: S704 - escaped


def polyline(points: Sequence[tuple[float, float]], colour: str, *, width: float = 2, dash: str = "") -> str:
    """A line through points, pixels; nothing for fewer than two."""
    if len(points) < 2:  # noqa: PLR2004 - a line
        return ""
    path = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{path}" fill="none" stroke="var(--{colour})" stroke-width="{_number(width)}"{dashes}/>'


def area(points: Sequence[tuple[float, float]], base: float, colour: str) -> str:
    """What lies between a line through points and a height, filled."""
    if len(points) < 2:  # noqa: PLR2004 - as above
        return ""
    outline = [(points[0][0], base), *points, (points[-1][0], base)]
    path = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in outline)
    return f'<path d="{path}Z" fill="var(--{colour})"/>'


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle, pixels; at least a hair wide and high."""
    size = f'width="{_number(max(width, 0.5))}" height="{_number(max(height, 0.5))}"'
    return f'<rect x="{_number(x)}" y="{_number(y)}" {size} fill="var(--{colour})"/>'


def strokes(places: Iterable[float], top: float, length: float, colour: str, *, width: float = 1) -> str:
    """Upright strokes side by side, in one path: places that fall on one half pixel are drawn once."""
    rounded = sorted({round(place * 2) / 2 for place in places})
    path = "".join(f"M{_number(x)} {_number(top)}v{_number(length)}" for x in rounded)
    line = f'fill="none" stroke="var(--{colour})" stroke-width="{_number(width)}"'
    return f'<path d="{path}" {line}/>' if path else ""


def dot(x: float, y: float, colour: str, radius: float = 3.5) -> str:
    """A filled circle."""
    return f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(radius)}" fill="var(--{colour})"/>'


def cross(x: float, y: float, colour: str, reach: float = 3.5) -> str:
    """A small saltire."""
    low_x, high_x, low_y, high_y = (_number(each) for each in (x - reach, x + reach, y - reach, y + reach))
    path = f"M{low_x} {low_y}L{high_x} {high_y}M{low_x} {high_y}L{high_x} {low_y}"
    return f'<path d="{path}" fill="none" stroke="var(--{colour})" stroke-width="1.8"/>'


def text(  # noqa: PLR0913 - what text has
    x: float, y: float, said: str, *, colour: str = "muted", anchor: Anchor = "start", bold: bool = False
) -> str:
    """A line of text, its base line at y."""
    weight = ' font-weight="600"' if bold else ""
    place = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}" font-size="{FONT}"{weight}'
    return f'<text {place} fill="var(--{colour})">{escape(words.one_line(said))}</text>'


def grid(frame: Frame, values: Iterable[float]) -> str:
    """Level lines at values, each with its number on the left."""
    parts = []
    for value in values:
        y = frame.down(value)
        parts.append(polyline([(frame.left, y), (frame.end, y)], "grid", width=1))
        parts.append(text(frame.left - 8, y + FONT / 3, f"{value:,g}", anchor="end"))
    return "".join(parts)


def scale(frame: Frame, values: Iterable[float], title: str = "") -> str:
    """Numbers below the horizontal axis, and what they count."""
    parts = [polyline([(frame.left, frame.base), (frame.end, frame.base)], "rule", width=1)]
    parts += [
        text(frame.across(value), frame.base + FONT + 5, f"{value:,g}", anchor="middle") for value in values
    ]
    if title:
        parts.append(text(frame.end, frame.height - 4, title, anchor="end"))
    return "".join(parts)


def ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Round numbers from low to high, at most so many: steps of 1, 2 or 5 times a power of ten.

    Args:
        low: Finite.
        high: Finite and greater.
        most: At least 2.
    """
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** floor(log10(rough))
    step = next(power * each for each in (1, 2, 5, 10, 20) if (high - low) / (power * each) <= most - 1)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


def whole_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """As `ticks`, whole numbers only."""
    return tuple(each for each in ticks(low, high, most) if each == int(each))


def _number(value: float) -> str:
    """Short, and never what no browser can read."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isfinite(value) else "0"
