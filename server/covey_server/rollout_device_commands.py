"""`covey rollout hold|unhold|pin|unpin|explain`: devices that do not follow, and reasons."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covey.errors import InputError
from covey_server.rollout_options import AsJson, Device, Reason, acted, print_json

if TYPE_CHECKING:
    from covey.rollout.plan import Image
    from covey.rollout.rolling_state import Rollout
    from covey_server.rollout_places import Places


def hold(context: typer.Context, device: Device, *, reason: Reason = "a device is put on hold") -> None:
    """Let nothing change on a device, whatever is rolled out, rolled back or pinned.

    Do not name the device in --reason: the ledger is public, and the instruction names it by a token only.
    """
    from covey.rollout.rolling_state import Hold  # noqa: PLC0415 - help imports nothing heavy

    _act(context, device, lambda now, token: Hold(now, token, reason), "is on hold")


def unhold(context: typer.Context, device: Device, *, reason: Reason = "a device follows again") -> None:
    """Let a device that is on hold follow again."""
    from covey.rollout.rolling_state import Unhold  # noqa: PLC0415 - as above

    _act(context, device, lambda now, token: Unhold(now, token, reason), "follows again", gone=True)


def pin(
    context: typer.Context,
    device: Device,
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE", help="`image` or `fallback` of the plan, or a JSON file with an image's fields."
        ),
    ] = "fallback",
    *,
    reason: Reason = "a device is pinned",
) -> None:
    """Let a device run one image, whatever is rolled out. A release of the fleet's, at or above its floor.

    \b
    covey rollout pin pi-07 fallback
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey.rollout.instruction import Pin  # noqa: PLC0415 - as above
    from covey.rollout.rolling_state import PinTo  # noqa: PLC0415 - as above

    named = _image(context, image)
    words = f"is pinned to {named.name} {named.version}"
    _act(context, device, lambda now, token: PinTo(now, Pin(device=token, image=named), reason), words)


def unpin(context: typer.Context, device: Device, *, reason: Reason = "a device follows again") -> None:
    """Let a device that is pinned follow again."""
    from covey.rollout.rolling_state import Unpin  # noqa: PLC0415 - as above

    _act(context, device, lambda now, token: Unpin(now, token, reason), "follows again", gone=True)


def explain(context: typer.Context, device: Device, *, as_json: AsJson = False) -> None:
    """Say what a device should run and why: its ring and bucket, holds, pins, windows.

    The device comes to the same answer by the same rules, from the instruction alone.

    \b
    covey rollout explain pi-07
    """  # noqa: D301 - as above
    from dataclasses import asdict  # noqa: PLC0415 - as above

    from covey_server.rollout_words import explain as explained  # noqa: PLC0415 - as above
    from covey_server.rollout_words import explained_lines  # noqa: PLC0415 - as above

    places = _places(context)
    found = explained(_standing(places), device, in_roster=_is_known(places, device))
    if as_json:
        print_json(asdict(found))
        return
    for line in explained_lines(found):
        typer.echo(line)


def register(group: typer.Typer) -> None:
    """Add these commands to `covey rollout`."""
    for name, command, line in (
        ("hold", hold, "Let nothing change on a device."),
        ("unhold", unhold, "Let it follow again."),
        ("pin", pin, "Let a device run one image."),
        ("unpin", unpin, "Let it follow again."),
        ("explain", explain, "Say why a device runs what it runs."),
    ):
        group.command(name, short_help=line)(command)


def _act(
    context: typer.Context, device: str, event: Callable[[int, str], Any], words: str, *, gone: bool = False
) -> None:
    """Let something happen to a device; one that left the fleet can only be let go."""
    from covey.rollout.plan import token  # noqa: PLC0415 - as above

    places = _places(context)
    if not gone and not _is_known(places, device):
        raise InputError(f"no device {device!r} in the fleet", hint="see covey fleet list")
    named = token(places.roster().fleet, device)
    acted(context, lambda now: event(now, named))
    typer.echo(f"{device} {words}")


def _image(context: typer.Context, named: str) -> "Image":
    import msgspec  # noqa: PLC0415 - as above

    from covey.rollout.plan import Image  # noqa: PLC0415 - as above

    plan = _standing(_places(context)).planned
    if named == "image":
        return plan.image
    if named == "fallback":
        if plan.fallback is None:
            raise InputError(
                f"{plan.rollout} has no fallback", hint="give a JSON file with an image's fields"
            )
        return plan.fallback
    try:
        return msgspec.json.decode(Path(named).read_bytes(), type=Image)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{named} is no image: {error}", hint="write image, fallback, or a file with an image's fields"
        ) from error


def _standing(places: "Places") -> "Rollout":
    found = places.rollouts.read().rollout
    if found is None:
        raise InputError("no rollout was ever started", hint="covey rollout start PLAN.approved")
    return found


def _is_known(places: "Places", device: str) -> bool:
    return any(each.device == device for each in places.roster().certificates)


def _places(context: typer.Context) -> "Places":
    from covey_server.rollout_places import Places  # noqa: PLC0415 - as above

    return Places.of(context.obj)
