"""Whether a SuperNode still speaks to its server: real connections, and systemd's answers made up."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flower_programs import free_port

SCRIPT = Path(__file__).parents[2] / "client/deploy/covey-supernode-alive.sh"
SYSTEMCTL = """#!/bin/sh
echo "$@" >>{folder}/asked
case $1 in
  is-active) exit {inactive} ;;
  show) cat {folder}/invocation ;;
esac
"""


@dataclass
class Unit:
    """A unit as systemd would tell of it, under the user that these tests run as."""

    folder: Path
    uid: int = os.getuid()

    def __post_init__(self) -> None:
        self.is_active(True)
        self.starts("first")
        self._program("id", f"#!/bin/sh\necho {self.uid}\n")

    def is_active(self, active: bool) -> None:
        self._program("systemctl", SYSTEMCTL.format(folder=self.folder, inactive=int(not active)))

    def starts(self, invocation: str) -> None:
        (self.folder / "invocation").write_text(f"{invocation}\n")

    def looked_after(self, server: str, seconds: str = "1") -> str:
        """What the script says; at the end it must be well."""
        done = subprocess.run(
            ["bash", SCRIPT, server, seconds, "0.05"],
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @property
    def restarted(self) -> bool:
        return "restart covey-supernode" in (self.folder / "asked").read_text().splitlines()

    def _program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)


@contextmanager
def server(address: str = "127.0.0.1") -> Iterator[str]:
    """HOST:PORT of a server that answers nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listening:
        port = listening.getsockname()[1]
        yield f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def connected(where: str) -> socket.socket:
    host, _, port = where.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)))


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_one_that_is_connected_is_left_alone(unit: Unit, address: str) -> None:
    try:
        opened = server(address)
        with opened as where, connected(where):
            assert unit.looked_after(where, "600") == ""  # and at once
    except OSError:
        pytest.skip("no such address here")
    assert not unit.restarted


def test_one_that_lost_a_server_that_is_there_is_restarted(unit: Unit) -> None:
    with server() as where:
        told = unit.looked_after(where)
    assert told == f"no connection for 1 s, and {where} can be reached: covey-supernode is restarted\n"
    assert unit.restarted


def test_while_the_server_is_away_a_restart_would_help_nobody(unit: Unit) -> None:
    told = unit.looked_after(f"127.0.0.1:{free_port()}")
    assert "cannot be reached either: covey-supernode is left alone" in told
    assert not unit.restarted


def test_one_that_comes_back_in_time_is_left_alone(unit: Unit) -> None:
    with server() as where:
        opened: list[socket.socket] = []
        later = threading.Timer(0.5, lambda: opened.append(connected(where)))
        later.start()
        assert unit.looked_after(where, "10") == ""
        later.join()
        for each in opened:
            each.close()
    assert not unit.restarted


def test_another_users_connection_and_one_elsewhere_do_not_count(tmp_path: Path) -> None:
    unit = Unit(tmp_path, uid=os.getuid() + 1)
    with server() as where, connected(where):
        unit.looked_after(where)
    assert unit.restarted
    (tmp_path / "asked").unlink()
    mine = Unit(tmp_path)
    with server() as where, server() as other, connected(other):
        mine.looked_after(where)
    assert mine.restarted


def test_one_that_was_started_anew_meanwhile_has_time(unit: Unit) -> None:
    with server() as where:
        later = threading.Timer(0.5, lambda: unit.starts("second"))
        later.start()
        assert unit.looked_after(where, "2") == ""
        later.join()
    assert not unit.restarted


def test_one_that_is_stopped_stays_so(unit: Unit) -> None:
    unit.is_active(False)
    with server() as where:
        assert unit.looked_after(where) == ""
    assert not unit.restarted


def test_a_host_is_no_program(unit: Unit, tmp_path: Path) -> None:
    """It comes from a file of the owner's, and is run by nobody."""
    unit.looked_after(f"$(touch {tmp_path}/ran):{free_port()}")
    assert not (tmp_path / "ran").exists()
