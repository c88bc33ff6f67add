"""Whether each plan kept to its policy, to the days of the policy and to the roster."""

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from covey.errors import PlanRefused
from covey.identity import Roster
from covey.ledger.findings import Finding, finding
from covey.policy.checking import refusals, roster_refusals
from covey.policy.signed import check_current
from covey.policy.terms import Policy
from covey_audit.audited import PolicyFacts, RosterFacts
from covey_audit.auditing.policies import SHOWN
from covey_audit.auditing.reserves import Reserved
from covey_audit.auditing.rosters import Rosters


def check(reserved: Sequence[Reserved], rosters: Rosters) -> Iterator[Finding]:
    """What a device would have refused each plan for, and more.

    Args:
        reserved: All plans.
        rosters: All rosters.
    """
    for each in reserved:
        yield from _protection(each)
        if each.policy is not None:
            yield from _policy(each, each.policy)
        yield from _roster(each, rosters)


def _protection(each: Reserved) -> Iterator[Finding]:
    if each.plan.masks != "on":
        words = "without masks" if each.plan.masks == "none" else "with masks left out, as a simulation may"
        yield finding("no-masks", f"asked for {words}", each.index)
    if each.plan.noise is None:
        central = "" if each.plan.central is UNSET else " of the devices: the server adds it, and is trusted"
        yield finding("no-noise", f"asked for without noise{central}", each.index)


def _policy(each: Reserved, policy: PolicyFacts) -> Iterator[Finding]:
    for reason in refusals(each.plan, policy.policy, policy.sha256):
        yield finding("plan-outside-policy", reason, each.index)
    try:
        check_current(policy.policy, each.time)
    except PlanRefused as error:
        yield finding("policy-expired", f"asked for when it did not hold: {error.message}", each.index)
    if each.plan.noise is not None and each.plan.noise.seeded and not policy.policy.simulation:
        words = "noise from a seed, under a policy for real devices"
        yield finding("simulation-disguised", words, each.index)


def _roster(each: Reserved, rosters: Rosters) -> Iterator[Finding]:
    named = each.plan.roster
    if named is None:
        return
    roster, newest = rosters.named_before(named, each.index), rosters.newest_before(each.index)
    if roster is None or newest is None:
        words = (
            f"the plan names roster {named.serial}, {named.sha256[:SHOWN]}, which no entry above it brings"
        )
        yield finding("roster-unknown", words, each.index)
        return
    if roster.serial < newest.serial:
        words = f"the plan names roster {roster.serial}, in force was {newest.serial} (entry {newest.index})"
        yield finding("roster-old", words, each.index)
    verified = rosters.verified.get(roster.sha256)
    expires = verified.roster.expires if verified else roster.expires
    if each.time > expires:
        words = f"asked for {each.time - expires} s after roster {roster.serial} had expired"
        yield finding("roster-expired", words, each.index)
    if each.policy is not None:
        policy = each.policy.policy
        if verified is not None:
            yield from _roster_and_policy(each, verified.roster, policy, verified.key)
        else:
            yield from _claimed(each, roster, policy)
    simulated = verified.roster.simulation if verified else roster.simulation
    if each.plan.noise is not None and each.plan.noise.seeded and not simulated:
        yield finding("simulation-disguised", "noise from a seed, of a roster of real devices", each.index)


def _roster_and_policy(each: Reserved, roster: Roster, policy: Policy, key: str) -> Iterator[Finding]:
    if key != policy.keys.enrolment:
        words = f"roster {roster.serial} is signed by another enrolment key than the plan's policy names"
        yield finding("roster-untrusted", words, each.index)
    for reason in roster_refusals(roster, policy):
        disguised = roster.simulation != policy.simulation and roster.fleet == policy.fleet
        code = "simulation-disguised" if disguised else "roster-of-another-fleet"
        yield finding(code, reason, each.index)


def _claimed(each: Reserved, roster: RosterFacts, policy: Policy) -> Iterator[Finding]:
    """By the entry's word, where the roster itself is not here."""
    if roster.fleet != policy.fleet:
        words = f"the roster is of fleet {roster.fleet!r}, the policy of {policy.fleet!r}"
        yield finding("roster-of-another-fleet", words, each.index)
    if roster.simulation != policy.simulation:
        yield finding("simulation-disguised", "roster and policy do not agree on a simulation", each.index)
