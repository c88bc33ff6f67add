"""How many devices were in the sums, against how many were asked and how few would have been enough."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from covey_audit.audited import SumFacts
from covey_audit.report import words
from covey_audit.report.charts import ROW, WIDE, Chart, both
from covey_audit.report.drawing import Frame, bar, cross, grid, picture, polyline, scale, text, whole_ticks

BINS: Final = 150
"""Bars, at most."""
LETTER: Final = 7.6
"""About as wide as a letter is, pixels."""


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
    return both(lambda width: picture(*_cohorts(bins, width), said))


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
