"""`covey serve` with real processes on loopback: what is killed comes back, and the federation goes on."""

import json
import os
import signal
import socket
import stat
from collections import Counter
from pathlib import Path

import pytest

from covey.ledger.entries import Abort, AnyEntry, Reserve, Settle, kind_of
from covey_server import server_file
from covey_server.nodes import read_book
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from covey_server.summary import read
from covey_server.superlink import asked
from serving_host import ServingHost, devices, node_key, serving
from small_disk import fill, small_disk

MINUTE = 60


def ledger_lines(host: ServingHost) -> list[bytes]:
    return RunFolder.open(host.state / "runs/pilot").ledger.lines()[0]


def entries(host: ServingHost) -> list[AnyEntry]:
    return read_entries(RunFolder.open(host.state / "runs/pilot").ledger)


def next_round(host: ServingHost) -> None:
    """A round more, within a minute."""
    before = len(host.rounds())
    host.wait(lambda: len(host.rounds()) > before or host.is_done(), MINUTE)


def check_books(host: ServingHost, rounds: int) -> None:
    """No round twice; every sum has one end; the last round's model is the run's."""
    host.wait(host.is_done, 120)
    host.wait(
        lambda: json.loads((host.state / "orders/pilot/progress.json").read_bytes())["state"] == "finished"
    )
    assert host.rounds() == list(range(1, rounds + 1))
    assert read(host.state / "runs/pilot/summary.json").rounds == rounds
    found = entries(host)
    asked = Counter(each.plan for each in found if isinstance(each, Reserve))
    assert set(asked.values()) == {1}
    sums = [each for each in found if isinstance(each, Reserve)]
    ends = [each for each in found if isinstance(each, Settle | Abort)]
    assert len(ends) == len(sums)
    opened = Counter(kind_of(each) for each in found)
    assert opened["round.settle"] == rounds + 2  # and one validation, and the ranges for int8
    audit = host.covey("audit", str(host.state / "runs/pilot"), "--json")
    codes = {each["code"] for each in json.loads(audit.stdout)["findings"] if each["severity"] == "critical"}
    assert codes == {"no-masks", "no-noise"}, audit.stdout  # what is true of it, and nothing else


@pytest.mark.timeout(280)
def test_a_killed_server_app_is_started_again_and_no_round_counts_twice(tmp_path: Path) -> None:
    with serving(tmp_path) as host, devices(host, 2):
        assert host.order(2).returncode == 0
        host.wait(lambda: host.rounds() == [1], 2 * MINUTE)
        before = ledger_lines(host)
        (app,) = host.processes("superlink", "flwr-serverapp")
        os.kill(app, signal.SIGKILL)
        next_round(host)
        assert ledger_lines(host)[: len(before)] == before
        check_books(host, 2)
        told = host.covey("fleet", "status", "--json")
        assert told.returncode == 0, told.stderr
        status = json.loads(told.stdout)
        (run,) = status["runs"]
        assert (run["state"], run["round"], run["rounds"], run["devices"]) == ("finished", 2, 2, 2)
        assert (run["starts"], run["epsilon"]) == (2, None)
        assert status["supernodes"] == {"online": 2}
        lines = host.covey("fleet", "status").stdout.splitlines()
        assert lines[1].strip() == "superlink: healthy"
        assert lines[3].startswith("run pilot: finished, round 2/2, 2 devices, loss ")
        again = host.order(2)
        assert again.returncode == 2
        assert "run pilot is finished" in again.stderr
        assert "round 2/2" in host.covey("fleet", "logs", "pilot").stdout
        assert host.stop() == 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_superlink_its_executor_and_the_server_are_killed_and_the_federation_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as host, devices(host, 2):
        assert host.order(5).returncode == 0
        host.wait(lambda: host.rounds() == [1], 2 * MINUTE)
        for named in ("flower-superlink", "flower-superexec"):
            before = ledger_lines(host)
            (pid,) = host.processes("superlink", named)
            os.kill(pid, signal.SIGKILL)
            next_round(host)
            assert ledger_lines(host)[: len(before)] == before
        before = ledger_lines(host)
        host.kill()
        host.start()
        next_round(host)
        assert ledger_lines(host)[: len(before)] == before
        check_books(host, 5)
        assert host.stop() == 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_frozen_superlink_is_ended_and_started_again(tmp_path: Path) -> None:
    with serving(tmp_path) as host, devices(host, 2):
        assert host.order(2).returncode == 0
        host.wait(lambda: host.rounds() == [1], 2 * MINUTE)
        (pid,) = host.processes("superlink", "flower-superlink")
        os.kill(pid, signal.SIGSTOP)
        next_round(host)
        check_books(host, 2)


@pytest.mark.timeout(120)
def test_whatever_a_killed_server_left_is_ended_before_the_next_begins(tmp_path: Path) -> None:
    with serving(tmp_path) as host:
        host.kill()
        left = host.processes("superlink", "flower-superlink")
        host.start()  # the port is held until the leftovers are gone
        host.wait(lambda: bool(set(host.processes("superlink", "flower-superlink")) - set(left)))
        host.wait(host.is_healthy)
        assert len(host.processes("superlink", "flower-superlink")) == 1
        assert len(host.processes("superlink", "flower-superexec")) == 1
        other = host.covey("serve", str(host.config))
        assert other.returncode == 2
        assert "another server runs with this state" in other.stderr
        assert host.stop() == 0
    none = host.covey("fleet", "status")
    assert none.returncode == 1
    assert none.stdout.startswith("no server runs")


@pytest.mark.timeout(120)
def test_the_superlink_listens_on_loopback_alone_and_keys_are_for_its_user(tmp_path: Path) -> None:
    with serving(tmp_path) as host:
        for path in (host.state, host.state / "superlink", host.state / "superlink/tls.key"):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it shows our address towards others
            own = probe.getsockname()[0]
        if own.startswith("127."):
            pytest.skip("this host has no address but loopback")
        with socket.socket() as other:
            assert other.connect_ex((own, host.port)) != 0


def states(host: ServingHost) -> dict[str, str]:
    """Each node's state, by its number, as the SuperLink tells it."""
    listed = asked(server_file.read(host.config), ("supernode", "list"))["nodes"]
    return {node["node-id"]: node["status"] for node in listed}


@pytest.mark.timeout(160)
def test_a_device_with_a_new_key_is_a_new_node_also_where_the_server_was_killed_meanwhile(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as host:
        path, nodes = host.state / "superlink/nodes.json", list[str]()
        for _ in range(2):
            node_key(host, "pi0")
            host.wait(lambda: {each.node for each in read_book(path).values()} - {*nodes} != set())
            nodes.append(read_book(path)["pi0"].node)
            if len(nodes) == 1:
                before = path.read_bytes()
        old, new = nodes
        assert (states(host).get(old), states(host)[new]) in (
            (None, "registered"),
            ("unregistered", "registered"),
        )
        assert host.stop() == 0
        (host.operator / "nodes/pi0.pub").unlink()
        path.write_bytes(before)  # as if it had not come to note what it had asked
        host.start()
        host.wait(lambda: read_book(path) == {})


@pytest.mark.timeout(120)
def test_what_is_wrong_with_a_federation_is_said_before_anything_starts(tmp_path: Path) -> None:
    host = ServingHost(tmp_path)
    path = tmp_path / "federation.toml"
    path.write_text('name = "pilot"\n[model]\nname = "digits"\n[federation]\nrounds = 1\n')
    for config, told in (
        (path.read_text() + "[privacy]\nepsilon = 8\n", "holds no operator's key"),
        (path.read_text() + "[privacy]\nmasks = false\n", "say how much noise"),
        (path.read_text() + "[privacy]\nsmoke = 1\n", "smoke"),
    ):
        path.write_text(config)
        done = host.covey("fleet", "run", str(path), "--detach")
        assert done.returncode == 2
        assert told in done.stderr, done.stderr
        path.write_text('name = "pilot"\n[model]\nname = "digits"\n[federation]\nrounds = 1\n')
    assert not (host.state / "orders").exists()


@pytest.mark.long
@pytest.mark.timeout(200)
def test_on_a_full_disk_the_server_says_so_lives_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "server", "64m") as disk, serving(tmp_path) as host:
        assert host.serving
        before = host.processes("superlink", "flower-superlink")
        os.kill(host.serving.pid, signal.SIGSTOP)  # so that it finds order and full disk together
        assert host.order(1).returncode == 0
        filler = fill(disk)
        log = host.folder / "serve.log"
        os.kill(host.serving.pid, signal.SIGCONT)
        host.wait(lambda: "No space left" in log.read_text())
        assert host.processes("superlink", "flower-superlink") == before
        filler.unlink()
        host.wait(lambda: "run pilot begins" in log.read_text(), 60)
        assert host.serving.poll() is None
        assert host.covey("fleet", "stop", "pilot").returncode == 0
        host.wait(lambda: "run pilot was stopped" in log.read_text(), 90)


@pytest.mark.timeout(200)
def test_a_run_that_never_gets_devices_fails_with_its_reason_and_can_be_stopped(tmp_path: Path) -> None:
    with serving(tmp_path, attempts=1) as host:
        path = tmp_path / "federation.toml"
        text = 'name = "{name}"\n[model]\nname = "digits"\n[federation]\nrounds = 1\nround_timeout = {wait}\n'
        path.write_text(text.format(name="lonely", wait=1.0) + "[privacy]\nmasks = false\nnoise = false\n")
        done = host.covey("fleet", "run", str(path))
        assert done.returncode == 1
        assert "0 devices connected within 1 s" in done.stderr
        path.write_text(text.format(name="other", wait=600.0) + "[privacy]\nmasks = false\nnoise = false\n")
        assert host.covey("fleet", "run", str(path), "--detach").returncode == 0
        host.wait(lambda: bool(host.processes("superlink", "flwr-serverapp")))
        stopped = host.covey("fleet", "stop", "other")
        assert stopped.stdout == "run other: stopped\n"
        host.wait(lambda: not host.processes("superlink", "flwr-serverapp"))
        assert host.stop() == 0
