"""The agent's process, as systemd starts it."""

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from agents import device_toml, enrolled, first_delivery, short_folder
from covey.delivery import Answer, Delivery, Refusal, Reply, answer, to_bytes
from covey.errors import InputError
from covey.secagg.messages import Behind, decode
from covey_client import frames, status
from covey_client import owner_commands as owner
from covey_client.budget import FileJournal
from digits_fleet import VALIDATE, crowd, masked, question
from policed_fleet import Run, digest_of

FLEET = crowd(12)
NODES = list(FLEET.devices)
IDLE_MB = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        np.savez(made / "ok.npz", x=np.random.default_rng(0).random((8, 1, 8, 8)), y=np.ones(8, int))
        enrolled(made / "state")
        yield made


def config(folder: Path, more: str = "") -> Path:
    return device_toml(
        folder, folder / "ok.npz", more, f'[socket]\npath = "{folder}/a"\nowner = "{folder}/o"\n'
    )


@contextmanager
def running(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = path.with_suffix(".log").open("ab")
    with (
        log,
        subprocess.Popen([sys.executable, "-m", "covey_client.running", str(path)], stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while not (path.parent / "a").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(10)


def said(folder: Path, asked: Delivery) -> Answer:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(folder / "a"))
        frames.send(connection, to_bytes(asked))
        data = frames.receive(connection, blame="agent")
    assert data is not None
    return answer(data, blame="agent")


def told(path: Path) -> str:
    return path.with_suffix(".log").read_text()


def test_an_enrolled_device_answers_and_remembers_over_a_kill(folder: Path) -> None:
    path, to = config(folder), Run(FLEET).question(VALIDATE)
    asked = first_delivery(to)
    with running(path) as process:
        first = said(folder, asked)
        assert isinstance(first, Reply)
        assert said(folder, asked) == first
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert FileJournal(folder / "state/budget.jsonl").budget.unsettled == {digest_of(to)}
    (folder / "a").unlink()  # so that `running` waits for the new one's
    with running(path):
        again = said(folder, asked)  # its memory is empty
    assert isinstance(again, Reply)
    assert decode(again.data, Behind, blame="test", limit=100).size == 1


def test_it_is_small_while_it_waits(folder: Path) -> None:
    with running(config(folder)) as process:
        loaded = psutil.Process(process.pid).memory_maps()
        assert not [each.path for each in loaded if "torch" in each.path]
        assert psutil.Process(process.pid).memory_info().rss < IDLE_MB << 20


def test_it_ends_when_it_is_told_to_and_leaves_no_socket(folder: Path) -> None:
    path = config(folder)
    with running(path) as process:
        process.terminate()
        assert process.wait(10) == 0
    assert not (folder / "a").exists()


def test_a_second_agent_with_the_same_state_does_not_start(folder: Path) -> None:
    path = config(folder)
    with running(path):
        other = folder / "other.toml"
        other.write_text(path.read_text().replace(f"{folder}/a", f"{folder}/b"))
        done = subprocess.run(
            [sys.executable, "-m", "covey_client.running", str(other)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert "another agent runs with this state" in done.stderr


def test_a_count_on_another_storage_shows_that_the_state_was_put_back(folder: Path) -> None:
    (folder / "card").mkdir()
    path = config(folder, f'counter = "{folder}/card/count"')
    with running(path):
        assert isinstance(said(folder, first_delivery(Run(FLEET).question(VALIDATE))), Reply)
    assert (folder / "card/count").read_bytes() == b"1\n"
    (folder / "state/budget.jsonl").unlink()
    with running(path):
        reply = said(folder, first_delivery(Run(FLEET, run="another").question(VALIDATE)))
    assert isinstance(reply, Refusal)
    assert reply.reason.startswith("this device answers nothing any more")


def test_an_enrolled_device_refuses_experiments_unless_its_owner_allows_them(folder: Path) -> None:
    to = first_delivery(question(VALIDATE, NODES, minimum=8, protection=masked(FLEET)))
    with running(config(folder)):
        reply = said(folder, to)
    assert isinstance(reply, Refusal)
    assert "its owner has not allowed it" in reply.reason
    with running(config(folder, "unprotected = true")):
        assert isinstance(said(folder, to), Reply)


def test_a_device_for_experiments_needs_no_keys_and_claims_all_the_same(folder: Path) -> None:
    path = config(folder, "unprotected = true")
    path.write_text(path.read_text().replace("/state", "/fresh"))
    to = first_delivery(question(VALIDATE, NODES, minimum=8))
    with running(path):
        assert isinstance(said(folder, to), Reply)
    with running(path):
        assert said(folder, to) == Refusal("sum 1 was answered before at stage advertise")
    assert json.loads((folder / "fresh/claims.json").read_bytes())["runs"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[model]", "[modl]"), "modl"),
        (('name = "digits"', ""), '[model]: give name = "digits"'),
        (("pad_seconds = 0.0", 'pad_seconds = "no"'), "pad_seconds"),
        (("/state", "/nowhere"), "device.json"),
        (("pad_seconds = 0.0", 'pad_seconds = 0.0\nunprotected = "false"'), "unprotected"),
        (("[socket]", '[socket]\nusers = ["nobody-here"]'), "there is no user 'nobody-here'"),
    ],
    ids=["unknown table", "no model", "a wrong type", "not enrolled", "text for true", "no such user"],
)
def test_what_is_wrong_with_its_configuration_is_said(
    change: tuple[str, str], expected: str, folder: Path
) -> None:
    path = config(folder)
    path.write_text(path.read_text().replace(*change))
    with running(path) as process:
        assert process.wait(30) == 2
    assert expected in told(path)
    assert "Traceback" not in told(path)


# -- what its owner hears


def test_its_owner_sees_what_it_answered_and_what_that_cost(folder: Path) -> None:
    with running(config(folder)):
        fresh = status.ask(folder / "o")
        said(folder, first_delivery(Run(FLEET).question(VALIDATE)))
        said(folder, first_delivery(question(VALIDATE, NODES, minimum=8)))
        found = status.ask(folder / "o")
    assert (fresh.device, fresh.answers, fresh.epsilon, fresh.policy) == ("device-002", {}, 0.0, None)
    assert (found.does, found.answers, found.policy, found.roster, found.ledger) == (
        "waits",
        {"validate": 1},
        1,
        1,
        1,
    )
    assert found.epsilon
    assert found.epsilon > 0
    assert (found.deliveries, found.refused) == (2, 1)
    lines = status.told(found, found.since + 90)
    assert lines[0] == "device   device-002"
    assert "agent    waits, since 2 min; up" in lines[1]
    assert "answers  1 validate in its whole life" in lines
    assert any(line.startswith("refused  this device answers no plan without masks") for line in lines)


def test_a_pause_is_kept_and_shown(folder: Path) -> None:
    path = config(folder)
    with running(path):
        owner.pause(path)
        assert status.ask(folder / "o").paused
        asked = first_delivery(Run(FLEET).question(VALIDATE))
        assert said(folder, asked) == Refusal("this device is not available now")
        owner.resume(path)
        assert isinstance(said(folder, asked), Reply)


def test_the_owners_socket_tells_its_status_and_nothing_else(folder: Path) -> None:
    with running(config(folder)), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(folder / "o"))
        frames.send(connection, to_bytes(first_delivery(Run(FLEET).question(VALIDATE))))
        assert frames.receive(connection, blame="agent") is None
        assert status.ask(folder / "o").deliveries == 0
        assert stat.S_IMODE((folder / "o").stat().st_mode) == 0o600


def test_without_an_agent_the_owner_is_told_what_to_do(folder: Path) -> None:
    with pytest.raises(InputError, match="no agent answers") as caught:
        status.ask(folder / "o")
    assert "covey device run" in caught.value.hint


def test_the_command_becomes_the_agent_and_keeps_nothing_of_the_command_line(folder: Path) -> None:
    path, covey = config(folder), Path(sys.executable).with_name("covey")
    with subprocess.Popen(
        [covey, "device", "run", "--config", str(path)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not (folder / "o").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            loaded = status.ask(folder / "o")
            assert loaded.rss_mb < IDLE_MB
            assert "covey_client.running" in Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            process.terminate()
            assert process.wait(10) == 0
