"""What the commands of `covey rollout` share: options, and how an event reaches the rollout."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from covey_server.rollout_places import Places

Device = Annotated[str, typer.Argument(metavar="DEVICE", help="A device's name.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Reason = Annotated[str, typer.Option(help="Why, in a line: the ledger shows it to everybody.")]


def say_where(context: typer.Context, *, server: Path, **places: Path | None) -> None:
    """Keep what was given for the group, for its commands."""
    from covey_server.rollout_places import Options  # noqa: PLC0415 - help imports nothing heavy

    context.obj = Options(server=server, **places)


def acted(context: typer.Context, event: Callable[[int], Any]) -> "Places":
    """Let something happen now.

    Args:
        context: Of the command.
        event: What, by the time in Unix seconds.
    """
    from covey_server.rollout_ledger import clock  # noqa: PLC0415 - as above
    from covey_server.rollout_places import Places  # noqa: PLC0415 - as above

    places = Places.of(context.obj)
    places.desk().act(event(clock()))
    return places


def print_json(value: object) -> None:
    """One object, on one line."""
    import msgspec  # noqa: PLC0415 - as above

    typer.echo(msgspec.json.encode(value).decode())
