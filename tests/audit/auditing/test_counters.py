"""What devices count themselves, and what that tells."""

from dataclasses import replace

import msgspec
import pytest

import made_ledger
from covey.secagg.evidence import Shown
from covey_audit.auditing import counters, ends, members, policies, reserves, rosters, structure
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.rosters import Rosters

Parts = tuple[tuple[Reserved, ...], dict[str, Shown], Rosters]


@pytest.fixture
def parts() -> Parts:
    made = made_ledger.honest()
    log, _ = structure.read(made.lines, b"")
    policy, _ = policies.read(log, made.anchors)
    roster, _ = rosters.read(made.material, log, policy, made.anchors)
    reserved, _ = reserves.read(log, policy)
    ended, _ = ends.read(log, reserved)
    shown, _ = members.check(made.material, reserved, ended, roster)
    return reserved, shown.shown, roster


def counting(shown: Shown, device: str, counter: int) -> Shown:
    """As if a device had counted so."""
    adverts = tuple(
        msgspec.structs.replace(each, counter=counter) if each.device == device else each
        for each in shown.adverts
    )
    return replace(shown, adverts=adverts)


def test_honest_devices_count_what_the_ledger_holds(parts: Parts) -> None:
    assert list(counters.check(*parts)) == []
    reserved, shown, _ = parts
    assert shown[reserved[-1].digest].counters["d000"] == 5  # with the sum that was given up


def test_a_count_that_comes_twice_tells_of_a_copied_disk(parts: Parts) -> None:
    reserved, shown, roster = parts
    last = reserved[-1]
    bent = {**shown, last.digest: counting(shown[last.digest], "d004", 4)}
    (found,) = counters.check(reserved, bent, roster)
    assert (found.code, found.entry) == ("counter-repeated", last.index)
    assert "'d004'" in found.words


def test_a_count_that_leaps_tells_of_another_ledger(parts: Parts) -> None:
    reserved, shown, roster = parts
    first = reserved[0]
    bent = {**shown, first.digest: counting(shown[first.digest], "d004", 2)}
    found = list(counters.check(reserved, bent, roster))
    assert ("counter-gap", first.index) in {(each.code, each.entry) for each in found}


def test_many_devices_are_counted_and_a_few_named(parts: Parts) -> None:
    reserved, shown, roster = parts
    last = reserved[-1]
    bent = shown[last.digest]
    for number in range(5):
        bent = counting(bent, f"d00{number}", 1)
    (found,) = counters.check(reserved, {**shown, last.digest: bent}, roster)
    assert found.words.startswith("'d000', 'd001', 'd002' and 2 more devices")


def test_a_device_under_a_new_key_counts_from_the_start(parts: Parts) -> None:
    reserved, shown, roster = parts
    last = reserved[-1]
    assert last.plan.roster is not None
    other = "0" * 64
    known = roster.verified[last.plan.roster.sha256]
    anew = tuple(
        msgspec.structs.replace(each, key=bytes(32)) if each.device == "d004" else each
        for each in known.roster.certificates
    )
    listed = {
        **roster.verified,
        other: replace(known, roster=msgspec.structs.replace(known.roster, certificates=anew)),
    }
    named = msgspec.structs.replace(last.plan.roster, sha256=other)
    moved = replace(last, plan=msgspec.structs.replace(last.plan, roster=named))
    bent = {**shown, last.digest: counting(shown[last.digest], "d004", 1)}
    assert list(counters.check((*reserved[:-1], moved), bent, replace(roster, verified=listed))) == []


def test_a_device_in_two_cohorts_of_one_sum(parts: Parts) -> None:
    reserved, shown, roster = parts
    first, second = reserved[0], reserved[1]
    merged = replace(second, plan=msgspec.structs.replace(second.plan, sum=first.plan.sum))
    found = list(counters.check((first, merged), shown, roster))
    assert ("device-twice", second.index) in {(each.code, each.entry) for each in found}
