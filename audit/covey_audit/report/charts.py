"""What was spent, by place in the ledger and by kind of question.

Every picture is made twice, wide and narrow: the page shows the one that fits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
ROW: Final = 18.0
"""Height of a row of strokes or words, pixels."""


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
    return both(lambda width: picture(*_spent(cost, of_unit, kinds, size, width), label))


def kinds(cost: Costs) -> Chart | None:
    """A bar for each kind of question by itself, one for all together, and the cap.

    Args:
        cost: Of one unit.
    """
    if not cost.by_kind or cost.server is None:
        return None
    alone = ", ".join(f"{kind} {words.epsilon(value)}" for kind, value in cost.by_kind.items())
    label = f"ε by kind of question: {alone}; together {words.epsilon(cost.server)}, {_cap_words(cost)}"
    return both(lambda width: picture(*_kinds(cost, width), label))


def both(draw: Callable[[float], Markup]) -> Chart:
    """A picture in both widths."""
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
