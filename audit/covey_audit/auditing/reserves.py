"""What was asked for: plans as the devices got them, in the order in which they were written down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from covey import plan as plans
from covey.errors import CoveyError, ProtocolError
from covey.identity import verify
from covey.ledger.entries import Reserve
from covey.ledger.findings import Finding, finding
from covey.plan import Plan
from covey.policy.checking import kind_of
from covey.policy.terms import Query, QueryKind
from covey.spending import Asked
from covey_audit.audited import PolicyFacts
from covey_audit.auditing.mechanism import numbers
from covey_audit.auditing.policies import SHOWN, Policies
from covey_audit.auditing.structure import Log


@dataclass(frozen=True)
class Reserved:
    """A plan that an entry holds.

    Attributes:
        index: The entry.
        time: Unix seconds, by the writer's clock.
        plan: As sent.
        digest: Of it.
        signature: The operator's, not checked yet; None if there is none.
        sent: The plan's bytes.
        kind: As a policy calls it.
        asked: What its cost follows from, without what tells one sum from another of the same numbers.
        policy: What it is held to: the policy that it names, else the newest by then; None for none.
    """

    index: int
    time: int
    plan: Plan
    digest: str
    signature: bytes | None
    sent: bytes
    kind: QueryKind
    asked: Asked
    policy: PolicyFacts | None

    @property
    def query(self) -> Query | None:
        """What the policy says of this kind; None if it allows none."""
        return self.policy.policy.queries.get(self.kind) if self.policy else None

    @property
    def key(self) -> tuple[str, int]:
        """Which sum of which run; its cohorts share it."""
        return self.plan.run, self.plan.sum


def read(log: Log, policies: Policies) -> tuple[tuple[Reserved, ...], list[Finding]]:
    """Every plan that can be read, and what makes it no plan of this ledger.

    Args:
        log: The entries.
        policies: That were in force.
    """
    reserved: list[Reserved] = []
    found: list[Finding] = []
    for index, entry in log.entries:
        if not isinstance(entry, Reserve):
            continue
        try:
            plan = plans.from_bytes(entry.plan)
            asked = numbers(plan)
        except CoveyError as error:
            found.append(finding("plan-unreadable", f"entry {index} holds {error.message}", index))
            continue
        policy, faults = _held_to(plan, index, policies)
        found += faults
        reserved.append(_reserved(index, entry, plan, asked, policy))
    return tuple(reserved), [*found, *_signatures(reserved), *_series(reserved), *_cohorts(reserved)]


def _reserved(index: int, entry: Reserve, plan: Plan, asked: Asked, policy: PolicyFacts | None) -> Reserved:
    return Reserved(
        index=index,
        time=entry.time,
        plan=plan,
        digest=plans.digest(entry.plan),
        signature=entry.signature,
        sent=entry.plan,
        kind=kind_of(plan),
        asked=asked,
        policy=policy,
    )


def _held_to(plan: Plan, index: int, policies: Policies) -> tuple[PolicyFacts | None, list[Finding]]:
    """The policy that a plan must keep to."""
    newest = policies.newest_before(index)
    if plan.policy is None:
        return newest, []
    named = policies.named_before(plan.policy.sha256, index)
    if not named:
        words = f"the plan appeals to policy {plan.policy.sha256[:SHOWN]}, which no entry above it holds"
        return newest, [finding("policy-unknown", words, index)]
    policy = named[-1]
    found = []
    if all(each.run != plan.run for each in named):
        words = f"the plan appeals to a policy that was never entered for run {plan.run!r}"
        found.append(finding("policy-unknown", words, index))
    if newest is not None and policy.policy.serial < newest.policy.serial:
        words = f"the plan appeals to policy {policy.policy.serial}, in force was {newest.policy.serial}"
        found.append(finding("policy-replayed", words, index))
    return policy, found


def _signatures(reserved: Sequence[Reserved]) -> Iterator[Finding]:
    for each in reserved:
        if each.policy is None:
            continue
        if each.signature is None:
            yield finding("plan-unsigned", "the plan is not signed", each.index)
            continue
        operator = bytes.fromhex(each.policy.policy.keys.operator)
        try:
            verify(operator, "plan", each.sent, each.signature, blame="operator")
        except ProtocolError:
            words = "the plan is not signed by the operator's key that its policy names"
            yield finding("plan-unsigned", words, each.index)


def _series(reserved: Sequence[Reserved]) -> Iterator[Finding]:
    """Serial numbers rise in each run; a plan and a cohort come once."""
    plans_seen: dict[str, int] = {}
    cohorts: dict[tuple[str, int, int], int] = {}
    last: dict[str, int] = {}
    for each in reserved:
        plan = each.plan
        cohort = (plan.run, plan.sum, plan.cohort_number)
        if each.digest in plans_seen:
            words = f"the same plan as in entry {plans_seen[each.digest]}"
            yield finding("plan-twice", words, each.index)
        elif cohort in cohorts:
            words = f"cohort {plan.cohort_number} of sum {plan.sum} was reserved in entry {cohorts[cohort]}"
            yield finding("cohort-twice", words, each.index)
        if plan.sum < last.get(plan.run, 0):
            words = f"sum {plan.sum} of run {plan.run!r} after sum {last[plan.run]}"
            yield finding("sum-not-rising", words, each.index)
        plans_seen.setdefault(each.digest, each.index)
        cohorts.setdefault(cohort, each.index)
        last[plan.run] = max(plan.sum, last.get(plan.run, 0))


def _cohorts(reserved: Sequence[Reserved]) -> Iterator[Finding]:
    """Cohorts of one sum ask the same: of different questions no one is the costliest at every order."""
    first: dict[tuple[str, int], Reserved] = {}
    for each in reserved:
        other = first.setdefault(each.key, each)
        if _question(other.plan) != _question(each.plan):
            words = (
                f"asks otherwise than cohort {other.plan.cohort_number} of the same sum, entry {other.index}"
            )
            yield finding("cohorts-differ", words, each.index)


def _question(plan: Plan) -> tuple[object, ...]:
    """What all cohorts of a sum share."""
    mechanism = plan.noise and (plan.noise.mechanism, plan.noise.seeded, plan.noise.removal)
    common = (plan.round, plan.model, plan.model_sha256, plan.preprocessing, plan.task, plan.parts)
    return (*common, plan.unit, plan.norm, plan.cohorts, plan.corrupt, plan.masks, mechanism, plan.policy)
