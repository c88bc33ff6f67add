"""The agent's stream: kept up, gone on with after a break, and ended when it is told to."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from covey.delivery import Answer, Delivery, Refusal, Reply
from covey.errors import InputError
from covey_client.session_client import Credentials, SessionClient, credentials
from covey_server.session_server import SessionServer
from digits_fleet import named
from session_service import ASKED, QUESTION, Service, attending, serving

NAME = named(2)


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as made:
        yield made


def there(_: Delivery) -> Answer:
    return Refusal("there")


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asked(service: Service) -> Answer:
    ticket = service.sessions.ask(NAME, QUESTION)
    try:
        return service.sessions.answers([ticket], 20)[ticket]
    finally:
        service.sessions.forget([ticket])


def test_what_is_asked_is_answered_as_it_came(service: Service) -> None:
    came = list[Delivery]()

    def answer(each: Delivery) -> Answer:
        came.append(each)
        return Reply(b"said")

    with attending(service, {NAME: answer}):
        assert asked(service) == Reply(b"said")
    assert came == [ASKED]


def test_what_is_no_delivery_is_refused_and_the_stream_goes_on(service: Service) -> None:
    with attending(service, {NAME: there}):
        ticket = service.sessions.ask(NAME, b"\xc1")
        (answer,) = service.sessions.answers([ticket], 20).values()
        assert isinstance(answer, Refusal)
        assert "malformed" in answer.reason
        assert asked(service) == Refusal("there")


def test_whatever_goes_wrong_the_stream_is_taken_up_again(service: Service) -> None:
    """And what went wrong is told to the owner, not to the server."""
    times = list[Delivery]()

    def answer(each: Delivery) -> Answer:
        times.append(each)
        if len(times) == 1:
            raise OSError("a disk that is gone")
        return Refusal("there")

    with attending(service, {NAME: answer}) as clients:
        assert asked(service) == Refusal("there")
        assert "OSError: a disk that is gone" in clients[NAME].state()
    assert len(times) == 2


def test_a_server_that_is_restarted_is_found_again(service: Service) -> None:
    with attending(service, {NAME: there}) as clients:
        service.server.close()
        until(lambda: "not connected" in clients[NAME].state())
        service.server = SessionServer(f"127.0.0.1:{service.server.port}", service.shown, service.sessions)
        assert asked(service) == Refusal("there")


def test_one_that_is_woken_does_not_wait_for_its_next_try(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question came by Flower: a run has begun, whose service was not there before."""
    with socket.socket() as nobody, monkeypatch.context() as impatient:
        impatient.setattr("covey_client.session_client.LONGEST_WAIT", 0.2)
        nobody.bind(("127.0.0.1", 0))  # nobody listens yet, and nobody else takes the port
        port = nobody.getsockname()[1]
        address = f"localhost:{port}"
        client = SessionClient(address, service.credentials(NAME), there, service.told.append, first_wait=60)
        until(lambda: "no answer" in client.state())
    server = SessionServer(f"127.0.0.1:{port}", service.shown, service.sessions)
    try:
        client.wake()
        until(lambda: client.state().startswith("connected"), 10)
    finally:
        client.close()
        server.close()


def test_its_owner_is_told_how_it_stands_since_when_and_what_broke_it(service: Service) -> None:
    with attending(service, {NAME: there}) as clients:
        until(lambda: clients[NAME].state().startswith("connected"))
        first = clients[NAME].state()
        assert first.startswith(f"connected to {service.address}, since 20")
        assert "before that" not in first
        service.sessions.close()
        until(lambda: "before that: the server ended the stream" in clients[NAME].state())
    assert service.told[:2] == [
        f"session: connected to {service.address}",
        f"session: not connected to {service.address}: the server ended the stream",
    ]


def test_that_nobody_is_there_is_told_once_however_often_it_is_tried(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey_client.session_client.LONGEST_WAIT", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"localhost:{nobody.getsockname()[1]}"
        client = SessionClient(address, service.credentials(NAME), there, service.told.append, 0.05)
        until(lambda: "no answer" in client.state())
        client.close()
    assert service.told == [
        f"session: not connected to {address}: no answer, or a certificate that does not hold"
    ]


@pytest.mark.parametrize("reached", [True, False])
def test_it_ends_when_it_is_told_to(reached: bool, service: Service) -> None:
    address = service.address if reached else "localhost:1"
    client = SessionClient(address, service.credentials(NAME), there, service.told.append)
    if reached:
        service.wait(1)
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 3
    assert not client._thread.is_alive()
    service.wait(0)


def test_an_answer_that_is_being_computed_as_the_stream_breaks_goes_over_the_next(service: Service) -> None:
    computing, go_on, count = threading.Event(), threading.Event(), list[Delivery]()

    def answer(each: Delivery) -> Answer:
        count.append(each)
        computing.set()
        go_on.wait(20)
        return Reply(b"computed")

    with attending(service, {NAME: answer}):
        ticket = service.sessions.ask(NAME, QUESTION)
        assert computing.wait(20)
        service.sessions.close()
        go_on.set()
        assert service.sessions.answers([ticket], 20) == {ticket: Reply(b"computed")}
    assert len(count) == 2


def test_a_device_that_is_not_enrolled_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ca\.crt") as caught:
        credentials(tmp_path)
    assert "covey device enrol" in caught.value.hint


def test_credentials_are_read_and_their_key_is_not_shown(service: Service, tmp_path: Path) -> None:
    shown = service.credentials(NAME)
    for name, data in (("ca.crt", shown.authority), ("tls.crt", shown.certificate), ("tls.key", shown.key)):
        (tmp_path / name).write_bytes(data)
    assert credentials(tmp_path) == shown
    assert "PRIVATE" not in repr(Credentials(b"", b"", shown.key))
