"""The decoders against bytes of all kinds: an error of ours, in bounded memory, or a right message."""

import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from covey import clear
from covey import plan as plans
from covey.errors import CoveyError, ProtocolError
from covey.identity import public_of, read_roster
from covey.plan import Noise, Suite
from covey.secagg import messages, server
from covey.secagg.envelope import open_envelope
from covey.secagg.messages import (
    Advert,
    Advertised,
    Agreed,
    Behind,
    Cohort,
    Deal,
    Envelope,
    Held,
    Masked,
    Message,
    Partners,
    Revealed,
    Shared,
    Survivors,
    ToDevice,
    Unmask,
    decode,
    encode,
)
from covey.secagg.terms import Terms
from secagg_attacks import mutants, read
from secagg_fleet import ENROLMENT, NOW, STAGES, Fleet, make_plan, name, roster, vectors

EACH = 6_000
"""Mutants of every kind of message."""

LIMIT = 1 << 16
SPARSE = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=6, threshold=4)

Decode = Callable[[bytes], object]


def _samples() -> dict[str, tuple[bytes, Decode]]:
    """A right message of every kind, and what reads it."""
    sums = Fleet(
        make_plan(noise=Noise(mechanism="skellam", variance=1000, removal=True, seeded=True)), vectors(12)
    )
    sums.run({"masked": {9}})
    sent = {stage: sums.replies[stage][0][1] for stage in STAGES}
    asked = {stage: sums.requests[stage][2] for stage in STAGES[1:]}
    device = sums.devices[2]
    no_masks = msgspec.structs.replace(sums.plan, masks="none", suite=None, roster=None)
    state = clear.answer(no_masks, plans.to_bytes(no_masks), sums.vectors[0], bytes(32))
    removal = encode(clear.Removal(state.plan, 1))
    held = encode(Held(bytes(33), bytes(33), bytes(32), bytes(32)))

    def one(kind: type[Message]) -> Decode:
        return lambda data: decode(data, kind, blame="test", limit=LIMIT)

    return {
        "advert": (read(sent["advertise"], Advertised).body, one(Advert)),
        "advertised": (sent["advertise"], one(Advertised)),
        "shared": (sent["share"], one(Shared)),
        "masked": (sent["masked"], one(Masked)),
        "agreed": (sent["consistency"], one(Agreed)),
        "revealed": (sent["unmask"], one(Revealed)),
        "cohort": (asked["share"], one(Cohort)),
        "partners": (asked["masked"], one(Partners)),
        "survivors": (asked["consistency"], one(Survivors)),
        "unmask": (asked["unmask"], one(Unmask)),
        "deal": (encode(read(sent["share"], Shared).deals[0]), one(Deal)),
        "held": (held, one(Held)),
        "any request": (
            asked["consistency"],
            lambda data: decode(data, ToDevice, blame="server", limit=LIMIT),
        ),
        "envelope": (sums.envelope, one(Envelope)),
        "opened envelope": (
            sums.envelope,
            lambda data: open_envelope(data, device.trust(), name(0), NOW),
        ),
        "plan": (sums.sent, plans.from_bytes),
        "roster": (
            sums.signed,
            lambda data: read_roster(data, public_of(ENROLMENT), now=NOW, least_serial=0),
        ),
        "answer in clear": (state.reply, one(clear.Answer)),
        "removal": (removal, lambda data: clear.remove(state, data)),
        "removed": (clear.remove(state, removal)[1], one(clear.Removed)),
    }


SAMPLES: Mapping[str, tuple[bytes, Decode]] = _samples()


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_mutated_message_is_refused_or_is_another_right_message(kind: str) -> None:
    data, reader = SAMPLES[kind]
    reader(data)
    accepted = 0
    for mutant in mutants(data, EACH, len(data)):
        try:
            reader(mutant)
        except CoveyError:
            continue
        accepted += mutant != data
    if kind in {"opened envelope", "roster"}:
        assert not accepted  # signed as a whole


def test_over_a_hundred_thousand_mutants_are_read() -> None:
    assert EACH * len(SAMPLES) >= 100_000


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_of_one_kind_is_none_of_another(kind: str) -> None:
    _, reader = SAMPLES[kind]
    nests = {"any request": {"cohort", "partners", "survivors", "unmask"}, "survivors": {"any request"}}
    same = nests.get(kind, set()) | ({"envelope", "opened envelope"} if "envelope" in kind else {kind})
    for other, (data, _) in SAMPLES.items():
        if other not in same and other != kind:
            with pytest.raises(ProtocolError):
                reader(data)


BOMBS = [
    head + length + tail
    for head in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9")
    for length in (b"\xff\xff\xff\xff", b"\x0f\xff\xff\xff", b"\x00\x00\x40\x00")
    for tail in (b"", bytes(100), b"\x90" * 100)
]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_length_that_promises_too_much_allocates_nothing(kind: str) -> None:
    data, reader = SAMPLES[kind]
    heads = [place for place, byte in enumerate(data) if byte in {0xDC, 0x9C, 0xC4, 0x95, 0x94}][:20]
    tracemalloc.start()
    try:
        for bomb in BOMBS:
            for place in (0, 1, *heads):
                try:
                    reader(data[:place] + bomb)
                except CoveyError:
                    continue
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("depth", [100, 5_000, 60_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for _, reader in SAMPLES.values():
        for opening in (b"\x91", b"\x81\xa1a"):
            with pytest.raises(ProtocolError):
                reader(opening * depth + b"\xc0")


@pytest.mark.parametrize("kind", ["advertised", "shared", "masked", "agreed", "revealed"])
def test_no_mutated_reply_raises_on_the_server(kind: str) -> None:
    """A mutant is blamed on its sender, or says the same as the right reply."""
    stage = STAGES[["advertised", "shared", "masked", "agreed", "revealed"].index(kind)]
    sums = Fleet(make_plan(), vectors(12))
    sums.run()
    state: Any = sums.states[STAGES.index(stage)]
    rest = [each for each in sums.replies[stage] if each[0] != 5]
    for number, mutant in enumerate(mutants(dict(sums.replies[stage])[5], 60, 7)):
        few = [*rest[: number % 8], (5, mutant)]
        after, effects = server.step(state, few)
        assert isinstance(after, server.State)
        assert {each.sender for each in effects if isinstance(each, server.Blame)} <= {5}


def test_the_longest_messages_of_the_largest_cohorts_are_within_their_limits() -> None:
    """Names of 64 characters of four bytes, and a path for 16,384 members."""
    last = 1 << 53
    body = encode(Advert(bytes(32), "\U0001f600" * 64, bytes(32), bytes(32), bytes(32), last, bytes(32)))
    assert len(body) <= 512
    advertised = Advertised(body, bytes(64))
    entry = messages.Entry(60_000, advertised, (bytes(32),) * 14)
    deal = Deal(60_000, bytes(155), bytes(32), bytes(32), bytes(64))
    share = messages.OpenShare(60_000, bytes(33), bytes(32))
    for most in (entry, deal, share):
        assert len(encode(most)) <= messages.MEMBER
    places = tuple(range(500))
    proofs = tuple(messages.InputProof(place, bytes(32), bytes(64)) for place in places)
    votes = tuple(messages.Vote(place, bytes(64)) for place in places)
    limit = Fleet(make_plan(500, minimum=300), vectors(500)).terms.limit
    for whole in (
        Unmask(places, 500, proofs, votes),
        Partners(places, 500, (deal,) * 499),
        Cohort(500, bytes(32), 0, (msgspec.structs.replace(entry, path=()),) * 500, advertised),
        Revealed((share,) * 500, (), bytes(32)),
        Shared(bytes(32), (deal,) * 499),
        Survivors(bytes(32), places, places),
    ):
        assert len(encode(whole)) <= limit < 1 << 20
    assert len(encode(Behind(last))) <= messages.OVERHEAD
    few = make_plan(10_000, minimum=7_000, suite=SPARSE, signed=roster(12))
    sparse = Terms.of(plans.to_bytes(few)).limit
    assert len(encode(Cohort(16_000, bytes(32), 0, (entry,) * 7, advertised))) <= sparse


def test_messages_do_not_show_what_they_hold() -> None:
    for kind, (data, _) in SAMPLES.items():
        if kind in {"plan", "roster", "opened envelope", "any request"}:
            continue
        for struct in Message.__subclasses__():
            try:
                message = decode(data, struct, blame="test", limit=LIMIT)
            except ProtocolError:
                continue
            assert repr(message) == f"<{type(message).__name__}>"


def test_a_length_above_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="a message of 11 bytes, at most 10") as caught:
        decode(bytes(11), Agreed, blame="node 7", limit=10)
    assert caught.value.blame == "node 7"
