"""`covey audit`: a ledger against everything that can be checked of it offline.

Exit status: 0 clean (notes do not count), 1 findings, 2 the ledger or something given cannot be read.
"""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import click
import typer
from typer.core import TyperGroup

from covey.errors import InputError
from covey_audit.clock import now
from covey_audit.proof_commands import check_proof, prove
from covey_audit.waiver_command import waive
from covey_io import durable

if TYPE_CHECKING:
    from covey_audit.audited import Audited
    from covey_audit.auditing import Material
    from covey_audit.ledger_folder import Found
    from covey_audit.run_files import RunFiles

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


@audit.command(_LEDGER)
def ledger(  # noqa: PLR0913 - options of a command line
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run's folder, or a ledger's.")],
    *,
    policy: Annotated[Path | None, typer.Option(help="The signed policy that you hold.")] = None,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(metavar="VKEY", help="A reviewer's public key, or its file; may be given again."),
    ] = None,
    threshold: Annotated[int, typer.Option(help="So many of them must have signed.", min=1)] = 1,
    enrolment: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The key that certifies devices: hexadecimal, or a file."),
    ] = None,
    witnessed: Annotated[
        str | None,
        typer.Option(
            metavar="FROM", help="What a witness saw last: its address, its folder, or a file from it."
        ),
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(help="A checkpoint of this ledger that you kept from before.")
    ] = None,
    self_check: Annotated[
        bool, typer.Option("--self-check", help="Take the run's own policy and witness: proves nothing.")
    ] = False,
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
    # What computes is imported when it is needed: `covey --help` does without.
    from covey_audit.anchor_files import Given, anchors_of, own_of  # noqa: PLC0415
    from covey_audit.auditing import audit as examine  # noqa: PLC0415
    from covey_audit.ledger_folder import find  # noqa: PLC0415
    from covey_audit.run_files import compared  # noqa: PLC0415

    given = Given(policy, reviewer or (), threshold, enrolment, witnessed, previous)
    if self_check and given != Given(reviewers=()):
        raise InputError("a self-check takes the run's own keys", hint="leave out --self-check, or the keys")
    if report is not None and report.is_dir():
        raise InputError(f"{report} is a folder", hint="name a file to write: --report report.html")
    found, time = find(path), now()
    anchors = own_of(found, time) if self_check else anchors_of(given, found, time)
    audited = examine(_material(path, found), anchors, progress=_tell if sys.stderr.isatty() else None)
    if found.folder is not None:
        audited = compared(audited, _run_files(found))
    if report is not None:
        from covey_audit.report.render import render  # noqa: PLC0415 - Jinja

        durable.replace(report, render(audited, made_at=time).encode())
    _print(audited, report, as_json=as_json)
    if audited.exit_status:
        raise typer.Exit(audited.exit_status)


def _material(path: Path, found: "Found") -> "Material":
    from covey_audit.auditing import Material  # noqa: PLC0415

    lines, torn = found.files.lines()
    return Material(
        source=str(path),
        lines=lines,
        torn=torn,
        checkpoint=found.files.head(),
        evidence=found.files.evidence,
        roster=found.files.roster,
        participants=found.files.participants,
        evidence_of=found.files.evidence_names(),
    )


def _run_files(found: "Found") -> "RunFiles":
    from covey_audit.run_files import RunFiles  # noqa: PLC0415

    folder = found.folder or Path()
    packages = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.glob("*.covey")}
    return RunFiles(found.run, _content(folder / "summary.json"), _content(folder / "metrics.csv"), packages)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


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
    typer.echo(
        f"\n{more}; one entry: covey ledger show {audited.source} --entry N; every code: docs/findings.md"
    )
