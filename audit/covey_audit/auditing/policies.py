"""Whose policies were in force, when, and in which order."""

import hmac
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from covey.errors import ConfigError, InputError, ProtocolError
from covey.ledger import note
from covey.ledger.entries import RunPolicy
from covey.ledger.findings import Finding, finding
from covey.policy import reading, signed
from covey.policy.signed import Opened
from covey_audit.audited import PolicyFacts
from covey_audit.auditing.material import Anchors
from covey_audit.auditing.structure import Log

SHOWN = 16
"""Digits of a digest that a message shows."""


@dataclass(frozen=True)
class Policies:
    """Policies in the order of their entries.

    Attributes:
        all: One for each entry that could be read.
        own: The reader's; None if the reader has none.
    """

    all: tuple[PolicyFacts, ...]
    own: Opened | None

    def newest_before(self, index: int) -> PolicyFacts | None:
        """Of those entered above an entry, the one of the largest serial."""
        place = bisect_left(self.all, index, key=_index)
        return self._newest[place - 1] if place else None

    def named_before(self, sha256: str, index: int) -> Sequence[PolicyFacts]:
        """The entries above an entry that hold one policy."""
        named = self._by_name.get(sha256, [])
        return named[: bisect_left(named, index, key=_index)]

    @cached_property
    def _newest(self) -> list[PolicyFacts]:
        return list(accumulate(self.all, _newer))

    @cached_property
    def _by_name(self) -> dict[str, list[PolicyFacts]]:
        found: dict[str, list[PolicyFacts]] = {}
        for each in self.all:
            found.setdefault(each.sha256, []).append(each)
        return found

    @property
    def newest(self) -> PolicyFacts | None:
        """The trusted one of the largest serial; of all, if none is trusted."""
        trusted = [each for each in self.all if each.trusted] or self.all
        return max(trusted, key=_serial, default=None)


def read(log: Log, anchors: Anchors) -> tuple[Policies, list[Finding]]:
    """Every policy that an entry holds, verified as far as the reader's keys reach.

    Args:
        log: The entries.
        anchors: What the reader trusts.

    Raises:
        InputError: The reader's own policy is none, or the reader's own reviewers did not sign it.
    """
    own = _own(anchors)
    policies: list[PolicyFacts] = []
    found: list[Finding] = []
    known: dict[str, tuple[Opened, str]] = {}  # every run of a fleet enters the same note
    for index, entry in log.entries:
        if not isinstance(entry, RunPolicy):
            continue
        try:
            if entry.policy not in known:
                known[entry.policy] = _opened(entry.policy.encode(), anchors)
            opened, unsigned = known[entry.policy]
        except ProtocolError as error:
            found.append(finding("policy-unreadable", f"entry {index} holds {error.message}", index))
            continue
        if unsigned:
            found.append(finding("policy-unsigned", f"entry {index} holds {unsigned}", index))
        policies.append(_facts(index, entry, opened, _trusted(opened, unsigned, anchors, own)))
    read_ = Policies(tuple(policies), own)
    return read_, [*found, *_strangers(read_, anchors), *_order(policies), *_missing(read_, anchors)]


def unverified(data: bytes) -> Opened:
    """A signed policy whose signatures nobody checked.

    Raises:
        ProtocolError: It holds no policy.
    """
    text = note.parse(data, blame="operator").text
    try:
        return Opened(reading.parse(text, "the signed policy"), text, signed.digest(text), ())
    except ConfigError as error:
        raise ProtocolError(f"no policy: {error.message}", blame="operator") from error


def _own(anchors: Anchors) -> Opened | None:
    if anchors.policy is None:
        return None
    try:
        if anchors.reviewers is None:
            return unverified(anchors.policy)
        return signed.open_policy(anchors.policy, anchors.reviewers, blame="local")
    except ProtocolError as error:
        raise InputError(
            f"the policy that you gave cannot be used: {error.message}",
            hint="give the note as the reviewers signed it, and the keys of those who did",
        ) from error


def _opened(data: bytes, anchors: Anchors) -> tuple[Opened, str]:
    """A policy, and why its signatures do not do; empty if they do, or if there is no key to check by."""
    if anchors.reviewers is None:
        return unverified(data), ""
    try:
        return signed.open_policy(data, anchors.reviewers, blame="operator"), ""
    except ProtocolError as error:
        return unverified(data), error.message


def _trusted(opened: Opened, unsigned: str, anchors: Anchors, own: Opened | None) -> bool:
    if anchors.borrowed:
        return False
    if anchors.reviewers is not None:
        return not unsigned
    return own is not None and hmac.compare_digest(own.sha256, opened.sha256)


def _facts(index: int, entry: RunPolicy, opened: Opened, trusted: bool) -> PolicyFacts:
    return PolicyFacts(
        index=index,
        time=entry.time,
        run=entry.run,
        sha256=opened.sha256,
        policy=opened.policy,
        text=opened.text,
        signers=tuple(each.name for each in opened.signers),
        trusted=trusted,
    )


def _strangers(policies: Policies, anchors: Anchors) -> Iterator[Finding]:
    """What is not the reader's own."""
    own = policies.own
    if own is None:
        return
    shown = own.sha256[:SHOWN]
    entered = {each.sha256 for each in policies.all}
    if own.sha256 not in entered:
        words = f"your policy {shown} was never entered; the ledger's are {_list(entered)}"
        yield finding("policy-not-yours", words, policies.all[0].index if policies.all else None)
    elif anchors.reviewers is None:
        for each in policies.all:
            if not hmac.compare_digest(each.sha256, own.sha256):
                words = f"policy {each.sha256[:SHOWN]} came into force; yours is {shown}"
                yield finding("policy-not-yours", words, each.index)


def _order(policies: Sequence[PolicyFacts]) -> Iterator[Finding]:
    """Whether each follows the one before: the same again, or its successor."""
    last: PolicyFacts | None = None
    for each in policies:
        if last is None:
            yield from _first(each)
        elif each.sha256 != last.sha256:
            yield from _successor(last, each)
        if last is None or each.policy.serial > last.policy.serial:
            last = each


def _first(each: PolicyFacts) -> Iterator[Finding]:
    if each.policy.previous:
        words = f"policy {each.policy.serial} follows {each.policy.previous[:SHOWN]}, which is not here"
        yield finding("policy-spent-elsewhere", words, each.index)


def _successor(last: PolicyFacts, each: PolicyFacts) -> Iterator[Finding]:
    old, new = last.policy, each.policy
    if new.fleet != old.fleet:
        words = f"a policy of fleet {new.fleet!r} in the ledger of {old.fleet!r}"
        yield finding("policy-of-another-fleet", words, each.index)
    elif new.serial < old.serial:
        words = f"policy {new.serial} came into force again after policy {old.serial} (entry {last.index})"
        yield finding("policy-replayed", words, each.index)
    elif new.serial == old.serial:
        words = f"policy {new.serial} is another than the one of entry {last.index}"
        yield finding("policy-serial-twice", words, each.index)
    elif not hmac.compare_digest(new.previous, last.sha256):
        words = (
            f"policy {new.serial} follows {new.previous[:SHOWN]}; the one in force was policy {old.serial},"
            f" {last.sha256[:SHOWN]}"
        )
        yield finding("policy-chain-broken", words, each.index)


def _missing(policies: Policies, anchors: Anchors) -> Iterator[Finding]:
    if anchors.borrowed:
        yield finding("self-check", "the run's own policy and witness were taken")
    elif not anchors.own:
        yield finding("no-key-of-yours", "no reviewer's key and no policy of your own was given")
    if policies.newest is not None and not policies.newest.policy.ledger.cosignatures:
        words = "the policy in force asks for no witness's cosignature"
        yield finding("policy-without-witness", words, policies.newest.index)
    if not policies.all:
        yield finding("policy-missing", "no entry brings a policy into force")


def _list(digests: set[str]) -> str:
    return ", ".join(sorted(each[:SHOWN] for each in digests)) or "none"


def _index(each: PolicyFacts) -> int:
    return each.index


def _serial(each: PolicyFacts) -> int:
    return each.policy.serial


def _newer(old: PolicyFacts, new: PolicyFacts) -> PolicyFacts:
    return new if _serial(new) > _serial(old) else old
