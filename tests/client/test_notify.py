"""What systemd hears, on a socket of the test's own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from covey_client.notify import Systemd


@pytest.fixture(params=["file", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = (
        str(tmp_path / "notify") if request.param == "file" else f"@covey-test-{os.getpid()}-{tmp_path.name}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        receiver.settimeout(5)
        yield receiver, name


def heard(receiver: socket.socket) -> list[str]:
    return receiver.recv(4096).decode().split("\n")


def test_a_life_from_ready_to_stopping(listening: tuple[socket.socket, str]) -> None:
    receiver, name = listening
    systemd = Systemd({"NOTIFY_SOCKET": name})
    assert systemd.ready("waits")
    assert heard(receiver) == ["READY=1", "STATUS=waits"]
    assert not systemd.says("waits")
    assert systemd.says("answers\na plan")
    assert heard(receiver) == ["STATUS=answers a plan"]
    assert systemd.stopping()
    assert heard(receiver) == ["STOPPING=1"]


def test_a_reload_says_when_it_began(listening: tuple[socket.socket, str]) -> None:
    receiver, name = listening
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert Systemd({"NOTIFY_SOCKET": name}).reloading()
    reloading, began = heard(receiver)
    assert reloading == "RELOADING=1"
    key, _, microseconds = began.partition("=")
    assert key == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_signs_of_life_come_three_times_as_often_as_they_are_awaited(
    listening: tuple[socket.socket, str],
) -> None:
    receiver, name = listening
    systemd = Systemd({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    assert systemd.beat_seconds == 10
    assert [systemd.beat(now) for now in (100.0, 105.0, 109.9, 110.0, 119.0, 121.0)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip
    assert [heard(receiver) for _ in range(3)] == [["WATCHDOG=1"]] * 3


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": ""},
    ],
)
def test_nobody_waits_for_signs_of_life(environment: dict[str, str]) -> None:
    systemd = Systemd(environment)
    assert systemd.beat_seconds is None
    assert not systemd.beat(0)


@pytest.mark.parametrize("where", ["", "relative", "/nowhere/notify", "@nobody-listens-on-this-name"])
def test_without_a_listener_nothing_happens(where: str) -> None:
    assert not Systemd({"NOTIFY_SOCKET": where}).ready("waits")


def test_a_listener_that_does_not_read_never_blocks_the_agent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert not all(systemd.says(str(number)) for number in range(2000))


def test_a_process_started_by_another_tells_it(listening: tuple[socket.socket, str]) -> None:
    receiver, name = listening
    program = "from covey_client.notify import Systemd; Systemd().ready()"
    environment = os.environ | {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert heard(receiver) == ["READY=1"]
