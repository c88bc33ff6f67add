"""The plan on its way to a device: signed by the operator, with the roster that its cohort is taken from.

Beside it stand the proofs that a signed policy allows it and that the ledger holds it. The plan cannot hold
them, since they are made of it; its hash does not cover them.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from covey import merkle
from covey import plan as plans
from covey.errors import LedgerBehind, PlanRefused
from covey.identity import Roster, read_roster, sign, verify
from covey.ledger import entries
from covey.ledger.checkpoint import Witnessed, open_checkpoint
from covey.plan import Plan
from covey.policy import checking, signed
from covey.policy.signed import Reviewers
from covey.secagg.messages import Envelope, Proofs, decode, encode
from covey.secagg.terms import Terms

LIMIT: Final = 10 << 20
MOST_ENTRIES: Final = 1 << 40


class Head(Protocol):
    """A head of the ledger that a device has seen; `covey.budget.Saw` is one."""

    @property
    def size(self) -> int:
        """Its entries."""

    @property
    def root(self) -> str:
        """Its root, hexadecimal."""


@dataclass(frozen=True)
class Trust:
    """Whom a device believes.

    Attributes:
        operator: Public key that signs plans.
        enrolment: Public key that certifies devices; not the operator's.
        least_serial: Of the newest roster that the device has seen.
        reviewers: Who sign policies; None for a device that knows none.
        seen: The newest head of each log that the device has seen.
        clock: Unix seconds that have passed at least, as witnesses have said.
    """

    operator: bytes
    enrolment: bytes
    least_serial: int = 0
    reviewers: Reviewers | None = None
    seen: Mapping[str, Head] = field(default_factory=dict)
    clock: int = 0


@dataclass(frozen=True)
class Appeal:
    """What a plan appeals to, verified.

    Attributes:
        policy: It allows the plan.
        head: The ledger that holds the plan.
        note: The policy as the reviewers signed it.
    """

    policy: signed.Opened
    head: Witnessed
    note: bytes


@dataclass(frozen=True)
class Opened:
    """An envelope that a device believes.

    Attributes:
        sent: The plan as signed.
        terms: The plan.
        roster: The roster.
        roster_sent: The roster as signed.
        now: Unix time, seconds: the device's clock, or what witnesses say if that is later.
        appeal: Policy and ledger; None for a plan that names no policy.
    """

    sent: bytes
    terms: Terms
    roster: Roster
    roster_sent: bytes
    now: int
    appeal: Appeal | None


def seal_envelope(plan: bytes, operator: bytes, roster: bytes, proofs: Proofs | None = None) -> bytes:
    """The server's half.

    Args:
        plan: As `covey.plan.to_bytes` gave it.
        operator: Private key.
        roster: As `covey.identity.sign_roster` gave it.
        proofs: For a plan that names a policy.
    """
    return encode(Envelope(plan, sign(operator, "plan", plan), roster, proofs))


def open_envelope(data: bytes, trust: Trust, device: str, now: int) -> Opened:
    """The device's half: everything that can be checked before its data is touched.

    Args:
        data: As received.
        trust: Whom the device believes.
        device: Its own name.
        now: Unix time, seconds.

    Raises:
        ProtocolError: Not signed by the operator, malformed, or with a roster, policy or checkpoint that is
            not from whom it should be, is expired, or is older than one seen.
        PlanRefused: Too late, of another roster or policy, not in the ledger, not allowed by the policy, or
            the device is not in the roster.
        LedgerBehind: The device has seen another head of the ledger than the proof begins from.
    """
    envelope = decode(data, Envelope, blame="server", limit=LIMIT)
    verify(trust.operator, "plan", envelope.plan, envelope.signature, blame="server")
    terms = Terms.of(envelope.plan)
    plan = terms.plan
    if plan.masks != "on" or plan.roster is None:
        raise PlanRefused("a plan without masks in an envelope")
    now = max(now, trust.clock)
    appeal = None if envelope.proofs is None else _appeal(envelope, envelope.proofs, trust)
    if appeal is None and plan.policy is not None:
        raise PlanRefused("the plan names a policy and proves nothing of it")
    if appeal is not None:
        now = max(now, appeal.head.time)
        signed.check_current(appeal.policy.policy, now)
    roster = read_roster(envelope.roster, trust.enrolment, now=now, least_serial=trust.least_serial)
    if (plan.roster.sha256, plan.roster.serial) != (sha256(envelope.roster), roster.serial):
        raise PlanRefused("the plan is for another roster than the one sent")
    plans.check_current(plan, now)
    if plan.noise is not None and plan.noise.seeded and not roster.simulation:
        raise PlanRefused("noise from a seed in a fleet that is no simulation")
    if appeal is not None:
        _check_allowed(plan, appeal.policy, roster)
    roster.key_of(device, now)
    return Opened(envelope.plan, terms, roster, envelope.roster, now, appeal)


def _appeal(envelope: Envelope, proofs: Proofs, trust: Trust) -> Appeal:
    """Policy and ledger, each believed for the signatures on it and for nothing else."""
    if trust.reviewers is None:
        raise PlanRefused("the plan appeals to a policy, and this device knows no reviewer")
    policy = signed.open_policy(proofs.policy, trust.reviewers, blame="server")
    named = policy.policy.keys
    for name, key in (("operator", trust.operator), ("enrolment", trust.enrolment)):
        if not hmac.compare_digest(getattr(named, name), key.hex()):
            raise PlanRefused(f"the policy names another {name} key than this device was given")
    head = open_checkpoint(proofs.checkpoint, policy.policy.log_trust(), blame="server")
    _check_grown(head, proofs, trust)
    _check_logged(head, proofs, envelope)
    return Appeal(policy, head, proofs.policy)


def _check_grown(head: Witnessed, proofs: Proofs, trust: Trust) -> None:
    """The ledger has only grown since the device saw it last."""
    now, seen = head.checkpoint, trust.seen.get(head.checkpoint.origin)
    if now.size > MOST_ENTRIES:  # no proof could name it as the size it begins from
        raise PlanRefused(f"a ledger of {now.size} entries")
    size, root = (0, merkle.EMPTY_ROOT) if seen is None else (seen.size, bytes.fromhex(seen.root))
    if now.size < size:
        raise PlanRefused(f"a ledger of {now.size} entries, this device has seen {size}: it was rolled back")
    if proofs.old != size:
        raise LedgerBehind(size)
    if not merkle.verify_consistency(size, now.size, proofs.consistency, root, now.root):
        raise PlanRefused(
            f"a ledger of {now.size} entries that does not go on from the {size} that this device has seen:"
            " it was forked"
        )


def _check_logged(head: Witnessed, proofs: Proofs, envelope: Envelope) -> None:
    """The plan stood in the ledger before it was sent."""
    entry = entries.decode(proofs.entry, blame="server")
    if not isinstance(entry, entries.Reserve) or entry.signature is None:
        raise PlanRefused("the plan is proved by an entry that is no reserve")
    same = hmac.compare_digest(entry.plan, envelope.plan)
    if not same or not hmac.compare_digest(entry.signature, envelope.signature):
        raise PlanRefused("the reserve in the ledger is for another plan")
    place = proofs.index, head.checkpoint.size, proofs.inclusion, head.checkpoint.root
    if not merkle.verify_path(proofs.entry, *place):
        raise PlanRefused("the plan's reserve is not in the ledger")


def _check_allowed(plan: Plan, policy: signed.Opened, roster: Roster) -> None:
    for reason in checking.refusals(plan, policy.policy, policy.sha256):
        raise PlanRefused(f"the policy does not allow it: {reason}")
    for reason in checking.roster_refusals(roster, policy.policy):
        raise PlanRefused(f"the policy does not allow it: {reason}")


def sha256(data: bytes) -> str:
    """Hexadecimal, as plans name things."""
    return hashlib.sha256(data).hexdigest()
