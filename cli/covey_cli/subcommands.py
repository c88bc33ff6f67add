"""Subcommands, found by entry point and imported only when they run.

A distribution adds a subcommand with an entry point in the group `covey.commands`:

    simulate = "covey_simulations.commands:simulate [sim]"

The object is a Typer app or a plain function; the extra in brackets says what must be installed for it.
"""

from collections.abc import Mapping
from functools import cached_property
from importlib import metadata
from typing import Any

import click
import typer
from typer.core import TyperGroup

from covey.errors import InputError
from covey_cli.extras import is_installed

GROUP = "covey.commands"

# One line each, for a help page that imports none of them. A command of another distribution is listed with
# that distribution's name instead.
SUMMARIES: Mapping[str, str] = {
    "demo": "Train twenty simulated devices and install the signed model.",
    "simulate": "Run the federation that a TOML file describes, on this machine.",
    "sweep": "Run a federation in many variants and with many seeds.",
    "compare": "Compare runs or sweeps: means, intervals, differences, curves.",
    "report": "Draw the report of a finished run again, or the page of a sweep.",
    "plan": "Plan a private run: noise, minimum, bytes, and what is promised.",
    "policy": "Write, explain, sign and compare what devices may be asked.",
    "audit": "Check a run or a ledger offline: signatures, rules, figures.",
    "ledger": "Look into a ledger of private sums, and export it.",
    "statement": "Write the privacy statement of a run for its model card.",
    "witness": "Cosign others' ledgers, so that none can be rewritten.",
    "fleet": "A fleet's keys, its devices, and its policy.",
    "serve": "Run a fleet's server, and go on with its runs after a crash.",
    "release": "Build, sign, compare, verify and publish what a run has trained.",
    "rollout": "Bring a release to a fleet, ring after ring, and take it back.",
    "keys": "Keys of a fleet's releases: begin, sign, exchange, renew.",
    "device": "Enrol this device in a fleet, and look after its agent.",
    "package": "Check a model package offline, and see what is in it.",
    "infer": "Run a verified model package on inputs.",
}


class Subcommands(TyperGroup):
    """The root group: lists entry points, imports the one that is asked for."""

    @cached_property
    def points(self) -> Mapping[str, metadata.EntryPoint]:
        """Entry points by name, looked up once: it reads the metadata of everything that is installed."""
        return {point.name: point for point in reversed(metadata.entry_points(group=GROUP))}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all subcommands: ours in the order of a first visit, then others by name."""
        found = set(self.points)
        return [name for name in SUMMARIES if name in found] + sorted(found - SUMMARIES.keys())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - idem
        """What the help page needs of a subcommand: its name and one line."""
        point = self.points.get(cmd_name)
        return click.Command(cmd_name, short_help=summary(point)) if point else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The subcommand that is about to run, imported.

        Raises:
            InputError: What it needs is not installed.
        """
        name, command, rest = super().resolve_command(ctx, args)
        point = self.points.get(name) if name and command else None
        return name, load(point) if point else command, rest


def summary(point: metadata.EntryPoint) -> str:
    """The line of a subcommand on the help page."""
    line = SUMMARIES.get(point.name, f"(from {_distribution(point)})")
    missing = _missing(point)
    return f"{line} (needs {_install(point, missing)})" if missing else line


def load(point: metadata.EntryPoint) -> click.Command:
    """Import a subcommand.

    Raises:
        InputError: Its extra is not installed, or one of its modules is not there.
    """
    if missing := _missing(point):
        raise InputError(f"{point.name} needs {_install(point, missing)}")
    try:
        command = _as_command(point.load())
    except ModuleNotFoundError as error:
        wanted = _install(point, ",".join(point.extras))
        raise InputError(f"{point.name} cannot start: no module {error.name}", hint=wanted) from error
    command.name = point.name
    return command


def _as_command(target: Any) -> click.Command:
    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(target)
    return typer.main.get_command(app)


def _missing(point: metadata.EntryPoint) -> str:
    """The extras that a subcommand needs and that are not installed, joined by commas."""
    return ",".join(extra for extra in point.extras if not is_installed(_distribution(point), extra))


def _install(point: metadata.EntryPoint, extras: str) -> str:
    return (
        f"pip install '{_distribution(point)}[{extras}]'" if extras else f"pip install {_distribution(point)}"
    )


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "covey"
