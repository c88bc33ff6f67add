"""Audits to report on: real ones of ledgers made here, and some with other fields put into them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any, cast

import msgspec
import numpy as np

from covey import plan as plans
from covey.encode import Part
from covey.identity import public_of
from covey.ledger import entries as ledger
from covey.ledger.entries import AnyEntry, Members, Sets, Settle
from covey.ledger.findings import KINDS, finding, waived
from covey.plan import Gradient, Noise, Plan, Statistics, Task, Validate
from covey_audit.audited import Audited
from covey_audit.auditing import Anchors, Material, audit
from html_page import HOSTILE
from made_ledger import (
    MINIMUM,
    NORM,
    RUN,
    SIZE,
    SOFTWARE,
    TRAIN,
    Made,
    head_over,
    honest,
    plan_of,
    policy_note,
    reserve_of,
    roster,
)
from memory_ledger import REVIEWERS, enrol_entry, policy_sha
from secagg_fleet import ENROLMENT, NOW

GRADIENT = Gradient(0.3, 0, 1.0, 0.1, 32.0, 200)
DIGEST = "ab" * 32
FIXED = {"cap", "severity", "code", "unit", "outcome", "evidence", "kind", "epsilon", "delta"}
"""Fields of an audit that are not free text."""
OPEN = ("name", "fleet", "purpose", "covey", "python", "numpy")
"""Fields of policies and settles that are."""


def made(asked: Sequence[Plan], policy: bytes, **changes: Any) -> Made:
    """A ledger without evidence: what was asked, and how many answered, by a small drawing of lots."""
    lots = np.random.default_rng(7)
    listed = roster(**changes)
    entries: list[AnyEntry] = [
        ledger.RunPolicy(time=NOW, run=asked[0].run if asked else RUN, policy=policy.decode()),
        enrol_entry(listed, NOW),
    ]
    for number, plan in enumerate(asked):
        entries += _sum(plan, NOW + number * 300, int(lots.integers(MINIMUM - 1, SIZE + 1)))
    if asked:
        entries.append(
            ledger.ModelRelease(
                time=NOW + 300 * len(asked),
                run=asked[-1].run,
                model=asked[-1].model_sha256,
                package=DIGEST,
                policy=policy_sha(policy),
            )
        )
    lines = tuple(ledger.encode(each) for each in entries)
    head = head_over(lines, NOW + 300 * len(asked) + 60)
    anchors = Anchors(reviewers=REVIEWERS, enrolment=public_of(ENROLMENT), now=NOW + 500_000)
    return Made(lines, head, {}, {sha256(listed).hexdigest(): listed}, {}, anchors)


def _sum(plan: Plan, time: int, survivors: int) -> Iterator[AnyEntry]:
    reserve = reserve_of(plan, time)
    yield reserve
    named = plans.digest(reserve.plan)
    if survivors < plan.minimum:
        yield ledger.Abort(time=time + 60, plan=named, reason="8 of 12 devices answered, the minimum is 9")
        return
    counts = Members(advertised=SIZE, sharing=survivors, survivors=survivors, noise_left=0)
    sets = Sets(u1=DIGEST, u2=DIGEST, u3=DIGEST, participants=DIGEST) if plan.masks == "on" else None
    evidence = DIGEST if plan.masks == "on" else None
    yield Settle(
        time=time + 60,
        plan=named,
        members=counts,
        sets=sets,
        evidence=evidence,
        sum=DIGEST,
        software=SOFTWARE,
    )


def _asked(policy: bytes, tasks: Sequence[Task], **changes: Any) -> list[Plan]:
    """A plan for each task, in order; one that trains goes on from the model that the last one made."""
    listed = roster(simulation=changes.pop("simulation", False))
    found = []
    trained = 0
    for number, task in enumerate(tasks, start=1):
        plan = plan_of(number, task, trained, policy, listed, **changes)
        if not isinstance(task, Validate | Statistics):
            trained += 1
        found.append(plan)
    return found


def _long() -> Audited:
    """Two hundred rounds, each fifth one validated, after statistics."""
    terms: dict[str, Any] = {
        "queries__train__noise_multiplier": "20",
        "queries__validate__noise_multiplier": "20",
        "budget__answers": 400,
        "queries__train__answers": 250,
        "queries__validate__answers": 50,
        "queries__train__rate_limit": "none",
        "queries__validate__rate_limit": "none",
        "queries__statistics": {
            "models": ["model"],
            "clip": "100",
            "noise_multiplier": "20",
            "minimum": 8,
            "answers": 2,
        },
    }
    policy = policy_note(**terms)
    tasks: list[Task] = [Statistics(100)]
    for number in range(1, 201):
        tasks.append(TRAIN)
        if number % 5 == 0:
            tasks.append(Validate(100))
    noise = Noise(mechanism="skellam", variance=(20 * NORM) ** 2, removal=False, seeded=False)
    return _audit(made(_asked(policy, tasks, noise=noise), policy))


def _examples() -> Audited:
    """Unit example: gradients of sampled examples, and validation of others."""
    policy = policy_note(
        budget__unit="example",
        budget__epsilon="4",
        queries__train__clip="1",
        queries__train__sampling_rate="0.3",
        queries__train__noise_multiplier="5",
        queries__validate__noise_multiplier="5",
        queries__train__rate_limit="none",
    )
    parts = (Part("gradient", 3000, 1.0, 1000.0), Part("weight", 1, 1.0, 100.0))
    noise = Noise(mechanism="skellam", variance=(5 * 1100) ** 2, removal=False, seeded=False)
    of_all = {"unit": "example", "noise": noise, "parts": parts, "norm": 1100}
    tasks: list[Task] = [*[GRADIENT] * 30, Validate(100)]
    return _audit(made(_asked(policy, tasks, **of_all), policy))


def _simulated() -> Audited:
    policy = policy_note(simulation=True)
    noise = Noise(mechanism="skellam", variance=(8 * NORM) ** 2, removal=False, seeded=True)
    tasks: list[Task] = [TRAIN, TRAIN, Validate(100)] * 4
    return _audit(made(_asked(policy, tasks, noise=noise, simulation=True), policy, simulation=True))


def _unprotected() -> Audited:
    """Neither masks nor noise, under a policy that allows neither."""
    policy = policy_note()
    none: dict[str, Any] = {"masks": "none", "suite": None, "roster": None, "noise": None}
    return _audit(made(_asked(policy, [TRAIN] * 6, **none), policy))


def _overspent() -> Audited:
    policy = policy_note(budget__epsilon="2", queries__train__answers=10)
    return _audit(made(_asked(policy, [TRAIN] * 30), policy))


def _unanchored() -> Audited:
    found = honest()
    return audit(found.material, Anchors(now=NOW + 3000), libraries=False)


def _waived() -> Audited:
    """A critical finding that reviewers accepted."""
    found = audited("honest")
    accepted = waived(finding("roster-expired", "the roster had expired by then", 9), "a public holiday")
    return replace(found, findings=(accepted, finding("run-unreleased", "run-b has no release", None)))


def _two_units() -> Audited:
    found = audited("examples")
    other = audited("honest")
    return replace(found, costs=(*found.costs, *other.costs), sums=(*found.sums, *other.sums))


def _every_finding() -> Audited:
    """One of each kind, and very many of one."""
    many = [finding("plan-outside-policy", f"the plan's clip is {each}", each) for each in range(300)]
    each_kind = [finding(code, f"Found: {code}", place) for place, code in enumerate(KINDS)]
    found = sorted([*each_kind, *many], key=lambda each: each.order)
    return replace(audited("honest"), findings=tuple(found))


def _audit(found: Made) -> Audited:
    anchors = replace(found.anchors, witnessed=found.checkpoint)
    return audit(found.material, anchors, libraries=False)


def hostile(value: Any, *, name: str = "") -> Any:
    """The same audit with every string hostile that an operator can choose."""
    match value:
        case str():
            return value if name in FIXED else HOSTILE
        case tuple():
            return tuple(hostile(each, name=name) for each in value)
        case Plan():
            parts = tuple(msgspec.structs.replace(part, name=HOSTILE) for part in value.parts)
            return msgspec.structs.replace(value, run=HOSTILE, model=HOSTILE, parts=parts)
        case msgspec.Struct():
            strings = {each: HOSTILE for each in OPEN if hasattr(value, each)}
            return msgspec.structs.replace(value, **strings)
        case _ if is_dataclass(value) and not isinstance(value, type):
            changed = {
                each.name: hostile(getattr(value, each.name), name=each.name) for each in fields(value)
            }
            return replace(value, **changed)
        case _:
            return value


def _hostile() -> Audited:
    found = replace(audited("every finding"), tunings=audited("honest").tunings)
    return cast("Audited", hostile(found))


CASES: dict[str, Callable[[], Audited]] = {
    "honest": lambda: audit(honest().material, honest().anchors),
    "long": _long,
    "examples": _examples,
    "simulated": _simulated,
    "unprotected": _unprotected,
    "overspent": _overspent,
    "unanchored": _unanchored,
    "waived": _waived,
    "two units": _two_units,
    "every finding": _every_finding,
    "nothing": lambda: audit(Material(source="empty", lines=()), Anchors(), libraries=False),
    "only a policy": lambda: _audit(made([], policy_note())),
    "hostile": _hostile,
}


@cache
def audited(case: str) -> Audited:
    """One of the cases."""
    return CASES[case]()
