"""A federation over the session service, without Flower's SuperLink and without SuperNodes."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from agents import agent
from covey.errors import InputError
from covey_client.session_client import SessionClient, credentials
from covey_server.by_sessions import run_by_sessions
from covey_server.fleet_keys import make_fleet
from covey_server.summary import read
from digits_fleet import flock
from flower_programs import free_port
from serving_host import FEDERATION

NAMES = ("pi0", "pi1", "pi2")


def test_agents_that_attend_train_a_model(tmp_path: Path) -> None:
    make_fleet(tmp_path / "keys", "pilot", NAMES, 1)
    (tmp_path / "federation.toml").write_text(FEDERATION.format(rounds=2))
    port, told = free_port(), list[str]()
    with ExitStack() as stack:
        for name, each in zip(NAMES, flock().participants.values(), strict=True):
            shown = credentials(tmp_path / "keys/devices" / name)
            answer = agent(each, tmp_path).answer
            client = SessionClient(f"localhost:{port}", shown, answer, told.append, first_wait=0.05)
            stack.callback(client.close)
        address = f"127.0.0.1:{port}"
        run_by_sessions(tmp_path / "federation.toml", tmp_path / "runs", tmp_path / "keys/operator", address)
    summary = read(tmp_path / "runs/pilot/summary.json")
    assert summary.rounds == 2
    assert summary.devices >= 2  # who came first is enough to begin with
    assert summary.package
    assert Path(summary.package).exists()
    assert f"session: connected to localhost:{port}" in told


def test_an_operator_without_certificates_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "federation.toml").write_text(FEDERATION.format(rounds=1))
    (tmp_path / "operator").mkdir()
    with pytest.raises(InputError):
        run_by_sessions(tmp_path / "federation.toml", tmp_path / "runs", tmp_path / "operator", "127.0.0.1:0")
