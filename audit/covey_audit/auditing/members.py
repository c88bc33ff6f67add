"""Who was in the sums, by what the devices themselves signed."""

import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from covey.errors import ProtocolError
from covey.ledger import evidence as held
from covey.ledger import participation
from covey.ledger.entries import Settle
from covey.ledger.findings import Finding, finding
from covey.secagg import evidence
from covey.secagg.evidence import Shown
from covey.secagg.terms import Terms
from covey_audit.audited import Shown as Outcome
from covey_audit.auditing.ends import End
from covey_audit.auditing.material import Material
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.rosters import Rosters, Verified

Progress = Callable[[int, int], None]
"""Told how many of how many sums have been looked at."""

_LEAF: Final = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True)
class Members:
    """What evidence shows.

    Attributes:
        outcomes: Of each sum, by its plan's digest.
        shown: Where it holds, likewise.
    """

    outcomes: dict[str, Outcome]
    shown: dict[str, Shown]


def check(
    material: Material,
    reserved: Sequence[Reserved],
    ends: Mapping[str, End],
    rosters: Rosters,
    progress: Progress | None = None,
) -> tuple[Members, list[Finding]]:
    """Every evidence file that is there, against its settle.

    Args:
        material: Where evidence is.
        reserved: All plans.
        ends: How their sums ended.
        rosters: Whose signatures count.
        progress: Told after every sum; signatures take their time.
    """
    outcomes: dict[str, Outcome] = {}
    shown: dict[str, Shown] = {}
    found: list[Finding] = []
    for done, each in enumerate(reserved, start=1):
        end = ends.get(each.digest)
        outcomes[each.digest], what, faults = _of_sum(material, each, end, rosters)
        found += faults
        if what is not None:
            shown[each.digest] = what
        if progress is not None:
            progress(done, len(reserved))
    found += [*_missing(reserved, ends, outcomes), *_orphans(material, reserved)]
    found += _participants(material, ends)
    return Members(outcomes, shown), found


def _of_sum(
    material: Material, each: Reserved, end: End | None, rosters: Rosters
) -> tuple[Outcome, Shown | None, list[Finding]]:
    if each.plan.masks != "on":
        return "not needed", None, []
    settle = end.settle if end else None
    if end is None or settle is None:
        return "not needed", None, _of_unopened(material, each, end)
    if settle.evidence is None or settle.sets is None:
        words = "a masked sum was settled without commitments to its members"
        return "missing", None, [finding("members-uncommitted", words, end.index)]
    data = material.evidence(each.digest)
    roster = rosters.verified.get(each.plan.roster.sha256) if each.plan.roster else None
    if data is None or roster is None:
        return "missing", None, []
    what, faults = _shown(data, each, end.index, settle, roster)
    return "broken" if faults else "verified", what, faults


def _of_unopened(material: Material, each: Reserved, end: End | None) -> list[Finding]:
    if material.evidence(each.digest) is None:
        return []
    words = "evidence of a sum that was not opened, by the ledger"
    return [finding("evidence-of-aborted", words, end.index if end else each.index)]


def _shown(
    data: bytes, each: Reserved, index: int, settle: Settle, roster: Verified
) -> tuple[Shown | None, list[Finding]]:
    if not hmac.compare_digest(evidence.digest(data), settle.evidence or ""):
        words = "the evidence file is another than the settle says"
        return None, [finding("evidence-changed", words, index)]
    try:
        read = evidence.from_bytes(data, blame="operator")
        return held.check(read, Terms.of(each.sent), roster.roster, settle, blame="operator"), []
    except ProtocolError as error:
        return None, [finding("evidence-forged", f"evidence does not hold: {error.message}", index)]


def _missing(
    reserved: Sequence[Reserved], ends: Mapping[str, End], outcomes: Mapping[str, Outcome]
) -> Iterator[Finding]:
    """One finding for all: a reader who was given no evidence folder knows it after the first."""
    without = [each for each in reserved if outcomes[each.digest] == "missing"]
    if without:
        masked = sum(outcome != "not needed" for outcome in outcomes.values())
        words = f"evidence of {len(without)} of {masked} sums that were opened cannot be checked"
        yield finding("evidence-missing", words, ends[without[0].digest].index)


def _orphans(material: Material, reserved: Sequence[Reserved]) -> Iterator[Finding]:
    known = {each.digest for each in reserved}
    for name in sorted(set(material.evidence_of) - known):
        yield finding("evidence-orphaned", f"evidence of plan {name[:16]}, which no entry reserves")


def _participants(material: Material, ends: Mapping[str, End]) -> Iterator[Finding]:
    without: list[End] = []
    for plan, end in ends.items():
        settle = end.settle
        if settle is None or settle.sets is None:
            continue
        data = material.participants(plan)
        if data is None:
            without.append(end)
        elif not commits(settle, data):
            words = "the participation leaves have another root than the settle says"
            yield finding("participants-changed", words, end.index)
    if without:
        words = f"participation leaves of {len(without)} sums are not in the folder"
        yield finding("participants-missing", words, without[0].index)


def commits(settle: Settle, data: bytes) -> bool:
    """Whether a participants file holds the leaves that a settle commits to."""
    leaves = leaves_of(data)
    root = participation.root(leaves) if leaves is not None else b""
    return settle.sets is not None and hmac.compare_digest(root.hex(), settle.sets.participants)


def leaves_of(data: bytes) -> list[bytes] | None:
    """The leaves of a participants file, a line each; None if it is none."""
    lines = data.split(b"\n")
    if lines.pop() or not all(_LEAF.fullmatch(line) for line in lines):
        return None
    return [bytes.fromhex(line.decode()) for line in lines]
