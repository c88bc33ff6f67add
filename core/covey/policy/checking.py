"""Whether a plan keeps to a policy. A device refuses at the first reason; an audit lists them all.

What is limited over many plans (ε, how many answers, how often) is the device's budget's and not here.

What a query's `clip` holds down depends on the task, and is always the largest weight that one row of an
answer can have: the L2 norm of an update (train) or of one example's gradient (gradient); for all others the
examples of one device that count, since counts have no other scale; for health that is 1.
"""

import hmac
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import assert_never

from covey.encode import squared_sensitivity
from covey.identity import Roster
from covey.plan import (
    Calibrate,
    Compare,
    Gradient,
    Health,
    Noise,
    Plan,
    Statistics,
    Task,
    Train,
    Validate,
)
from covey.policy.terms import Option, Policy, Query, QueryKind, exact


def kind_of(plan: Plan) -> QueryKind:
    """The query's kind, as a policy calls it."""
    match plan.task:
        case Train() | Gradient():
            return "train"
        case Validate() | Compare():
            return "validate"
        case Statistics():
            return "statistics"
        case Calibrate():
            return "calibrate"
        case Health():
            return "health"
        case _ as never:
            assert_never(never)


def options_of(task: Task) -> Iterator[Option]:
    """What a task asks beside what every task of its kind does, by the names that a policy allows it by."""
    if isinstance(task, Train) and task.control_clip:
        yield "control-variates"
    if isinstance(task, Train | Validate) and task.personal:
        yield "personal-parameters"
    if isinstance(task, Train) and task.within:
        yield "clip-indicator"


def refusals(plan: Plan, policy: Policy, policy_sha256: str) -> Iterator[str]:
    """Why a device under this policy does not answer a plan; nothing if it does.

    Args:
        plan: Decoded and consistent (`covey.plan.from_bytes`).
        policy: Verified and current.
        policy_sha256: Of the policy's text as signed.

    Yields:
        One reason each, in plain words.
    """
    yield from _reference(plan, policy, policy_sha256)
    if plan.unit != policy.budget.unit:
        yield f"the plan protects one {plan.unit}, the policy promises it for one {policy.budget.unit}"
    yield from _masks(plan, policy)
    yield from _cohort(plan, policy)
    query = policy.queries.get(kind_of(plan))
    if query is None:
        allowed = ", ".join(policy.queries) or "nothing"
        yield f"the plan asks for {kind_of(plan)}, the policy allows {allowed}"
    else:
        yield from _question(plan, query)
        yield from _noise(plan, policy, query)


def roster_refusals(roster: Roster, policy: Policy) -> Iterator[str]:
    """Why devices of this roster are not those that a policy governs.

    Args:
        roster: Verified.
        policy: Verified.

    Yields:
        One reason each, in plain words.
    """
    if roster.fleet != policy.fleet:
        yield f"the roster is of fleet {roster.fleet!r}, the policy of {policy.fleet!r}"
    if roster.simulation != policy.simulation:
        of, under = ("simulated", "a real") if roster.simulation else ("real", "a simulated")
        yield f"the roster is of {of} devices, the policy is for {under} fleet"


def _reference(plan: Plan, policy: Policy, policy_sha256: str) -> Iterator[str]:
    if plan.policy is None:
        yield "the plan names no policy"
        return
    if not hmac.compare_digest(plan.policy.sha256, policy_sha256):
        yield f"the plan appeals to policy {plan.policy.sha256[:16]}, the device's is {policy_sha256[:16]}"
    if plan.policy.serial != policy.serial:
        yield f"the plan appeals to a policy of serial {plan.policy.serial}, the device's has {policy.serial}"


def _masks(plan: Plan, policy: Policy) -> Iterator[str]:
    if plan.masks != "on" or plan.suite is None:
        yield "the plan asks for answers without masks"
    elif plan.suite.profile not in policy.assumptions.profiles:
        allowed = " or ".join(policy.assumptions.profiles)
        yield f"the plan's profile is {plan.suite.profile}, the policy allows {allowed}"


def _cohort(plan: Plan, policy: Policy) -> Iterator[str]:
    assumed = policy.assumptions
    if plan.corrupt != assumed.corrupt:
        yield f"the plan assumes {plan.corrupt} corrupt devices, the policy {assumed.corrupt}"
    missing, most = plan.cohort - plan.minimum, floor(exact(assumed.dropouts) * plan.cohort)
    if missing > most:
        yield (
            f"the plan opens a sum when {missing} of {plan.cohort} devices are missing, the policy allows"
            f" {most} ({assumed.dropouts} of them)"
        )


def _question(plan: Plan, query: Query) -> Iterator[str]:
    kind = kind_of(plan)
    if plan.model not in query.models:
        allowed = ", ".join(query.models)
        yield f"the plan asks about model {plan.model!r}, the policy allows {kind} of {allowed}"
    if plan.minimum < query.minimum:
        yield f"the plan opens a sum of {plan.minimum} answers, the policy asks {query.minimum} for {kind}"
    weight = max(_weights(plan))
    if _printed(weight) > exact(query.clip):
        yield f"the plan lets a row weigh {weight!r}, the policy allows {query.clip} for {kind}"
    for option in options_of(plan.task):
        if option not in query.options:
            allowed = ", ".join(query.options) or "nothing"
            yield f"the plan asks for {option} beside {kind}, the policy allows {allowed}"
    rate = plan.task.sampling_rate if isinstance(plan.task, Gradient) else 1.0
    if _printed(rate) > exact(query.sampling_rate):
        yield f"an example joins with chance {rate!r}, the policy allows {query.sampling_rate} for {kind}"


def _noise(plan: Plan, policy: Policy, query: Query) -> Iterator[str]:
    if plan.noise is None:
        yield "the plan adds no noise"
        return
    yield from _seed(plan.noise, policy)
    squared = max(Fraction(plan.norm) ** 2, squared_sensitivity(plan.parts))
    if plan.noise.variance < exact(query.noise_multiplier) ** 2 * squared:
        yield (
            f"the plan's noise has a variance of {plan.noise.variance} for a norm of {plan.norm}, less than"
            f" the policy's noise multiplier of {query.noise_multiplier} needs"
        )


def _seed(noise: Noise, policy: Policy) -> Iterator[str]:
    if noise.seeded and not policy.simulation:
        yield "the plan's noise comes from a seed, which only a simulation's may"


def _weights(plan: Plan) -> tuple[float, ...]:
    """What `clip` holds down: of the task, and of the part that carries it out."""
    task: Task = plan.task
    match task:
        case Train():
            return (task.update_clip, *(part.clip for part in plan.parts if part.name == "update"))
        case Gradient():
            return (task.gradient_clip, *(part.clip for part in plan.parts if part.name == "gradient"))
        case Validate() | Statistics() | Calibrate() | Compare() | Health():
            return (task.examples_cap,)
        case _ as never:
            assert_never(never)


def _printed(value: float) -> Fraction:
    """A float as the decimal that it prints as: 0.3 of a plan is the policy's "0.3"."""
    return Fraction(repr(value))
