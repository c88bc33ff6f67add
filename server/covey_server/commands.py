"""`covey fleet`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

fleet = typer.Typer(no_args_is_help=True, help="Keys of a pilot's fleet.")


@fleet.callback()
def _group() -> None:
    """Keys of a pilot's fleet.

    Masked sums need keys: devices answer plans that the operator signed, for devices that the enrolment key
        certified.
    """


@fleet.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for the keys.", show_default=False)],
    devices: Annotated[
        list[str], typer.Argument(help="Names of the devices, ten or more.", show_default=False)
    ],
    *,
    name: Annotated[str, typer.Option("--name", help="The fleet's name.")] = "fleet",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the roster holds.")] = 365,
) -> None:
    """Make the keys of a fleet: enrolment, operator, and one identity for each device.

    Copy FOLDER/operator to the server's host and FOLDER/devices/NAME to its device, over a channel you trust,
    and delete them here; keep FOLDER/enrolment offline. This is for pilots: devices that make their own keys,
    invitations and revocation are not built yet.

    \b
    covey fleet init keys pi-01 pi-02 pi-03 pi-04 pi-05 pi-06 pi-07 pi-08 pi-09 pi-10
    covey fleet init keys $(seq -f pi-%02g 1 20) --name lab --days 90
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_server.fleet_keys import make_fleet  # noqa: PLC0415 - help imports nothing heavy

    make_fleet(folder, name, devices, days)
    console = Console()
    for line in (
        f"keys of {len(devices)} devices are in {folder}",
        f"  {folder}/operator      to the server's host: -c 'operator=\"/path/operator\"'",
        f"  {folder}/devices/NAME  to each device: --node-config 'keys=\"/path/NAME\" …'",
        f"  {folder}/enrolment     keep offline",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
