"""`covey device forget`: erase what the device has recorded, and if its owner says so, the device."""

from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("/etc/covey/device.toml")
NODE_HOME = Path("/var/lib/covey-node")


def forget(
    config: Annotated[
        Path,
        typer.Option(
            "--config", metavar="DEVICE.toml", help="The device's configuration.", envvar="COVEY_DEVICE"
        ),
    ] = CONFIG,
    *,
    everything: Annotated[
        bool, typer.Option("--everything", help="Keys, budget and claims as well: it leaves its fleet.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what applications have recorded for training, and say what was removed and what remains.

    Files that you put there yourself are named and not touched. What was trained on stays in sums that were
    released, within the privacy that was promised for them.

    \b
    covey device forget
    covey device forget --everything
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_client.configuration import read  # noqa: PLC0415 - help imports nothing heavy
    from covey_client.forgetting import Places  # noqa: PLC0415 - as above
    from covey_client.forgetting import forget as erase  # noqa: PLC0415 - as above

    file = read(config)
    counter = Path(file.counter) if file.counter else None
    places = Places(Path(file.data.path), Path(file.state), counter, (NODE_HOME,))
    what = f"recordings in {places.data}" + (f", and the device in {places.state}" if everything else "")
    if not yes:
        typer.confirm(f"erase {what}?", abort=True, err=True)
    account = erase(places, everything=everything)
    for line in account.removed or ("nothing: there was nothing",):
        typer.echo(f"removed  {line}")
    for line in account.remains:
        typer.echo(f"remains  {line}")
