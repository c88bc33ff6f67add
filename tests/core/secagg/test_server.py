"""What devices may do to the server: whoever lies is left out and named, and nothing raises."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from covey import plan as plans
from covey.errors import ProtocolError
from covey.identity import sign
from covey.plan import Suite
from covey.secagg import server
from covey.secagg.messages import (
    Advert,
    Advertised,
    Agreed,
    Cohort,
    Masked,
    OpenShare,
    Revealed,
    Shared,
    encode,
)
from covey.secagg.server import Aborted, Blame, Finished
from covey.secagg.states import Stage
from covey.secagg.terms import input_statement, set_digest
from secagg_attacks import read
from secagg_fleet import SUITE, Fleet, identity, make_plan, vectors

Replies = list[tuple[int, bytes]]
LIAR = 5
"""A node: member 3, device d003."""


def fleet(**options: Any) -> Fleet:
    return Fleet(make_plan(**options), vectors(12))


def lying(stage: Stage, lie: Callable[[bytes], bytes]) -> Callable[[Stage, Replies], Replies]:
    def tamper(now: Stage, replies: Replies) -> Replies:
        bent = now == stage
        return [(node, lie(data) if bent and node == LIAR else data) for node, data in replies]

    return tamper


def left_out(sums: Fleet, stage: Stage, lie: Callable[[bytes], bytes], match: str) -> Finished:
    """The liar is blamed, once; the others' sum is opened."""
    end = sums.run(tamper=lying(stage, lie))
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert [blame.sender for blame in sums.blames if "was not asked" not in blame.reason] == [LIAR]
    assert match in sums.blames[0].reason
    return end


def advert(**changes: Any) -> Callable[[bytes], bytes]:
    """Other fields, rightly signed by the liar."""

    def lie(data: bytes) -> bytes:
        body = encode(msgspec.structs.replace(read(read(data, Advertised).body, Advert), **changes))
        return encode(Advertised(body, sign(identity(3), "advert", body)))

    return lie


def fields(kind: Any, **changes: Any) -> Callable[[bytes], bytes]:
    return lambda data: encode(msgspec.structs.replace(read(data, kind), **changes))


@pytest.mark.parametrize(
    ("lie", "match"),
    [
        (advert(plan=bytes(32)), "node 5: an advert for another plan"),
        (advert(device="d004"), "a signature (advert)"),
        (advert(device="d900"), "'d900' is not in roster 1"),
        (advert(mask_key=bytes(32)), "node 5: a key of low order"),
        (advert(seal_key=b"\xff" * 32), "node 5: a key of low order, or misspelt"),
        (fields(Advertised, signature=bytes(64)), "a signature (advert)"),
        (lambda _: b"", "node 5: a malformed message"),
        (lambda _: bytes(100_000), "node 5: a message of 100000 bytes"),
        (lambda _: encode(Agreed(bytes(64))), "node 5: a malformed message"),
    ],
)
def test_an_advert_that_does_not_hold_is_left_out(lie: Callable[[bytes], bytes], match: str) -> None:
    assert "d003" not in left_out(fleet(), "advertise", lie, match).u1


@pytest.mark.parametrize("field", ["seal_key", "mask_key", "commitment"])
def test_of_two_members_with_one_key_neither_counts(field: str) -> None:
    sums = fleet()
    sums.begin(set())
    theirs = getattr(read(read(sums.replies["advertise"][6][1], Advertised).body, Advert), field)
    sums = fleet()
    end = sums.run(tamper=lying("advertise", advert(**{field: theirs})))
    assert isinstance(end, Finished)
    assert set(end.u1) == {f"d{i:03d}" for i in range(12)} - {"d003", "d006"}
    assert {blame.sender for blame in sums.blames} == {LIAR, 8}


def test_of_a_cloned_card_in_one_session_neither_counts() -> None:
    """Two devices with one identity and fresh randomness: nothing tells which is real."""
    sums = fleet()
    sums.begin(set())
    clone = Fleet(make_plan(), vectors(12))
    clone.devices[LIAR].clone = 1
    clone.begin(set())
    start = server.Advertising(
        sums.terms, sums.start().roster, frozenset({*sums.devices, 99}), sums.start().now
    )
    replies = [*sums.replies["advertise"], (99, dict(clone.replies["advertise"])[LIAR])]
    state, effects = server.step(start, replies)
    assert isinstance(state, server.Sharing)
    assert "d003" not in [state.session.name(place) for place in range(11)]
    assert {each.sender for each in effects if isinstance(each, Blame)} == {LIAR, 99}


def test_each_of_two_clones_alone_is_a_device_and_only_their_meeting_shows_them() -> None:
    """What is not caught: clones in two sessions of two servers. Each counts against C_max as a colluder."""
    for clone in (0, 1):
        sums = fleet()
        sums.devices[LIAR].clone = clone
        assert isinstance(sums.run(), Finished)


@pytest.mark.parametrize(
    ("lie", "match"),
    [
        (fields(Shared, root=bytes(32)), "shares for another cohort"),
        (fields(Shared, deals=()), "not one share for every neighbour"),
        (
            lambda data: encode(Shared(read(data, Shared).root, read(data, Shared).deals[::-1])),
            "not one share",
        ),
        (lambda data: data[:-1], "malformed"),
    ],
)
def test_shares_that_do_not_hold_are_left_out(lie: Callable[[bytes], bytes], match: str) -> None:
    end = left_out(fleet(), "share", lie, match)
    assert "d003" in end.u1
    assert "d003" not in end.u2


def test_a_vector_of_wrong_length_or_signature_is_left_out() -> None:
    for lie, match in (
        (fields(Masked, vector=bytes(19)), "a signature (mi)"),
        (fields(Masked, vector=bytes(20)), "a signature (mi)"),
        (fields(Masked, vector=bytes(1000)), "a message of"),
        (fields(Masked, signature=bytes(64)), "a signature (mi)"),
    ):
        assert "d003" not in left_out(fleet(), "masked", lie, match).u3


@pytest.mark.parametrize("bad", [b"\xff" * 13, bytes(12), bytes(14)])
def test_a_signed_vector_that_is_no_vector_is_left_out(bad: bytes) -> None:
    """20 bits: five elements are 12.5 bytes, so half a byte must be zero. The signature is right."""
    suite = Suite(profile="malicious-server", cipher="chacha20", bits=20)
    sums = fleet(suite=suite)

    def lie(data: bytes) -> bytes:
        state = sums.states[-1]
        assert isinstance(state, server.Masking)
        root = state.session.root
        digest = hashlib.sha256(bad).digest()
        statement = input_statement(sums.terms, root, set_digest(root, state.u2), digest)
        assert data
        return encode(Masked(bad, sign(identity(3), "mi", statement)))

    end = left_out(sums, "masked", lie, "node 5: ")
    assert "d003" not in end.u3


def test_a_vote_on_other_sets_is_no_vote() -> None:
    sums = fleet()
    end = left_out(sums, "consistency", fields(Agreed, signature=bytes(64)), "a signature (cc)")
    assert "d003" in end.u3  # its vector counts; it is not asked to reveal
    assert LIAR not in sums.requests["unmask"]


def test_a_signature_of_another_stage_is_no_vote() -> None:
    sums = fleet()
    end = sums.run(
        tamper=lambda stage, replies: [
            (node, encode(Agreed(read(dict(sums.replies["masked"])[node], Masked).signature)))
            if (stage, node) == ("consistency", LIAR)
            else (node, data)
            for node, data in replies
        ]
    )
    assert isinstance(end, Finished)
    assert sums.blames == [Blame(LIAR, "a signature (cc) that does not hold")]


@pytest.mark.parametrize(
    "lie",
    [
        fields(Revealed, b=()),
        lambda data: encode(
            msgspec.structs.replace(read(data, Revealed), r=(OpenShare(3, bytes(33), bytes(32)),))
        ),
        lambda data: encode(msgspec.structs.replace(read(data, Revealed), b=read(data, Revealed).b[::-1])),
        lambda data: encode(Agreed(data[:64])),
    ],
)
def test_a_reveal_of_other_shares_is_left_out(lie: Callable[[bytes], bytes]) -> None:
    left_out(fleet(), "unmask", lie, "node 5: ")


# --- the network


def test_of_two_different_answers_the_first_counts_and_repetitions_do_no_harm() -> None:
    def doubled(stage: Stage, replies: Replies) -> Replies:
        wrong = (LIAR, replies[0][1]) if stage == "advertise" else (LIAR, b"junk")
        return [*replies, *replies, wrong]

    sums = fleet()
    end = sums.run(tamper=doubled)
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert len(end.u3) == 12
    assert {blame.sender for blame in sums.blames} == {LIAR}
    assert {blame.reason for blame in sums.blames} == {"answered twice, differently; the first counts"}


def test_junk_before_a_right_answer_does_not_shut_a_device_out() -> None:
    sums = fleet()
    end = sums.run(tamper=lambda _, replies: [(LIAR, b"junk"), *replies])
    assert isinstance(end, Finished)
    assert len(end.u3) == 12
    assert len(sums.blames) == 5


def test_strangers_are_heard_at_no_stage() -> None:
    sums = fleet()
    end = sums.run(tamper=lambda _, replies: [(1000, replies[0][1]), *replies])
    assert isinstance(end, Finished)
    assert set(sums.blames) == {Blame(1000, "was not asked at this stage")}


def test_a_device_that_missed_a_stage_is_not_heard_at_the_next() -> None:
    sums = fleet()
    held: list[tuple[int, bytes]] = []

    def late(_: Stage, replies: Replies) -> Replies:
        now = [*held, *(each for each in replies if each[0] != LIAR)]
        held[:] = [each for each in replies if each[0] == LIAR]
        return now

    end = sums.run(tamper=late)
    assert isinstance(end, Finished)
    assert "d003" not in end.u1
    assert sums.blames == [Blame(LIAR, "was not asked at this stage")]


def test_another_nodes_answer_in_ones_own_name_is_not_ones_own() -> None:
    """The transport's sender does not speak for the device: signatures do."""
    sums = fleet()

    def swapped(stage: Stage, replies: Replies) -> Replies:
        if stage != "masked":
            return replies
        data = dict(replies)
        data[4], data[5] = data[5], data[4]
        return list(data.items())

    end = sums.run(tamper=swapped)
    assert isinstance(end, Finished)
    assert {blame.sender for blame in sums.blames} == {4, 5}
    assert len(end.u3) == 10


def test_after_the_end_nothing_is_counted() -> None:
    sums = fleet()
    end = sums.run()
    state, effects = server.step(end, [(5, b"more")])
    assert state is end
    assert effects == (Blame(5, "answered after the end"),)


# --- too few


@pytest.mark.parametrize(
    ("stage", "gone", "reason"),
    [
        ("advertise", 5, "7 devices are left at stage advertise, 8 are needed"),
        ("share", 5, "7 devices are left at stage share, 8 are needed"),
        ("masked", 5, "7 devices are left at stage masked, 8 are needed"),
        ("consistency", 6, "6 devices are left at stage consistency, 7 are needed"),
        ("unmask", 6, "6 right shares of d000's b, 7 are needed"),
    ],
)
def test_one_device_too_few_and_the_sum_stays_closed(stage: Stage, gone: int, reason: str) -> None:
    sums = fleet()
    assert sums.run({stage: set(range(2, 2 + gone))}) == Aborted(stage, reason)
    sums = fleet()
    end = sums.run({stage: set(range(2, 1 + gone))})
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()


def test_the_first_refusal_is_part_of_the_reason() -> None:
    sums = fleet()
    end = sums.run({"share": {2, 3, 4, 6}}, lying("share", lambda _: b""))
    assert isinstance(end, Aborted)
    assert "7 devices are left at stage share, 8 are needed; first refusal: node 5: a malformed" in end.reason


def test_what_the_server_keeps_of_vectors_is_their_sum() -> None:
    sums = fleet()
    sums.until("unmask")
    state = sums.states[-1]
    assert isinstance(state, server.Unmasking)
    assert state.total.shape == (5,)
    assert "total" not in repr(state)


@pytest.mark.parametrize("bits", [16, 20, 23, 31])
@pytest.mark.parametrize("cipher", ["chacha20", "aes-256-ctr"])
def test_a_smaller_modulus_gives_the_same_sums(bits: int, cipher: Any) -> None:
    suite = msgspec.structs.replace(SUITE, bits=bits, cipher=cipher)
    sums = Fleet(make_plan(length=77, suite=suite), vectors(12, 77))
    end = sums.run({"share": {2}, "masked": {5, 9}})
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert len(dict(sums.replies["masked"])[3]) < -(-77 * bits // 8) + 80


def test_a_plan_that_could_wrap_around_its_modulus_is_refused() -> None:
    suite = msgspec.structs.replace(SUITE, bits=16)
    tight = msgspec.structs.replace(make_plan(suite=suite), norm=3000)
    with pytest.raises(ProtocolError, match="could wrap around"):
        plans.from_bytes(plans.to_bytes(tight))


def test_on_a_sparse_graph_a_request_does_not_grow_with_the_cohort() -> None:
    suite = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=8, threshold=5)
    sizes = []
    for size in (20, 60):
        sums = Fleet(make_plan(size, minimum=12, suite=suite), vectors(size))
        end = sums.run({"masked": {5}})
        assert isinstance(end, Finished)
        assert (end.total == sums.clear_sum(end.u3)).all()
        sizes.append(max(map(len, sums.requests["masked"].values())))
    assert sizes[1] <= sizes[0] + 20


# -- what a device signed before


def test_a_device_is_shown_what_it_signed_before_and_not_what_an_earlier_key_of_its_name_did() -> None:
    """Enrolled anew, it could not take part otherwise: under its new key the old advert does not hold."""
    body = encode(Advert(b"p" * 32, "d003", b"s" * 32, b"m" * 32, b"c" * 32, 4, b"l" * 32))
    for index, shown in ((3, True), (4, False)):
        signed = Advertised(body, sign(identity(index), "advert", body))
        sums = fleet()
        sums.begin(set())
        state = replace(sums.start(), before={"d003": signed})
        _, effects = server.step(state, sums.replies["advertise"])
        (deliver,) = [effect for effect in effects if isinstance(effect, server.Deliver)]
        before = {node: read(data, Cohort).before for node, data in deliver.requests.items()}
        assert before == {node: signed if shown and node == LIAR else None for node in sums.devices}
