"""`covey statement`: what has to be said of a run's privacy, from its ledger.

Exit status: as `covey audit`: 0 clean, 1 findings (the statement says so), 2 something cannot be read.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from covey_audit.anchor_options import (
    Enrolment,
    Policy,
    Previous,
    Reviewer,
    SelfCheck,
    Threshold,
    Witnessed,
)


def statement(  # noqa: PLR0913 - options of a command line
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run's folder, or a ledger's.")],
    *,
    form: Annotated[
        Literal["md", "json"], typer.Option("--format", help="Markdown for a model card, or JSON.")
    ] = "md",
    policy: Policy = None,
    reviewer: Reviewer = None,
    threshold: Threshold = 1,
    enrolment: Enrolment = None,
    witnessed: Witnessed = None,
    previous: Previous = None,
    self_check: SelfCheck = False,
) -> None:
    """Print the privacy statement of a run, computed from its ledger by an audit.

    It answers what NIST SP 800-226 and Ponomareva et al. (arXiv:2303.00654, section 5.3) ask of a claim:
    setting, unit, what is covered and released, mechanism, accounting, tuning, verification, and what is
    not covered. An epsilon that the audit does not certify is marked so; a simulation is called one.

    \b
    Examples:
      covey statement runs/pilot --reviewer privacy.vkey > PRIVACY.md
      covey statement runs/pilot --format json

    Exit status 0: nothing found but notes. 1: findings; the statement says so. 2: something cannot be read.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_audit.anchor_files import Given  # noqa: PLC0415 - `covey --help` does without
    from covey_audit.examining import examine  # noqa: PLC0415 - idem
    from covey_audit.report.markdown import as_json, as_markdown  # noqa: PLC0415 - idem

    given = Given(policy, tuple(reviewer or ()), threshold, enrolment, witnessed, previous)
    audited = examine(path, given, self_check=self_check)
    typer.echo(as_json(audited).decode() if form == "json" else as_markdown(audited), nl=form == "json")
    if audited.exit_status:
        raise typer.Exit(audited.exit_status)
