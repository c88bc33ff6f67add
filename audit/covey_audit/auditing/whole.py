"""All of an audit in its order: what each step reads is what the next ones check."""

from collections import Counter
from collections.abc import Mapping, Sequence

from covey.ledger.entries import Software
from covey.ledger.findings import Finding, finding
from covey.ledger.history import History
from covey_audit.audited import Audited, Level, PolicyFacts, ReleaseFacts, RunFacts, SumFacts
from covey_audit.auditing import (
    budget,
    closing,
    composing,
    counters,
    counts,
    ends,
    head,
    mechanism,
    members,
    policies,
    releases,
    reserves,
    rosters,
    rules,
    structure,
    waivers,
)
from covey_audit.auditing.composing import Mechanism
from covey_audit.auditing.ends import End
from covey_audit.auditing.material import Anchors, Material
from covey_audit.auditing.members import Members, Progress
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.rosters import Rosters


def audit(
    material: Material, anchors: Anchors, *, libraries: bool = True, progress: Progress | None = None
) -> Audited:
    """Check a ledger against everything that can be checked offline.

    Args:
        material: The ledger.
        anchors: What the reader trusts.
        libraries: Whether dp-accounting and, where it is installed, Opacus compute ε too.
        progress: Told how many of how many sums' evidence has been looked at.

    Raises:
        InputError: Something of the reader's own cannot be used.
    """
    log, found = structure.read(material.lines, material.torn)
    history = History.of(material.lines)
    policy, faults = policies.read(log, anchors)
    found += faults
    newest, faults = head.check(material, log, history, policy, anchors)
    found += faults
    roster, faults = rosters.read(material, log, policy, anchors)
    found += faults
    reserved, faults = reserves.read(log, policy)
    found += [*faults, *rules.check(reserved, roster), *counts.check(reserved)]
    end, faults = ends.read(log, reserved)
    found += faults
    member, faults = members.check(material, reserved, end, roster, progress)
    found += [*faults, *counters.check(reserved, member.shown, roster)]
    released, faults = releases.read(log, reserved)
    found += faults
    tuned, faults = releases.tunings(log, reserved)
    found += faults
    level = _level(reserved, policy.all, member)
    verified = frozenset(member.shown) if level == 2 else None  # noqa: PLR2004 - as documented
    cost, faults = budget.costs(reserved, end, verified, policy, libraries=libraries)
    found += faults
    simulated = _simulated(reserved, policy.all, roster)
    if simulated:
        found.append(finding("simulation", "policy, roster or noise say that the fleet is simulated"))
    origin = newest.checkpoint.origin if newest.checkpoint else ""
    signatures = policy.newest.policy.signatures if policy.newest else 1
    found = waivers.apply(found, log, waivers.Ledger(origin, material.lines, signatures), anchors)
    times = [entry.time for _, entry in log.entries]
    return Audited(
        source=material.source,
        origin=origin,
        size=history.size,
        root=history.root(),
        head_size=newest.checkpoint.size if newest.checkpoint and newest.trusted else None,
        head_time=newest.time,
        witnesses=newest.witnesses,
        entries=log.kinds,
        first_time=min(times, default=0),
        last_time=max(times, default=0),
        policies=policy.all,
        rosters=roster.all,
        sums=tuple(_sums(reserved, end, member)),
        costs=cost,
        releases=released,
        tunings=tuned,
        audits=releases.audits(log),
        runs=tuple(_runs(reserved, end, released)),
        software=_software(end),
        findings=tuple(sorted(found, key=_order)),
        level=level,
        simulation=simulated,
        trusts=tuple(closing.trusts(anchors, policy, newest, reserved, level, simulated=simulated)),
        not_covered=tuple(closing.not_covered(reserved, tuned)),
    )


def _order(found: Finding) -> tuple[int, int, str]:
    return found.order


def _level(reserved: Sequence[Reserved], policy: Sequence[PolicyFacts], member: Members) -> Level:
    trusted = bool(policy) and all(each.policy is not None and each.policy.trusted for each in reserved)
    if not trusted:
        return 0
    outcomes = Counter(member.outcomes.values())
    return 2 if outcomes["verified"] and not outcomes["missing"] + outcomes["broken"] else 1


def _simulated(reserved: Sequence[Reserved], policy: Sequence[PolicyFacts], roster: Rosters) -> bool:
    """By anyone's word: only a deployment in every respect protects anybody."""
    seeded = any(each.plan.noise is not None and each.plan.noise.seeded for each in reserved)
    elided = any(each.plan.masks == "elided" for each in reserved)
    said = any(each.policy.simulation for each in policy) or any(each.simulation for each in roster.all)
    return seeded or elided or said or any(each.roster.simulation for each in roster.verified.values())


def _sums(reserved: Sequence[Reserved], ended: Mapping[str, End], member: Members) -> list[SumFacts]:
    noisy = [each for each in reserved if each.plan.noise is not None]
    made = {each.reserved.index: each for each in composing.mechanisms(noisy, lambda _: None, "server")}
    return [_sum(each, made.get(each.index), ended.get(each.digest), member) for each in reserved]


def _sum(each: Reserved, made: Mechanism | None, end: End | None, member: Members) -> SumFacts:
    norms = mechanism.norms(each.asked)
    line = mechanism.line(made.event) if made else None
    settle = end.settle if end else None
    return SumFacts(
        index=each.index,
        plan=each.plan,
        plan_sha256=each.digest,
        reserved_at=each.time,
        outcome=end.outcome if end else "unfinished",
        end_index=end.index if end else None,
        ended_at=end.entry.time if end else None,
        reason=end.reason if end else "",
        members=settle.members if settle else None,
        evidence=member.outcomes[each.digest],
        d1=norms.l1,
        d2=norms.l2,
        rho=line[0] if line else None,
        xi=line[1] if line else None,
        multiplier=composing.multiplier(each, made) if made else None,
        policy=each.policy.sha256 if each.policy else None,
    )


def _runs(
    reserved: Sequence[Reserved], ended: Mapping[str, End], released: Sequence[ReleaseFacts]
) -> list[RunFacts]:
    of_run: dict[str, list[Reserved]] = {}
    for each in reserved:
        of_run.setdefault(each.plan.run, []).append(each)
    given = {each.run for each in released}
    return [_run(run, sums, ended, run in given) for run, sums in of_run.items()]


def _run(run: str, sums: Sequence[Reserved], ended: Mapping[str, End], released: bool) -> RunFacts:
    opened = [each for each in sums if (end := ended.get(each.digest)) and end.settle]
    return RunFacts(
        run=run,
        first=sums[0].index,
        last=sums[-1].index,
        rounds=max(each.plan.round for each in sums),
        sums=len(sums),
        opened=len(opened),
        models=tuple(dict.fromkeys(each.plan.model for each in sums)),
        policies=tuple(dict.fromkeys(each.policy.sha256 for each in sums if each.policy)),
        released=released,
    )


def _software(ended: Mapping[str, End]) -> tuple[tuple[Software, int], ...]:
    counted = Counter(end.settle.software for end in ended.values() if end.settle)
    return tuple(counted.most_common())
