"""The checkpoint over the entries, and checkpoints that the reader has from elsewhere."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace

from covey.errors import InputError, ProtocolError
from covey.ledger import note
from covey.ledger.checkpoint import Checkpoint, LogTrust, Witnessed, claimed, open_checkpoint
from covey.ledger.entries import AuditResult
from covey.ledger.findings import Finding, finding
from covey.ledger.history import History
from covey_audit.auditing.material import Anchors, Material
from covey_audit.auditing.policies import Policies
from covey_audit.auditing.structure import Log

SKEW = 600
"""Seconds that the writer's clock and a witness's may differ by before it is worth a word."""


_NOT_GIVEN = "no checkpoint was given that came from a witness"
_UNCOSIGNED = "no witness of the policy has cosigned the checkpoint that was given as a witness's"


@dataclass(frozen=True)
class Head:
    """The newest checkpoint, as far as it could be verified.

    Attributes:
        checkpoint: What it says; None if it cannot be read.
        trusted: Whether the log's key signed it.
        time: When so many witnesses as the policy asks for had seen it, unix seconds; 0 if they did not.
        witnesses: Names of those whose cosignatures hold.
        compared: Whether it was held against one that a witness of the policy has cosigned, as the reader
            says.
    """

    checkpoint: Checkpoint | None = None
    trusted: bool = False
    time: int = 0
    witnesses: tuple[str, ...] = ()
    compared: bool = False


def check(
    material: Material, log: Log, history: History, policies: Policies, anchors: Anchors
) -> tuple[Head, list[Finding]]:
    """The checkpoint against the entries, against the policy's keys, and against what the reader has.

    Args:
        material: The ledger.
        log: Its entries.
        history: The tree over its lines.
        policies: They say whose checkpoints count.
        anchors: What the reader trusts.

    Raises:
        InputError: A checkpoint of the reader's is none, or of no ledger that has to do with this one.
    """
    trust = _trust(policies)
    head, found = _opened(material.checkpoint, trust)
    if head.checkpoint is not None:
        found += [*_covers(head.checkpoint, history), *_other_logs(head.checkpoint, policies)]
    covered = head.checkpoint.size if head.checkpoint else 0
    found += _dated_after(log, covered, head.time, "the checkpoint that covers it was seen")
    found += _dated_after(log, history.size, anchors.now, "this audit")
    for name, data in (("the witness's", anchors.witnessed), ("your earlier", anchors.previous)):
        if data is not None:
            found += _elsewhere(name, data, trust, head, history)
    if anchors.previous is not None and trust is not None:
        found += _dated_before(log, anchors.previous, trust)
    compared = _is_cosigned(anchors.witnessed, trust)
    if not compared:
        found.append(finding("no-witness-asked", _UNCOSIGNED if anchors.witnessed else _NOT_GIVEN))
    return replace(head, compared=compared), [*found, *_earlier_audits(log, history)]


def _is_cosigned(data: bytes | None, trust: LogTrust | None) -> bool:
    """Whether one of the policy's witnesses has cosigned it: the log's signature alone is the operator's."""
    if data is None or trust is None:
        return False
    try:
        return bool(note.holders(note.parse(data, blame="local"), trust.witnesses, blame="local"))
    except ProtocolError:  # in a witness's name, and not by its key
        return False


def _trust(policies: Policies) -> LogTrust | None:
    """By the reader's policy, or a newer one that the same reviewers signed; else by the ledger's own."""
    own, newest = policies.own, policies.newest
    if own is not None and (
        newest is None or not newest.trusted or newest.policy.serial <= own.policy.serial
    ):
        return own.policy.log_trust()
    return newest.policy.log_trust() if newest is not None else None


def _opened(data: bytes | None, trust: LogTrust | None) -> tuple[Head, list[Finding]]:
    if data is None:
        return Head(), [finding("checkpoint-missing", "the ledger has no checkpoint")]
    try:
        says = claimed(data, blame="operator")
        if trust is None:
            return Head(says), []
        open_checkpoint(data, LogTrust(trust.origin, trust.log, (), 0), blame="operator")
    except ProtocolError as error:
        return Head(_claim(data)), [finding("checkpoint-untrusted", f"the checkpoint is {error.message}")]
    try:
        seen = open_checkpoint(data, trust, blame="operator")
    except ProtocolError as error:
        words = f"the checkpoint has {error.message}, by the witnesses that the policy names"
        return Head(says, trusted=True), [finding("checkpoint-uncosigned", words)]
    names = note.holders(note.parse(data, blame="operator"), trust.witnesses, blame="operator")
    return Head(says, trusted=True, time=seen.time, witnesses=tuple(each.name for each in names)), []


def _claim(data: bytes) -> Checkpoint | None:
    try:
        return claimed(data, blame="operator")
    except ProtocolError:
        return None


def _covers(head: Checkpoint, history: History) -> Iterator[Finding]:
    if head.size > history.size:
        words = f"the checkpoint is over {head.size} entries, here are {history.size}"
        yield finding("ledger-shorter", words, history.size - 1 if history.size else None)
        return
    if not hmac.compare_digest(history.root(head.size), head.root):
        yield finding("ledger-changed", f"the first {head.size} entries have another root than was signed")
    if head.size < history.size:
        words = f"the checkpoint is over {head.size} of {history.size} entries"
        yield finding("entries-uncovered", words, head.size)


def _other_logs(head: Checkpoint, policies: Policies) -> Iterator[Finding]:
    told: set[str] = set()
    for each in policies.all:
        origin = each.policy.ledger.origin
        if origin != head.origin and each.sha256 not in told:
            told.add(each.sha256)
            words = f"the policy tells devices to demand ledger {origin!r}, this one is {head.origin!r}"
            yield finding("policy-of-another-ledger", words, each.index)


def _elsewhere(
    name: str, data: bytes, trust: LogTrust | None, head: Head, history: History
) -> Iterator[Finding]:
    seen = _readers_own(name, data, trust)
    origin = trust.origin if trust else head.checkpoint.origin if head.checkpoint else seen.origin
    if seen.origin != origin:
        words = f"{name} checkpoint is of ledger {seen.origin!r}, signed by the key of {origin!r}"
        yield finding("second-ledger", words)
    elif seen.size > history.size:
        words = f"{name} checkpoint is over {seen.size} entries, here are {history.size}"
        yield finding("ledger-rolled-back", words, history.size - 1 if history.size else None)
    elif not hmac.compare_digest(history.root(seen.size), seen.root):
        words = f"{name} checkpoint over {seen.size} entries has another root than the first {seen.size} here"
        yield finding("ledger-forked", words)
    elif head.checkpoint is not None and seen.size > head.checkpoint.size:
        words = f"{name} checkpoint is over {seen.size} entries, the ledger's over {head.checkpoint.size}"
        yield finding("ledger-rolled-back", words, head.checkpoint.size)


def _readers_own(name: str, data: bytes, trust: LogTrust | None) -> Checkpoint:
    """A checkpoint that the log's key signed, whatever ledger it says it is of."""
    hint = "give the checkpoint as the witness has it, of the log that the policy names"
    try:
        says = claimed(data, blame="local")
        if trust is not None:
            open_checkpoint(data, LogTrust(says.origin, trust.log, (), 0), blame="local")
    except ProtocolError as error:
        raise InputError(f"{name} checkpoint cannot be used: {error.message}", hint=hint) from error
    return says


def _dated_after(log: Log, end: int, latest: int, event: str) -> Iterator[Finding]:
    """Entries up to `end` that are dated after what they came before. The first one says it all."""
    for index, entry in log.entries:
        if latest and index < end and entry.time > latest + SKEW:
            yield finding("time-untrue", f"dated {entry.time - latest} s after {event}", index)
            return


def _dated_before(log: Log, previous: bytes, trust: LogTrust) -> Iterator[Finding]:
    """Entries that came after a checkpoint the reader kept, and are dated before witnesses saw that one."""
    seen = _seen(previous, trust)
    if seen is None:
        return
    for index, entry in log.entries:
        if index >= seen.checkpoint.size and entry.time < seen.time - SKEW:
            words = f"dated {seen.time - entry.time} s before a checkpoint that it came after"
            yield finding("time-untrue", words, index)
            return


def _seen(data: bytes, trust: LogTrust) -> Witnessed | None:
    try:
        return open_checkpoint(data, trust, blame="local")
    except ProtocolError:  # not cosigned, or of another ledger: it says no time
        return None


def _earlier_audits(log: Log, history: History) -> Iterator[Finding]:
    for index, entry in log.entries:
        if not isinstance(entry, AuditResult):
            continue
        if entry.size > index:
            words = f"the audit covered {entry.size} entries, {index} stand above it"
            yield finding("audit-of-another-ledger", words, index)
        elif not hmac.compare_digest(history.root(entry.size).hex(), entry.root):
            words = f"the audit's first {entry.size} entries have another root than those here"
            yield finding("audit-of-another-ledger", words, index)
