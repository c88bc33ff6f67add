"""The server in containers: what compose.yaml lets out of them, and what they may do."""

from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # stubs would be one more package

from covey_server.server_file import read

DEPLOY = Path(__file__).parents[2] / "server" / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
ENROLMENT, SUPERLINK = 9481, 9480


def test_proxy_and_sessions_are_published_and_the_superlink_is_not() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["443:443", "9482:9482"]
    file = read(DEPLOY / "server.toml")
    assert file.sessions.address == "0.0.0.0:9482"
    assert (file.superlink.port, file.enrolment.port) == (SUPERLINK, ENROLMENT)
    assert SERVICES["proxy"]["network_mode"] == "service:server"  # the SuperLink listens on loopback


@pytest.mark.parametrize("name", ["server", "proxy"])
def test_they_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    proxy = {"CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"}
    assert set(service.get("cap_add", [])) == (proxy if name == "proxy" else set())
    assert {"privileged", "pid", "ipc", "devices"}.isdisjoint(service)


def test_the_server_is_a_user_of_its_own_and_the_comment_names_it() -> None:
    build = (DEPLOY / "Containerfile").read_text()
    assert "--uid 7480" in build
    assert "USER covey-server" in build
    assert "chown -R 7480:7480" in (DEPLOY / "compose.yaml").read_text()


def test_what_is_copied_is_in_the_clone() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert all((DEPLOY.parents[1] / each).exists() for each in copied)
    for service in SERVICES.values():
        assert service["build"]["context"] == "../.."
        assert (DEPLOY.parents[1] / service["build"]["dockerfile"]).exists()
