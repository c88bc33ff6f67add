"""What one device refuses of its server, stage by stage, and what it does when asked twice."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from covey import merkle
from covey.errors import PlanRefused, ProtocolError
from covey.identity import sign
from covey.secagg import device as machine
from covey.secagg import states
from covey.secagg.members import leaf
from covey.secagg.messages import (
    Cohort,
    InputProof,
    Message,
    Partners,
    Revealed,
    Survivors,
    Unmask,
    Vote,
    encode,
)
from covey.secagg.states import Agreeing, Claim, Closed, Masking, Open, Request, Send, Stage
from covey.secagg.terms import input_statement, set_digest, vote_statement
from secagg_attacks import changed, goes_on, mutants, read, refused
from secagg_fleet import NOW, STAGES, Fleet, identity, make_plan, name, roster, vectors

VICTIM = 5
"""A node: member 3, device d003."""


def fleet(**options: Any) -> Fleet:
    return Fleet(make_plan(**options), vectors(12))


# --- U2


@pytest.mark.parametrize(
    ("u2", "match"),
    [
        ((3,), "too few"),
        ((), "not a set"),
        (tuple(range(4)), "too few"),
        (tuple(range(7)), "too few"),
        ((0, 1, 2, 4, 5, 6, 7, 8, 9), "not a set"),  # without the victim itself
        ((0, 1, 2, 3, 4, 5, 6, 7, 99), "not a set"),  # a stranger
        ((0, 1, 2, 3, 4, 5, 6, 7, 7), "not a set"),  # one twice, to make up the number
        ((1, 0, 2, 3, 4, 5, 6, 7, 8), "not a set"),
    ],
)
def test_a_vector_is_sent_only_to_a_large_enough_u2_with_the_device_in_it(
    u2: tuple[int, ...], match: str
) -> None:
    sums = fleet()
    request = sums.until("masked")[VICTIM]
    deals = {each.position: each for each in read(request, Partners).deals}
    relayed = tuple(deals.get(place, deals[0]) for place in u2 if place != 3)
    refused(sums.devices[VICTIM], changed(request, Partners, u2=u2, count=len(u2), deals=relayed), match)
    goes_on(sums, VICTIM, request)


def test_u2_is_as_large_as_it_is_said_to_be() -> None:
    sums = fleet()
    request = sums.until("masked")[VICTIM]
    for count in (11, 13, 0, 1):  # a larger U2 would mean less noise from each
        refused(sums.devices[VICTIM], changed(request, Partners, count=count), "is said to be")


def test_every_member_of_u2_has_dealt_to_the_device() -> None:
    sums = fleet()
    request = sums.until("masked")[VICTIM]
    deals = read(request, Partners).deals
    for wrong in (deals[1:], deals[::-1], (*deals, deals[0]), (deals[0], *deals[:-1])):
        refused(sums.devices[VICTIM], changed(request, Partners, deals=wrong), "not one deal")


# --- U3


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"u3": tuple(place for place in range(12) if place != 3)}, "U3 is not a set"),
        ({"u3": tuple(range(7))}, "the minimum is 8"),
        ({"u3": (3,)}, "the minimum is 8"),
        ({"u3": (*range(11), 40)}, "U3 is not a set"),
        ({"u2": tuple(range(11))}, "U1 or U2"),
        ({"root": bytes(32)}, "U1 or U2"),
    ],
    ids=[
        "claims that it dropped out",
        "below the minimum",
        "alone",
        "a stranger",
        "another U2",
        "another U1",
    ],
)
def test_a_device_signs_no_sets_but_its_own_and_no_small_ones(changes: dict[str, Any], match: str) -> None:
    sums = fleet()
    request = sums.until("consistency")[VICTIM]
    refused(sums.devices[VICTIM], changed(request, Survivors, **changes), match)
    goes_on(sums, VICTIM, request)


def test_a_device_signs_one_u3_only() -> None:
    sums = fleet()
    request = sums.until("consistency")[VICTIM]
    sums.devices[VICTIM].ask(request)
    other = changed(request, Survivors, u3=tuple(range(11)))
    refused(sums.devices[VICTIM], other, "a second, different request at stage consistency")


def test_u3_holds_nobody_who_dropped_out_before_u2() -> None:
    sums = fleet()
    request = sums.until("consistency", {"share": {9}})[VICTIM]  # member 7 never shared
    refused(sums.devices[VICTIM], changed(request, Survivors, u3=tuple(range(12))), "U3 is not a set")


# --- unmask


def votes(request: bytes) -> tuple[Vote, ...]:
    return read(request, Unmask).votes


def test_no_share_without_a_quorum_of_distinct_members_of_u3() -> None:
    sums = fleet()
    request = sums.until("unmask", {"masked": {9}})[VICTIM]
    cast = votes(request)
    assert len(cast) == 7  # floor((12 + 1) / 2) + 1
    outsider = Vote(7, cast[0].signature)
    swapped = (Vote(cast[0].position, cast[1].signature), Vote(cast[1].position, cast[0].signature))
    for wrong, match in (
        ((), "0 votes are no quorum"),
        (cast[1:], "6 votes are no quorum"),
        ((*cast[1:], cast[1]), "repeated"),
        ((*cast[1:], outsider), "outside U3"),
        ((*cast[2:], *swapped), r"signature \(cc\)"),
        ((*cast[1:], Vote(10, bytes(64))), r"signature \(cc\)"),
    ):
        refused(sums.devices[VICTIM], changed(request, Unmask, votes=wrong), match)
    goes_on(sums, VICTIM, request)


def test_no_share_unless_every_member_of_u3_signed_its_vector_for_these_sets() -> None:
    sums = fleet()
    request = sums.until("unmask")[VICTIM]
    proofs = read(request, Unmask).inputs
    other_vector = InputProof(0, bytes(32), proofs[0].signature)
    swapped = InputProof(0, proofs[1].vector, proofs[1].signature)
    for wrong, match in (
        ((), "not one input proof"),
        (proofs[:-1], "not one input proof"),
        ((proofs[0], *proofs[:-1]), "not one input proof"),
        ((other_vector, *proofs[1:]), r"signature \(mi\)"),
        ((swapped, *proofs[1:]), r"signature \(mi\)"),
    ):
        refused(sums.devices[VICTIM], changed(request, Unmask, inputs=wrong), match)
    goes_on(sums, VICTIM, request)


def test_a_vector_for_another_u2_does_not_count() -> None:
    """Someone whose vector is masked for another U2 cannot be in the sum: its masks would not cancel."""
    sums = fleet()
    request = sums.until("unmask")[VICTIM]
    proofs = list(read(request, Unmask).inputs)
    state = sums.devices[VICTIM].state
    assert isinstance(state, Agreeing)
    elsewhere = set_digest(state.view.root, tuple(range(11)))
    statement = input_statement(state.terms, state.view.root, elsewhere, proofs[0].vector)
    proofs[0] = InputProof(0, proofs[0].vector, sign(identity(0), "mi", statement))
    refused(sums.devices[VICTIM], changed(request, Unmask, inputs=tuple(proofs)), r"signature \(mi\)")


@pytest.mark.parametrize("kind", ["mi", "deal", "advert", "plan", "roster", ""])
def test_a_signature_of_one_kind_is_none_of_another(kind: str) -> None:
    sums = fleet()
    request = sums.until("unmask")[VICTIM]
    state = sums.devices[VICTIM].state
    assert isinstance(state, Agreeing)
    u2, u3 = (set_digest(state.view.root, each) for each in (state.u2, state.u3))
    statement = vote_statement(state.terms, state.view.root, u2, u3)
    right = tuple(Vote(place, sign(identity(place), "cc", statement)) for place in range(7))
    assert right == votes(request)
    wrong = (Vote(0, sign(identity(0), kind, statement)), *right[1:])
    refused(sums.devices[VICTIM], changed(request, Unmask, votes=wrong), r"signature \(cc\)")


def test_u3_cannot_change_after_it_was_signed() -> None:
    sums = fleet()
    request = sums.until("unmask")[VICTIM]
    fewer = tuple(place for place in range(12) if place != 0)
    for changes in ({"u3": fewer, "count": 11}, {"count": 11}, {"count": 13}):
        refused(sums.devices[VICTIM], changed(request, Unmask, **changes), "not the one that this device")


def test_what_is_revealed_is_b_of_survivors_and_r_of_the_others_never_both() -> None:
    sums = fleet()
    requests = sums.until("unmask", {"masked": {2, 9}})
    for node, request in requests.items():
        revealed = read(sums.devices[node].ask(request), Revealed)
        b, r = ({share.position for share in shares} for shares in (revealed.b, revealed.r))
        assert b == set(range(12)) - {0, 7}
        assert r == {0, 7}


def test_a_second_unmask_gets_nothing_new() -> None:
    sums = fleet()
    request = sums.until("unmask")[VICTIM]
    victim = sums.devices[VICTIM]
    first = victim.ask(request)
    assert isinstance(victim.state, Closed)
    assert victim.ask(request) == first
    for other in (
        changed(request, Unmask, u3=tuple(range(11)), count=11),
        changed(request, Unmask, votes=votes(request)[::-1]),
    ):
        refused(victim, other, "a second, different request at stage unmask")
    for stage in ("masked", "share"):
        late = changed(sums.requests[stage][VICTIM], Partners if stage == "masked" else Cohort)
        if stage == "masked":  # the vector is not kept
            refused(victim, late, "partners while closed")
        else:
            assert victim.ask(late) == dict(sums.replies["share"])[VICTIM]


def test_a_straggler_whose_key_was_recovered_keeps_its_self_mask() -> None:
    """Its vector arrives late: the server has its pair masks' key, and of b fewer shares than open it."""
    sums = fleet()
    late: list[bytes] = []

    def delay(stage: Stage, replies: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        if stage == "masked":
            late.extend(data for node, data in replies if node == VICTIM)
            return [each for each in replies if each[0] != VICTIM]
        return replies

    sums.run({"consistency": {VICTIM}}, delay)
    assert len(late) == 1
    revealed = [read(data, Revealed) for _, data in sums.replies["unmask"]]
    assert len(revealed) == 11
    assert all(3 in {share.position for share in each.r} for each in revealed)
    assert not any(3 in {share.position for share in each.b} for each in revealed)


# --- the order of things


def test_requests_out_of_order_are_refused_at_every_stage() -> None:
    sums = fleet()
    sums.run()
    requests = {stage: sums.requests[stage][VICTIM] for stage in STAGES[1:]}
    for stage in STAGES[1:]:
        again = fleet()
        right = again.until(stage)[VICTIM]
        assert right == requests[stage]
        for other in STAGES[STAGES.index(stage) + 1 :]:
            refused(again.devices[VICTIM], requests[other], " while ")


def test_a_request_before_any_plan_is_refused() -> None:
    sums = fleet()
    request = sums.until("share")[VICTIM]
    sums.devices[VICTIM].restart()
    with pytest.raises(ProtocolError, match="without an open plan") as caught:
        sums.devices[VICTIM].ask(request)
    assert caught.value.blame == "server"


@pytest.mark.parametrize("stage", STAGES[1:])
def test_the_same_request_again_gets_the_same_bytes(stage: Stage) -> None:
    sums = fleet()
    request = sums.until(stage)[VICTIM]
    victim = sums.devices[VICTIM]
    first, claims = victim.ask(request), dict(victim.claims)
    state = victim.state
    assert victim.ask(request) == first
    assert victim.state == state
    assert victim.claims == claims


def test_a_plan_that_is_open_is_not_opened_again() -> None:
    sums = fleet()
    sums.until("masked")
    victim = sums.devices[VICTIM]
    state = victim.state
    assert victim.open(sums.envelope) == dict(sums.replies["advertise"])[VICTIM]
    assert victim.state == state


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_restarted_device_answers_nothing_more_of_the_plan(stage: Stage) -> None:
    sums = fleet()
    request = sums.until(stage)[VICTIM]
    victim = sums.devices[VICTIM]
    victim.restart()
    with pytest.raises(ProtocolError, match="without an open plan"):
        victim.ask(request)
    with pytest.raises(PlanRefused, match="stage advertise was answered before"):
        victim.open(sums.envelope)
    assert victim.state is None


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_device_with_an_older_memory_put_back_answers_no_other_request(stage: Stage) -> None:
    """Claims hold even if the state is rolled back: one y, one vote, one reveal for a plan."""
    sums = fleet()
    request = sums.until(stage)[VICTIM]
    victim = sums.devices[VICTIM]
    before = victim.state
    first = victim.ask(request)
    victim.state = before
    assert victim.ask(request) == first  # the same bytes, so nothing is learnt
    victim.state = before
    with pytest.raises(PlanRefused, match=f"stage {stage} was answered before"):
        victim.ask(DIFFERENT[stage](request))


def _other_cohort(request: bytes) -> bytes:
    cohort = read(request, Cohort)
    entries = cohort.entries[:-1]
    root = merkle.root([leaf(each.advert) for each in entries])
    return changed(request, Cohort, size=11, root=root, entries=entries)


def _other_partners(request: bytes) -> bytes:
    deals = read(request, Partners).deals
    return changed(request, Partners, u2=tuple(range(11)), count=11, deals=deals[:-1])


def _other_votes(request: bytes) -> bytes:
    return changed(request, Unmask, votes=votes(request)[::-1])


DIFFERENT: dict[Stage, Callable[[bytes], bytes]] = {
    "share": _other_cohort,
    "masked": _other_partners,
    "consistency": lambda request: changed(request, Survivors, u3=tuple(range(11))),
    "unmask": _other_votes,
}


def test_every_reply_is_claimed_before_it_is_sent() -> None:
    sums = fleet()
    for stage in STAGES[1:]:
        request = sums.until(stage)[VICTIM]
        victim = sums.devices[VICTIM]
        _, effects = machine.step(victim.me, victim.state, Request(request, NOW))
        claim, send = effects
        assert isinstance(claim, Claim)
        assert (claim.run, claim.sum, claim.stage) == ("run", 1, stage)
        assert isinstance(send, Send)
        sums = fleet()


# --- replay


def test_what_belongs_to_another_sum_or_run_is_refused() -> None:
    first = fleet()
    first.run()
    for plan in (make_plan(serial=2), msgspec.structs.replace(make_plan(), run="another")):
        for stage in STAGES[1:]:
            second = Fleet(plan, vectors(12))
            second.until(stage)
            match = "another plan|U1 or U2|signature|not one|U3 is not the one"
            refused(second.devices[VICTIM], first.requests[stage][VICTIM], match)


def test_votes_and_proofs_of_another_sum_are_none_of_this_one() -> None:
    first, second = fleet(), fleet(serial=2)
    first.run()
    request = second.until("unmask")[VICTIM]
    old = read(first.requests["unmask"][VICTIM], Unmask)
    refused(second.devices[VICTIM], changed(request, Unmask, inputs=old.inputs), r"\(mi\)")
    refused(second.devices[VICTIM], changed(request, Unmask, votes=old.votes), r"\(cc\)")


# --- what is sent


def test_a_vector_of_another_length_than_the_plan_is_no_event() -> None:
    sums = fleet()
    victim = sums.devices[VICTIM]
    victim.vector = np.zeros(4, np.int64)
    with pytest.raises(ValueError, match="shape"):
        victim.open(sums.envelope)


def test_a_cloned_card_with_fresh_randomness_masks_differently() -> None:
    """Two sessions of one identity share its name alone: seeds come from the generator, not the card."""
    one, two = fleet(), fleet()
    for device in two.devices.values():
        device.clone = 1
    one.run()
    two.run()
    for stage in ("advertise", "share", "masked"):
        sent = dict(one.replies[stage]), dict(two.replies[stage])
        assert all(sent[0][node] != sent[1][node] for node in one.devices)


def test_randomness_that_is_replayed_repeats_the_same_bytes_and_no_others() -> None:
    one, two = fleet(), fleet()
    one.run()
    two.run()
    assert one.replies == two.replies


def test_an_earlier_session_is_dropped_by_a_new_plan() -> None:
    sums = fleet()
    sums.until("masked")
    victim = sums.devices[VICTIM]
    later = fleet(serial=2)
    victim.open(later.envelope)
    refused(victim, sums.requests["masked"][VICTIM], "partners while advertising")


def test_nothing_secret_shows_when_states_and_events_are_printed() -> None:
    sums = fleet()
    for stage in STAGES[1:]:
        sums = fleet()
        sums.until(stage)
        victim = sums.devices[VICTIM]
        assert repr(victim.state) == f"<{type(victim.state).__name__}>"
    assert identity(3).hex() not in repr(victim.me)
    assert repr(identity(3)) not in repr(victim.me)
    assert repr(victim.me) == f"Me(device={name(3)!r}, enrolment={victim.me.enrolment!r}, workers=1)"
    event = Open(None, np.zeros(3, np.int64), b"seed", b"noise", 17, b"leaf")  # type: ignore[arg-type]
    assert repr(event) == "Open()"
    assert "data" not in repr(Request(b"data", 7))
    assert "data" not in repr(Send(b"data"))
    assert isinstance(victim.state, Agreeing)
    for held in victim.state.held:
        assert repr(held[1]) == "<Held>"
    assert all(repr(each) == f"<Replied {each.stage}>" for each in victim.state.replies)


def test_the_seeds_of_masks_are_gone_once_the_vector_is_sent() -> None:
    sums = fleet()
    request = sums.until("masked")[VICTIM]
    victim = sums.devices[VICTIM]
    assert victim.state is not None
    secrets = victim.state.secrets  # type: ignore[union-attr]
    victim.ask(request)
    assert isinstance(victim.state, Masking)
    kept = states.to_bytes(victim.state)
    for secret in (secrets.r, secrets.b, secrets.seal, secrets.dealing, victim.noise_keys[-1]):
        assert secret not in kept


def test_nothing_held_is_kept_when_the_session_is_over() -> None:
    sums = fleet()
    sums.run({"masked": {9}})
    state = sums.devices[VICTIM].state
    assert isinstance(state, Closed)
    assert {each.stage for each in state.replies} == {"advertise", "share", "consistency", "unmask"}


def test_an_envelope_for_another_cohort_of_the_same_sum_is_refused() -> None:
    plan = msgspec.structs.replace(make_plan(), cohorts=2)
    one = Fleet(plan, vectors(12))
    one.until("share")
    other = Fleet(msgspec.structs.replace(plan, cohort_number=1), vectors(12))
    victim = one.devices[VICTIM]
    with pytest.raises(PlanRefused, match="stage advertise was answered before"):
        victim.open(other.envelope)


def test_message_bytes_that_mean_nothing_are_refused_in_every_state() -> None:
    sums = fleet()
    for stage in STAGES[1:]:
        sums = fleet()
        request = sums.until(stage)[VICTIM]
        victim = sums.devices[VICTIM]
        for junk in (b"", b"\xc0", request[:-1], request + b"\0", b"\x93" + request[1:], bytes(1000)):
            refused(victim, junk, "malformed")
        refused(victim, bytes(victim.state.terms.limit + 1), "at most")  # type: ignore[union-attr]
        for mine in (dict(sums.replies["advertise"])[VICTIM], sums.envelope):
            refused(victim, mine, "malformed")


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_mutated_request_is_refused_and_nothing_else_happens(stage: Stage) -> None:
    """Never another error than ours. Only which U3 to sign is the server's to say, once."""
    sums = fleet()
    request = sums.until(stage, {"masked": {9}})[VICTIM]
    victim = sums.devices[VICTIM]
    before, claims = victim.state, dict(victim.claims)
    for mutant in mutants(request, 300, STAGES.index(stage)):
        if mutant == request:
            continue
        try:
            victim.ask(mutant)
        except ProtocolError:
            assert victim.state == before
            assert victim.claims == claims
        else:
            assert stage == "consistency" or same_content(mutant, request)
            victim.state, victim.claims = before, dict(claims)
    assert victim.ask(request) == fleet_reply(stage)


def same_content(one: bytes, two: bytes) -> bool:
    """Integers and lengths have several spellings in msgpack."""
    return bool(msgspec.msgpack.decode(one) == msgspec.msgpack.decode(two))


def fleet_reply(stage: Stage) -> bytes:
    again = fleet()
    request = again.until(stage, {"masked": {9}})[VICTIM]
    return again.devices[VICTIM].ask(request)


def test_a_roster_swapped_in_memory_is_no_roster() -> None:
    """The roster travels in the state, as signed: the enrolment key is checked again with U1."""
    sums = fleet()
    request = sums.until("share")[VICTIM]
    victim = sums.devices[VICTIM]
    assert victim.state is not None
    forged = roster(12, serial=9)[:-64] + bytes(64)
    victim.state = msgspec.structs.replace(victim.state, roster=forged)
    refused(victim, request, r"signature \(roster\)")


def test_encoded_requests_are_what_the_server_made() -> None:
    sums = fleet()
    sums.run()
    kinds: tuple[type[Message], ...] = (Cohort, Partners, Survivors, Unmask)
    for stage, kind in zip(STAGES[1:], kinds, strict=True):
        request = sums.requests[stage][VICTIM]
        assert encode(read(request, kind)) == request
