"""Surroundings read from real files, in trees as the kernel lays them out."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from covey_client.surroundings import ask_network_manager, metered_in, read

NOON = datetime(2026, 11, 23, 12)  # noqa: DTZ001 - local time


def put(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def supply(name: str, **files: str) -> dict[str, str]:
    return {f"sys/class/power_supply/{name}/{key}": value for key, value in files.items()}


def battery(status: str, capacity: str = "50", name: str = "BAT0") -> dict[str, str]:
    return supply(name, type="Battery", status=status, capacity=capacity, present="1")


MAINS = supply("AC", type="Mains", online="1")
UNPLUGGED = supply("AC", type="Mains", online="0")
MOUSE = supply("hid-mouse", type="Battery", scope="Device", status="Discharging", capacity="3")


@pytest.mark.parametrize(
    ("files", "fed"),
    [
        ({}, True),
        (MAINS, True),
        (UNPLUGGED, True),
        (battery("Discharging"), False),
        (battery("Charging"), True),
        (battery("Unknown"), False),
        (battery("Discharging") | MAINS, True),
        (battery("Charging") | UNPLUGGED, False),
        (battery("Full") | UNPLUGGED | supply("usb", type="USB", online="1"), True),
        (MOUSE, True),
        (supply("BAT1", type="Battery", present="0", status="Unknown"), True),
    ],
)
def test_whether_it_is_fed_from_outside(tmp_path: Path, files: dict[str, str], fed: bool) -> None:
    assert read(tmp_path, root=put(tmp_path, files)).on_ac is fed


def test_the_emptiest_battery_counts_and_a_mouse_does_not(tmp_path: Path) -> None:
    put(tmp_path, battery("Full", "90") | battery("Discharging", "40", "BAT1") | MOUSE)
    assert read(tmp_path, root=tmp_path).battery == 40


def test_a_battery_that_does_not_say_how_full_it_is_is_empty(tmp_path: Path) -> None:
    put(tmp_path, battery("Full", "a lot"))
    assert read(tmp_path, root=tmp_path).battery == 0


def test_the_hottest_sensor_counts_and_nonsense_does_not(tmp_path: Path) -> None:
    zones = {"0": "48312", "1": "61200", "2": "-274000", "3": "", "4": "inf"}
    put(tmp_path, {f"sys/class/thermal/thermal_zone{name}/temp": value for name, value in zones.items()})
    put(tmp_path, {"sys/class/thermal/cooling_device0/temp": "99000"})
    assert read(tmp_path, root=tmp_path).celsius == 61.2


def test_memory_and_disk(tmp_path: Path) -> None:
    put(tmp_path, {"proc/meminfo": "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:     700 kB"})
    found = read(tmp_path, root=tmp_path, clock=lambda: NOON)
    assert found.memory_bytes == 700 * 1024
    free = os.statvfs(tmp_path)
    assert found.disk_bytes == pytest.approx(free.f_bavail * free.f_frsize, rel=0.05)
    assert found.local == NOON


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    found = read(tmp_path / "nowhere", root=tmp_path)
    assert (found.battery, found.metered, found.celsius) == (None, None, None)
    assert (found.disk_bytes, found.memory_bytes) == (None, None)


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.memory_bytes
    assert found.disk_bytes is not None


def told(*devices: tuple[str, str]) -> str:
    return "\n".join(f"GENERAL.STATE:{state}\nGENERAL.METERED:{metered}\n" for state, metered in devices)


LOOPBACK = ("100 (connected (externally))", "unknown")


@pytest.mark.parametrize(
    ("devices", "metered"),
    [
        ([("100 (connected)", "no (guessed)"), LOOPBACK], False),
        ([("100 (connected)", "no"), ("100 (connected)", "yes (guessed)")], True),
        ([("100 (connected)", "no"), ("30 (disconnected)", "yes")], False),
        ([("100 (connected)", "no"), ("100 (connected)", "unknown")], None),
        ([("100 (connected)", "unknown")], None),
        ([LOOPBACK], None),
        ([], None),
    ],
)
def test_what_network_manager_says(devices: list[tuple[str, str]], metered: bool | None) -> None:
    assert metered_in(told(*devices)) is metered


def program(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_network_manager_is_asked_by_a_real_command(tmp_path: Path) -> None:
    (tmp_path / "told").write_text(told(("100 (connected)", "no")))
    wanted = "-t -f GENERAL.STATE,GENERAL.METERED device show"
    body = f'[ "$*" = "{wanted}" ] && [ "$LC_ALL" = C ] && cat {tmp_path}/told'
    asked = program(tmp_path / "nmcli", body)
    assert ask_network_manager(asked) is False


def test_without_an_answer_nothing_is_known(tmp_path: Path) -> None:
    assert ask_network_manager(str(tmp_path / "nowhere")) is None
    assert ask_network_manager(program(tmp_path / "fails", "echo GENERAL.STATE:100; exit 8")) is None
