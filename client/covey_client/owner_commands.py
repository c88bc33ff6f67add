"""`covey device run|status|pause|resume`: what an owner says to the agent, and hears from it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("/etc/covey/device.toml")

Config = Annotated[
    Path,
    typer.Option(
        "--config", metavar="DEVICE.toml", help="The device's configuration.", envvar="COVEY_DEVICE"
    ),
]


def run(config: Config = CONFIG) -> None:
    """Run the agent until it is told to stop; systemd does this (covey-agent.service).

    It answers what the SuperNode's ClientApp and the session service bring, within the policy that the
    reviewers signed and the budget that the device counts; everything else it refuses, and says why here.

    \b
    covey device run --config device.toml
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    sys.stdout.flush()
    # in place of this process: the command line's own modules would stay in memory for months
    os.execv(sys.executable, [sys.executable, "-m", "covey_client.running", str(config)])  # noqa: S606 - no shell


def status(
    config: Config = CONFIG,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what the agent does, what the device has answered in its life, and what that cost.

    \b
    covey device status
    covey device status --json | jq .epsilon
    """  # noqa: D301 - as above
    import msgspec  # noqa: PLC0415 - help imports nothing heavy

    from covey_client import status as statuses  # noqa: PLC0415 - as above
    from covey_client.configuration import read  # noqa: PLC0415 - as above

    found = statuses.ask(Path(read(config).socket.owner))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    for line in statuses.told(found, statuses.now()):
        typer.echo(line)


def pause(config: Config = CONFIG) -> None:
    """Begin nothing more until `covey device resume`, whatever happens to the agent meanwhile.

    A sum that has begun goes on to its end: leaving it would cost the budget all the same.
    """
    from covey_client import agent  # noqa: PLC0415 - as above

    agent.pause(_paused(config))
    typer.echo("paused: the device begins nothing until `covey device resume`")


def resume(config: Config = CONFIG) -> None:
    """End a pause."""
    from covey_client import agent  # noqa: PLC0415 - as above

    agent.resume(_paused(config))
    typer.echo("resumed")


def _paused(config: Path) -> Path:
    from covey_client.configuration import PAUSED, read  # noqa: PLC0415 - as above

    return Path(read(config).state) / PAUSED
