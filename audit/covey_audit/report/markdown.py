"""A privacy statement as Markdown for a model card, and as JSON for a program."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from covey import __version__
from covey.accounting.rounding import round_up
from covey_audit.audited import Audited
from covey_audit.report import words
from covey_audit.report.statement import SOURCES, Statement, statement
from covey_audit.report.verdict import UNIT_OF

FORMAT: Final = "covey-privacy-statement/1"
DIGITS: Final = 6
_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#|~&$]|(?<=^)[-+=]|^\d+(?=[.)]))")
"""What Markdown would take for something else than text."""


def as_markdown(audited: Audited) -> str:
    """The statement of an audit, beginning with a heading of the second level.

    Every text that an operator can choose is escaped: it can neither make a heading nor a link.
    """
    return "\n".join(_markdown(audited, statement(audited))) + "\n"


def as_json(audited: Audited) -> bytes:
    """The statement as one JSON object; each ε is rounded up to 6 digits, null where there is no bound."""
    said = statement(audited)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "covey": __version__,
        "source": audited.source,
        "origin": audited.origin,
        "size": audited.size,
        "root": audited.root.hex(),
        "simulation": said.simulation,
        "certified": said.certified,
        "level": audited.level,
        "verdict": {"heading": said.verdict.heading, "sentence": said.verdict.sentence},
        "claims": [
            {
                "unit": claim.unit,
                "view": claim.view,
                "against": claim.against,
                "epsilon": None if claim.epsilon is None else round_up(claim.epsilon, DIGITS),
                "delta": claim.delta,
                "counts_on": claim.rests,
            }
            for claim in said.claims
        ],
        "answers": {each.key: each.sentences for each in said.answers},
        "rests_on": audited.trusts,
    }
    return msgspec.json.format(msgspec.json.encode(facts), indent=2)


def _markdown(audited: Audited, said: Statement) -> Iterator[str]:
    yield "## Privacy"
    yield ""
    yield f"> **{_text(said.verdict.heading)}.** {_text(said.verdict.sentence)}"
    yield ""
    if said.claims:
        yield from _table(said)
    for each in said.answers:
        yield f"**{_text(each.question)}.** {' '.join(map(_text, each.sentences))}"
        yield ""
    yield f"**What this rests on.** {' '.join(map(_text, audited.trusts))}"
    yield ""
    yield (
        f"Computed by covey {__version__} from the ledger with root `{audited.root.hex()}`"
        f" ({words.count(audited.size, 'entry')}). Check it: `covey audit`. The questions are those of"
        f" {' and of '.join(f'{name} (<{address}>)' for name, address in SOURCES)}."
    )


def _table(said: Statement) -> Iterator[str]:
    mark = " (simulation)" if said.simulation else "" if said.certified else " (not certified)"
    yield f"| against | promise about | ε{mark} | δ | counting on |"
    yield "|---|---|---|---|---|"
    for claim in said.claims:
        figures = f"{words.epsilon(claim.epsilon)} | {words.probability(claim.delta)}"
        yield f"| {_text(claim.against)} | {UNIT_OF[claim.unit]} | {figures} | {_text(claim.rests)} |"
    yield ""


def _text(said: str) -> str:
    """On one line, visible, and as text."""
    return _MARKS.sub(r"\\\1", words.one_line(said, 4000))
