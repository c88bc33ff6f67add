"""`covey serve`: the server's host process."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("/etc/covey/server.toml")


def serve(
    config: Annotated[
        Path,
        typer.Argument(metavar="SERVER.toml", help="The server's configuration.", envvar="COVEY_SERVER"),
    ] = CONFIG,
) -> None:
    """Run a fleet's server until it is told to stop; systemd does this (covey-server.service).

    Keeps Flower's SuperLink and the enrolment endpoint running, on 127.0.0.1: a reverse proxy in front lets
    devices reach what is theirs (server/deploy/nginx.conf or Caddyfile). Starts the runs that
    `covey fleet run` asks for, one at a time, and goes on with them after whatever was killed.

    \b
    covey serve /etc/covey/server.toml
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_server.server_file import read  # noqa: PLC0415 - help imports nothing heavy

    read(config)
    # in place of this process: its main thread must be the one that starts the parts
    os.execv(sys.executable, [sys.executable, "-m", "covey_server.serving", str(config)])  # noqa: S606 - no shell
