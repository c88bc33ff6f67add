import math

import pytest

from covey.metrics import wilson
from covey_simulations.report import text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (text.percent(0.9531), "95.3 %"),
        (text.percent(0.0), "0.0 %"),
        (text.percent(None), "not measured"),
        (text.percent(math.nan), "not measured"),
        (text.points(-0.0112), "\u22121.1 points"),
        (text.points(0.0112), "+1.1 points"),
        (text.points(-0.0001), "±0.0 points"),
        (text.points(None), "not measured"),
        (text.count(12903), "12,903"),
        (text.decimal(2.44949), "2.449"),
        (text.decimal(4000.0), "4,000"),
        (text.decimal(math.inf), "not measured"),
        (text.size(812), "812 B"),
        (text.size(37105), "37.1 kB"),
        (text.size(2_183_252), "2.18 MB"),
        (text.size(217_000), "217 kB"),
        (text.micros(8.42), "8.4 µs"),
        (text.micros(82.3), "82 µs"),
        (text.micros(1234), "1.23 ms"),
        (text.micros(2_100_000), "2.10 s"),
        (text.seconds(0.841), "0.84 s"),
        (text.seconds(12.34), "12.3 s"),
        (text.seconds(192), "3 min 12 s"),
        (text.seconds(3840), "1 h 4 min"),
        (text.seconds(math.nan), "not measured"),
        (text.interval(wilson(5, 100)), "2.2\u201311.2 %"),
        (text.interval(wilson(0, 0)), "not measured"),
    ],
)
def test_numbers_read_as_people_write_them(given: str, shown: str) -> None:
    assert given.replace(text.SPACE, " ") == shown


@pytest.mark.parametrize("hidden", ["\u202e", "\x00", "\x1b", "\u200b", "\ufeff", "\ud800", "\u2066"])
def test_what_hides_or_reorders_text_is_replaced(hidden: str) -> None:
    assert text.visible(f"a{hidden}b") == "a\ufffdb"


@pytest.mark.parametrize("kept", ["naïve café", "漢字", "क\u200dष", "two\nlines\tand a tab", "95.3\u00a0%"])
def test_text_in_any_script_stays(kept: str) -> None:
    assert text.visible(kept) == kept


def test_short_names_stay_and_long_ones_are_cut() -> None:
    assert text.short("s01-left") == "s01-left"
    assert text.short("one\n two") == "one two"
    assert text.short("x" * 50, 10) == "x" * 9 + "…"
