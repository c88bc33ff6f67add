"""What an owner's rules come to."""

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from covey.errors import ConfigError
from covey_client.conditions import Available, Conditions, NotNow, Rules, check, decide, is_hot, strain
from covey_client.surroundings import Surroundings
from covey_io import settings

FINE = Surroundings(
    local=datetime(2026, 11, 23, 12),  # noqa: DTZ001 - local time, a Monday
    on_ac=True,
    battery=None,
    metered=False,
    celsius=50.0,
    disk_bytes=10**9,
    memory_bytes=10**9,
)


def found(**changes: Any) -> Surroundings:
    return Surroundings(**{name: getattr(FINE, name) for name in FINE.__dataclass_fields__} | changes)


def decided(rules: Rules, around: Surroundings, hot: bool = False) -> Available | NotNow:
    return decide(rules, check(rules, "device.toml"), around, hot)


def test_without_rules_it_may_work_on_battery_at_any_time_on_any_network() -> None:
    assert decided(Rules(), found(on_ac=False, battery=1.0, metered=True, celsius=None)) == Available()


@pytest.mark.parametrize(
    ("rules", "around", "reason"),
    [
        (Rules(windows=("22:00-06:00",)), FINE, "outside the windows of [when]"),
        (Rules(only_on_ac=True), found(on_ac=False), "it runs on its battery"),
        (Rules(least_battery=30), found(battery=29.0), "battery at 29 %, expected 30 %"),
        (Rules(only_unmetered=True), found(metered=True), "the network is metered"),
        (Rules(only_unmetered=True), found(metered=None), "whether the network is metered is unknown"),
        (Rules(), found(disk_bytes=99_000_000), "free disk 99 MB, expected 100 MB"),
        (Rules(), found(disk_bytes=None), "free disk unknown, expected 100 MB"),
        (Rules(least_memory_mb=2000), FINE, "free memory 1000 MB, expected 2000 MB"),
    ],
)
def test_every_rule_has_a_reason(rules: Rules, around: Surroundings, reason: str) -> None:
    decision = decided(rules, around)
    assert isinstance(decision, NotNow)
    assert decision.reason == reason
    assert decision.retry_after > 0


def test_of_several_reasons_the_longest_is_told() -> None:
    rules = Rules(windows=("22:00-06:00",), only_on_ac=True)
    assert decided(rules, found(on_ac=False)) == NotNow("outside the windows of [when]", 10 * 3600)


def test_it_stops_at_the_upper_mark_and_goes_on_below_the_lower_one() -> None:
    rules, hot, seen = Rules(stop_celsius=80, go_celsius=70), False, []
    for celsius in (79.9, 80.0, 75.0, 70.0, 69.9, 79.9, None):
        hot = is_hot(rules, found(celsius=celsius), hot)
        seen.append(hot)
    assert seen == [False, True, True, True, False, False, False]
    assert decided(rules, found(celsius=75.0), hot=True) == NotNow("75 °C; it goes on below 70 °C", 60)


def test_training_is_held_by_heat_and_an_empty_battery_only() -> None:
    rules = Rules(windows=("22:00-06:00",), only_on_ac=True, least_battery=20)
    assert not strain(rules, found(on_ac=False, battery=50.0), hot=False)
    assert strain(rules, found(battery=10.0), hot=False) == "battery at 10 %, expected 20 %"
    assert strain(rules, found(celsius=85.0), hot=True).startswith("85 °C")


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('windows = ["22:00"]', "when.windows"),
        ("go_celsius = 80", "when.go_celsius"),
        ("only_on_acc = true", "only_on_acc"),
        ("least_battery = 101", "least_battery"),
        ('metered = "perhaps"', "metered"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused_with_their_key(
    tmp_path: Path, table: str, key: str
) -> None:
    path = tmp_path / "when.toml"
    path.write_text(table)
    with pytest.raises(ConfigError) as caught:
        Conditions(settings.load(path, Rules), tmp_path, str(path))
    assert caught.value.key == key
    assert str(path) in caught.value.message


def test_surroundings_are_read_once_in_a_while_whoever_asks() -> None:
    times, reads = iter([0.0, 1.0, 4.9, 5.0, 6.0]), []

    def read() -> Surroundings:
        reads.append(threading.get_ident())
        return found(celsius=90.0 if len(reads) == 1 else 75.0)

    conditions = Conditions(Rules(), Path(), reads=read, clock=lambda: next(times))
    assert conditions.hindrance() == "90 °C; it goes on below 70 °C"
    assert conditions.strain()
    assert isinstance(conditions.now(), NotNow)
    assert len(reads) == 1
    assert conditions.hindrance() == "75 °C; it goes on below 70 °C"  # it was too hot before
    assert conditions.now() != Available()
    assert len(reads) == 2


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    rules = Rules(stop_celsius=150, go_celsius=149, least_disk_mb=0, metered="no", only_unmetered=True)
    assert Conditions(rules, tmp_path).now() == Available()
    assert not Conditions(rules, tmp_path).hindrance()
    metered = msgspec.structs.replace(rules, metered="yes")
    assert Conditions(metered, tmp_path).hindrance() == "the network is metered"
