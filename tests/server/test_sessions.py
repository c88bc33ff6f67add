"""Who attends and what is being asked, without a network."""

from queue import Empty

import pytest

from covey import delivery, session
from covey.delivery import MAX_BYTES, Refusal, Reply
from covey.errors import ProtocolError
from covey.session import PIECE
from covey_server.sessions import MOST_WAITING, Asked, Sessions, Stream

QUESTION = b"a question"
LONG = delivery.to_bytes(Reply(bytes(3 * PIECE)))


class Cut(Stream):
    """Remembers whether it was cut on the wire."""

    def __init__(self, device: str) -> None:
        super().__init__(device, self.is_cut)
        self.times = 0

    def is_cut(self) -> None:
        self.times += 1

    def left(self) -> list[Asked | None]:
        """What it would be asked."""
        found = list[Asked | None]()
        try:
            while True:
                found.append(self.asked.get_nowait())
        except Empty:
            return found


def sessions(*members: str) -> Sessions:
    return Sessions(lambda: frozenset(members))


def attending(at: Sessions, device: str) -> Cut:
    stream = Cut(device)
    at.attend(stream)
    return stream


def say(at: Sessions, stream: Stream, ticket: bytes, answer: bytes) -> None:
    for frame in session.says(ticket, answer):
        at.heard(stream, frame)


def test_who_attends_is_asked_and_who_comes_later_as_well() -> None:
    at = sessions("pi-1", "pi-2")
    one = attending(at, "pi-1")
    tickets = [at.ask(device, QUESTION) for device in ("pi-1", "pi-2")]
    assert at.attending() == ["pi-1"]
    assert (at.attends("pi-1"), at.attends("pi-2")) == (True, False)
    other = attending(at, "pi-2")
    assert one.left() == [(tickets[0], QUESTION)]
    assert other.left() == [(tickets[1], QUESTION)]


def test_what_goes_to_many_is_held_once() -> None:
    at = sessions("pi-1", "pi-2")
    streams = [attending(at, device) for device in ("pi-1", "pi-2")]
    for each in streams:
        at.ask(each.device, QUESTION)
    (one,), (other,) = (each.left() for each in streams)
    assert one
    assert other
    assert one[1] is other[1]


def test_a_stranger_does_not_attend() -> None:
    at = sessions("pi-1")
    with pytest.raises(ProtocolError, match="not in the roster"):
        at.attend(Stream("pi-2"))
    assert at.attending() == []


def test_who_leaves_the_roster_is_cut_off() -> None:
    members = {"pi-1", "pi-2"}
    at = Sessions(lambda: frozenset(members))
    stream = attending(at, "pi-1")
    members.remove("pi-1")
    assert at.attending() == []
    assert stream.times == 1
    assert stream.left() == [None]


def test_the_newest_stream_of_a_device_counts_and_the_one_before_is_cut() -> None:
    """Whether or not it reads: a device could else take up one thread of the server's after the other."""
    at = sessions("pi-1")
    first = attending(at, "pi-1")
    second = attending(at, "pi-1")
    ticket = at.ask("pi-1", QUESTION)
    assert (first.times, second.times) == (1, 0)
    assert (first.left(), second.left()) == ([None], [(ticket, QUESTION)])
    say(at, first, ticket, delivery.to_bytes(Refusal("late")))
    assert at.answers([ticket], 0) == {}
    at.leave(first)
    assert at.attends("pi-1")


def test_a_stream_that_ended_before_it_began_does_not_attend() -> None:
    at, stream = sessions("pi-1"), Cut("pi-1")
    at.leave(stream)
    at.attend(stream)
    assert at.attending() == []


def test_an_answer_counts_once_and_under_its_own_ticket() -> None:
    at = sessions("pi-1", "pi-2")
    one, other = attending(at, "pi-1"), attending(at, "pi-2")
    ticket = at.ask("pi-1", QUESTION)
    say(at, other, ticket, delivery.to_bytes(Refusal("another's")))
    assert at.answers([ticket], 0) == {}
    say(at, one, ticket, delivery.to_bytes(Refusal("first")))
    say(at, one, ticket, delivery.to_bytes(Refusal("second")))
    assert at.answers([ticket], 0) == {ticket: Refusal("first")}
    assert not at.is_asked(ticket)


def test_what_nobody_asked_is_not_kept() -> None:
    at = sessions("pi-1")
    stream = attending(at, "pi-1")
    for frame in session.says(bytes(session.TICKET), LONG):
        at.heard(stream, frame)
        assert stream.joining.ticket == b""


def test_half_an_answer_is_dropped_with_its_question_and_its_stream() -> None:
    at = sessions("pi-1")
    stream = attending(at, "pi-1")
    ticket = at.ask("pi-1", QUESTION)
    first, *others = session.says(ticket, LONG)
    assert not at.is_being_said(ticket)
    at.heard(stream, first)
    assert at.is_being_said(ticket)
    at.forget([ticket])
    assert not at.is_being_said(ticket)
    assert stream.joining.ticket == b""
    for frame in others:
        at.heard(stream, frame)
    ticket = at.ask("pi-1", QUESTION)
    at.heard(stream, next(session.says(ticket, LONG)))
    at.leave(stream)
    assert stream.joining.ticket == b""


def test_a_long_answer_that_breaks_off_is_said_again_on_the_next_stream() -> None:
    at = sessions("pi-1")
    ticket = at.ask("pi-1", QUESTION)
    broken = attending(at, "pi-1")
    at.heard(broken, next(session.says(ticket, LONG)))
    stream = attending(at, "pi-1")
    assert stream.left() == [(ticket, QUESTION)]
    say(at, stream, ticket, LONG)
    assert at.answers([ticket], 0) == {ticket: Reply(bytes(3 * PIECE))}


@pytest.mark.parametrize("data", [b"", b"\xc1", bytes(100)])
def test_what_is_no_message_blames_its_device(data: bytes) -> None:
    at = sessions("pi-1")
    stream = attending(at, "pi-1")
    with pytest.raises(ProtocolError) as caught:
        at.heard(stream, data)
    assert caught.value.blame == "pi-1"


def test_an_answer_that_is_none_blames_its_device_and_is_waited_for_further() -> None:
    at = sessions("pi-1")
    stream = attending(at, "pi-1")
    ticket = at.ask("pi-1", QUESTION)
    with pytest.raises(ProtocolError):
        say(at, stream, ticket, b"\xc1")
    assert at.is_asked(ticket)


def test_a_device_that_does_not_read_is_cut_off_and_holds_no_memory() -> None:
    at = sessions("pi-1")
    stream = attending(at, "pi-1")
    tickets = [at.ask("pi-1", QUESTION) for _ in range(3 * MOST_WAITING)]
    assert stream.times == 1
    assert stream.asked.qsize() <= MOST_WAITING
    assert stream.left()[-1] is None
    assert not at.attends("pi-1")
    at.forget(tickets)
    assert at._asked == {}


def test_an_answer_after_its_time_is_dropped() -> None:
    at = sessions("pi-1")
    stream = attending(at, "pi-1")
    ticket = at.ask("pi-1", QUESTION)
    assert at.answers([ticket], 0) == {}
    at.forget([ticket])
    say(at, stream, ticket, delivery.to_bytes(Refusal("late")))
    assert (at._asked, at._said) == ({}, {})


def test_what_no_device_would_read_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        sessions("pi-1").ask("pi-1", bytes(MAX_BYTES + 1))
