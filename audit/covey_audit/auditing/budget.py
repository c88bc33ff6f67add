"""What everything cost: ε from plan bytes, three times, and whether a policy's budget was kept."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from covey.accounting import round_up
from covey.ledger.findings import Finding, finding
from covey.policy.terms import Policy, exact
from covey.spending import Ended
from covey_audit.audited import Asked, Costs, PolicyFacts
from covey_audit.auditing.burning import burn_down
from covey_audit.auditing.composing import Mechanism, costliest, groups, mechanisms
from covey_audit.auditing.ends import End
from covey_audit.auditing.mechanism import added_to_delta, draws
from covey_audit.auditing.policies import Policies
from covey_audit.auditing.recomputing import disagreements, recomputed
from covey_audit.auditing.reserves import Reserved

USUAL_DELTA = 1e-5
"""δ where no policy names one."""

DIGITS = 3


def costs(
    reserved: Sequence[Reserved],
    ends: Mapping[str, End],
    verified: frozenset[str] | None,
    policies: Policies,
    *,
    libraries: bool,
) -> tuple[tuple[Costs, ...], list[Finding]]:
    """What all sums of each unit have cost, and where that was more than a policy allows.

    Args:
        reserved: All plans.
        ends: How their sums ended.
        verified: Plans whose members evidence shows; None to leave out the settled figure.
        policies: They set δ and the cap.
        libraries: Whether other libraries compute ε too.
    """
    found: list[Finding] = []
    made: list[Costs] = []
    units = dict.fromkeys(each.plan.unit for each in reserved)
    for unit in units:
        sums = [each for each in reserved if each.plan.unit == unit]
        cost, faults = _of_unit(sums, ends, verified, policies, libraries=libraries)
        made.append(cost)
        found += faults
    if len(units) > 1:
        first = next(each for each in reserved if each.plan.unit != reserved[0].plan.unit)
        words = f"sums for unit {' and for unit '.join(units)}: their epsilons cannot be added"
        found.append(finding("units-mixed", words, first.index))
    return tuple(made), [*found, *_overspent(reserved, ends, policies)]


def _of_unit(
    sums: Sequence[Reserved],
    ends: Mapping[str, End],
    verified: frozenset[str] | None,
    policies: Policies,
    *,
    libraries: bool,
) -> tuple[Costs, list[Finding]]:
    unit = sums[0].plan.unit
    policy = _setting(unit, policies)
    delta = float(exact(policy.budget.delta)) if policy else USUAL_DELTA
    cost = Costs(
        unit=unit,
        delta=delta,
        cap=policy.budget.epsilon if policy else None,
        server=None,
        settled=None,
        release=None,
        libraries={},
        by_kind={},
        asked=_asked(sums, policy),
        burn_down=(),
        rho=0.0,
        xi=0.0,
        order=0,
        sampler_delta=0.0,
    )
    if any(each.plan.noise is None for each in sums):
        return cost, []
    guaranteed = mechanisms(sums, lambda _: None, "server")
    server = costliest(groups(guaranteed), delta)
    others = recomputed(groups(guaranteed), delta) if libraries else {}
    shown = None if verified is None else _shown(ends, verified)
    settled = None if shown is None else costliest(groups(mechanisms(sums, shown, "settled")), delta)
    release = costliest(groups(mechanisms(sums, lambda each: _ended(each, ends), "release")), delta)
    cost = replace(
        cost,
        server=server.value,
        settled=settled.value if settled else None,
        release=release.value,
        libraries=others,
        by_kind={
            kind: _of_kind(guaranteed, kind, delta) for kind in dict.fromkeys(each.kind for each in sums)
        },
        burn_down=tuple(burn_down(guaranteed, delta, server.value)),
        rho=server.zcdp.rho,
        xi=server.zcdp.xi,
        order=server.order,
        sampler_delta=_sampler_delta(sums, server.value),
    )
    return cost, [*disagreements(others, server.value, groups(guaranteed))]


def _setting(unit: str, policies: Policies) -> Policy | None:
    """The policy that sets δ and the cap: the newest for this unit."""
    newest = policies.newest
    candidates = [each.policy for each in policies.all if each.policy.budget.unit == unit]
    if newest is not None and newest.policy.budget.unit == unit:
        return newest.policy
    return max(candidates, key=lambda each: each.serial, default=None)


def _asked(sums: Sequence[Reserved], policy: Policy | None) -> tuple[Asked, ...]:
    counted = Counter(kind for _, kind in {(each.key, each.kind) for each in sums})
    queries = policy.queries if policy else {}
    kinds = dict.fromkeys(each.kind for each in sums)
    return tuple(
        Asked(kind, counted[kind], queries[kind].answers if kind in queries else None) for kind in kinds
    )


def _ended(each: Reserved, ends: Mapping[str, End]) -> Ended | None:
    end = ends.get(each.digest)
    return end.ended if end else None


def _shown(ends: Mapping[str, End], verified: frozenset[str]) -> Callable[[Reserved], Ended | None]:
    return lambda each: _ended(each, ends) if each.digest in verified else None


def _of_kind(sums: Sequence[Mechanism], kind: str, delta: float) -> float:
    return costliest(groups(each for each in sums if each.reserved.kind == kind), delta).value


def _sampler_delta(sums: Sequence[Reserved], value: float) -> float:
    """What the noise tables add to δ. Every draw of every device counts, in every part of its noise."""
    shapes = Counter((draws(each.asked), each.plan.length) for each in sums)
    return min(1.0, sum(added_to_delta(value, *each, count) for each, count in shapes.items()))


def _overspent(
    reserved: Sequence[Reserved], ends: Mapping[str, End], policies: Policies
) -> Iterator[Finding]:
    """For each policy: whether all that was asked up to its last sum fits its own ε and δ."""
    told: set[str] = set()
    for facts in policies.all:
        if facts.sha256 in told:
            continue
        told.add(facts.sha256)
        yield from _overspent_under(facts, reserved, ends)


def _overspent_under(
    facts: PolicyFacts, reserved: Sequence[Reserved], ends: Mapping[str, End]
) -> Iterator[Finding]:
    budget = facts.policy.budget
    under = [each.index for each in reserved if each.policy and each.policy.sha256 == facts.sha256]
    sums = [each for each in reserved if under and each.index <= under[-1] and each.plan.unit == budget.unit]
    if not sums or any(each.plan.noise is None for each in sums):
        return
    delta, cap = float(exact(budget.delta)), exact(budget.epsilon)
    made = mechanisms(sums, lambda _: None, "server")

    def spent(count: int) -> float:
        return costliest(groups(made[:count]), delta).value if count else 0.0

    total = spent(len(made))
    if total <= cap:
        return
    few, many = 0, len(made)  # the least prefix that costs more
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if spent(middle) > cap else (middle, many)
    unopened = sum(_ended(each, ends) is None for each in sums)
    words = (
        f"from here on epsilon is above {budget.epsilon} at delta {budget.delta}: {_up(total)} in the end"
        f" (sums not opened, counted as spent: {unopened})"
    )
    yield finding("budget-exceeded", words, sums[many - 1].index)


def _up(value: float) -> str:
    return f"{round_up(value, DIGITS):.{DIGITS}f}"
