"""The proxies of server/deploy in front of a real server: what passes, what does not, and under attack."""

import http.client
import json
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flower_programs import free_port, running
from proxies import Proxy, closed_within, proxied
from serving_host import ServingHost, devices, node_key, serving

PROXIES = ("nginx", "caddy")
SLOW = 300

CONTROL = ("list-runs", "start-run", "list-nodes", "register-node", "stream-logs")
DISGUISES = (
    "/v1/fleet/../control/list-runs",
    "/v1/fleet/%2e%2e/control/list-runs",
    "/v1/fleet/..%2fcontrol/list-runs",
    "/v1/fleet/%2e%2e%2fcontrol%2flist-runs",
    "/v1/fleet/..;/control/list-runs",
    "//v1//control//list-runs",
    "/V1/CONTROL/list-runs",
    "/v1/control/list-runs?/v1/fleet/pull-messages",
    "/v1/control/list-runs/../../fleet/pull-messages",
    "/v1/control/list-runs%00/../../fleet/pull-messages",
    "/v1/control/list-runs%3f/../../fleet/pull-messages",
    "/v1/control%2flist-runs",
    "https://localhost/v1/control/list-runs",
    "/health/../v1/control/list-runs",
    "/enrol/../v1/control/list-runs",
)


@contextmanager
def fronted(folder: Path, program: str) -> Iterator[tuple[ServingHost, Proxy]]:
    """A server with an enrolment endpoint, and a proxy in front."""
    with serving(folder, fleet=True) as host, proxied(program, host) as proxy:
        yield host, proxy


def directly(host: ServingHost, path: str) -> int:
    """The SuperLink's own answer, on loopback."""
    context = ssl.create_default_context(cafile=str(host.state / "superlink/ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", host.port, timeout=10, context=context)
    try:
        connection.request("POST", path, body=b"", headers={"Content-Type": "application/x-protobuf"})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.timeout(280)
def test_a_federation_runs_through_nginx_and_control_is_refused(tmp_path: Path) -> None:
    with (
        fronted(tmp_path, "nginx") as (host, proxy),
        devices(host, 2, address=f"localhost:{proxy.port}", ca=proxy.ca),
    ):
        assert host.order(1).returncode == 0
        host.wait(host.is_done, 150)
        assert host.rounds() == [1]
        assert proxy.asked("POST", "/v1/control/list-runs") == 404
        status = json.loads(host.covey("fleet", "status", "--json").stdout)
        assert status["supernodes"] == {"online": 2}
        assert [part["name"] for part in status["server"]["parts"]] == ["superlink", "enrolment"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", PROXIES)
def test_only_fleet_releases_health_and_enrolment_pass(tmp_path: Path, program: str) -> None:
    with fronted(tmp_path, program) as (host, proxy):
        site = host.folder / "releases"
        for path in ("metadata/1.root.json", "targets/rollout/a.json", "staged/root.json", "secret.key"):
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text("{}")
        for path, status in (("metadata/1.root.json", 200), ("targets/rollout/a.json", 200)):
            assert proxy.asked("GET", f"/releases/{path}") == status
            assert proxy.asked("POST", f"/releases/{path}") != status
        for path in (
            "staged/root.json",
            "secret.key",
            "metadata/../secret.key",
            "metadata/",
            "",
            "metadata/2",
        ):
            assert proxy.asked("GET", f"/releases/{path}") in {301, 308, 400, 403, 404}
        assert proxy.asked("GET", "/health") == 200
        assert proxy.asked("GET", "/enrol/ca") == 200
        assert proxy.asked("GET", f"/enrol/{'0' * 64}") == 404
        assert proxy.asked("POST", "/v1/fleet/pull-messages") in {400, 401, 403, 415, 422}  # not signed
        for name in CONTROL:
            assert directly(host, f"/v1/control/{name}") != 404  # it is there, and it is what is refused
            assert proxy.asked("POST", f"/v1/control/{name}") == 404
        for path in (
            "/v1/runtime/acquire-task",
            "/v1/runtime/get-nodes",
            "/docs",
            "/openapi.json",
            "/",
            "/v1",
        ):
            for method in ("GET", "POST"):
                assert proxy.asked(method, path) in {403, 404, 405}, path
        for path in DISGUISES:
            for method in ("GET", "POST"):
                assert 400 <= proxy.asked(method, path) < 500, path
        assert proxy.asked("DELETE", "/v1/fleet/pull-messages") in {403, 404, 405}
        log = host.state / "logs/superlink.log"
        host.wait(lambda: log.read_text().count("POST /v1/control/") >= len(CONTROL), 30)
        assert log.read_text().count('"POST /v1/control/') == len(CONTROL)  # ours, on loopback
        assert '"GET /v1/control/' not in log.read_text()


@pytest.mark.timeout(120)
def test_a_supernode_with_a_key_that_nobody_admitted_does_not_get_in(tmp_path: Path) -> None:
    with fronted(tmp_path, "nginx") as (host, proxy):
        key = node_key(host, "stranger")
        (host.operator / "nodes/stranger.pub").unlink()
        words = ("--superlink", f"localhost:{proxy.port}", "--root-certificates", str(proxy.ca))
        more = ("--auth-supernode-private-key", str(key), "--port", str(free_port()))
        with running("flower-supernode@stranger", *words, *more, folder=tmp_path) as node:
            host.wait(lambda: node.poll() is not None, 30)
        nodes = json.loads(host.covey("fleet", "status", "--json").stdout)["supernodes"]
        assert "online" not in nodes


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", PROXIES)
def test_oversized_requests_are_refused_and_slow_ones_do_not_keep_others_out(
    tmp_path: Path, program: str
) -> None:
    with fronted(tmp_path, program) as (_, proxy), ExitStack() as stack:
        heads = [stack.enter_context(proxy.connected()) for _ in range(SLOW)]
        bodies = [stack.enter_context(proxy.connected()) for _ in range(50)]
        for each in heads:
            each.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for each in bodies:
            each.sendall(
                b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
            )
        began = time.monotonic()
        assert proxy.asked("GET", "/health") == 200
        assert time.monotonic() - began < 5
        # by the proxy, which may close before all is sent, or by the endpoint behind it
        assert proxy.asked("POST", "/enrol", bytes(100_000)) in {413, 502, 0}
        assert said_too_large(proxy, "/v1/fleet/push-messages", 65 << 20)
        assert proxy.asked("GET", "/" + "a" * 40_000) in {400, 414, 431, 0}
        assert closed_within(heads, b"x", 20)
        assert proxy.asked("GET", "/health") == 200


def said_too_large(proxy: Proxy, path: str, size: int) -> bool:
    """Whether a body is refused: by its announced length, or where it grows beyond."""
    with proxy.connected(timeout=30) as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        raw.sendall(head.encode())
        try:
            for _ in range(-(-size >> 20)):
                raw.sendall(os.urandom(1 << 20))
        except OSError:
            return True  # cut off
        return raw.recv(64).split(b" ")[1] in {b"413", b"502", b"400"}
