"""Enrolling over a network: with the real endpoint over TLS, and with servers that lie."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from covey.enrolment import Asked
from covey.errors import CoveyError, InputError, ProtocolError
from covey.identity import public_of
from covey.invitation import Anchors, Token
from covey_client import enrolling
from covey_client.enrolling import Endpoint, Patience, enrol
from covey_io.device_enrolment import is_enrolled, make_request, own_admission
from covey_io.device_keys import read_keys
from covey_server import fleet_invitations
from covey_server.fleet_owner import OwnedFleet
from enrolment_endpoint import running
from enrolment_papers import ENROLMENT, OPERATOR, admitted, authority
from http_thread import in_a_thread
from made_fleet import HOUR, device, keys_of, made


@pytest.fixture
def fleet(tmp_path: Path) -> OwnedFleet:
    return made(tmp_path / "fleet")


@pytest.fixture
def token(fleet: OwnedFleet) -> Token:
    return fleet_invitations.invite(fleet, "pi-1", int(time.time()) + HOUR)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return device(tmp_path, "pi-1")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "pi-1"


def patience(seconds: float = 0, then: Callable[[], object] = lambda: None) -> Patience:
    """That takes no time; while it waits, `then` happens."""
    now = [0.0]

    def sleep(pause: float) -> None:
        now[0] += pause
        then()

    return Patience(seconds, lambda _: None, lambda: now[0], sleep)


def approve(fleet: OwnedFleet) -> None:
    waited = fleet_invitations.waiting(fleet)
    assert all(each.invitation for each in waited)
    fleet_invitations.admit(fleet, keys_of(fleet), waited, int(time.time()))


class TestReal:
    @pytest.mark.parametrize("tls", [True, False])
    def test_from_the_token_to_the_enrolled_device(
        self, fleet: OwnedFleet, token: Token, asked: Asked, keys: Path, tls: bool
    ) -> None:
        with running(fleet, tls=tls) as endpoint:
            found = enrol(endpoint.url, asked, keys, token, patience(60, lambda: approve(fleet)))
        assert found.admission.device == "pi-1"
        assert is_enrolled(keys)
        assert read_keys(keys).me.enrolment == fleet.enrolment_key()

    def test_it_goes_on_where_it_was(self, fleet: OwnedFleet, token: Token, asked: Asked, keys: Path) -> None:
        said: list[str] = []
        with running(fleet, tls=True) as endpoint:
            for _ in range(2):
                waits = Patience(0, said.append)
                with pytest.raises(CoveyError, match="not admitted yet") as caught:
                    enrol(endpoint.url, asked, keys, token, waits)
                assert "run the same again" in caught.value.hint
                assert not is_enrolled(keys)
            approve(fleet)
            enrol(endpoint.url, asked, keys, token, patience())
        assert said == ["waiting for the fleet's owner"] * 2
        assert is_enrolled(keys)

    def test_an_enrolled_device_needs_no_token(
        self, fleet: OwnedFleet, token: Token, asked: Asked, keys: Path
    ) -> None:
        with running(fleet, tls=True) as endpoint:
            enrol(endpoint.url, asked, keys, token, patience(60, lambda: approve(fleet)))
            moved = fleet.tell("https://moved.example", ["localhost", "127.0.0.1"])
            moved.admit(keys_of(moved), [asked], int(time.time()))
            enrol(endpoint.url, asked, keys, None, patience())
        assert (keys / "server").read_text() == "https://moved.example\n"

    def test_without_either_nothing_is_asked(self, asked: Asked, keys: Path) -> None:
        with pytest.raises(InputError, match="a token is needed"):
            enrol("https://192.0.2.1", asked, keys, None, patience())

    def test_a_token_that_another_device_used_is_refused(
        self, fleet: OwnedFleet, asked: Asked, keys: Path, tmp_path: Path
    ) -> None:
        token = fleet_invitations.invite(fleet, "", int(time.time()) + HOUR)
        with running(fleet, tls=True) as endpoint:
            other = make_request(tmp_path / "other", "pi-9")
            with pytest.raises(CoveyError, match="not admitted yet"):
                enrol(endpoint.url, other, tmp_path / "other", token, patience())
            with pytest.raises(InputError, match="this invitation was used") as caught:
                enrol(endpoint.url, asked, keys, token, patience())
        assert "covey fleet invite" in caught.value.hint
        assert token.text not in str(caught.value)

    def test_an_expired_one_is_refused(self, fleet: OwnedFleet, asked: Asked, keys: Path) -> None:
        token = fleet_invitations.invite(fleet, "pi-1", int(time.time()) - 1)
        with running(fleet, tls=True) as endpoint, pytest.raises(InputError, match="has expired"):
            enrol(endpoint.url, asked, keys, token, patience())

    def test_one_for_another_name_is_refused(self, fleet: OwnedFleet, token: Token, tmp_path: Path) -> None:
        other = device(tmp_path, "pi-2")
        with running(fleet, tls=True) as endpoint, pytest.raises(InputError, match="of another name"):
            enrol(endpoint.url, other, tmp_path / "pi-2", token, patience())

    def test_one_of_another_fleet_is_not_shown_to_this_server(
        self, fleet: OwnedFleet, asked: Asked, keys: Path, tmp_path: Path
    ) -> None:
        theirs = made(tmp_path / "theirs")
        token = fleet_invitations.invite(theirs, "pi-1", int(time.time()) + HOUR)
        with (
            running(fleet, tls=True) as endpoint,
            pytest.raises(ProtocolError, match="another fleet") as caught,
        ):
            enrol(endpoint.url, asked, keys, token, patience())
        assert "in between" in caught.value.hint
        assert not (fleet.operator / "pending").exists()

    def test_a_server_with_a_certificate_of_another_authority_is_not_told_the_token(
        self, fleet: OwnedFleet, token: Token, asked: Asked, keys: Path, tmp_path: Path
    ) -> None:
        """Somebody in between who passes the fleet's keys on, and has a certificate of his own."""
        theirs = made(tmp_path / "theirs")
        for name in ("tls.key", "tls.crt"):
            (fleet.operator / name).write_bytes((theirs.operator / name).read_bytes())
        with running(fleet, tls=True) as endpoint, pytest.raises(CoveyError, match="does not hold"):
            enrol(endpoint.url, asked, keys, token, patience())
        assert not (fleet.operator / "pending").exists()

    def test_nor_one_for_another_host_or_one_that_expired(
        self, fleet: OwnedFleet, token: Token, asked: Asked, keys: Path
    ) -> None:
        now = int(time.time())
        for elsewhere, days in ((fleet.tell(None, ["elsewhere.example"]), 30), (fleet, -1)):
            elsewhere.renew(keys_of(fleet), now, max(days, 1))
            if days < 0:
                fleet.certify_server(keys_of(fleet), now - 10 * HOUR, now - HOUR)
            with (
                running(fleet, tls=True) as endpoint,
                pytest.raises(CoveyError, match="does not hold") as caught,
            ):
                enrol(endpoint.url, asked, keys, token, patience())
            assert "clock" in caught.value.hint
        assert not (fleet.operator / "pending").exists()

    def test_a_refused_device_stops_asking(
        self, fleet: OwnedFleet, token: Token, asked: Asked, keys: Path
    ) -> None:
        with running(fleet, tls=True) as endpoint, pytest.raises(CoveyError, match="refused this device"):
            enrol(
                endpoint.url,
                asked,
                keys,
                token,
                patience(60, lambda: fleet_invitations.refuse(fleet, [asked])),
            )

    def test_a_server_that_goes_away_meanwhile_is_waited_for(
        self, fleet: OwnedFleet, token: Token, asked: Asked
    ) -> None:
        with running(fleet, tls=True) as endpoint:
            believed = Endpoint(endpoint.url, Endpoint(endpoint.url).keys())
            assert isinstance(enrolling.ask(believed, asked, token), enrolling.Waits)
        gone = enrolling.ask(believed, asked, token)
        assert isinstance(gone, enrolling.Waits)
        assert "no answer" in gone.why
        assert gone.why.endswith("trying again")


def test_it_asks_less_and_less_often() -> None:
    pauses: list[float] = []
    now = [0.0]

    def sleep(pause: float) -> None:
        pauses.append(pause)
        now[0] += pause

    assert len(list(Patience(120, print, lambda: now[0], sleep).times())) == len(pauses) + 1
    assert pauses[:3] == [2.0, 3.0, 4.5]
    assert max(pauses) == enrolling.LATEST
    assert sum(pauses) == 120


class TestLiars:
    """A server that answers what it likes, to a device whose token names a fleet."""

    def test_an_admission_of_another_key_is_refused(self, asked: Asked, keys: Path) -> None:
        for answer in (
            admitted(asked, OPERATOR),
            b"{}",
            b"",
            asked.data,
            admitted(asked).replace(b"papers", b"PAPERS"),
        ):
            with lying({"GET": answer}) as url, pytest.raises(ProtocolError):
                enrol(url, asked, keys, TOKEN, patience())
            assert not is_enrolled(keys)

    def test_so_is_one_of_another_device_or_authority(self, asked: Asked, keys: Path, tmp_path: Path) -> None:
        other = device(tmp_path, "pi-2")
        with lying({"GET": admitted(other)}) as url, pytest.raises(ProtocolError, match="another request"):
            enrol(url, asked, keys, TOKEN, patience())
        theirs = authority("theirs")
        certificate = theirs.client("pi-1", asked.tls, int(time.time()))
        answer = admitted(asked, ca=theirs.der, certificate=certificate)
        with (
            lying({"GET": answer}) as url,
            pytest.raises(ProtocolError, match="another certificate authority"),
        ):
            enrol(url, asked, keys, TOKEN, patience())
        assert not is_enrolled(keys)

    def test_keys_that_are_not_the_tokens_are_refused_before_it_is_shown(
        self, asked: Asked, keys: Path
    ) -> None:
        for shown in (
            Anchors(enrolment=public_of(OPERATOR).hex(), ca=authority().der),
            Anchors(enrolment=public_of(ENROLMENT).hex(), ca=authority("theirs").der),
        ):
            seen: list[bytes] = []
            with lying({}, shown, seen) as url, pytest.raises(ProtocolError, match="another fleet"):
                enrol(url, asked, keys, TOKEN, patience())
            assert seen == []

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_server_that_is_busy_is_asked_again(self, asked: Asked, keys: Path, status: int) -> None:
        answers: dict[str, bytes] = {"GET": b"unknown", "POST": b"busy"}
        with lying(answers, status=status, unknown=True) as url:
            with pytest.raises(CoveyError, match="not admitted yet"):
                enrol(url, asked, keys, TOKEN, patience(20))
            enrol(url, asked, keys, TOKEN, patience(60, lambda: answers.update(POST=admitted(asked))))
        assert is_enrolled(keys)

    @pytest.mark.parametrize("status", [300, 301, 400, 404, 418])
    def test_what_is_not_understood_ends_it(self, asked: Asked, keys: Path, status: int) -> None:
        with lying({"POST": b"\x1b[2Jno"}, status=status) as url, pytest.raises(CoveyError) as caught:
            enrol(url, asked, keys, TOKEN, patience())
        assert str(caught.value).isprintable()

    def test_an_endless_answer_is_not_read(self, asked: Asked, keys: Path) -> None:
        said: list[str] = []
        with lying({"POST": b"x" * 200_000}) as url, pytest.raises(CoveyError, match="not admitted yet"):
            enrol(url, asked, keys, TOKEN, Patience(0, said.append))
        assert "more than 65536 bytes" in said[0]

    def test_nobody_there_is_said(self, asked: Asked, keys: Path) -> None:
        with pytest.raises(CoveyError, match="no answer") as caught:
            enrol("https://127.0.0.1:1", asked, keys, TOKEN, patience())
        assert "network" in caught.value.hint

    def test_an_admission_is_the_same_by_post(self, asked: Asked, keys: Path) -> None:
        with lying({"POST": admitted(asked)}) as url:
            enrol(url, asked, keys, TOKEN, patience())
        found = own_admission(keys)
        assert found is not None
        assert found.admission.fleet == "papers"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fleet.example",
        "ftp://x",
        "https://",
        "https://x:0",
        "https://x:99999",
        "https://x?a",
        "https://ü",
        "http://fleet.example",
        "http://192.0.2.1",
    ],
)
def test_a_url_over_which_nobody_should_ask_is_refused(url: str, asked: Asked, keys: Path) -> None:
    with pytest.raises(InputError):
        enrol(url, asked, keys, TOKEN, patience())


ANCHORS = Anchors(enrolment=public_of(ENROLMENT).hex(), ca=authority().der)
TOKEN = Token(b"a secret of ours", ANCHORS.pin)


@contextmanager
def lying(
    answers: Mapping[str, bytes],
    shown: Anchors = ANCHORS,
    seen: list[bytes] | None = None,
    status: int = 200,
    *,
    unknown: bool = False,
) -> Iterator[str]:
    """A server that shows keys, and answers each method as it likes.

    Where it has nothing to say it knows nothing of a request, or waits; `unknown` to know nothing always.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/enrol/ca":
                self.say(200, msgspec.json.encode(shown) + b"\n")
                return
            self.say(404 if unknown or "GET" not in answers else status, answers.get("GET", b"unknown"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if seen is not None:
                seen.append(body)
            answer = answers.get("POST", b"wait")
            code = 200 if answer.startswith(b'{"signed"') else status
            self.say(code if "POST" in answers else 202, answer)

        def say(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:  # whoever asked had enough
                return

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Nothing is said."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"
