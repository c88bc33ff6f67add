"""From an audit to one HTML file that needs nothing beside it: no script, no font, no network."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from covey import __version__
from covey.ledger.findings import KINDS, SEVERITIES, Finding, Severity
from covey.policy.checking import kind_of
from covey.policy.explaining import Section, explain
from covey_audit.audited import Audited, Costs, PolicyFacts, SumFacts
from covey_audit.report import charts, cohort_chart, words
from covey_audit.report.alike import alike
from covey_audit.report.statement import SOURCES, statement
from covey_audit.report.verdict import UNIT_OF, against_cap, by_severity

TEMPLATE: Final = "report.html.j2"
MOST_ALIKE: Final = 12
"""Findings of one kind that are listed."""
MOST_SUMS: Final = 60
"""Sums that each have a line."""
LEVELS: Final = (
    "no ε: under no policy that you trust",
    "ε, not who was in the sums",
    "ε, and who was in the sums",
)
"""What is established at each level, in few words."""
ANSWER: Final = ("yes", "yes, with conditions", "no")
"""What a reviewer may decide."""


@dataclass(frozen=True)
class Group:
    """Findings of one kind.

    Attributes:
        severity: How much they weigh.
        code: Their kind.
        meaning: What the kind says.
        hint: What to do next.
        waived: With which words reviewers accepted them; empty if they did not.
        shown: The first of them.
        more: How many there are beside these.
    """

    severity: Severity
    code: str
    meaning: str
    hint: str
    waived: str
    shown: tuple[Finding, ...]
    more: int


@dataclass(frozen=True)
class Number:
    """One of the figures at the top.

    Attributes:
        name: What it is.
        value: Formatted.
        note: What a reader should know with it.
        certified: Whether it may be relied upon; None where that is not the question.
    """

    name: str
    value: str
    note: str
    certified: bool | None = None


@dataclass(frozen=True)
class PolicyShown:
    """A policy once, however many runs it governed.

    Attributes:
        facts: The entry that brought it in first.
        entries: All entries that did.
        sums: Sums that were held to it.
        sections: What it says, in plain words.
    """

    facts: PolicyFacts
    entries: tuple[int, ...]
    sums: int
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Spending:
    """Costs of one unit, with their pictures."""

    cost: Costs
    spent: charts.Chart | None
    kinds: charts.Chart | None


def render(audited: Audited, *, made_at: int, command: str = "") -> str:
    """The report as one self-contained HTML page, the same text for the same audit.

    Every string in it may be hostile: all are escaped, and characters that hide or reorder text are replaced.

    Args:
        audited: The audit.
        made_at: Unix time, seconds; 0 for not known.
        command: The command line that this report came of; empty if there was none.
    """
    return _environment().get_template(TEMPLATE).render(_view(audited, made_at, command))


def _view(audited: Audited, made_at: int, command: str) -> dict[str, Any]:
    said = statement(audited)
    return {
        "audited": audited,
        "named": _named(audited),
        "made_at": made_at,
        "version": __version__,
        "statement": said,
        "sources": SOURCES,
        "numbers": tuple(_numbers(audited)),
        "groups": tuple(_groups(audited.findings)),
        "tally": words.listed(tuple(by_severity(audited))),
        "spending": tuple(_spending(audited)),
        "units": UNIT_OF,
        "alike": alike(audited.sums),
        "cohorts": cohort_chart.cohorts(audited.sums),
        "per_bar": cohort_chart.per_bar(audited.sums),
        "opened": sum(each.outcome == "opened" for each in audited.sums),
        "reasons": Counter(each.reason or "not finished" for each in _unopened(audited.sums)).most_common(12),
        "lines": _lines(audited.sums),
        "policies": tuple(_policies(audited)),
        "command": command,
        "again": _again(audited),
        "entry": next((each.entry for each in audited.findings if each.entry is not None), 0),
        "quoted": shlex.quote(words.one_line(audited.source)),
        "decisions": ANSWER,
    }


def _named(audited: Audited) -> str:
    """The folder as the reader named it; the log where that is no name, as "." is none."""
    return audited.source if PurePath(audited.source).name.strip(".") else audited.origin or "a ledger"


def _numbers(audited: Audited) -> Iterator[Number]:
    for cost in audited.costs:
        unit = f"for {UNIT_OF[cost.unit]}, δ = {words.probability(cost.delta)}"
        yield Number(
            "ε against the server",
            words.epsilon(cost.server),
            f"{unit}; {against_cap(cost)}",
            audited.certified and cost.server is not None,
        )
        if cost.release is not None:
            yield Number(
                "ε for readers of releases",
                words.epsilon(cost.release),
                f"{unit}; by the operator's counts",
                False if audited.simulation else None,
            )
    opened = sum(each.outcome == "opened" for each in audited.sums)
    yield Number(
        "Private sums",
        words.number(len(audited.sums)),
        f"{words.number(opened)} opened; the others count as spent",
    )
    yield Number("Established", f"level {audited.level} of 2", _established(audited))
    tally = Counter(each.severity for each in audited.findings)
    worst = next((each for each in SEVERITIES if tally[each]), None)
    yield Number(
        "Findings",
        words.number(tally[worst]) if worst else "none",
        words.listed(tuple(by_severity(audited))) if worst else "nothing to answer",
    )
    yield Number("Ledger", words.count(audited.size, "entry"), _dates(audited))


def _established(audited: Audited) -> str:
    if any(each.severity == "critical" for each in audited.findings):
        return "void: see the critical findings"
    return LEVELS[audited.level]


def _dates(audited: Audited) -> str:
    if not audited.size:
        return "empty"
    first, last = words.day(audited.first_time), words.day(audited.last_time)
    return f"{first} to {last}, by the writer's clock"


def _groups(findings: Sequence[Finding]) -> Iterator[Group]:
    found: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        found.setdefault((each.severity, each.code, each.waived), []).append(each)
    for members in sorted(found.values(), key=lambda each: each[0].order):
        first = members[0]
        kind = KINDS.get(first.code)
        yield Group(
            severity=first.severity,
            code=first.code,
            meaning=kind.meaning if kind else "",
            hint=first.hint,
            waived=first.waived,
            shown=tuple(members[:MOST_ALIKE]),
            more=max(0, len(members) - MOST_ALIKE),
        )


def _spending(audited: Audited) -> Iterator[Spending]:
    for cost in audited.costs:
        yield Spending(cost, charts.spent(cost, audited.sums, audited.size), charts.kinds(cost))


def _unopened(sums: Sequence[SumFacts]) -> list[SumFacts]:
    return [each for each in sums if each.outcome != "opened"]


def _lines(sums: Sequence[SumFacts]) -> tuple[SumFacts, ...]:
    """All sums; of many, those to look at first: not opened, not shown by evidence, with few devices."""
    if len(sums) <= MOST_SUMS:
        return tuple(sums)
    third = MOST_SUMS // 3
    unshown = [each for each in sums if each.evidence in {"missing", "broken"}]
    fewest = sorted(
        (each for each in sums if each.members is not None),
        key=lambda each: each.members.survivors if each.members else 0,
    )
    chosen = {each.index for part in (_unopened(sums), unshown, fewest) for each in part[:third]}
    return tuple(each for each in sums if each.index in chosen)


def _policies(audited: Audited) -> Iterator[PolicyShown]:
    found: dict[str, list[PolicyFacts]] = {}
    for each in audited.policies:
        found.setdefault(each.sha256, []).append(each)
    held = Counter(each.policy for each in audited.sums)
    for sha256, members in found.items():
        yield PolicyShown(
            facts=members[0],
            entries=tuple(each.index for each in members),
            sums=held[sha256],
            sections=explain(members[0].policy),
        )


def _again(audited: Audited) -> str:
    """The command with which somebody else checks the same ledger against keys of their own."""
    source = shlex.quote(words.one_line(audited.source))
    return (
        f"covey audit {source} --reviewer REVIEWER.vkey --enrolment ENROLMENT-KEY --witnessed "
        "WITNESS-CHECKPOINT --report again.html"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("covey_audit", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=words.visible,
    )
    environment.filters |= {
        "epsilon": words.epsilon,
        "kind_of": kind_of,
        "probability": words.probability,
        "decimal": words.decimal,
        "number": words.number,
        "count_of": words.count,
        "span": words.span,
        "moment": words.moment,
        "day": words.day,
        "one_line": words.one_line,
        "listed": words.listed,
    }
    return environment
