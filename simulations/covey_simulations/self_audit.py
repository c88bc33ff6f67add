"""What a simulation that enforced a policy ends with: an audit of itself, by the reviewer's own code.

It takes keys, policy and witness from the run, so it proves nothing to anybody else; it shows what a reviewer
would see, and that nothing in the run's own ledger contradicts it.
"""

import shlex
from pathlib import Path

from covey_audit.anchor_files import Given
from covey_audit.audited import Audited
from covey_audit.clock import now
from covey_audit.examining import command_line, examine
from covey_audit.report.render import render
from covey_audit.report.verdict import against_cap, claim
from covey_io import durable

REPORT = "audit.html"


def audit_lines(folder: Path) -> list[str]:
    """Audit a run, write the report beside it, and say in a few lines what was found.

    Args:
        folder: The run's.

    Raises:
        CoveyError: The run cannot be audited.
    """
    audited = examine(folder, Given(), self_check=True)
    report = folder / REPORT
    command = command_line(folder, Given(), report, self_check=True)
    durable.replace(report, render(audited, made_at=now(), command=command).encode())
    return [
        *_found(audited),
        *(f"all sums together: {claim(each)}, {against_cap(each)}" for each in audited.costs),
        f"report: {report}",
        f"again: covey audit {shlex.quote(str(folder))} --self-check",
    ]


def _found(audited: Audited) -> list[str]:
    opened = sum(each.outcome == "opened" for each in audited.sums)
    proven = sum(each.evidence == "verified" for each in audited.sums)
    asked = f"{len(audited.sums)} sums asked for, {opened} opened, {proven} with proof of who was in"
    size = f"{audited.size} entries, {asked}"
    grave = [each for each in audited.findings if each.severity != "note"]
    if not grave:
        certified = "a simulation: no ε is certified" if audited.simulation else "ε is certified"
        return [size, f"nothing found: every signature, proof, rule and figure holds ({certified})"]
    return [size, *(f"{each.severity.upper()}: {each.code}: {each.words}" for each in grave[:3])]
