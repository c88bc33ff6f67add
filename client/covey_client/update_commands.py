"""`covey device update`: what the device runs and why, and its owner's word on what comes next."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covey_client.owner_commands import CONFIG, Config

if TYPE_CHECKING:
    from covey.rollout.update_state import State
    from covey_client.configuration import DeviceFile
    from covey_client.update_explaining import Told

update = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What models this device runs and why, and its owner's word on what comes next.",
)


@update.callback()
def _group() -> None:
    """What models this device runs and why, and its owner's word on what comes next."""


@update.command(short_help="Say what runs, why, and what it waits for.")
def status(
    config: Config = CONFIG,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what the device runs, why, and what it waits for.

    \b
    covey device update status
    covey device update status --json | jq .phase
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_client.update_explaining import told  # noqa: PLC0415 - help imports nothing heavy

    file = _file(config)
    found = told(file)
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=2))
        return
    for line in found.lines():
        typer.echo(line)


@update.command(short_help="Ask for updates now, and go as far as it goes.")
def check(config: Config = CONFIG) -> None:
    """Ask where releases come from, now, and install what is there, to its trial.

    The agent does the same every so often. What is on trial is watched by whoever comes first, so this may be
    ended at any time.

    \b
    covey device update check
    """  # noqa: D301 - as above
    _round(_file(config), "")


@update.command(short_help="Say why it runs what it runs, from the newest instruction.")
def explain(config: Config = CONFIG) -> None:
    """Ask for the newest instruction and say what it means for this device; nothing is installed.

    \b
    covey device update explain
    """  # noqa: D301 - as above
    from covey_client.update_explaining import explained  # noqa: PLC0415 - as above

    for line in explained(_file(config), _log):
        typer.echo(line)


@update.command(short_help="Take an offline bundle, from a stick.")
def bundle(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="With metadata/ and targets/.", show_default=False)
    ],
    config: Config = CONFIG,
) -> None:
    """Update from a folder instead of the network: the same signatures are asked for, nothing older taken.

    \b
    covey device update bundle /media/usb/releases
    """  # noqa: D301 - as above
    from covey.errors import InputError  # noqa: PLC0415 - as above

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", hint="name the folder of the bundle")
    _round(_file(config), str(folder.absolute()))


@update.command(short_help="Keep the device as it is.")
def hold(config: Config = CONFIG) -> None:
    """Begin no update until `covey device update resume`; a trial that has begun goes on to its end."""
    from covey_client import update_store  # noqa: PLC0415 - as above

    update_store.hold(Path(_file(config).state))
    typer.echo("held: the device stays as it is until `covey device update resume`")


@update.command(short_help="End a hold.")
def resume(config: Config = CONFIG) -> None:
    """End a hold: the next round installs what the fleet says."""
    from covey_client import update_store  # noqa: PLC0415 - as above

    update_store.resume(Path(_file(config).state))
    typer.echo("resumed")


def _file(config: Path) -> "DeviceFile":
    from covey_client.configuration import read  # noqa: PLC0415 - as above

    return read(config)


def _round(file: "DeviceFile", source: str) -> None:
    from covey_client.update_place import place_of  # noqa: PLC0415 - as above
    from covey_client.updater import Updater  # noqa: PLC0415 - as above

    place = place_of(file, source=source, watch=_progress, log=_log)
    state = Updater(place).round(urgent=True)
    typer.echo(_ends(state))


def _ends(state: "State") -> str:
    if state.on_trial and state.attempt is not None:
        return f"on trial: {state.attempt.image.name} {state.attempt.image.version}; the agent watches it"
    return state.why


def _progress(there: int, whole: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if there >= whole else "\r"
        typer.echo(f"fetched {there / 1e6:.1f} of {whole / 1e6:.1f} MB{end}", err=True, nl=False)


def _log(line: str) -> None:
    typer.echo(line, err=True)


def _as_json(found: "Told") -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - as above

    state: dict[str, Any] = msgspec.to_builtins(found.state)
    return {**state, "serves": msgspec.to_builtins(found.serves), "held": found.held, "waits": found.waits}
