"""An audit as one JSON object for scripts. ε are rounded up to 6 digits; null is no bound."""

from typing import Any, Final

import msgspec

from covey.accounting import round_up
from covey_audit.audited import Audited, Costs, PolicyFacts, SumFacts
from covey_audit.report.verdict import verdict

DIGITS: Final = 6


def as_json(audited: Audited) -> str:
    """All of an audit but the texts of policies and what plans say beside their numbers.

    Args:
        audited: The audit.
    """
    said = verdict(audited)
    facts = {
        "format": "covey-audit/1",
        "exit_status": audited.exit_status,
        "verdict": {"heading": said.heading, "sentence": said.sentence},
        "certified": audited.certified,
        "level": audited.level,
        "simulation": audited.simulation,
        "ledger": {
            "source": audited.source,
            "origin": audited.origin,
            "size": audited.size,
            "root": audited.root.hex(),
            "checkpoint_size": audited.head_size,
            "checkpoint_time": audited.head_time,
            "witnesses": audited.witnesses,
            "entries": audited.entries,
        },
        "findings": audited.findings,
        "costs": [_costs(each) for each in audited.costs],
        "policies": [_policy(each) for each in audited.policies],
        "rosters": audited.rosters,
        "runs": audited.runs,
        "sums": [_sum(each) for each in audited.sums],
        "releases": audited.releases,
        "tunings": audited.tunings,
        "audits": audited.audits,
        "software": [{"software": each, "sums": count} for each, count in audited.software],
        "trusts": audited.trusts,
        "not_covered": audited.not_covered,
    }
    return msgspec.json.encode(facts).decode()


def _costs(cost: Costs) -> dict[str, Any]:
    return {
        "unit": cost.unit,
        "delta": cost.delta,
        "cap": cost.cap,
        "epsilon": {
            "server": _up(cost.server),
            "settled": _up(cost.settled),
            "release": _up(cost.release),
        },
        "recomputed": {name: _up(value) for name, value in cost.libraries.items()},
        "by_kind": {kind: _up(value) for kind, value in cost.by_kind.items()},
        "asked": cost.asked,
        "rho": cost.rho,
        "xi": cost.xi,
        "order": cost.order,
        "sampler_delta": cost.sampler_delta,
    }


def _policy(facts: PolicyFacts) -> dict[str, Any]:
    return {
        "index": facts.index,
        "time": facts.time,
        "run": facts.run,
        "sha256": facts.sha256,
        "name": facts.policy.name,
        "serial": facts.policy.serial,
        "signers": facts.signers,
        "trusted": facts.trusted,
    }


def _sum(facts: SumFacts) -> dict[str, Any]:
    plan = facts.plan
    return {
        "index": facts.index,
        "plan": facts.plan_sha256,
        "run": plan.run,
        "sum": plan.sum,
        "cohort_number": plan.cohort_number,
        "round": plan.round,
        "task": plan.task.__struct_config__.tag,
        "unit": plan.unit,
        "outcome": facts.outcome,
        "end_index": facts.end_index,
        "cohort": plan.cohort,
        "minimum": plan.minimum,
        "members": facts.members,
        "evidence": facts.evidence,
        "d1": facts.d1,
        "d2": facts.d2,
        "rho": facts.rho,
        "xi": facts.xi,
        "multiplier": facts.multiplier,
        "policy": facts.policy,
    }


def _up(value: float | None) -> float | None:
    return None if value is None else round_up(value, DIGITS)
