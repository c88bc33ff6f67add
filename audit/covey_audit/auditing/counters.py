"""Each device's own count of what it has answered: what tells of cloned disks and of other ledgers."""

from collections.abc import Iterator, Mapping, Sequence

from covey.ledger.findings import Finding, finding
from covey.secagg.evidence import Shown
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.rosters import Rosters

NAMED = 3
"""Devices that a finding names before it counts the others."""


def check(reserved: Sequence[Reserved], shown: Mapping[str, Shown], rosters: Rosters) -> Iterator[Finding]:
    """Devices that count backwards, further than this ledger goes, or are in one sum twice.

    Args:
        reserved: All plans.
        shown: What evidence shows of their sums, by the plan's digest.
        rosters: The devices' keys.
    """
    yield from _counters(reserved, shown, rosters)
    yield from _twice(reserved, shown)


def _counters(
    reserved: Sequence[Reserved], shown: Mapping[str, Shown], rosters: Rosters
) -> Iterator[Finding]:
    """Each device's own count of what it has reserved for: it grows, and by no more than was asked here.

    A device that was enrolled anew, under another key, counts from the start.
    """
    last: dict[tuple[str, bytes], tuple[int, int]] = {}
    sums: set[tuple[str, int]] = set()
    for each in reserved:
        sums.add(each.key)
        what = shown.get(each.digest)
        if what is None or each.plan.roster is None:
            continue
        keys = rosters.verified[each.plan.roster.sha256].keys
        repeated, ahead = [], []
        for device, counter in what.counters.items():
            count, asked = last.get((device, keys[device]), (0, 0))
            if counter <= count:
                repeated.append(device)
            elif counter - count > len(sums) - asked:
                ahead.append(device)
            last[device, keys[device]] = max(counter, count), len(sums)
        if repeated:
            words = f"{_names(repeated)} counted a plan that was counted before"
            yield finding("counter-repeated", words, each.index)
        if ahead:
            words = f"{_names(ahead)} had reserved for more plans by then than stand in this ledger"
            yield finding("counter-gap", words, each.index)


def _twice(reserved: Sequence[Reserved], shown: Mapping[str, Shown]) -> Iterator[Finding]:
    """A device in two cohorts of one sum is in it twice."""
    seen: dict[tuple[str, int], dict[str, int]] = {}
    for each in reserved:
        what = shown.get(each.digest)
        if what is None:
            continue
        before = seen.setdefault(each.key, {})
        devices = [advert.device for advert in what.survivors]
        again = [device for device in devices if device in before]
        if again:
            words = f"{_names(again)} is also in the cohort of entry {before[again[0]]}, of the same sum"
            yield finding("device-twice", words, each.index)
        before.update(dict.fromkeys(devices, each.index))


def _names(devices: Sequence[str]) -> str:
    shown = ", ".join(repr(each) for each in devices[:NAMED])
    more = len(devices) - NAMED
    return f"{shown} and {more} more devices" if more > 0 else shown
