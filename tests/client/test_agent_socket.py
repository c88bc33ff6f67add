"""Who may ask the agent, how often, and what it makes of those who do not behave."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import policed_fleet
from agents import agent, first_delivery, listening, short_folder
from covey import delivery
from covey.delivery import Delivery, Refusal, Reply, answer, to_bytes
from covey.errors import ConfigError, StateError
from covey_client import frames
from covey_client.agent import Agent
from covey_client.agent_socket import MOST_CONNECTIONS, Rate, uids
from digits_fleet import VALIDATE, crowd
from policed_fleet import Run

FLEET = crowd(12)
ASKED = first_delivery(Run(FLEET).question(VALIDATE))


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
def device(folder: Path) -> Agent:
    return agent(policed_fleet.owned(2, FLEET), folder)


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(path))
    return connection


def said(connection: socket.socket, asked: Delivery | bytes = ASKED) -> delivery.Answer:
    frames.send(connection, asked if isinstance(asked, bytes) else to_bytes(asked))
    data = frames.receive(connection, blame="agent")
    assert data is not None
    return answer(data, blame="agent")


def test_a_delivery_is_answered_and_the_connection_goes_on(folder: Path, device: Agent) -> None:
    with listening(folder / "a", device), connected(folder / "a") as connection:
        first = said(connection)
        assert isinstance(first, Reply)
        assert said(connection) == first


@pytest.mark.parametrize("sent", [b"", b"\xc1", to_bytes(Reply(b"1")), bytes(range(100))])
def test_what_is_no_delivery_is_refused_and_not_passed_on(sent: bytes, folder: Path, device: Agent) -> None:
    with listening(folder / "a", device), connected(folder / "a") as connection:
        assert isinstance(said(connection, sent), Refusal)
        assert device.doing.answered == 0


def test_a_frame_that_is_too_long_ends_the_connection_and_no_other(folder: Path, device: Agent) -> None:
    with listening(folder / "a", device) as told, connected(folder / "a") as good:
        with connected(folder / "a") as bad:
            bad.sendall((delivery.MAX_BYTES + 1).to_bytes(4, "big"))
            assert bad.recv(1) == b""
        assert isinstance(said(good), Reply)
        assert any(f"at most {delivery.MAX_BYTES}" in line for line in told)


def test_one_who_keeps_connections_open_leaves_the_others_theirs(folder: Path, device: Agent) -> None:
    with listening(folder / "a", device) as told:
        held = [connected(folder / "a") for _ in range(MOST_CONNECTIONS)]
        for each in held:
            each.sendall(b"\0\0")  # half a head, and then nothing
        time.sleep(0.1)
        with connected(folder / "a") as late:
            assert late.recv(1) == b""
        assert any("are open" in line for line in told)
        for each in held:
            each.close()
        time.sleep(0.2)
        with connected(folder / "a") as again:
            assert isinstance(said(again), Reply)


def test_more_than_so_many_a_minute_are_not_answered(folder: Path, device: Agent) -> None:
    with listening(folder / "a", device, per_minute=2) as told:
        with connected(folder / "a") as connection:
            said(connection)
            said(connection)
            frames.send(connection, to_bytes(ASKED))
            assert frames.receive(connection, blame="agent") is None
        with connected(folder / "a") as other:  # not by another connection either
            frames.send(other, to_bytes(ASKED))
            assert frames.receive(other, blame="agent") is None
        assert any("per_minute" in line for line in told)


def test_a_minute_later_it_may_ask_again() -> None:
    rate = Rate(2)
    assert [rate.allows(now) for now in (0, 1, 2, 59, 60.5, 61.5, 62)] == [
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]


CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(5)
    connection.connect(sys.argv[1])
    connection.sendall(b"\\0\\0\\0\\1\\xc1")
    print(len(connection.recv(100)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_the_kernel_says_who_asks(folder: Path, device: Agent) -> None:
    """A process under another user's number, on a socket that its file's mode would let it use."""
    folder.chmod(0o755)
    python = Path("/usr/bin/python3") if Path("/usr/bin/python3").exists() else Path(sys.executable)
    command = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", str(python), "-c", CONNECT]
    for allowed, answered in ((frozenset({0}), False), (frozenset({0, 4242}), True)):
        with listening(folder / "a", device, uids=allowed) as told:
            (folder / "a").chmod(0o666)
            done = subprocess.run(
                [*command, str(folder / "a")], capture_output=True, text=True, timeout=20, check=False
            )
            received = int(done.stdout) if done.returncode == 0 else 0  # or the pipe is broken already
            assert (received > 0) == answered, done.stderr
            assert any("user 4242 was turned away" in line for line in told) != answered


def test_users_are_found_by_name_or_number() -> None:
    assert uids(["root", 4242]) == {0, os.geteuid(), 4242}
    with pytest.raises(ConfigError, match="there is no user 'nobody-here'"):
        uids(["nobody-here"])


def test_two_agents_do_not_share_a_socket_and_a_dead_ones_is_cleared_away(
    folder: Path, device: Agent
) -> None:
    with listening(folder / "a", device):
        assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o600
        with pytest.raises(StateError, match="another agent listens"), listening(folder / "a", device):
            pass
    assert not (folder / "a").exists()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(folder / "a"))
    dead.close()
    with listening(folder / "a", device), connected(folder / "a") as connection:
        assert isinstance(said(connection), Reply)
