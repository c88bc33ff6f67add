"""Opening with wrong shares: the sum is right or it is not opened, and the liar is named."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import pytest

from covey.identity import sign
from covey.secagg.messages import Advert, Advertised, OpenShare, Revealed, Shared, encode
from covey.secagg.server import Aborted, Finished
from covey.secagg.states import Stage
from secagg_attacks import read
from secagg_fleet import Fleet, identity, key, make_plan, vectors

Replies = list[tuple[int, bytes]]


def at(stage: Stage, changes: Mapping[int, Callable[[bytes], bytes]]) -> Callable[[Stage, Replies], Replies]:
    """These nodes send something else at this stage."""

    def tamper(now: Stage, replies: Replies) -> Replies:
        if now != stage:
            return replies
        return [(node, changes.get(node, bytes)(data)) for node, data in replies]

    return tamper


def with_share(field: str, dealer: int, **changes: Any) -> Callable[[bytes], bytes]:
    """A holder that reveals another share of one dealer."""

    def lie(data: bytes) -> bytes:
        revealed = read(data, Revealed)
        shares = tuple(
            msgspec.structs.replace(each, **changes) if each.position == dealer else each
            for each in getattr(revealed, field)
        )
        return encode(msgspec.structs.replace(revealed, **{field: shares}))

    return lie


def run(
    tamper: Callable[[Stage, Replies], Replies], dropped: Mapping[Stage, Iterable[int]] | None = None
) -> tuple[Fleet, Any]:
    sums = Fleet(make_plan(), vectors(12))
    return sums, sums.run(dropped or {}, tamper)


WRONG = b"\0" + key("another share")


@pytest.mark.parametrize("field", ["b", "r"])
def test_a_wrong_share_is_told_apart_and_its_holder_named(field: str) -> None:
    dealer = 0 if field == "r" else 5
    lie = with_share(field, dealer, share=WRONG)
    sums, end = run(at("unmask", {3: lie}), {"masked": {2}})
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert [(each.sender, each.reason) for each in sums.blames] == [
        (3, f"revealed another share of d{dealer:03d}'s {field} than it was dealt")
    ]


@pytest.mark.parametrize("share", [bytes(33), b"\1" + b"\xff" * 32, b"\xff" * 33])
def test_a_share_that_is_none_is_a_wrong_share(share: bytes) -> None:
    sums, end = run(at("unmask", {3: with_share("b", 5, share=share)}))
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert [each.sender for each in sums.blames] == [3]


def test_shares_swapped_between_dealers_or_indices_are_wrong_shares() -> None:
    def swap(data: bytes) -> bytes:
        revealed = read(data, Revealed)
        one, two, *rest = revealed.b
        mixed = OpenShare(one.position, two.share, two.blind), OpenShare(two.position, one.share, one.blind)
        return encode(msgspec.structs.replace(revealed, b=(*mixed, *rest)))

    sums, end = run(at("unmask", {5: swap}))
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert {each.sender for each in sums.blames} == {5}


def test_another_holders_share_is_a_wrong_share() -> None:
    """A share is committed to with its holder's place: one holder's value is no other's."""
    honest, _ = run(at("unmask", {}))
    theirs = read(dict(honest.replies["unmask"])[6], Revealed)
    sums, end = run(at("unmask", {3: lambda _: encode(theirs)}))
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert {each.sender for each in sums.blames} == {3}


def test_a_right_share_with_a_wrong_blind_counts_only_while_nobody_lies() -> None:
    blind = with_share("b", 5, blind=bytes(32))
    sums, end = run(at("unmask", {3: blind}))
    assert isinstance(end, Finished)
    assert sums.blames == []
    sums, end = run(at("unmask", {3: blind, 4: with_share("b", 5, share=WRONG)}))
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert {each.sender for each in sums.blames} == {3, 4}


def test_with_too_few_right_shares_nothing_is_opened_and_every_liar_is_named() -> None:
    liars = {node: with_share("b", 9, share=WRONG) for node in range(2, 8)}  # 6 of 12; 7 are needed
    sums, end = run(at("unmask", liars))
    assert isinstance(end, Aborted)
    assert end.reason.startswith("6 right shares of d009's b, 7 are needed; first refusal: revealed another")
    assert {each.sender for each in sums.blames} == set(liars)
    sums, end = run(at("unmask", dict(list(liars.items())[:5])))
    assert isinstance(end, Finished)


def test_a_dealer_that_changes_the_share_it_kept_is_outvoted() -> None:
    sums, end = run(at("unmask", {2: with_share("b", 0, share=WRONG)}))
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()


def test_a_dealer_of_another_secret_than_it_committed_to_is_named() -> None:
    def commit_elsewhere(data: bytes) -> bytes:
        body = encode(
            msgspec.structs.replace(read(read(data, Advertised).body, Advert), commitment=key("other"))
        )
        return encode(Advertised(body, sign(identity(3), "advert", body)))

    sums = Fleet(make_plan(), vectors(12))
    victim = sums.devices[5]
    sums.begin(set())
    bent = commit_elsewhere(dict(sums.replies["advertise"])[5])
    sums.replies["advertise"][3] = 5, bent
    assert victim.state is not None
    victim.state = msgspec.structs.replace(victim.state, advert=read(bent, Advertised))
    deliver = sums.end_stage("advertise")
    while deliver is not None:
        sums.answer(deliver, set())
        deliver = sums.end_stage(deliver.stage)
    end = sums.states[-1]
    assert isinstance(end, Aborted)
    assert "d003 dealt shares of another b than it committed to" in end.reason
    assert [each.sender for each in sums.blames] == [5]


@pytest.mark.parametrize("silent", range(6))
def test_up_to_n_minus_t_may_stay_silent_at_the_end(silent: int) -> None:
    sums = Fleet(make_plan(), vectors(12))
    end = sums.run({"unmask": set(range(2, 2 + silent))})
    assert isinstance(end, Finished)
    assert (end.total == sums.clear_sum(end.u3)).all()
    assert len(end.u3) == 12


def test_one_more_and_nothing_is_opened() -> None:
    sums = Fleet(make_plan(), vectors(12))
    end = sums.run({"unmask": set(range(2, 8))})
    assert isinstance(end, Aborted)
    assert end.reason == "6 right shares of d000's b, 7 are needed"
    assert end.stage == "unmask"


def test_pair_masks_of_many_drop_outs_are_taken_off() -> None:
    sums = Fleet(make_plan(), vectors(12))
    end = sums.run({"share": {2}, "masked": {5, 9, 13}})
    assert isinstance(end, Finished)
    assert len(end.u1) == 12
    assert len(end.u2) == 11
    assert len(end.u3) == 8
    assert (end.total == sums.clear_sum(end.u3)).all()


def test_shares_for_the_wrong_secret_are_refused_though_they_are_right() -> None:
    """A device that also reveals r of a survivor is left out: the server would rather not know."""
    sums = Fleet(make_plan(), vectors(12))

    def both(data: bytes) -> bytes:
        revealed = read(data, Revealed)
        return encode(msgspec.structs.replace(revealed, r=revealed.b[:1]))

    end = sums.run(tamper=at("unmask", {4: both}))
    assert isinstance(end, Finished)
    assert [(each.sender, each.reason) for each in sums.blames] == [
        (4, "node 4: other shares than were asked for")
    ]


def test_shares_dealt_are_for_every_neighbour() -> None:
    def fewer(data: bytes) -> bytes:
        shared = read(data, Shared)
        return encode(msgspec.structs.replace(shared, deals=shared.deals[1:]))

    sums = Fleet(make_plan(), vectors(12))
    end = sums.run(tamper=at("share", {4: fewer}))
    assert isinstance(end, Finished)
    assert "d002" not in end.u2
    assert [each.reason for each in sums.blames] == ["node 4: not one share for every neighbour"]
