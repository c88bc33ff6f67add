"""A witness: what it cosigns, what it refuses and with which status; and that it never cosigns a fork."""

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from covey.errors import ProtocolError
from covey.ledger.checkpoint import Checkpoint, LogTrust, cosignatures_in, open_checkpoint, sign_checkpoint
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer, countersigned, parse
from covey.ledger.witness import (
    MAX_PROOF,
    MAX_REQUEST_BYTES,
    Cosigned,
    Refused,
    Request,
    Seen,
    WitnessKey,
    parse_request,
    remembered,
    request_of,
    step,
)
from covey.merkle import EMPTY_ROOT
from witnessed_log import FORK, HISTORY, LOG, ORIGIN, asked, signed

LOGS = {ORIGIN: LOG.verifier}
KEY = WitnessKey("w.example", hashlib.sha256(b"witness").digest())
NOW = 1_700_000_000
TRUST = LogTrust(ORIGIN, LOG.verifier, (KEY.verifier,), 1)


def cosigned(seen: Seen | None, request: bytes, now: int = NOW) -> Seen:
    answer = step(seen, request, LOGS, KEY, now)
    assert isinstance(answer, Cosigned), answer
    return answer.seen


def refused(seen: Seen | None, request: bytes) -> Refused:
    answer = step(seen, request, LOGS, KEY, NOW)
    assert isinstance(answer, Refused), answer
    assert answer.why
    return answer


def seen(size: int) -> Seen:
    return cosigned(None, asked(0, size))


def test_a_request_is_written_as_the_specification_shows_it() -> None:
    nodes = [hashlib.sha256(b"%d" % number).digest() for number in range(2)]
    lines = [base64.b64encode(node) for node in nodes]
    assert request_of(7, nodes, b"note") == b"old 7\n" + lines[0] + b"\n" + lines[1] + b"\n\nnote"
    assert request_of(0, (), b"note") == b"old 0\n\nnote"


def test_a_growing_log_is_cosigned() -> None:
    state = None
    for old, new in ((0, 0), (0, 1), (1, 1), (1, 7), (7, 8), (8, 50), (50, 50)):
        answer = step(state, asked(old, new), LOGS, KEY, NOW + new)
        assert isinstance(answer, Cosigned)
        state = answer.seen
        assert (state.origin, state.size, state.root) == (ORIGIN, new, HISTORY.root(new))
        assert cosignatures_in(answer.body.decode(), signed(new), TRUST.witnesses) == (answer.body.decode(),)
        opened = open_checkpoint(state.note, TRUST, blame="server")
        assert (opened.checkpoint.size, opened.time) == (new, NOW + new)
        assert state.note == signed(new) + answer.body
        assert remembered(state.note, KEY) == state


def test_of_the_signatures_only_the_logs_is_remembered() -> None:
    note = countersigned(signed(3), Ed25519Signer("somebody", bytes(32)))
    state = cosigned(None, request_of(0, (), note))
    assert [each.name for each in parse(state.note, blame="x").signatures] == [ORIGIN, "w.example"]


def test_another_old_size_is_told_which_one_was_seen() -> None:
    for old in (0, 6, 8):
        answer = refused(seen(7), asked(old, 20))
        assert (answer.status, answer.body) == (409, b"7\n")
    assert (refused(None, asked(3, 20)).status, refused(None, asked(3, 20)).body) == (409, b"0\n")


def test_another_root_of_the_same_size_is_a_fork() -> None:
    answer = refused(seen(20), request_of(20, (), signed(20, FORK)))
    assert (answer.status, answer.body) == (409, b"20\n")
    assert "fork" in answer.why
    empty = sign_checkpoint(Checkpoint(ORIGIN, 0, HISTORY.root(1)), LOG)
    assert refused(None, request_of(0, (), empty)).status == 409


def test_a_log_that_does_not_continue_what_was_seen_is_not_cosigned() -> None:
    for new in (21, 50):
        assert refused(seen(20), asked(20, new, FORK)).status == 422
        forged = request_of(20, HISTORY.consistency(20, new), signed(new, FORK))
        assert refused(seen(20), forged).status == 422
    assert cosigned(seen(9), asked(9, 50, FORK)).size == 50  # up to 9 leaves the two logs are one


def test_a_shrunken_log_is_not_cosigned() -> None:
    assert refused(seen(20), asked(10, 10)).status == 409
    assert refused(seen(20), request_of(20, (), signed(10))).status == 400


def test_a_proof_where_none_is_needed_is_refused() -> None:
    node = hashlib.sha256(b"").digest()
    assert refused(None, request_of(0, [node], signed(3))).status == 422
    assert refused(seen(3), request_of(3, [node], signed(3))).status == 422


def test_unknown_logs_and_foreign_signatures_are_refused() -> None:
    elsewhere = sign_checkpoint(Checkpoint("example.com/other", 3, HISTORY.root(3)), LOG)
    assert refused(None, request_of(0, (), elsewhere)).status == 404
    thief = Ed25519Signer(ORIGIN, bytes(32))
    stolen = sign_checkpoint(Checkpoint(ORIGIN, 3, HISTORY.root(3)), thief)
    assert refused(None, request_of(0, (), stolen)).status == 403
    moved = signed(3).replace(b"\n3\n", b"\n4\n")
    assert refused(None, request_of(0, (), moved)).status == 403
    assert (
        refused(None, request_of(0, (), countersigned(stolen, LOG).replace(b"\n3\n", b"\n4\n"))).status == 403
    )
    assert cosigned(None, request_of(0, (), countersigned(stolen, LOG))).size == 3


def test_a_signature_is_asked_for_before_anything_is_told() -> None:
    stolen = sign_checkpoint(Checkpoint(ORIGIN, 3, HISTORY.root(3)), Ed25519Signer(ORIGIN, bytes(32)))
    assert b"7" not in refused(seen(7), request_of(0, (), stolen)).body


@pytest.mark.parametrize(
    "request_body",
    [
        b"",
        b"old 0\n",
        b"old 0\n\n",
        b"old 00\n\n" + signed(3),
        b"old -1\n\n" + signed(3),
        b"old\n\n" + signed(3),
        b"OLD 0\n\n" + signed(3),
        b"old 0 \n\n" + signed(3),
        b"old 0\r\n\r\n" + signed(3),
        b"old 0\n" + signed(3),
        b"\n\n" + signed(3),
        signed(3),
        b"old 0\nAAAA\n\n" + signed(3),
        b"old 0\n" + base64.b64encode(bytes(33)) + b"\n\n" + signed(3),
        b"old 0\n" + base64.b64encode(bytes(32))[:-2] + b"B=\n\n" + signed(3),
        b"old 0\n" + base64.b64encode(bytes(32)).replace(b"=", b"") + b"\n\n" + signed(3),
        request_of(0, [bytes(32)] * (MAX_PROOF + 1), signed(3)),
        b"old 0\n\n\n" + signed(3),
        b"old 0\n\n" + signed(3)[:-1],
        b"old 0\n\n" + signed(3).replace(b"\n3\n", b"\n3\n3\n"),
        b"old 9\n\n" + signed(3),
        "old \N{ARABIC-INDIC DIGIT THREE}\n\n".encode() + signed(3),
        b"old 0\n\n" + signed(3) + b"a" * MAX_REQUEST_BYTES,
    ],
)
def test_a_malformed_request_is_a_bad_request(request_body: bytes) -> None:
    assert refused(None, request_body).status == 400


def test_a_request_that_is_too_large_is_not_read() -> None:
    def of(origin: str) -> Refused:
        return refused(None, request_of(0, (), sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), LOG)))

    assert of("o" * (MAX_REQUEST_BYTES - 400)).status == 404
    assert of("o" * MAX_REQUEST_BYTES).status == 400


def test_the_longest_proof_is_read() -> None:
    body = request_of(
        1 << 62, [bytes(32)] * MAX_PROOF, sign_checkpoint(Checkpoint(ORIGIN, 1 << 62, bytes(32)), LOG)
    )
    assert len(parse_request(body).proof) == MAX_PROOF
    assert len(body) < MAX_REQUEST_BYTES


def test_what_was_seen_of_another_log_is_no_answer() -> None:
    with pytest.raises(ValueError, match="says nothing about"):
        step(Seen("example.com/other", 3, HISTORY.root(3), b""), asked(3, 4), LOGS, KEY, NOW)


def test_a_memory_that_this_witness_did_not_sign_is_none() -> None:
    for note in (signed(3), seen(3).note.replace(b"\n3\n", b"\n4\n"), b"", seen(3).note[:-1]):
        with pytest.raises(ProtocolError) as caught:
            remembered(note, KEY)
        assert caught.value.blame == "local"
    with pytest.raises(ProtocolError, match="did not cosign"):
        remembered(seen(3).note, WitnessKey("w.example", bytes(32)))


def test_a_witness_has_a_name_and_shows_no_key() -> None:
    with pytest.raises(ValueError, match="cannot name a key"):
        WitnessKey("two words", bytes(32))
    assert "private" not in repr(KEY)


# Requests that were made up or damaged.

requests = st.builds(
    lambda old, proof, size: (old, tuple(proof), size),
    st.integers(0, (1 << 63) - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF),
    st.integers(0, 50),
)


@given(requests)
def test_every_request_is_read_back(parts: tuple[int, tuple[bytes, ...], int]) -> None:
    old, proof, size = parts
    read = parse_request(request_of(old, proof, signed(size)))
    assert read == Request(old, proof, signed(size), Checkpoint(ORIGIN, size, HISTORY.root(size)))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_bad_request(data: bytes) -> None:
    assert refused(None, data).status == 400


GOOD = asked(7, 20)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["change", "insert", "cut", "end"]),
            st.integers(0, len(GOOD) - 1),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=300)
def test_a_damaged_request_is_refused_and_the_memory_stays(damages: list[tuple[str, int, int]]) -> None:
    body = GOOD
    for how, place, byte in damages:
        body = {
            "change": body[:place] + bytes([byte]) + body[place + 1 :],
            "insert": body[:place] + bytes([byte]) + body[place:],
            "cut": body[:place] + body[place + 1 :],
            "end": body[:place],
        }[how]
    answer = step(seen(7), body, LOGS, KEY, NOW)
    if body == GOOD:
        assert isinstance(answer, Cosigned)
    elif isinstance(answer, Refused):
        assert answer.status in {400, 403, 404, 409, 422}
    else:  # the damage hit a line that nobody needs: what is cosigned is the checkpoint all the same
        assert answer.seen.note == cosigned(seen(7), GOOD).note


class Forks(RuleBasedStateMachine):
    """A log that forks as it likes, in front of one witness that forgets nothing.

    Whatever the log asks for, all that was ever cosigned lies on one history.
    """

    histories = Bundle("histories")

    def __init__(self) -> None:
        super().__init__()
        self.state: Seen | None = None
        self.cosigned: list[tuple[int, bytes]] = []
        self.last: tuple[History, int] = (History(), 0)

    @rule(target=histories, leaves=st.lists(st.sampled_from([b"a", b"b"]), max_size=12))
    def another_history(self, leaves: list[bytes]) -> History:
        return History.of(leaves)

    @rule(history=histories, data=st.data())
    def ask(self, history: History, data: st.DataObject) -> None:
        new = data.draw(st.integers(0, history.size))
        remembered = self.state.size if self.state else 0
        old = data.draw(st.sampled_from([remembered, data.draw(st.integers(0, 12))]))
        proof = history.consistency(min(old, new), new)
        answer = step(self.state, request_of(old, proof, signed(new, history)), LOGS, KEY, NOW)
        honest = old == remembered <= new and history.root(old) == (
            self.state.root if self.state else EMPTY_ROOT
        )
        assert isinstance(answer, Cosigned) == honest
        if isinstance(answer, Cosigned):
            self.state = answer.seen
            self.cosigned.append((new, history.root(new)))
            self.last = (history, new)

    @invariant()
    def all_that_was_cosigned_is_one_history(self) -> None:
        history, largest = self.last
        for size, root in self.cosigned:
            assert size <= largest
            assert history.root(size) == root


TestForks = Forks.TestCase
