"""`covey audit`: a ledger against everything that can be checked of it offline.

Exit status: 0 clean (notes do not count), 1 findings, 2 the ledger or something given cannot be read.
"""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import click
import typer
from typer.core import TyperCommand, TyperGroup

from covey.errors import InputError
from covey_audit.anchor_options import (
    Enrolment,
    Policy,
    Previous,
    Reviewer,
    SelfCheck,
    Threshold,
    Witnessed,
)
from covey_audit.clock import now
from covey_audit.flower_command import audit_flower
from covey_audit.proof_commands import check_proof, prove
from covey_audit.waiver_command import waive
from covey_io import durable

if TYPE_CHECKING:
    from covey_audit.audited import Audited

_LEDGER: Final = "ledger"
_SLOW: Final = 200
"""Sums from which on it is worth telling how far evidence has been checked."""
_COLOURS: Final = {"good": "green", "caution": "yellow", "danger": "red"}


HELP: Final = """Check a ledger offline, against your own keys: covey audit PATH.

\b
Examples:
  covey audit runs/pilot --reviewer privacy.vkey --witnessed https://witness.example
  covey audit ledger --help                        all its options
  covey audit prove ledger/ --device FOLDER        what a device was in, and what it spent
"""


class Audit(TyperGroup):
    """`covey audit PATH` is `covey audit ledger PATH`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command in that is left out."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_LEDGER, *args]
        return super().parse_args(ctx, args)


class Ledger(TyperCommand):
    """`covey audit ledger --policy …`, of a folder that is called `ledger`: the word was meant as PATH."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the folder of the command's name where no other one is named."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter:
            if not Path(_LEDGER).is_dir():
                raise
        ctx.params.clear()
        return super().parse_args(ctx, [_LEDGER, *given])


audit = typer.Typer(
    cls=Audit,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
audit.command("prove")(prove)
audit.command("check-proof")(check_proof)
audit.command("waive")(waive)
audit.command("flower")(audit_flower)


@audit.command(_LEDGER, cls=Ledger)
def ledger(  # noqa: PLR0913 - options of a command line
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run's folder, or a ledger's.")],
    *,
    policy: Policy = None,
    reviewer: Reviewer = None,
    threshold: Threshold = 1,
    enrolment: Enrolment = None,
    witnessed: Witnessed = None,
    previous: Previous = None,
    self_check: SelfCheck = False,
    report: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write the report to attach to a decision.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a ledger against your own keys, and say what its sums cost.

    Verifies every entry, signature, proof, policy rule and evidence file, and computes epsilon anew from the
    plans. Get keys, policy and witness from their owners, not from where the ledger was.

    \b
    Examples:
      covey audit runs/pilot --reviewer privacy.vkey --witnessed https://witness.example
      covey audit ledger/ --policy policy.signed --enrolment fleet.hex --report report.html

    Exit status 0: nothing found but notes. 1: findings. 2: something cannot be read; the message says what.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_audit.anchor_files import Given  # noqa: PLC0415 - `covey --help` does without
    from covey_audit.examining import command_line, examine  # noqa: PLC0415 - idem

    given = Given(policy, tuple(reviewer or ()), threshold, enrolment, witnessed, previous)
    if report is not None and report.is_dir():
        raise InputError(f"{report} is a folder", hint="name a file to write: --report report.html")
    progress = _tell if sys.stderr.isatty() else None
    audited = examine(path, given, self_check=self_check, progress=progress)
    if report is not None:
        from covey_audit.report.render import render  # noqa: PLC0415 - Jinja

        again = command_line(path, given, report, self_check=self_check)
        durable.replace(report, render(audited, made_at=now(), command=again).encode())
    _print(audited, report, as_json=as_json)
    if audited.exit_status:
        raise typer.Exit(audited.exit_status)


def _tell(done: int, of: int) -> None:
    """How far evidence has been checked, where that takes more than a moment."""
    if of >= _SLOW and (done % 10 == 0 or done == of):
        end = "\n" if done == of else "\r"
        sys.stderr.write(f"sums looked at: {done:,} of {of:,}{end}")


def _print(audited: "Audited", report: Path | None, *, as_json: bool) -> None:
    if as_json:
        from covey_audit.audit_json import as_json as json_of  # noqa: PLC0415

        typer.echo(json_of(audited))
        return
    from covey_audit.audit_text import lines  # noqa: PLC0415

    for style, line in lines(audited):
        typer.echo(typer.style(line, bold=True, fg=_COLOURS.get(style)) if style else line)
    more = f"report: {report}" if report else "more: --report report.html, --json"
    show = f"covey ledger show {shlex.quote(audited.source)} N"
    typer.echo(f"\n{more}; entry N: {show}; every code: docs/findings.md")
