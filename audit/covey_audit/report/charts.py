"""What was spent, by place in the ledger and by kind of question, and how many devices were in the sums.

Every picture is made twice, wide and narrow: the page shows the one that fits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from markupsafe import Markup

from covey.policy.checking import kind_of
from covey.policy.terms import exact
from covey_audit.audited import Costs, SumFacts
from covey_audit.report import words
from covey_audit.report.drawing import (
    FONT,
    Frame,
    area,
    bar,
    cross,
    dot,
    grid,
    picture,
    polyline,
    scale,
    strokes,
    text,
    ticks,
    whole_ticks,
)

WIDE: Final = 900.0
NARROW: Final = 380.0
COLOURS: Final = {
    "train": "blue",
    "validate": "orange",
    "statistics": "green",
    "calibrate": "violet",
    "drift": "muted",
    "health": "muted",
}
BINS: Final = 150
"""Bars in a picture of cohorts, at most."""
ROW: Final = 18.0
"""Height of a row of strokes or words, pixels."""
LETTER: Final = 7.6
"""About as wide as a letter is, pixels."""


@dataclass(frozen=True)
class Chart:
    """One picture in two widths."""

    wide: Markup
    narrow: Markup


def spent(cost: Costs, sums: Sequence[SumFacts], size: int) -> Chart | None:
    """ε after each sum by its place in the ledger, below it when which kind was asked, and the cap above.

    Args:
        cost: Of one unit.
        sums: All of the ledger.
        size: Entries in the ledger.
    """
    if not cost.burn_down or cost.server is None:
        return None
    of_unit = [each for each in sums if each.plan.unit == cost.unit]
    kinds = list(dict.fromkeys(kind_of(each.plan) for each in of_unit))
    label = f"ε spent by place in the ledger: {words.epsilon(cost.server)} in the end, {_cap_words(cost)}"
    return _both(lambda width: picture(*_spent(cost, of_unit, kinds, size, width), label))


def kinds(cost: Costs) -> Chart | None:
    """A bar for each kind of question by itself, one for all together, and the cap.

    Args:
        cost: Of one unit.
    """
    if not cost.by_kind or cost.server is None:
        return None
    alone = ", ".join(f"{kind} {words.epsilon(value)}" for kind, value in cost.by_kind.items())
    label = f"ε by kind of question: {alone}; together {words.epsilon(cost.server)}, {_cap_words(cost)}"
    return _both(lambda width: picture(*_kinds(cost, width), label))


def cohorts(sums: Sequence[SumFacts]) -> Chart | None:
    """Devices in each sum, against how many were asked and how few would have been enough.

    Args:
        sums: All of the ledger, in order.
    """
    if not sums:
        return None
    bins = _bins(sums)
    opened = [each.members.survivors for each in sums if each.members is not None]
    unopened = sum(each.members is None for each in sums)
    label = f"Devices in each sum: {words.span(opened) or 'none'} in {words.count(len(opened), 'opened sum')}"
    said = f"{label}; {words.number(unopened)} not opened"
    return _both(lambda width: picture(*_cohorts(bins, width), said))


def _both(draw: Callable[[float], Markup]) -> Chart:
    return Chart(draw(WIDE), draw(NARROW))


def _cap_words(cost: Costs) -> str:
    return "no cap" if cost.cap is None else f"the policy's cap is {cost.cap}"


def _cap(cost: Costs) -> float | None:
    return None if cost.cap is None else float(exact(cost.cap))


def _top(cost: Costs) -> float:
    """What the picture reaches to."""
    known = (cost.server or 0.0, _cap(cost) or 0.0)
    return 1.08 * max(*known, 1e-6)


def _spent(
    cost: Costs, sums: Sequence[SumFacts], kinds: Sequence[str], size: int, width: float
) -> tuple[Frame, Iterator[str]]:
    rows = ROW * len(kinds)
    left = 92.0 if width == WIDE else 74.0
    frame = Frame(
        *(width, 300 + rows, left, 26, 14, rows + 56),
        x=(0, max(size - 1, 1)),
        y=(0, _top(cost)),
    )
    return frame, _spent_parts(cost, sums, kinds, frame)


def _spent_parts(cost: Costs, sums: Sequence[SumFacts], kinds: Sequence[str], frame: Frame) -> Iterator[str]:
    yield grid(frame, ticks(0, frame.y[1], 6))
    steps = _steps([(frame.across(p.index), frame.down(p.epsilon)) for p in cost.burn_down], frame)
    yield area(steps, frame.base, "band")
    yield from _cap_line(cost, frame)
    yield polyline(steps, "blue", width=2.4)
    yield dot(*steps[-1], "blue")
    yield from _last(cost, steps[-1], frame)
    for place, kind in enumerate(kinds):
        top = frame.base + 10 + place * ROW
        of_kind = (frame.across(each.index) for each in sums if kind_of(each.plan) == kind)
        yield text(frame.left - 8, top + ROW - 7, kind, anchor="end")
        yield strokes(of_kind, top + 2, ROW - 6, COLOURS[kind], width=1.4)
    below = replace(frame, bottom=frame.bottom - 10 - ROW * len(kinds))
    yield scale(below, whole_ticks(*frame.x, 8 if frame.width == WIDE else 5), "entry in the ledger")


def _steps(points: Sequence[tuple[float, float]], frame: Frame) -> list[tuple[float, float]]:
    """What is spent stays spent until the next sum; from nothing at the start to the end of the ledger."""
    steps = [(frame.left, frame.base)]
    for x, y in points:
        steps += [(x, steps[-1][1]), (x, y)]
    return [*steps, (frame.end, steps[-1][1])]


def _cap_line(cost: Costs, frame: Frame) -> Iterator[str]:
    cap = _cap(cost)
    if cap is not None:
        y = frame.down(cap)
        yield polyline([(frame.left, y), (frame.end, y)], "danger-ink", width=1.6, dash="7 5")
        yield text(frame.left + 6, y + FONT + 4, f"cap {cost.cap}", colour="danger-ink", bold=True)


def _last(cost: Costs, point: tuple[float, float], frame: Frame) -> Iterator[str]:
    """The last figure, beside the line and clear of the cap's."""
    x, y = point
    high = y - 10 if y - 10 - FONT > frame.top else y + FONT + 8
    yield text(x - 8, high, f"ε = {words.epsilon(cost.server)}", colour="blue", anchor="end", bold=True)


def _kinds(cost: Costs, width: float) -> tuple[Frame, Iterator[str]]:
    names = [*cost.by_kind, "together"]
    left = 92.0 if width == WIDE else 74.0
    frame = Frame(*(width, 34 + 30 * len(names) + 34, left, 70, 26, 34), x=(0, _top(cost)), y=(0, len(names)))
    return frame, _kinds_parts(cost, frame)


def _kinds_parts(cost: Costs, frame: Frame) -> Iterator[str]:
    rows = [(kind, value, COLOURS.get(kind, "muted")) for kind, value in cost.by_kind.items()]
    rows.append(("together", cost.server or 0.0, "ink"))
    yield scale(frame, ticks(0, frame.x[1], 6 if frame.width == WIDE else 4), "ε")
    for place, (kind, value, colour) in enumerate(rows):
        top = frame.top + 8 + place * 30
        length = frame.across(value) - frame.left
        yield bar(frame.left, top, length, 18, colour)
        yield text(frame.left - 8, top + 14, kind, anchor="end", colour="ink")
        yield text(frame.left + length + 7, top + 14, words.epsilon(value), colour="ink")
    cap = _cap(cost)
    if cap is not None:
        x = frame.across(cap)
        yield polyline([(x, frame.top - 6), (x, frame.base)], "danger-ink", width=1.6, dash="7 5")
        yield text(x, frame.top - 10, f"cap {cost.cap}", anchor="middle", colour="danger-ink", bold=True)


@dataclass(frozen=True)
class _Bin:
    """Neighbouring sums.

    Attributes:
        survivors: Fewest devices in one that was opened; None if none was.
        asked: Most devices asked.
        minimum: Most that were needed.
        unopened: Sums that were not opened.
    """

    survivors: int | None
    asked: int
    minimum: int
    unopened: int


def per_bar(sums: Sequence[SumFacts]) -> int:
    """Sums that one bar stands for."""
    return max(1, ceil(len(sums) / BINS))


def _bins(sums: Sequence[SumFacts]) -> list[_Bin]:
    each = per_bar(sums)
    return [_bin(sums[first : first + each]) for first in range(0, len(sums), each)]


def _bin(members: Sequence[SumFacts]) -> _Bin:
    counts = [each.members.survivors for each in members if each.members is not None]
    return _Bin(
        survivors=min(counts, default=None),
        asked=max(each.plan.cohort for each in members),
        minimum=max(each.plan.minimum for each in members),
        unopened=len(members) - len(counts),
    )


def _cohorts(bins: Sequence[_Bin], width: float) -> tuple[Frame, Iterator[str]]:
    most = max(max(each.asked, each.survivors or 0) for each in bins)
    top = 34 if width == WIDE else 34 + ROW
    frame = Frame(*(width, 230 + top, 46, 18, top, 44), x=(0, len(bins)), y=(0, 1.08 * most))
    return frame, _cohorts_parts(bins, frame)


def _cohorts_parts(bins: Sequence[_Bin], frame: Frame) -> Iterator[str]:
    yield grid(frame, whole_ticks(0, frame.y[1], 6))
    gap = 0.18 if len(bins) <= 60 else -0.05  # noqa: PLR2004 - more are one surface, without seams
    for place, each in enumerate(bins):
        x, width = frame.across(place + gap / 2), frame.across(1 - gap) - frame.left
        if each.survivors is not None:
            y = frame.down(each.survivors)
            yield bar(x, y, width, frame.base - y, "blue")
        if each.unopened:
            yield cross(x + width / 2, frame.base + 9, "danger-ink")
    yield polyline(_levels([each.asked for each in bins], frame), "ink", width=1.6)
    yield polyline(_levels([each.minimum for each in bins], frame), "orange", width=2, dash="6 4")
    yield from _legend(frame, unopened=any(each.unopened for each in bins))
    yield scale(frame, (), "sums, in order")


def _levels(values: Sequence[int], frame: Frame) -> list[tuple[float, float]]:
    """A stair over the bars."""
    return [
        point
        for place, value in enumerate(values)
        for point in (
            (frame.across(place), frame.down(value)),
            (frame.across(place + 1), frame.down(value)),
        )
    ]


def _legend(frame: Frame, *, unopened: bool) -> Iterator[str]:
    """What is what, in one line or, where there is no room, in two."""
    entries = [("asked", "ink", ""), ("in the sum", "blue", "bar"), ("minimum", "orange", "6 4")]
    if unopened:
        entries.append(("not opened", "danger-ink", "cross"))
    x, y = frame.left, 12.0
    for said, colour, mark in entries:
        length = 36 + LETTER * len(said)
        if x + length > frame.width:
            x, y = frame.left, y + ROW
        yield _sample(x, y, colour, mark)
        yield text(x + 23, y + 2, said, colour="ink")
        x += length


def _sample(x: float, y: float, colour: str, mark: str) -> str:
    if mark == "bar":
        return bar(x, y - 7, 16, 10, colour)
    if mark == "cross":
        return cross(x + 8, y - 2, colour)
    return polyline([(x, y - 2), (x + 18, y - 2)], colour, dash=mark)
