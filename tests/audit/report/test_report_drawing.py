"""Pictures by small functions: round numbers, text that is text, and lines where they belong."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from covey_audit.report import charts, cohort_chart
from covey_audit.report.drawing import (
    Frame,
    area,
    bar,
    picture,
    polyline,
    strokes,
    text,
    ticks,
    whole_ticks,
)
from html_page import HOSTILE, Page
from report_cases import audited

FRAME = Frame(200, 100, 20, 10, 10, 20, x=(0, 10), y=(0, 4))


def test_values_become_pixels() -> None:
    assert (FRAME.across(0), FRAME.across(10)) == (20, 190)
    assert (FRAME.down(0), FRAME.down(4), FRAME.down(2)) == (80, 10, 45)


def test_a_picture_is_one_element_with_a_name() -> None:
    drawn = picture(FRAME, [bar(1, 2, 3, 4, "blue")], 'two "bars" <b>')
    assert isinstance(drawn, Markup)
    page = Page(str(drawn))
    assert page.values("aria-label") == ['two "bars" <b>']
    assert page.values("viewbox") == ["0 0 200 100"]
    assert page.tags == {"svg": 1, "rect": 1}


def test_text_is_escaped_and_visible() -> None:
    page = Page(text(1, 2, HOSTILE))
    assert page.tags == {"text": 1}
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.html


def test_too_few_points_draw_nothing() -> None:
    assert polyline([], "blue") == polyline([(1, 1)], "blue") == area([(1, 1)], 0, "blue") == ""
    assert strokes([], 1, 2, "blue") == ""


def test_strokes_on_one_half_pixel_are_drawn_once() -> None:
    assert strokes([1.0, 1.1, 1.2, 3.0], 0, 5, "blue").count("M") == 2


@given(
    st.floats(-1e9, 1e9, allow_nan=False),
    st.floats(1e-6, 1e9, allow_nan=False),
    st.integers(2, 12),
)
def test_ticks_are_few_round_and_inside(low: float, span: float, most: int) -> None:
    high = low + span
    if high <= low:
        return
    found = ticks(low, high, most)
    slack = 1e-6 * max(abs(low), abs(high), span)
    assert len(found) <= most
    assert all(low - slack <= each <= high + slack for each in found)
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("high", "most", "expected"),
    [(8.64, 6, (0, 2, 4, 6, 8)), (1.0, 6, (0, 0.2, 0.4, 0.6, 0.8, 1.0)), (485, 5, (0, 200, 400))],
)
def test_ticks_are_those_that_people_choose(high: float, most: int, expected: tuple[float, ...]) -> None:
    assert ticks(0, high, most) == expected


def test_whole_ticks_count_things() -> None:
    assert whole_ticks(0, 3, 8) == (0, 1, 2, 3)


def _paths(drawn: Markup) -> list[str]:
    return re.findall(r'<path d="([^"]+)"', drawn)


@pytest.mark.parametrize("case", ["honest", "long", "overspent"])
def test_what_is_spent_only_rises_and_ends_where_the_figure_is(case: str) -> None:
    found = audited(case)
    chart = charts.spent(found.costs[0], found.sums, found.size)
    assert chart is not None
    curve = next(path for path in _paths(chart.wide) if path.count("L") > 4 and not path.endswith("Z"))
    heights = [float(point.split()[1]) for point in curve.removeprefix("M").split("L")]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < heights[0]


def test_a_kind_has_a_stroke_for_each_sum() -> None:
    found = audited("honest")
    chart = charts.spent(found.costs[0], found.sums, found.size)
    assert chart is not None
    counts = [path.count("v") for path in _paths(chart.wide) if "v" in path]
    assert counts == [4, 1]


def test_bars_are_as_long_as_what_they_show() -> None:
    cost = audited("long").costs[0]
    chart = charts.kinds(cost)
    assert chart is not None
    widths = [float(each) for each in re.findall(r'<rect [^>]*width="([\d.]+)"', chart.wide)]
    values = [*cost.by_kind.values(), cost.server or 0]
    assert len(widths) == len(values)
    for width, value in zip(widths, values, strict=True):
        assert width / widths[-1] == pytest.approx(value / values[-1], rel=0.01)


def test_a_cap_beyond_all_bounds_is_not_left_out() -> None:
    cost = audited("honest").costs[0]
    for cap, label in (
        (None, "no cap"),
        ("0.5", "the policy's cap is 0.5"),
        ("100", "the policy's cap is 100"),
    ):
        chart = charts.kinds(replace(cost, cap=cap))
        assert chart is not None
        assert label in Page(str(chart.wide)).values("aria-label")[0]
        assert (f">cap {cap}<" in chart.wide) == (cap is not None)


def test_sums_that_were_not_opened_have_a_mark_and_no_bar() -> None:
    found = audited("honest")
    chart = cohort_chart.cohorts(found.sums)
    assert chart is not None
    assert "10 to 12 in 4 opened sums; 1 not opened" in chart.wide
    bars = re.findall(r'<rect [^>]*fill="var\(--blue\)"', chart.wide)
    assert len(bars) == 4 + 1  # and one in the legend


def test_many_sums_share_bars_and_the_fewest_devices_count() -> None:
    found = audited("long")
    assert cohort_chart.per_bar(found.sums) == 2
    assert cohort_chart.per_bar(found.sums[:100]) == 1
    bins = cohort_chart._bins(found.sums)
    assert len(bins) == 121
    counts = [each.members.survivors for each in found.sums[:2] if each.members]
    assert bins[0].survivors == min(counts)


def test_without_sums_or_without_noise_there_is_no_picture() -> None:
    assert cohort_chart.cohorts(()) is None
    cost = audited("unprotected").costs[0]
    assert charts.spent(cost, audited("unprotected").sums, 15) is None
    assert charts.kinds(cost) is None
