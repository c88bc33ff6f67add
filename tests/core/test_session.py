"""What travels on a session stream."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import session
from covey.delivery import MAX_BYTES
from covey.errors import ProtocolError
from covey.session import FRAME, PIECE, TICKET, Joining

TICKETS = st.binary(min_size=TICKET, max_size=TICKET)
ONE, OTHER = bytes(TICKET), bytes(range(TICKET))
LONG = bytes(range(256)) * (PIECE // 256) * 2 + b"the end"


def joined(frames: Iterable[bytes]) -> bytes | None:
    joining, whole = Joining("server"), None
    for each in frames:
        assert whole is None
        whole = joining.add(session.ask(each))
    return whole


@given(TICKETS, st.binary(max_size=50))
def test_both_arrive_as_they_were_sent(ticket: bytes, data: bytes) -> None:
    (asked,), (said,) = session.asks(ticket, data), session.says(ticket, data)
    assert Joining("server").add(session.ask(asked)) == data
    assert Joining("pi-1").add(session.said(said, blame="pi-1")) == data
    assert session.ask(asked).ticket == session.said(said, blame="pi-1").ticket == ticket


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, len(LONG)])
def test_what_is_long_comes_in_pieces(size: int) -> None:
    frames = list(session.asks(ONE, LONG[:size]))
    assert len(frames) == max(1, -(-size // PIECE))
    assert max(len(each) for each in frames) <= FRAME
    assert joined(frames) == LONG[:size]


@pytest.mark.parametrize("order", [(1,), (0, 0), (0, 2), (0, 1, 0), (2, 1, 0)])
def test_pieces_out_of_order_are_refused(order: tuple[int, ...]) -> None:
    frames = list(session.asks(ONE, LONG))
    with pytest.raises(ProtocolError, match="out of order") as caught:
        joined(frames[each] for each in order)
    assert caught.value.blame == "server"


def test_pieces_of_two_are_not_joined() -> None:
    one, other = list(session.asks(ONE, LONG)), list(session.asks(OTHER, LONG))
    longer = list(session.asks(ONE, LONG + LONG))
    for second in (other[1], longer[1], other[0]):
        with pytest.raises(ProtocolError, match="out of order"):
            joined([one[0], second])


def test_what_was_begun_can_be_forgotten() -> None:
    joining = Joining("server")
    assert joining.ticket == b""
    joining.add(session.ask(next(session.asks(ONE, LONG))))
    assert joining.ticket == ONE
    joining.forget()
    assert joining.ticket == b""
    assert joining.add(session.ask(next(session.asks(OTHER, b"1")))) == b"1"


@pytest.mark.parametrize(
    ("size", "offset", "data"),
    [
        (2, 0, b"1"),
        (1, 0, b"12"),
        (2, 1, b"2"),
        (0, PIECE, b""),
        (PIECE, PIECE, b""),
        (PIECE + 2, PIECE, b"1"),
        (MAX_BYTES + 1, 0, bytes(PIECE)),
        (-1, 0, b""),
        (1, -PIECE, b"1"),
    ],
    ids=[
        "short",
        "long",
        "odd place",
        "past nothing",
        "empty last",
        "short last",
        "too much",
        "less",
        "before",
    ],
)
def test_a_piece_is_the_one_that_begins_there(size: int, offset: int, data: bytes) -> None:
    made = msgspec.msgpack.encode(["Ask", ONE, size, offset, data])
    with pytest.raises(ProtocolError, match="malformed"):
        session.ask(made)


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
        session.ask(next(session.asks(ticket, b"")))


def test_neither_passes_for_the_other() -> None:
    with pytest.raises(ProtocolError):
        session.ask(next(session.says(ONE, b"")))
    with pytest.raises(ProtocolError):
        session.said(next(session.asks(ONE, b"")), blame="pi-1")


def test_a_long_message_is_not_decoded() -> None:
    with pytest.raises(ProtocolError, match=f"at most {FRAME}"):
        session.ask(bytes(FRAME + 1))
