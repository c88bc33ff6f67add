"""What the reviewers accepted in signed words; see `covey.ledger.waiver` for the words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from covey.errors import ProtocolError
from covey.ledger import note
from covey.ledger.entries import Reserve, Waiver
from covey.ledger.findings import KINDS, Finding, finding, waived
from covey.ledger.waiver import Accepted, parse
from covey_audit.auditing.material import Anchors
from covey_audit.auditing.structure import Log

GROWING: Final = frozenset({"budget-exceeded", "evidence-missing", "units-mixed"})
"""What one entry shows and every later sum makes worse: accepted is what stood above the waiver."""


@dataclass(frozen=True)
class Signed:
    """A waiver whose signatures held.

    Attributes:
        index: Its entry.
        accepted: What it says.
        signers: Who signed it.
    """

    index: int
    accepted: Accepted
    signers: tuple[str, ...]


@dataclass(frozen=True)
class Ledger:
    """What a waiver must be about, and who must have signed it.

    Attributes:
        origin: The ledger's name.
        lines: Its entries as they stand there.
        signatures: Of so many reviewers the policy needs one: a waiver needs no fewer.
    """

    origin: str
    lines: Sequence[bytes]
    signatures: int


def apply(found: Sequence[Finding], log: Log, ledger: Ledger, anchors: Anchors) -> list[Finding]:
    """Findings, with those that a signed waiver accepts turned into notes.

    Args:
        found: Before waivers.
        log: The entries.
        ledger: That they are of.
        anchors: Whose signatures count.
    """
    waivers, faults = _read(log, ledger, anchors)
    last = max((index for index, entry in log.entries if isinstance(entry, Reserve)), default=-1)
    used: set[int] = set()
    after: list[Finding] = []
    for each in found:
        since = last if each.code in GROWING else -1
        match = next((one for one in waivers if one.index > since and _fits(one, each)), None)
        if match is not None:
            used.add(match.index)
        after.append(each if match is None else waived(each, _words(match)))
    unused = [
        finding("waiver-unused", f"it accepts {one.accepted.code}, {_why_not(one, last)}", one.index)
        for one in waivers
        if one.index not in used
    ]
    return [*after, *faults, *unused]


def _why_not(one: Signed, last: int) -> str:
    outdated = one.accepted.code in GROWING and one.index < last
    return f"and entry {last} asked for more since" if outdated else "which was not found there"


def _read(log: Log, ledger: Ledger, anchors: Anchors) -> tuple[list[Signed], list[Finding]]:
    signed: list[Signed] = []
    faults: list[Finding] = []
    for index, entry in log.entries:
        if not isinstance(entry, Waiver):
            continue
        try:
            signed.append(_verified(index, entry, ledger.signatures, anchors))
        except ProtocolError as error:
            faults.append(finding("waiver-unsigned", f"ignored: {error.message}", index))
            continue
        for fault in _misplaced(signed[-1], ledger.origin, ledger.lines):
            faults.append(finding("waiver-unsigned", f"ignored: {fault}", index))
            signed.pop()
            break
    return signed, faults


def _verified(index: int, entry: Waiver, signatures: int, anchors: Anchors) -> Signed:
    if anchors.reviewers is None:
        raise ProtocolError("you gave no reviewer's key to check it by", blame="local")
    read = note.parse(entry.note.encode(), blame="operator")
    signers = note.holders(read, anchors.reviewers.keys, blame="operator")
    needed = max(anchors.reviewers.threshold, signatures)
    if len(signers) < needed:
        words = f"{len(signers)} of {needed} reviewers signed it"
        raise ProtocolError(words, blame="operator")
    return Signed(index, parse(read.text, blame="operator"), tuple(each.name for each in signers))


def _misplaced(one: Signed, origin: str, lines: Sequence[bytes]) -> Iterator[str]:
    """Why a waiver is not about this ledger."""
    accepted = one.accepted
    if accepted.origin != origin:
        yield f"it is about ledger {accepted.origin!r}"
    if accepted.code not in KINDS or not KINDS[accepted.code].waivable:
        yield f"{accepted.code} cannot be accepted"
    if accepted.entry is not None and not accepted.is_about(lines):
        yield f"it is about another entry {accepted.entry}"


def _fits(one: Signed, found: Finding) -> bool:
    return (one.accepted.code, one.accepted.entry) == (found.code, found.entry)


def _words(one: Signed) -> str:
    return f"{', '.join(one.signers)}: {one.accepted.words}"
