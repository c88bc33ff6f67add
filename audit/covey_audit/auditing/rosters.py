"""Which devices there were: rosters in the order in which they came."""

import hashlib
import hmac
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from covey.errors import ProtocolError
from covey.identity import Roster, read_roster
from covey.ledger.entries import Enrol, Revoke
from covey.ledger.findings import Finding, finding
from covey.plan import RosterReference
from covey_audit.audited import RosterFacts
from covey_audit.auditing.material import Anchors, Material
from covey_audit.auditing.policies import SHOWN, Policies
from covey_audit.auditing.structure import Log


@dataclass(frozen=True)
class Verified:
    """A roster whose signature held.

    Attributes:
        roster: What it says.
        key: The enrolment key that signed it, hexadecimal.
    """

    roster: Roster
    key: str

    @cached_property
    def keys(self) -> dict[str, bytes]:
        """The devices' public keys, by name."""
        return {each.device: each.key for each in self.roster.certificates}


@dataclass(frozen=True)
class Rosters:
    """Rosters in the order of their entries.

    Attributes:
        all: One for each entry.
        verified: By SHA-256, those that are here and hold.
    """

    all: tuple[RosterFacts, ...]
    verified: dict[str, Verified]

    def newest_before(self, index: int) -> RosterFacts | None:
        """Of those entered above an entry, the one of the largest serial."""
        place = bisect_left(self.all, index, key=_index)
        return self._newest[place - 1] if place else None

    def named_before(self, named: RosterReference, index: int) -> RosterFacts | None:
        """The last entry above an entry that brings one roster."""
        entered = self._by_name.get((named.sha256, named.serial), [])
        place = bisect_left(entered, index, key=_index)
        return entered[place - 1] if place else None

    @cached_property
    def _newest(self) -> list[RosterFacts]:
        return list(accumulate(self.all, _newer))

    @cached_property
    def _by_name(self) -> dict[tuple[str, int], list[RosterFacts]]:
        found: dict[tuple[str, int], list[RosterFacts]] = {}
        for each in self.all:
            found.setdefault((each.sha256, each.serial), []).append(each)
        return found


def read(material: Material, log: Log, policies: Policies, anchors: Anchors) -> tuple[Rosters, list[Finding]]:
    """Every roster that an entry names.

    Args:
        material: Where rosters are.
        log: The entries.
        policies: They name the enrolment key.
        anchors: The reader may know it.
    """
    keys = _keys(policies, anchors)
    verified: dict[str, Verified] = {}
    found: list[Finding] = []
    facts: list[RosterFacts] = []
    for index, entry in log.entries:
        if not isinstance(entry, Enrol):
            continue
        if entry.roster not in verified:
            roster, faults = _verified(material.roster(entry.roster), entry, keys)
            found += [finding(code, words, index) for code, words in faults]
            if roster is not None:
                verified[entry.roster] = roster
        known = verified.get(entry.roster)
        if known is not None:
            found += _misdescribed(index, entry, known.roster)
        facts.append(_facts(index, entry, known is not None))
    rosters = Rosters(tuple(facts), verified)
    return rosters, [*found, *_order(rosters), *_foreign_keys(policies, anchors)]


def _keys(policies: Policies, anchors: Anchors) -> tuple[str, ...]:
    if anchors.enrolment is not None:
        return (anchors.enrolment.hex(),)
    owned = [policies.own.policy] if policies.own else []
    every = [*owned, *(each.policy for each in policies.all)]
    return tuple(dict.fromkeys(each.keys.enrolment for each in every))


def _verified(
    data: bytes | None, entry: Enrol, keys: Sequence[str]
) -> tuple[Verified | None, list[tuple[str, str]]]:
    shown = entry.roster[:SHOWN]
    if data is None:
        return None, [("roster-missing", f"roster {entry.serial}, {shown}, is not in the folder")]
    if not hmac.compare_digest(hashlib.sha256(data).hexdigest(), entry.roster):
        return None, [("roster-untrusted", f"the file of roster {entry.serial} is another than {shown}")]
    fault = "no enrolment key is known"
    for key in keys:
        try:
            return Verified(read_roster(data, bytes.fromhex(key), now=0, least_serial=0), key), []
        except ProtocolError as error:
            fault = error.message
    return None, [("roster-untrusted", f"roster {entry.serial}, {shown}: {fault}")]


def _misdescribed(index: int, entry: Enrol, roster: Roster) -> Iterator[Finding]:
    said = {
        "fleet": (entry.fleet, roster.fleet),
        "serial": (entry.serial, roster.serial),
        "devices": (entry.devices, len(roster.certificates)),
        "expires": (entry.expires, roster.expires),
    }
    for name, (claim, truth) in said.items():
        if claim != truth:
            words = f"the entry says {name} {claim}, the roster {truth}"
            yield finding("roster-misdescribed", words, index)
    if entry.simulation != roster.simulation:
        words = (
            f"the entry says simulation is {_word(entry.simulation)}, the roster {_word(roster.simulation)}"
        )
        yield finding("simulation-disguised", words, index)


def _order(rosters: Rosters) -> Iterator[Finding]:
    last: RosterFacts | None = None
    for each in rosters.all:
        if last is not None and each.sha256 != last.sha256:
            if each.serial <= last.serial:
                words = f"roster {each.serial} after roster {last.serial} (entry {last.index})"
                yield finding("roster-replayed", words, each.index)
            yield from _left_out(each, rosters, last)
        last = each if last is None or each.serial > last.serial else last


def _left_out(each: RosterFacts, rosters: Rosters, last: RosterFacts) -> Iterator[Finding]:
    """Whether as many devices are gone as the entry says."""
    old, new = rosters.verified.get(last.sha256), rosters.verified.get(each.sha256)
    if old is None or new is None:
        return
    stay = {one.device for one in new.roster.certificates}
    gone = sum(one.device not in stay for one in old.roster.certificates)
    if gone != each.gone:
        words = f"{gone} devices of roster {last.serial} are left out, the entry says {each.gone}"
        yield finding("roster-misdescribed", words, each.index)


def _foreign_keys(policies: Policies, anchors: Anchors) -> Iterator[Finding]:
    if anchors.enrolment is None:
        return
    told: set[str] = set()
    for each in policies.all:
        key = each.policy.keys.enrolment
        if key not in told and not hmac.compare_digest(bytes.fromhex(key), anchors.enrolment):
            told.add(key)
            words = (
                f"the policy names enrolment key {key[:SHOWN]}, yours is {anchors.enrolment.hex()[:SHOWN]}"
            )
            yield finding("enrolment-key-not-yours", words, each.index)


def _facts(index: int, entry: Enrol, verified: bool) -> RosterFacts:
    return RosterFacts(
        index=index,
        time=entry.time,
        fleet=entry.fleet,
        serial=entry.serial,
        sha256=entry.roster,
        devices=entry.devices,
        gone=entry.gone if isinstance(entry, Revoke) else 0,
        expires=entry.expires,
        simulation=entry.simulation,
        verified=verified,
    )


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def _index(each: RosterFacts) -> int:
    return each.index


def _newer(old: RosterFacts, new: RosterFacts) -> RosterFacts:
    return new if new.serial > old.serial else old
