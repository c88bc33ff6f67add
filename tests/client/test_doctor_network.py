"""Real certificates, real servers, real sockets."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from covey.errors import InputError
from covey_client import doctor_network as network
from covey_client.doctor_network import Address, address
from covey_server.fleet_ca import Authority, new_authority

NOW = int(time.time())
YEAR = 365 * 86400


def authority(begun: int = NOW) -> Authority:
    return new_authority("test", generate_private_key(SECP256R1()), begun)


def pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def enrolled(state: Path, fleet: Authority, signer: Authority | None = None) -> Path:
    state.mkdir(exist_ok=True)
    key = generate_private_key(SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mine = x509.load_der_x509_certificate((signer or fleet).client("pi-01", public, NOW))
    (state / "tls.key").write_bytes(pem(key))
    (state / "tls.crt").write_bytes(mine.public_bytes(Encoding.PEM))
    (state / "ca.crt").write_bytes(fleet.pem)
    return state


@pytest.fixture(scope="module")
def fleet() -> Authority:
    return authority()


@pytest.fixture
def state(tmp_path: Path, fleet: Authority) -> Path:
    return enrolled(tmp_path / "state", fleet)


def test_a_certificate_in_its_time(state: Path) -> None:
    row = network.check_certificate(state, NOW)
    assert row.verdict == "ok"
    assert row.found.startswith("valid until 20")


@pytest.mark.parametrize(
    ("later", "verdict", "word"),
    [
        (10 * YEAR - 20 * 86400, "warn", "expires on"),
        (11 * YEAR, "fail", "expired on"),
        (-2 * 86400, "fail", "not valid yet"),
    ],
)
def test_a_certificate_out_of_its_time(state: Path, later: float, verdict: str, word: str) -> None:
    row = network.check_certificate(state, NOW + later)
    assert row.verdict == verdict
    assert word in row.found
    assert row.todo


def test_a_certificate_of_another_authority_or_key(state: Path, fleet: Authority, tmp_path: Path) -> None:
    other = enrolled(tmp_path / "other", fleet, authority())
    assert network.check_certificate(other, NOW).found == "the fleet's authority did not issue it"
    (state / "tls.key").write_bytes(pem(generate_private_key(SECP256R1())))
    assert network.check_certificate(state, NOW).found == "it is for another key than the device's"


def test_a_certificate_that_is_damaged_or_gone(state: Path, tmp_path: Path) -> None:
    (state / "ca.crt").write_text("nonsense")
    assert network.check_certificate(state, NOW).verdict == "fail"
    assert network.check_certificate(tmp_path, NOW).verdict == "warn"


def test_enrolment(tmp_path: Path) -> None:
    assert network.check_enrolled(tmp_path).verdict == "fail"
    (tmp_path / "device.json").write_text("{}")
    assert network.check_enrolled(tmp_path).verdict == "ok"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://fleet.example.org", Address("fleet.example.org", 443)),
        ("http://127.0.0.1:8080/path", Address("127.0.0.1", 8080)),
        ("fleet.example.org:9093", Address("fleet.example.org", 9093)),
        ("[::1]:9093", Address("::1", 9093)),
    ],
)
def test_addresses(text: str, found: Address) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "fleet.example.org", "host:port", ":443", "host:99999"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        address(text)


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[Address]:
    """A server that shakes hands with whoever comes and then waits; without a context it says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.settimeout(5)
                        if context is None:
                            connection.recv(1)
                            connection.sendall(b"220 no TLS here\r\n")
                            continue
                        with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                            secure.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address("127.0.0.1", listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


def server_context(
    folder: Path, signer: Authority, *, host: str = "127.0.0.1", ends: int = NOW + YEAR
) -> ssl.SSLContext:
    key = generate_private_key(SECP256R1())
    begun = min(NOW, ends - 10)
    (folder / "server.pem").write_bytes(pem(key) + signer.server(key.public_key(), [host], begun, ends))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_a_server_of_the_fleet(state: Path, tmp_path: Path, fleet: Authority) -> None:
    with serving(server_context(tmp_path, fleet)) as where:
        row = network.check_reachable(where, state)
        assert row.verdict == "ok"
        assert row.found.startswith("TLSv1.3 in ")
        (state / "server").write_text(f"https://{where}\n")
        assert network.check_server(state).verdict == "ok"


def test_without_an_authority_it_only_answers(tmp_path: Path, fleet: Authority) -> None:
    with serving(server_context(tmp_path, fleet)) as where:
        assert network.check_reachable(where, tmp_path).verdict == "warn"
    assert network.check_server(tmp_path).found == "none is known"


def test_servers_whose_certificate_does_not_hold(state: Path, tmp_path: Path, fleet: Authority) -> None:
    wrong = [
        server_context(tmp_path, authority()),
        server_context(tmp_path, fleet, host="other.example.org"),
        server_context(tmp_path, fleet, ends=NOW - 60),
    ]
    for context in wrong:
        with serving(context) as where:
            row = network.check_reachable(where, state)
        assert row.verdict == "fail"
        assert row.found.startswith("its certificate does not hold: ")


def test_a_server_that_wants_the_devices_certificate(state: Path, tmp_path: Path, fleet: Authority) -> None:
    context = server_context(tmp_path, fleet)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=fleet.pem.decode())
    stranger = enrolled(tmp_path / "stranger", fleet, authority())
    with serving(context) as where:
        mutual = Address(where.host, where.port, mutual=True)
        assert network.check_reachable(mutual, state).verdict == "ok"
        assert network.check_reachable(mutual, stranger).found.startswith("no TLS: ")
        assert network.check_reachable(where, state).found.startswith("no TLS: ")


def test_a_port_without_tls(state: Path) -> None:
    with serving(None) as where:
        assert network.check_reachable(where, state).found.startswith("no TLS: ")


def test_a_server_that_says_nothing(state: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        where = Address("127.0.0.1", silent.getsockname()[1])
        row = network.check_reachable(where, state, seconds=0.2)
    assert row.found == "no answer within 0.2 s"


def test_nobody_listens_or_the_name_is_not_known(state: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    assert network.check_reachable(Address("127.0.0.1", port), state).found == "connection refused"
    row = network.check_reachable(Address("no-such-host.invalid", 443), state)
    assert row.found.startswith("the name is not known")


def test_the_agents_socket(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    assert network.check_socket(path).found == f"{path}: no such file or directory"
    path.touch()
    assert network.check_socket(path).found == f"{path} is no socket"
    path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        assert network.check_socket(path).found == f"{path}: connection refused"
        listening.listen()
        row = network.check_socket(path)
        assert row.verdict == "ok"
        assert row.found.endswith("mode 0600")
        if os.geteuid() == 0:
            os.chown(path, 54321, -1)
            assert "of user 54321" in network.check_socket(path).found


def systemctl(folder: Path, said: str) -> str:
    path = folder / "systemctl"
    wanted = "show --property=LoadState,ActiveState,NRestarts covey-agent.service"
    path.write_text(f'#!/bin/sh\n[ "$*" = "{wanted}" ] || exit 1\nprintf "{said}"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("said", "verdict", "found"),
    [
        ("LoadState=loaded\\nActiveState=active\\nNRestarts=0\\n", "ok", "active"),
        ("LoadState=loaded\\nActiveState=active\\nNRestarts=7\\n", "warn", "active, restarted 7 times"),
        ("LoadState=loaded\\nActiveState=failed\\nNRestarts=5\\n", "fail", "failed"),
        ("LoadState=not-found\\nActiveState=inactive\\n", "warn", "not installed"),
        ("", "fail", "unknown"),
    ],
)
def test_units(tmp_path: Path, said: str, verdict: str, found: str) -> None:
    row = network.check_unit("covey-agent.service", systemctl(tmp_path, said))
    assert (row.verdict, row.found) == (verdict, found)


def test_without_systemd_units_are_not_judged(tmp_path: Path) -> None:
    assert network.check_unit("covey-agent.service", str(tmp_path / "nowhere")).verdict == "warn"
