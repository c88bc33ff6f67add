"""The command `covey`: the root of the command line, where every error becomes one line and a status.

Exit status: 0 done, 1 a finding or a failure that the message explains, 2 what was given cannot be used,
70 a bug (sysexits.h, EX_SOFTWARE), 130 interrupted (128 + SIGINT).
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import click
import typer
import typer.core

from covey import __version__
from covey.errors import CoveyError
from covey_cli.subcommands import Subcommands

_USAGE = 2
_BUG = 70
_INTERRUPTED = 130

HELP = """Covey: federated learning for fleets of small devices. A device answers a question with one vector,
never with its data; the sum of the answers trains a compact model, which is signed and checked.
Sums are masked, and noisy as a signed policy says; each stands in a ledger that anyone can check.

\b
Example:
  covey demo                                   train a simulated fleet, get a signed model, audit it
  covey policy explain POLICY                  what a policy allows, in plain words
  covey audit RUN                              check a run offline, trusting nobody who ran it
  covey package verify FILE --key PUB.pem      check a model package, offline

COVEY_DEBUG=1 shows the traceback of an error.
"""

app = typer.Typer(
    cls=Subcommands,
    name="covey",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"covey {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of the root command; its help is `HELP`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: Without the program's name; None takes those of the process.
    """
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; None takes those of the process.

    Returns:
        The exit status. An error has been told in one line on standard error.
    """
    # Plain help pages: boxes do not survive a pipe, and Typer 0.20 escapes "[required]" for Rich even where
    # Rich is turned off. Said once, for every subcommand.
    typer.core.HAS_RICH = False
    try:
        command = typer.main.get_command(app)
        status = command.main(arguments, prog_name="covey", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence
        return _tell(error)
    if status == _INTERRUPTED:
        # Typer turns Ctrl-C into this status, without a word.
        _say("interrupted")
    return status if isinstance(status, int) else 0


def _tell(error: BaseException) -> int:
    """Explain `error` in one line and give its exit status."""
    if os.environ.get("COVEY_DEBUG"):
        traceback.print_exception(error)
    match error:
        case CoveyError():
            _say(error.message, error.hint)
            return error.exit_status
        case click.ClickException():
            return _tell_usage(error)
        case click.Abort() | KeyboardInterrupt():
            _say("interrupted")
            return _INTERRUPTED
        case OSError(filename=str(), strerror=str()):
            _say(
                f"{error.filename}: {error.strerror}", "free the disk, or choose a folder that can be written"
            )
            return 1
        case _:
            _say(
                f"unexpected {type(error).__name__}: {error}",
                "a bug: run it again with COVEY_DEBUG=1 and report the traceback",
            )
            return _BUG


def _tell_usage(error: click.ClickException) -> int:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
        case click.UsageError():
            _say(error.format_message(), f"{error.ctx.command_path} --help" if error.ctx else "covey --help")
        case _:
            _say(error.format_message())
    return error.exit_code


def _say(message: str, hint: str = "") -> None:
    told = f"covey: {message.rstrip('.')} -> {hint}" if hint else f"covey: {message}"
    line = " ".join(told.split())
    # A message may quote a file that somebody sent: it must not drive the terminal.
    click.echo("".join(char if char.isprintable() else "?" for char in line), err=True)
