"""`covey ledger`: read a ledger, follow it, and give it away in other forms. Only `covey audit` checks one.

Exit status: 0 done, 1 an export whose audit has findings, 2 the ledger cannot be read.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer

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
from covey_audit.ledger_folder import find
from covey_io import durable
from covey_io.ledger_files import CHECKPOINT, ENTRIES, PARTICIPANTS, LedgerFiles

if TYPE_CHECKING:
    from covey_audit.anchor_files import Given
    from covey_audit.entry_words import Line, Reader

POLL_SECONDS: Final = 1.0

ledger = typer.Typer(
    help="Read a ledger, follow it, give it away in other forms. Nothing is checked: covey audit does that.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

LedgerPath = Annotated[Path, typer.Argument(metavar="PATH", help="A ledger's folder, or a run's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")]


@ledger.command("show")
def show(
    path: LedgerPath,
    index: Annotated[
        int | None, typer.Argument(metavar="[ENTRY]", help="Its number, from 0.", show_default=False)
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a ledger's entries, a line each, or one of them in full.

    A reserve's plan is decoded: it holds all that a device was asked, and all that a claim is computed from.
    """
    from covey_audit.entry_words import Reader  # noqa: PLC0415 - `covey --help` does without

    files, reader = find(path).files, Reader()
    lines, torn = files.lines()
    read = list(reader.read(lines))
    if index is not None:
        if not 0 <= index < len(read):
            hint = f"give a number from 0 to {len(read) - 1}" if read else "the ledger is empty"
            raise InputError(f"no entry {index} in {path}", hint=hint)
        _print_whole(read[index], reader, as_json=as_json)
        return
    for line in read:
        _print_line(line, reader, as_json=as_json)
    if torn:
        typer.echo(
            f"and {len(torn)} bytes after the last entry: a torn one, which was never announced", err=True
        )


@ledger.command("tail")
def tail(
    path: LedgerPath,
    *,
    number: Annotated[int, typer.Option("-n", "--lines", help="Of the last entries.", min=0)] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the last entries of a ledger, and with --follow each new one as it is written."""
    from covey_audit.entry_words import Reader  # noqa: PLC0415 - as above

    files, reader = find(path).files, Reader()
    lines, _ = files.lines()
    read = list(reader.read(lines))
    for line in read[len(read) - min(number, len(read)) :]:
        _print_line(line, reader, as_json=as_json)
    if follow:
        for line in followed(files, reader, len(lines), lambda: time.sleep(POLL_SECONDS)):
            _print_line(line, reader, as_json=as_json)


def followed(files: LedgerFiles, reader: "Reader", seen: int, wait: Callable[[], None]) -> "Iterator[Line]":
    """New entries as they are written, without end.

    Args:
        files: The ledger.
        reader: That has read the entries before.
        seen: How many those were.
        wait: Called before each look.

    Raises:
        InputError: The ledger became shorter: a ledger only grows.
    """
    while True:
        wait()
        lines, _ = files.lines()
        if len(lines) < seen:
            shorter = f"{files.entries} had {seen} entries and has {len(lines)}: a ledger only grows"
            raise InputError(shorter, hint="audit it with --witnessed and the witness's latest checkpoint")
        yield from reader.read(lines[seen:], seen)
        seen = len(lines)


@ledger.command("export")
def export(  # noqa: PLR0913 - options of a command line
    path: LedgerPath,
    *,
    form: Annotated[
        Literal["json", "csv", "registry"] | None,
        typer.Option("--format", help="json: entries, csv: private sums, registry: see below."),
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Copy what is public into a new folder.", show_default=False),
    ] = None,
    policy: Policy = None,
    reviewer: Reviewer = None,
    threshold: Threshold = 1,
    enrolment: Enrolment = None,
    witnessed: Witnessed = None,
    previous: Previous = None,
    self_check: SelfCheck = False,
) -> None:
    """Print a ledger in another form, or copy the part of it that is for the public.

    registry: an entry for the Differential Privacy Deployments Registry (https://registry.opendp.org), from
    an audit with the keys given here. What no ledger knows is marked TO BE FILLED IN. Epsilon is left out
    unless the audit certifies it.

    --public copies entries, checkpoint and participation leaves. Evidence and rosters name devices and stay.

    Exit status 0: done. 1: the audit for a registry's entry has findings. 2: something cannot be read.
    """
    from covey_audit.anchor_files import Given  # noqa: PLC0415 - as above

    if form is None and public is None:
        raise InputError("nothing to export", hint="add --format json, csv or registry, or --public DIR")
    given = Given(policy, tuple(reviewer or ()), threshold, enrolment, witnessed, previous)
    if form != "registry" and (given != Given() or self_check):
        raise InputError("keys are for --format registry only", hint="to check a ledger: covey audit")
    if public is not None:
        copy_public(find(path).files, public)
        typer.echo(f"copied what is public to {public}", err=True)
    match form:
        case "registry":
            _registry(path, given, self_check=self_check)
        case "json" | "csv":
            _table(path, form)
        case None:
            pass


def copy_public(files: LedgerFiles, folder: Path) -> None:
    """Copy entries, checkpoint and participation leaves, and nothing that names a device.

    Args:
        files: The ledger.
        folder: A new or an empty one.

    Raises:
        InputError: It is not empty, or something cannot be read or written.
    """
    from covey_audit.entry_words import Reader  # noqa: PLC0415 - as above

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already", hint="name a new or an empty folder")
    lines, _ = files.lines()
    durable.make_folder(folder)
    durable.replace(folder / ENTRIES, b"".join(line + b"\n" for line in lines))
    head = files.head()
    if head is not None:
        durable.replace(folder / CHECKPOINT, head)
    digests = {line.digest for line in Reader().read(lines) if line.digest}
    leaves = {digest: found for digest in digests if (found := files.participants(digest)) is not None}
    if leaves:
        durable.make_folder(folder / PARTICIPANTS)
    for digest, found in sorted(leaves.items()):
        durable.replace(folder / PARTICIPANTS / f"{digest}.txt", found)


def _registry(path: Path, given: "Given", *, self_check: bool) -> None:
    from covey_audit.examining import examine  # noqa: PLC0415 - as above
    from covey_audit.registry import entry, missing  # noqa: PLC0415 - idem

    audited = examine(path, given, self_check=self_check)
    found = entry(audited)
    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    typer.echo(f"to be filled in: {', '.join(missing(found))}", err=True)
    if audited.exit_status:
        typer.echo(f"the audit has findings: covey audit {path}", err=True)
        raise typer.Exit(audited.exit_status)


def _table(path: Path, form: Literal["json", "csv"]) -> None:
    from covey_audit.entry_words import Reader  # noqa: PLC0415 - as above
    from covey_audit.ledger_table import as_csv, as_json  # noqa: PLC0415 - idem

    lines, _ = find(path).files.lines()
    read = list(Reader().read(lines))
    if form == "csv":
        typer.echo(as_csv(read), nl=False)
    else:
        typer.echo(as_json(read).decode())


def _print_line(line: "Line", reader: "Reader", *, as_json: bool) -> None:
    from covey_audit.ledger_table import fields  # noqa: PLC0415 - as above
    from covey_audit.report.words import moment  # noqa: PLC0415 - idem

    if as_json:
        typer.echo(msgspec.json.encode(fields(line)).decode())
        return
    typer.echo(f"{line.index:>6}  {moment(line.time)[:16]:<16}  {line.kind:<16}  {reader.words(line)}")


def _print_whole(line: "Line", reader: "Reader", *, as_json: bool) -> None:
    from covey_audit.ledger_table import fields  # noqa: PLC0415 - as above
    from covey_audit.report.words import moment  # noqa: PLC0415 - idem

    found = fields(line)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    typer.echo(f"entry {line.index}, {line.kind}, {moment(line.time)} by the writer's clock")
    typer.echo(reader.words(line))
    typer.echo("")
    for text in _whole(found):
        typer.echo(text)
    typer.echo("\nNothing of it was checked: covey audit does that.")


def _whole(found: dict[str, object]) -> Iterator[str]:
    """Every field, texts of several lines as they are, and the plan last."""
    from covey_audit.report.words import visible  # noqa: PLC0415 - as above

    for key, value in sorted(found.items(), key=lambda item: item[0] == "plan_decoded"):
        text = value if isinstance(value, str) else _pretty(value)
        if isinstance(value, str) and "\n" in value:
            yield f"{key}:"
            yield from (f"  {visible(each)}" for each in text.splitlines())
        else:
            yield f"{key}: {visible(text)}"


def _pretty(value: object) -> str:
    indent = 2 if isinstance(value, dict) else -1
    return msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()
