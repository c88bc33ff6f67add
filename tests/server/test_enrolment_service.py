"""The enrolment endpoint against strangers: floods, slow callers, oversized and malformed messages."""

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from covey.errors import InputError
from covey.invitation import MAX_SUBMISSION_BYTES, Anchors
from covey_io.http_service import MOST_HEAD_BYTES
from covey_server import enrolment_service, fleet_invitations
from covey_server.enrolment_desk import EnrolmentDesk
from covey_server.enrolment_service import EnrolmentServer, Place, Rates
from covey_server.fleet_owner import OwnedFleet
from enrolment_endpoint import Endpoint, running, trusting
from made_fleet import HOUR, device, keys_of, made, submission


@pytest.fixture
def fleet(tmp_path: Path) -> OwnedFleet:
    return made(tmp_path / "fleet")


@pytest.fixture
def endpoint(fleet: OwnedFleet) -> Iterator[Endpoint]:
    with running(fleet) as found:
        yield found


def sent(fleet: OwnedFleet, folder: Path, name: str = "pi-1") -> tuple[str, bytes]:
    """A request's hash, and what its device posts."""
    token = fleet_invitations.invite(fleet, "", int(time.time()) + HOUR)
    asked = device(folder, name)
    return asked.digest, msgspec.json.encode(submission(asked, token)) + b"\n"


class TestCalls:
    def test_from_the_request_to_the_admission(
        self, fleet: OwnedFleet, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        digest, body = sent(fleet, tmp_path)
        assert endpoint.ask("GET", f"/enrol/{digest}")[0] == 404
        assert endpoint.ask("POST", "/enrol", body) == (202, b"waiting for the fleet's owner\n")
        assert endpoint.ask("GET", f"/enrol/{digest}")[0] == 202
        waited = fleet_invitations.waiting(fleet)
        (answer,) = fleet_invitations.admit(fleet, keys_of(fleet), waited, int(time.time()))
        assert endpoint.ask("GET", f"/enrol/{digest}") == (200, answer)
        fleet_invitations.refuse(fleet, [each.asked for each in waited])
        assert endpoint.ask("GET", f"/enrol/{digest}")[0] == 200
        assert endpoint.said == [f"pi-1 asks to be admitted: {waited[0].asked.fingerprint}"]

    def test_the_fleets_keys_are_shown_to_anybody(self, fleet: OwnedFleet, endpoint: Endpoint) -> None:
        status, body = endpoint.ask("GET", "/enrol/ca")
        shown = msgspec.json.decode(body, type=Anchors)
        assert status == 200
        assert (shown.enrolment, shown.ca) == (fleet.enrolment_key().hex(), fleet.authority_der())

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/"),
            ("GET", "/enrol"),
            ("GET", "/enrol/"),
            ("GET", "/enrol/../operator.key"),
            ("GET", "/enrol/%2e%2e%2foperator.key"),
            ("GET", "/enrol/pending"),
            ("GET", "//etc/passwd"),
            ("POST", "/"),
            ("POST", "/enrol/ca"),
        ],
    )
    def test_there_is_nothing_else(self, endpoint: Endpoint, method: str, path: str) -> None:
        assert endpoint.ask(method, path, b"" if method == "POST" else None)[0] == 404

    def test_a_fault_here_is_told_to_the_owner_only(
        self, fleet: OwnedFleet, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        _, body = sent(fleet, tmp_path)
        for path in (fleet.operator / "invitations").glob("*.json"):
            path.write_bytes(b"{}")
        status, told = endpoint.ask("POST", "/enrol", body)
        assert (status, told) == (500, b"the server cannot answer: tell the fleet's owner\n")
        assert "is damaged" in endpoint.said[-1]
        assert str(fleet.operator) not in told.decode()

    def test_a_full_disk_takes_nothing_and_keeps_the_invitation(
        self, fleet: OwnedFleet, endpoint: Endpoint, tmp_path: Path
    ) -> None:
        digest, body = sent(fleet, tmp_path)
        pending = fleet.operator / "pending"
        pending.mkdir()
        blocked = pending / f".{digest}.json.tmp"
        blocked.mkdir()  # it cannot be written
        assert endpoint.ask("POST", "/enrol", body)[0] == 500
        blocked.rmdir()
        assert endpoint.ask("POST", "/enrol", body)[0] == 202


class TestStrangers:
    @pytest.mark.parametrize("length", ["", "-1", "1e3", "٣", "+5", "0x10"])
    def test_a_request_says_how_long_it_is(self, endpoint: Endpoint, length: str) -> None:
        with endpoint.connect() as connection:
            connection.sendall(f"POST /enrol HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
            assert b" 411 " in connection.recv(4096)

    @pytest.mark.parametrize("length", [MAX_SUBMISSION_BYTES + 1, 10**9, 10**100])
    def test_a_large_request_is_not_read(self, endpoint: Endpoint, length: int) -> None:
        with endpoint.connect() as connection:
            connection.sendall(b"POST /enrol HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length)
            assert b" 413 " in connection.recv(4096)

    def test_headers_do_not_fill_the_memory(self, endpoint: Endpoint) -> None:
        with endpoint.connect() as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /enrol/ca HTTP/1.1\r\n")
            for number in range(64):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * (MOST_HEAD_BYTES // 16)))
            connection.sendall(b"\r\n")
            assert b" 200 " not in connection.recv(4096)
        assert endpoint.ask("GET", "/enrol/ca")[0] == 200

    @pytest.mark.parametrize(
        "part", [b"", b"G", b"GET /enrol/ca HT", b"POST /enrol HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"]
    )
    def test_a_caller_that_trickles_is_cut_off(
        self, endpoint: Endpoint, part: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrolment_service._Handler, "patience", 0.3)
        with endpoint.connect() as connection:
            connection.sendall(part)
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < began + 10:
                    connection.sendall(b"x")
                    connection.settimeout(0.05)
                    with contextlib.suppress(TimeoutError):
                        if connection.recv(1) == b"":
                            break
            assert time.monotonic() < began + 5
        assert endpoint.ask("GET", "/enrol/ca")[0] == 200

    def test_one_address_does_not_take_every_connection(
        self, fleet: OwnedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrolment_service, "PER_ADDRESS", 3)
        with running(fleet) as endpoint, contextlib.ExitStack() as held:
            for _ in range(3):
                held.enter_context(endpoint.connect())
            with endpoint.connect() as further:
                assert further.recv(1) == b""
            with socket.socket() as other:  # of another address
                other.settimeout(10)
                other.bind(("127.0.0.2", 0))
                other.connect(("127.0.0.1", endpoint.port))
                other.sendall(b"GET /enrol/ca HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert b" 200 " in other.recv(4096)

    def test_a_stranger_does_not_drive_the_owners_terminal(self, endpoint: Endpoint) -> None:
        endpoint.ask("POST", "/enrol", b'{"request":"\x1b[2J","gate":"","proof":""}')
        with endpoint.connect() as connection:
            connection.sendall(b"\x1b[2J \x00\xff\r\n\r\n")
            connection.recv(4096)
        assert all(char.isprintable() for line in endpoint.said for char in line)


class TestFlood:
    def test_requests_of_one_address_are_limited(
        self, fleet: OwnedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrolment_service, "REQUESTS_PER_MINUTE", 5)
        with running(fleet) as endpoint:
            found = [endpoint.ask("POST", "/enrol", b"x")[0] for _ in range(9)]
            assert found == [400] * 5 + [429] * 4
            assert endpoint.ask("GET", "/enrol/ca")[0] == 200
        assert not (fleet.operator / "pending").exists()

    def test_calls_of_one_address_and_of_everybody_are_limited(
        self, fleet: OwnedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrolment_service, "CALLS_PER_MINUTE", 3)
        monkeypatch.setattr(enrolment_service, "ALL_PER_MINUTE", 5)
        with running(fleet, proxied=True) as endpoint:
            one = [endpoint.ask("GET", "/enrol/ca", X_Forwarded_For="192.0.2.1")[0] for _ in range(4)]
            other = [endpoint.ask("GET", "/enrol/ca", X_Forwarded_For="192.0.2.2")[0] for _ in range(2)]
            here = endpoint.ask("GET", "/enrol/ca")[
                0
            ]  # a supervisor, which would restart what it cannot reach
        assert (one, other, here) == ([200] * 3 + [429], [200, 429], 200)

    def test_who_calls_is_what_the_proxy_says_last(
        self, fleet: OwnedFleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(enrolment_service, "CALLS_PER_MINUTE", 2)
        claims = [f"198.51.100.{number}, 192.0.2.1" for number in range(3)]
        with running(fleet, proxied=True) as endpoint:
            assert [endpoint.ask("GET", "/enrol/ca", X_Forwarded_For=each)[0] for each in claims] == [
                200,
                200,
                429,
            ]
        with running(fleet) as endpoint:  # without a proxy, nobody is believed
            found = [endpoint.ask("GET", "/enrol/ca", X_Forwarded_For=f"192.0.2.{n}")[0] for n in range(3)]
            assert found == [200, 200, 429]

    def test_a_bucket_fills_steadily_and_forgets_the_oldest(self) -> None:
        now = [0.0]
        rates = Rates(60, most=2, clock=lambda: now[0])
        assert sum(rates.allow("a") for _ in range(100)) == 60
        now[0] = 2.0
        assert [rates.allow("a") for _ in range(3)] == [True, True, False]
        for other in "bc":
            rates.allow(other)
        assert len(rates._left) == 2
        assert "a" not in rates._left


class TestTls:
    def test_the_certificate_is_the_fleets(self, fleet: OwnedFleet) -> None:
        with running(fleet, tls=True) as endpoint:
            context = trusting(fleet.authority_der())
            connection = http.client.HTTPSConnection("localhost", endpoint.port, timeout=10, context=context)
            connection.request("GET", "/enrol/ca")
            assert connection.getresponse().status == 200
            connection.close()
            stranger = http.client.HTTPSConnection("localhost", endpoint.port, timeout=10)
            with contextlib.closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
                stranger.connect()

    def test_a_silent_handshake_holds_up_nobody(self, fleet: OwnedFleet) -> None:
        with running(fleet, tls=True) as endpoint, contextlib.ExitStack() as held:
            silent = [held.enter_context(endpoint.connect()) for _ in range(3)]
            with endpoint.connect() as plain, contextlib.suppress(ConnectionError):
                plain.sendall(b"GET /enrol/ca HTTP/1.1\r\n\r\n")
                assert b" 200 " not in plain.recv(4096)
            context = trusting(fleet.authority_der())
            connection = http.client.HTTPSConnection("localhost", endpoint.port, timeout=10, context=context)
            connection.request("GET", "/enrol/ca")
            assert connection.getresponse().status == 200
            connection.close()
            assert len(silent) == 3
        assert endpoint.said == []

    def test_keys_that_are_missing_or_do_not_fit_are_said(self, fleet: OwnedFleet, tmp_path: Path) -> None:
        other = made(tmp_path / "other")
        (fleet.operator / "tls.key").write_bytes((other.operator / "tls.key").read_bytes())
        for _ in range(2):
            with pytest.raises(InputError, match=r"tls\.crt and tls\.key"), running(fleet, tls=True):
                pass
            (fleet.operator / "tls.key").unlink(missing_ok=True)
        with pytest.raises(InputError, match=r"ca\.crt"):
            EnrolmentServer(EnrolmentDesk(tmp_path), Place(), print)
