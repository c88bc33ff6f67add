"""What in a policy is unwise, or hardly what its author meant. What no device can follow, reading refuses.

An error stops a signature; a warning is worth a second look; a note says what is easily missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from covey.accounting import round_up
from covey.ledger.note import read_vkey
from covey.plan import LARGEST_COHORT
from covey.policy.terms import SECONDS_A_DAY, Option, Policy, QueryKind, exact, rate
from covey.policy.worst import Worst, worst

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")

LARGE_EPSILON: Final = 10
LARGE_DELTA: Final = "1e-4"
LONG_DAYS: Final = 400
MANY_MISSING: Final = "0.5"
SHORT_PURPOSE: Final = 20
UNFILLED: Final = "FILL IN"
"""What a template has where its reader is to write something."""
UNASKED: Final[tuple[QueryKind, ...]] = ("drift",)
"""Kinds that no plan of this version asks for."""


_OF_KIND: Final[dict[Option, tuple[QueryKind, ...]]] = {
    "control-variates": ("train",),
    "personal-parameters": ("train", "validate"),
    "clip-indicator": ("train",),
}


@dataclass(frozen=True)
class Remark:
    """One thing that a reader of the policy should know.

    Attributes:
        severity: "error": do not sign. "warning": sign only if it is meant. "note": for information.
        key: What it is about, as in the TOML.
        words: What is the matter, and what to do.
    """

    severity: Severity
    key: str
    words: str


def lint(policy: Policy, now: int | None = None) -> tuple[Remark, ...]:
    """Remarks on a policy, errors first.

    Args:
        policy: As read.
        now: Unix seconds, for what depends on the day; None leaves that out.
    """
    cost = worst(policy)
    found = (
        *_unfilled(policy),
        *_validity(policy, now),
        *_promise(policy, cost),
        *_assumptions(policy),
        *_keys(policy),
        *_ledger(policy),
        *_queries(policy, cost),
    )
    return tuple(sorted(found, key=lambda remark: SEVERITIES.index(remark.severity)))


def _unfilled(policy: Policy) -> Iterator[Remark]:
    texts = {"name": policy.name, "fleet": policy.fleet, "purpose": policy.purpose}
    texts["ledger.origin"] = policy.ledger.origin
    texts |= {f"queries.{kind}.models": " ".join(each.models) for kind, each in policy.queries.items()}
    for key, text in texts.items():
        if UNFILLED in text:
            yield Remark("error", key, "it is still the template's: fill it in")


def _validity(policy: Policy, now: int | None) -> Iterator[Remark]:
    if now is not None and now > policy.valid_until.last_second:
        yield Remark("error", "valid_until", f"{policy.valid_until.text} is over: no device would answer")
    days = (policy.valid_until.seconds - policy.valid_from.seconds) // SECONDS_A_DAY + 1
    if days > LONG_DAYS:
        yield Remark(
            "warning",
            "valid_until",
            f"it holds for {days:,} days; devices learn that it was withdrawn only from a newer one",
        )
    if policy.simulation:
        yield Remark("warning", "simulation", "a simulation's noise may be seeded: it protects nobody")
    if policy.signatures == 1:
        yield Remark(
            "note", "signatures", "one reviewer's key is enough; 2 makes a lost or forced key harmless alone"
        )
    if len(policy.purpose.strip()) < SHORT_PURPOSE:
        yield Remark(
            "warning", "purpose", "say what answers are for, so that someone else can judge their use"
        )


def _promise(policy: Policy, cost: Worst) -> Iterator[Remark]:
    budget = policy.budget
    if exact(budget.epsilon) > LARGE_EPSILON:
        yield Remark(
            "warning",
            "budget.epsilon",
            f"{budget.epsilon} promises little against a guess (covey policy explain)",
        )
    if exact(budget.delta) > exact(LARGE_DELTA):
        yield Remark(
            "warning",
            "budget.delta",
            "it should be far below one divided by the number of people in the fleet",
        )
    if cost.together > exact(budget.epsilon):
        yield Remark(
            "warning",
            "budget.epsilon",
            f"all permitted answers would cost about {round_up(cost.together, 2):g}: devices stop before"
            " they are given",
        )
    if budget.unit == "example":
        yield Remark("note", "budget.unit", "it protects one example; a person who gave many has far less")
    if policy.queries and budget.answers > sum(query.answers for query in policy.queries.values()):
        yield Remark("note", "budget.answers", "the queries together allow fewer answers than this")


def _assumptions(policy: Policy) -> Iterator[Remark]:
    assumed = policy.assumptions
    if "semi-honest-server" in assumed.profiles:
        yield Remark(
            "warning",
            "assumptions.profiles",
            "semi-honest-server: a server that breaks the protocol can isolate a few devices' answers",
        )
    if exact(assumed.dropouts) > exact(MANY_MISSING):
        yield Remark(
            "warning",
            "assumptions.dropouts",
            "sums open with most of the asked devices missing; 0.3 is usual",
        )


def _keys(policy: Policy) -> Iterator[Remark]:
    """Whose keys must not be one person's."""
    held = {"operator": policy.keys.operator, "enrolment": policy.keys.enrolment}
    log = read_vkey(policy.ledger.log).key.hex()
    if log == held["enrolment"]:
        yield Remark(
            "error", "keys.enrolment", "it is the ledger's key: who runs the server would choose the devices"
        )
    if log == held["operator"]:
        yield Remark("warning", "ledger.log", "it is the operator's key; give the ledger one of its own")
    for vkey in policy.ledger.witnesses:
        witness = read_vkey(vkey)
        if witness.key.hex() in held.values():
            yield Remark(
                "error",
                "ledger.witnesses",
                f"{witness.name} is the operator's or the enrolment key, no witness",
            )


def _ledger(policy: Policy) -> Iterator[Remark]:
    ledger = policy.ledger
    if ledger.cosignatures == 0:
        yield Remark(
            "warning",
            "ledger.cosignatures",
            "no witness is asked for: the operator can show each device another ledger",
        )
    if (name := read_vkey(ledger.log).name) != ledger.origin:
        yield Remark(
            "warning", "ledger.origin", f"the log's key is named {name}; witnesses expect the origin's name"
        )


def _queries(policy: Policy, cost: Worst) -> Iterator[Remark]:
    if not policy.queries:
        yield Remark("warning", "queries", "nothing may be asked: devices stop answering")
    for kind in policy.queries:
        for severity, key, words in _query(policy, kind, cost):
            yield Remark(severity, f"queries.{kind}.{key}" if key else f"queries.{kind}", words)


def _query(policy: Policy, kind: QueryKind, cost: Worst) -> Iterator[tuple[Severity, str, str]]:
    query = policy.queries[kind]
    if kind in UNASKED:
        yield "note", "", "no plan of this version asks this"
    if kind != "train" and exact(query.sampling_rate) != 1:
        yield "error", "sampling_rate", "only training tosses coins: every such plan would be refused"
    unused = [each for each in query.options if kind not in _OF_KIND[each]]
    if unused:
        yield "warning", "options", f"no {kind} question has {', '.join(unused)}"
    if policy.assumptions.profiles == ("malicious-server",) and query.minimum > LARGEST_COHORT:
        yield "error", "minimum", f"sums in profile malicious-server have at most {LARGEST_COHORT} devices"
    if cost.affordable[kind] == 0:
        yield (
            "error",
            "noise_multiplier",
            "one answer costs more than budget.epsilon: devices would refuse all",
        )
    if query.answers > policy.budget.answers:
        yield "warning", "answers", f"more than budget.answers, {policy.budget.answers:,}, which binds first"
    if rate(query) is None:
        yield "warning", "rate_limit", "all answers could be asked for within minutes, before anyone looks"
