"""What travels on a session stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import session
from covey.errors import ProtocolError
from covey.session import TICKET, Ask, Said

TICKETS = st.binary(min_size=TICKET, max_size=TICKET)


@given(TICKETS, st.binary(max_size=50))
def test_both_arrive_as_they_were_sent(ticket: bytes, data: bytes) -> None:
    assert session.ask(session.encode(Ask(ticket, data))) == Ask(ticket, data)
    assert session.said(session.encode(Said(ticket, data)), blame="pi-1") == Said(ticket, data)


@given(st.binary(max_size=60))
def test_noise_is_refused_and_never_anything_else(data: bytes) -> None:
    for read, blame in ((session.ask, "server"), (lambda each: session.said(each, blame="pi-1"), "pi-1")):
        try:
            read(data)
        except ProtocolError as error:
            assert error.blame == blame  # noqa: PT017 - most noise is refused, by whom it says


@pytest.mark.parametrize("ticket", [b"", bytes(TICKET - 1), bytes(TICKET + 1)])
def test_a_ticket_has_one_length(ticket: bytes) -> None:
    with pytest.raises(ProtocolError):
        session.ask(session.encode(Ask(ticket, b"")))


def test_neither_passes_for_the_other() -> None:
    with pytest.raises(ProtocolError):
        session.ask(session.encode(Said(bytes(TICKET), b"")))
    with pytest.raises(ProtocolError):
        session.said(session.encode(Ask(bytes(TICKET), b"")), blame="pi-1")


def test_a_long_message_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FRAME", 10)
    with pytest.raises(ProtocolError, match="at most 10"):
        session.ask(session.encode(Ask(bytes(TICKET), b"")))
