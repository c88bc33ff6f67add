"""An audit as lines for a tired reader: the verdict, the figures, what to do next, what it rests on."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from covey.ledger.findings import SEVERITIES, Finding, Severity
from covey.plan import Unit
from covey_audit.audited import Audited, Costs, SumFacts
from covey_audit.report import words
from covey_audit.report.verdict import against_cap, verdict

WIDTH: Final = 100
_ENTRIES: Final = 6
_LABEL: Final = 18

_TITLES: Final[dict[Severity, str]] = {"critical": "Critical", "warning": "Warnings", "note": "Notes"}
_LEVELS: Final = (
    "0 of 2: compared with itself alone; no policy in it is known to be yours",
    "1 of 2: plans were compared with your policy; who was in the sums is the operator's word",
    "2 of 2: plans were compared with your policy, and who was in the sums with what devices signed",
)


def lines(audited: Audited) -> Iterator[tuple[str, str]]:
    """What to print, a line each, with its style: "title", "good", "caution", "danger" or "".

    Args:
        audited: The audit.
    """
    said = verdict(audited)
    yield said.tone, words.one_line(said.heading)
    yield from _wrapped(said.sentence)
    yield "", ""
    yield from _rows(_ledger(audited))
    for cost in audited.costs:
        yield "", ""
        yield "title", f"What the sums cost {_whom(cost.unit)}, all runs in this ledger"
        yield from _rows(_cost(cost, [each for each in audited.sums if each.plan.unit == cost.unit]))
    for severity in SEVERITIES:
        found = [each for each in audited.findings if each.severity == severity]
        if found:
            yield "", ""
            yield "title", _TITLES[severity]
            yield from _findings(found)
    yield "", ""
    yield "title", "This rests on"
    for each in audited.trusts:
        yield from _wrapped(each, "  - ")
    yield "", ""
    yield "title", "This says nothing about"
    for each in audited.not_covered:
        yield from _wrapped(each, "  - ")


def _ledger(audited: Audited) -> Iterator[tuple[str, str]]:
    yield "ledger", f"{audited.origin or 'of unknown origin'}: {words.count(audited.size, 'entry')}"
    yield "checkpoint", _checkpoint(audited)
    yield "root", audited.root.hex()
    for each in {one.sha256: one for one in audited.policies}.values():
        signed = f"signed by {words.listed(each.signers)}" if each.signers else "signature not checked"
        yield (
            "policy",
            f"{each.policy.name}, serial {each.policy.serial}, {signed}; SHA-256 {each.sha256[:16]}…",
        )
    opened = sum(each.outcome == "opened" for each in audited.sums)
    yield (
        "sums",
        f"{len(audited.sums):,} asked for in {words.count(len(audited.runs), 'run')}, {opened:,} opened",
    )
    yield "level", _LEVELS[audited.level]


def _checkpoint(audited: Audited) -> str:
    if audited.head_size is None:
        return "none that can be believed"
    covered = "all of them" if audited.head_size == audited.size else f"{audited.head_size:,} of them"
    if not audited.witnesses:
        return f"over {covered}; no witness"
    return f"over {covered}, seen by {words.listed(audited.witnesses)} at {words.moment(audited.head_time)}"


def _cost(cost: Costs, sums: Sequence[SumFacts]) -> Iterator[tuple[str, str]]:
    corrupt = words.count(max(each.plan.corrupt for each in sums), "device")
    yield "delta", f"{cost.delta:g}"
    yield (
        "epsilon, server",
        f"{words.epsilon(cost.server)}, {against_cap(cost)}; against the server with {corrupt} on its side",
    )
    if cost.settled is not None:
        yield (
            "as settled",
            f"{words.epsilon(cost.settled)}, with the noise of all who are shown to have been in",
        )
    yield (
        "epsilon, release",
        f"{words.epsilon(cost.release)}, against others, who see only releases; by the settles' counts",
    )
    for library, value in cost.libraries.items():
        yield library, f"{words.epsilon(value)}, the server's recomputed"
    for asked in cost.asked:
        limit = f" of {asked.allowed:,} allowed" if asked.allowed is not None else ", no limit known"
        of_kind = cost.by_kind.get(asked.kind)
        alone = f"; epsilon {words.epsilon(of_kind)} by themselves" if of_kind is not None else ""
        yield asked.kind, f"{asked.sums:,}{limit}{alone}"


def _findings(found: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Findings that say the same of many entries stand together."""
    alike: dict[tuple[str, str, str], list[int | None]] = {}
    for each in found:
        alike.setdefault((each.code, each.words, each.waived), []).append(each.entry)
    hints = {each.code: each.hint for each in found}
    for (code, said, waived), entries in alike.items():
        where = _entries([each for each in entries if each is not None])
        yield from _wrapped(f"{code}{where}: {words.one_line(said)}", "  ", "    ")
        if waived:
            yield from _wrapped(f"accepted: {words.one_line(waived)}", "    ")
        elif hints[code]:
            yield from _wrapped(f"next: {hints[code]}", "    ")


def _entries(entries: Sequence[int]) -> str:
    if not entries:
        return ""
    shown = ", ".join(f"{each}" for each in entries[:_ENTRIES])
    more = f" and {len(entries) - _ENTRIES:,} more" if len(entries) > _ENTRIES else ""
    return f" ({'entry' if len(entries) == 1 else 'entries'} {shown}{more})"


def _rows(rows: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for label, value in rows:
        yield from _wrapped(words.one_line(value), f"{label:<{_LABEL}}", " " * _LABEL)


def _wrapped(text: str, first: str = "", rest: str | None = None) -> Iterator[tuple[str, str]]:
    after = " " * len(first) if rest is None else rest
    for line in textwrap.wrap(
        str(words.visible(text)), WIDTH, initial_indent=first, subsequent_indent=after, break_on_hyphens=False
    ):
        yield "", line


def _whom(unit: Unit) -> str:
    return {"device": "one device", "example": "one example"}[unit]
