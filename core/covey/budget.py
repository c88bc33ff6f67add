"""A device's own budget: what it has promised, what it has seen, and what it may still answer.

Everything follows from a journal of rows that is only ever added to. What a row says is durable before
anything leaves the device that the row is about:

    policy    a newer signed policy came into force
    ledger    the ledger's newest head that was shown, so that an older one, or another branch, is refused
    reserve   a plan is going to be answered: spent from here on
    settle    it was answered, or its vector never left and what was reserved for it is free again
    lock      the memory is older than what the device has signed: nothing is answered any more

One total for the device's whole life, across runs, ledgers and policies, computed by `covey.spending` from
what was reserved, never by adding up ε. A reserve costs what the smallest sum that may be opened leaves of
noise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from covey import spending
from covey.accounting import Event, epsilon, round_up
from covey.errors import PlanRefused
from covey.ledger.checkpoint import MAX_SIZE, Witnessed
from covey.plan import Digest, Plan
from covey.policy.checking import kind_of
from covey.policy.signed import Opened as OpenedPolicy
from covey.policy.terms import Policy, QueryKind, exact, rate
from covey.spending import Asked

DIGITS: Final = 3

Seconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Size = Annotated[int, msgspec.Meta(ge=0, le=MAX_SIZE)]


class Adopted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event", tag="policy"):
    """A policy came into force.

    Attributes:
        time: Unix seconds.
        sha256: Of it.
        serial: Of it.
        unit: Its unit of privacy.
    """

    time: Seconds
    sha256: Digest
    serial: int
    unit: Literal["device", "example"]


class Saw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event", tag="ledger"):
    """A head of the ledger.

    Attributes:
        origin: The log's name.
        size: Its entries.
        root: Its root.
        time: Unix seconds, as the witnesses say; the device's clock is never behind it.
    """

    origin: str
    size: Size
    root: Digest
    time: Seconds


class Reserved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event", tag="reserve"):
    """A plan is going to be answered.

    Attributes:
        time: Unix seconds.
        plan: Its digest.
        policy: SHA-256 of the policy that allows it.
        kind: The policy's name for what is asked.
        asked: What its cost is computed from.
    """

    time: Seconds
    plan: Digest
    policy: Digest
    kind: QueryKind
    asked: Asked


class Settled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event", tag="settle"):
    """What became of a reserve.

    Attributes:
        time: Unix seconds.
        plan: Its digest.
        outcome: "answered": a vector may have left. "released": none ever will, and what was reserved is
            free.
    """

    time: Seconds
    plan: Digest
    outcome: Literal["answered", "released"]


class Locked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="event", tag="lock"):
    """Nothing is answered any more.

    Attributes:
        time: Unix seconds.
        reason: Why.
    """

    time: Seconds
    reason: str


Row = Adopted | Saw | Reserved | Settled | Locked


@dataclass(frozen=True)
class Budget:
    """What a device's journal comes to.

    Attributes:
        policy: The policy in force; None before the first.
        seen: The newest head of each log.
        reserved: What is spent, by plan.
        unsettled: Plans whose end is not known.
        counter: Reserves in the device's whole life, also those that were released.
        times: When each kind was reserved for, Unix seconds, also what was released: training costs the
            device something even if no answer leaves it.
        locked: Why nothing is answered any more; empty while it is.
    """

    policy: Adopted | None = None
    seen: dict[str, Saw] = field(default_factory=dict)
    reserved: dict[str, Reserved] = field(default_factory=dict)
    unsettled: frozenset[str] = frozenset()
    counter: int = 0
    times: dict[QueryKind, tuple[int, ...]] = field(default_factory=dict)
    locked: str = ""

    @property
    def clock(self) -> int:
        """Unix seconds that have passed at least, as witnesses have said."""
        return max((each.time for each in self.seen.values()), default=0)


@dataclass
class _Tally:
    """A budget while rows are added to it."""

    policy: Adopted | None
    seen: dict[str, Saw]
    reserved: dict[str, Reserved]
    unsettled: set[str]
    counter: int
    times: dict[QueryKind, list[int]]
    locked: str

    @classmethod
    def of(cls, budget: Budget) -> "_Tally":
        return cls(
            policy=budget.policy,
            seen=dict(budget.seen),
            reserved=dict(budget.reserved),
            unsettled=set(budget.unsettled),
            counter=budget.counter,
            times={kind: list(times) for kind, times in budget.times.items()},
            locked=budget.locked,
        )

    def add(self, row: Row) -> None:
        match row:
            case Adopted():
                self.policy = row
            case Saw():
                self.seen[row.origin] = row
            case Reserved():
                self.reserved[row.plan] = row
                self.unsettled.add(row.plan)
                self.counter += 1
                self.times.setdefault(row.kind, []).append(row.time)
            case Settled():
                self.unsettled.discard(row.plan)
                if row.outcome == "released":
                    self.reserved.pop(row.plan, None)
            case Locked():
                self.locked = row.reason

    def budget(self) -> Budget:
        return Budget(
            policy=self.policy,
            seen=self.seen,
            reserved=self.reserved,
            unsettled=frozenset(self.unsettled),
            counter=self.counter,
            times={kind: tuple(times) for kind, times in self.times.items()},
            locked=self.locked,
        )


def read(rows: Iterable[Row]) -> Budget:
    """What a journal comes to."""
    return after(Budget(), *rows)


def after(budget: Budget, *rows: Row) -> Budget:
    """The budget with more rows."""
    tally = _Tally.of(budget)
    for row in rows:
        tally.add(row)
    return tally.budget()


def check_policy(budget: Budget, policy: OpenedPolicy) -> None:
    """Refuse a policy that the device has left behind, or that does not follow from the one in force.

    Args:
        budget: The device's.
        policy: As the reviewers signed it.

    Raises:
        PlanRefused: An older serial, another policy of the same serial, a next one that names another before
            it, or another unit than something was spent in.
    """
    known, found = budget.policy, policy.policy
    if known is None or known.sha256 == policy.sha256:
        return
    if found.serial <= known.serial:
        raise PlanRefused(f"policy {found.serial} after policy {known.serial} came into force")
    if found.serial == known.serial + 1 and found.previous != known.sha256:
        raise PlanRefused(f"policy {found.serial} does not follow from the policy {known.serial} in force")
    if budget.reserved and found.budget.unit != known.unit:
        raise PlanRefused(
            f"a policy for unit {found.budget.unit} after answers for unit {known.unit}: they cannot be added"
        )


def reserve(budget: Budget, plan: Plan, digest: str, policy: OpenedPolicy, now: int) -> tuple[Row, ...]:
    """What to write down before a plan is answered.

    Args:
        budget: The device's.
        plan: Checked against the policy by `covey.policy.checking`.
        digest: Of the plan.
        policy: Checked by `check_policy`.
        now: Unix seconds.

    Raises:
        PlanRefused: The budget does not allow it; says which number.
    """
    check_open(budget)
    if digest in budget.reserved:
        raise PlanRefused("budget was reserved for this plan before; it is answered once")
    if any((each.asked.run, each.asked.sum) == (plan.run, plan.sum) for each in budget.reserved.values()):
        raise PlanRefused("budget was reserved for another plan of this sum; one of its cohorts is answered")
    kind, asked = kind_of(plan), Asked.of(plan)
    _check_counts(budget, policy.policy, kind, now)
    _check_epsilon(budget, policy.policy, asked)
    return (*adopts(budget, policy, now), Reserved(now, digest, policy.sha256, kind, asked))


def adopts(budget: Budget, policy: OpenedPolicy, now: int) -> tuple[Row, ...]:
    """What to write down of a policy that `check_policy` let pass; nothing if it is in force."""
    if budget.policy is not None and budget.policy.sha256 == policy.sha256:
        return ()
    return (Adopted(now, policy.sha256, policy.policy.serial, policy.policy.budget.unit),)


def saw(budget: Budget, head: Witnessed) -> tuple[Row, ...]:
    """What to write down of a head that was checked; nothing if it is known."""
    checkpoint = head.checkpoint
    row = Saw(checkpoint.origin, checkpoint.size, checkpoint.root.hex(), head.time)
    known = budget.seen.get(checkpoint.origin)
    return () if known == row or (known and known.size > row.size) else (row,)


def check_open(budget: Budget) -> None:
    """Refuse everything once the budget is locked.

    Raises:
        PlanRefused: It is; says why.
    """
    if budget.locked:
        raise PlanRefused(f"this device answers nothing any more: {budget.locked}")


def spent(budget: Budget, delta: float) -> float:
    """ε of everything that is reserved, at a δ; 0 if nothing is."""
    return _cost(tuple(each.asked for each in budget.reserved.values()), delta)


def _check_counts(budget: Budget, policy: Policy, kind: QueryKind, now: int) -> None:
    query, most = policy.queries[kind], policy.budget.answers
    if len(budget.reserved) >= most:
        raise PlanRefused(
            f"budget: {len(budget.reserved)} answers were given, the policy allows {most} in all"
        )
    given = sum(each.kind == kind for each in budget.reserved.values())
    if given >= query.answers:
        raise PlanRefused(f"budget: {given} answers to {kind} were given, the policy allows {query.answers}")
    limit = rate(query)
    if limit is not None:
        count, seconds = limit
        lately = sum(time > now - seconds for time in budget.times.get(kind, ()))
        if lately >= count:
            raise PlanRefused(
                f"rate: {lately} times {kind} within {seconds} s, the policy allows {query.rate_limit}"
            )


def _check_epsilon(budget: Budget, policy: Policy, asked: Asked) -> None:
    cap, delta = exact(policy.budget.epsilon), float(exact(policy.budget.delta))
    total = _cost((*(each.asked for each in budget.reserved.values()), asked), delta)
    if not total <= cap:  # what cannot be compared is refused, too
        raise PlanRefused(
            f"budget: with this answer epsilon would be {round_up(total, DIGITS)},"
            f" the policy allows {policy.budget.epsilon} at delta {policy.budget.delta}"
        )


def _cost(asked: Sequence[Asked], delta: float) -> float:
    if not asked:
        return 0.0
    found = spending.groups([(each, None) for each in asked], "server")
    return max(_epsilon(frozenset(counted), delta) for counted in found)


@lru_cache(maxsize=256)  # a pure function: simulated devices with the same past ask the same
def _epsilon(counted: frozenset[tuple[Event, int]], delta: float) -> float:
    return epsilon(sorted(counted, key=repr), delta).value
