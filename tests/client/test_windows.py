"""Windows of local time, across midnight and weeks."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey_client.windows import Window, parse, seconds_until_open

MONDAY = datetime(2026, 11, 23)  # noqa: DTZ001 - local time, as an owner means it


def at(day: int, hours: int, minutes: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hours, minutes=minutes)


def until(text: str, now: datetime) -> float:
    return seconds_until_open([parse(text)], now)


def test_a_window_across_midnight_is_open_until_the_morning() -> None:
    assert until("22:00-06:00", at(0, 22)) == 0
    assert until("22:00-06:00", at(1, 5, 59)) == 0
    assert until("22:00-06:00", at(1, 6)) == 16 * 3600
    assert until("22:00-06:00", at(1, 21)) == 3600


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    assert until("fri 22:00-06:00", at(5, 3)) == 0
    assert until("fri 22:00-06:00", at(4, 3)) == 19 * 3600
    assert until("sun 22:00-06:00", at(0, 3)) == 0
    assert until("sun 22:00-06:00", at(0, 7)) == 6 * 86400 + 15 * 3600


def test_days_are_lists_and_spans_that_go_round_the_week() -> None:
    assert parse("mon,wed-fri 10:00-11:00").days == {0, 2, 3, 4}
    assert parse("Sat-Mon 10:00 - 11:00").days == {5, 6, 0}
    assert parse("sat,sun 00:00-24:00") == Window(frozenset({5, 6}), 0, 1440)


def test_any_window_will_do_and_none_is_always() -> None:
    two = [parse("10:00-11:00"), parse("20:00-21:00")]
    assert seconds_until_open(two, at(0, 20, 30)) == 0
    assert seconds_until_open(two, at(0, 12)) == 8 * 3600
    assert seconds_until_open(two, at(0, 22)) == 12 * 3600
    assert seconds_until_open([], at(0, 12)) == 0


def test_a_day_that_begins_again_in_a_week() -> None:
    assert until("mon 10:00-11:00", at(0, 11)) == 7 * 86400 - 3600


@pytest.mark.parametrize(
    "text",
    ["", "22-06", "22:00", "25:00-26:00", "10:60-11:00", "10:00-10:00", "24:00-06:00", "mo 10:00-11:00",
     "mon- 10:00-11:00", "mon,, 10:00-11:00", "10:00-11:00 mon", "24:01-02:00"],
)  # fmt: skip
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|empty|no time of day"):
        parse(text)


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.integers(0, 7 * 1440 - 1),
)
def test_after_the_wait_it_is_open_and_not_before(
    days: set[int], begin: int, length: int, minute: int
) -> None:
    window, now = Window(frozenset(days), begin, length), MONDAY + timedelta(minutes=minute)
    wait = seconds_until_open([window], now)
    assert 0 <= wait <= 7 * 86400
    assert seconds_until_open([window], now + timedelta(seconds=wait)) == 0
    if wait:
        assert seconds_until_open([window], now + timedelta(seconds=wait - 60)) in {0, 60}
        assert seconds_until_open([window], now + timedelta(seconds=wait / 2)) == wait / 2
