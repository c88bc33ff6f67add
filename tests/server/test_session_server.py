"""The session service over real TLS on loopback: who may attend, and what they may say."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from queue import Queue

import grpc
import pytest

from covey import delivery, session
from covey.delivery import Answer, Delivery, Refusal, Requested, to_bytes
from covey.errors import InputError
from covey.session import PIECE
from covey_client.session_client import Credentials, SessionClient
from covey_server import session_server
from covey_server.session_server import SessionServer, certificates
from digits_fleet import named
from session_service import QUESTION, Authority, Service, attending, raw, says, serving


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as made:
        yield made


ENDED = {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
"""By the server: as its last word to who reads, else on the wire."""


def never(_: Delivery) -> Answer:
    raise AssertionError("asked")


def refused(service: Service, client: SessionClient) -> str:
    """What its owner is told; it must never attend."""
    deadline = time.monotonic() + 20
    while not any("not connected" in line for line in service.told):
        assert time.monotonic() < deadline
        assert service.sessions.attending() == []
        time.sleep(0.02)
    client.close()
    return next(line for line in service.told if "not connected" in line)


def test_who_is_not_in_the_roster_is_sent_away_and_told(service: Service) -> None:
    told = refused(service, service.client("stranger", never))
    assert "permission denied: 'stranger' is not in the roster" in told


@pytest.mark.parametrize("case", ["another authority's", "expired", "none"])
def test_a_certificate_that_does_not_hold_opens_no_stream(
    case: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey_client.session_client.LONGEST_WAIT", 1.0)
    if case == "none":
        bare = grpc.ssl_channel_credentials(service.authority.pem)
        with grpc.secure_channel(service.address, bare) as channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=1)
        assert service.sessions.attending() == []
        return
    options = {"by": Authority()} if case == "another authority's" else {"days": -1}
    refused(service, service.client(named(2), never, **options))


def test_a_server_with_another_authoritys_certificate_is_not_believed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey_client.session_client.LONGEST_WAIT", 1.0)
    shown = service.credentials(named(2))
    shown = Credentials(Authority().pem, shown.certificate, shown.key)
    refused(service, SessionClient(service.address, shown, never, service.told.append))


def test_a_device_is_asked_and_heard_in_pieces(service: Service) -> None:
    """A delivery and an answer of several, over one stream."""
    asked = Requested("ab" * 32, "masked", bytes(range(256)) * (PIECE // 256) * 3)
    with attending(service, {named(2): lambda each: delivery.Reply(to_bytes(each))}):
        ticket = service.sessions.ask(named(2), to_bytes(asked))
        assert service.sessions.answers([ticket], 20) == {ticket: delivery.Reply(to_bytes(asked))}


def test_a_second_stream_of_a_device_is_the_one_that_counts(service: Service) -> None:
    with raw(service, named(2)) as one, raw(service, named(2)) as other:
        first = one.stream_stream("/covey.Sessions/Attend")(iter(Queue[bytes]().get, None))
        service.wait(1)
        second = other.stream_stream("/covey.Sessions/Attend")(iter(Queue[bytes]().get, None))
        assert first.code() in ENDED  # waits for it
        service.wait(1)
        ticket = service.sessions.ask(named(2), QUESTION)
        assert session.ask(next(second)).ticket == ticket
        first.cancel()
        second.cancel()


def test_one_device_cannot_take_up_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens streams and reads none of them; each new one ends the one before."""
    monkeypatch.setattr(session_server, "MOST_STREAMS", 6)
    large = to_bytes(Requested("ab" * 32, "share", bytes(16 * PIECE)))
    with serving() as service, ExitStack() as stack:
        ticket = service.sessions.ask(named(3), large)
        for _ in range(15):
            channel = stack.enter_context(raw(service, named(3)))
            call = channel.stream_stream("/covey.Sessions/Attend")(iter(Queue[bytes]().get, None))
            call.initial_metadata()  # it is at the server
            stack.callback(call.cancel)
        with attending_beside(service, named(2)):
            other = service.sessions.ask(named(2), QUESTION)
            assert service.sessions.answers([other], 20) == {other: Refusal("there")}
        service.sessions.forget([ticket])


def attending_beside(service: Service, name: str) -> ExitStack:
    """One more device."""
    stack = ExitStack()
    client = service.client(name, lambda _: Refusal("there"))
    stack.callback(client.close)
    service.wait(2)
    return stack


def test_a_device_that_does_not_read_holds_nobody_up(service: Service) -> None:
    large = to_bytes(Requested("ab" * 32, "share", bytes(16 * PIECE)))
    with raw(service, named(3)) as channel:
        call = channel.stream_stream("/covey.Sessions/Attend")(iter(Queue[bytes]().get, None))
        service.wait(1)
        with attending_beside(service, named(2)):
            tickets = [service.sessions.ask(device, large) for device in (named(3), named(2))]
            assert service.sessions.answers(tickets, 2) == {tickets[1]: Refusal("there")}
            service.sessions.forget(tickets)
        call.cancel()


def test_what_a_device_says_under_anothers_ticket_counts_for_nothing(service: Service) -> None:
    ticket = service.sessions.ask(named(2), QUESTION)
    lie = list(session.says(ticket, to_bytes(Refusal("a lie"))))
    assert says(service, named(3), *lie) is None
    assert service.sessions.answers([ticket], 0) == {}


@pytest.mark.parametrize("data", [b"", b"\xc1", bytes(1000)], ids=["nothing", "no message", "zeros"])
def test_what_is_no_answer_ends_the_stream_and_no_other(data: bytes, service: Service) -> None:
    with attending(service, {named(2): lambda _: Refusal("there")}):
        assert says(service, named(3), data) not in {None, grpc.StatusCode.OK}
        ticket = service.sessions.ask(named(2), QUESTION)
        assert service.sessions.answers([ticket], 20) == {ticket: Refusal("there")}


def test_pieces_out_of_order_end_the_stream(service: Service) -> None:
    ticket = service.sessions.ask(named(3), QUESTION)
    _, second, *_ = session.says(ticket, bytes(3 * PIECE))
    assert says(service, named(3), second) not in {None, grpc.StatusCode.OK}


def test_a_message_that_is_too_long_is_not_read(service: Service) -> None:
    assert says(service, named(3), bytes(session.FRAME + 1)) == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_who_never_says_hello_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a handshake is closed in time, and meanwhile nobody waits for it."""
    options = dict(session_server.OPTIONS)
    assert options["grpc.server_handshake_timeout_ms"] == 10_000
    quick = tuple((options | {"grpc.server_handshake_timeout_ms": 1000}).items())
    monkeypatch.setattr(session_server, "OPTIONS", quick)
    with serving() as service, socket.create_connection(("127.0.0.1", service.server.port)) as silent:
        with attending(service, {named(2): lambda _: Refusal("there")}):
            ticket = service.sessions.ask(named(2), QUESTION)
            assert service.sessions.answers([ticket], 5) == {ticket: Refusal("there")}
        silent.settimeout(10)
        while silent.recv(100):
            pass


def test_an_address_that_is_taken_is_said(service: Service) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen on"):
            SessionServer(f"127.0.0.1:{taken.getsockname()[1]}", service.shown, service.sessions)


def test_a_folder_without_certificates_says_what_would_make_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with pytest.raises(InputError, match=r"tls\.crt") as caught:
        certificates(tmp_path_factory.mktemp("operator"))
    assert "covey fleet init" in caught.value.hint
