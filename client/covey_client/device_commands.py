"""`covey device`: how a device comes into a fleet, and what its owner says to it."""

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covey.errors import InputError
from covey_client import doctor_command, forget_command, owner_commands, update_commands

if TYPE_CHECKING:
    from covey.enrolment import Admitted, Asked
    from covey.invitation import Token

KEYS = Path("/var/lib/covey")

device = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Enrol this device in a fleet, and look after its agent.",
)

Keys = Annotated[Path, typer.Option("--keys", metavar="DIR", help="The folder of the device's keys.")]
Name = Annotated[
    str | None, typer.Option("--name", help="What the device is to be called; without it, its host name.")
]


@device.callback()
def _group() -> None:
    """Enrol this device in a fleet, and look after its agent.

    A device makes its own keys; the fleet's owner admits it. Run these commands as the agent's user.
    """


@device.command(short_help="Enrol the device over the network, with a token.")
def enrol(  # noqa: PLR0913 - options of a command
    *,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The fleet's server; an enrolled device knows it."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="From `covey fleet invite`. Other users may see it: better --token-file."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with the token; - for standard input.")
    ] = None,
    name: Name = None,
    keys: Keys = KEYS,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the fleet's owner.")] = 3600,
) -> None:
    """Make the device's keys, ask the fleet's server with a token, and wait to be admitted.

    The fleet's owner sees the name and the fingerprint that are printed here. If it takes longer, run the
    same again: it goes on waiting. An enrolled device needs no token; it fetches its newest certificate.

    \b
    covey device enrol --server https://fleet.example.org --token-file token --name pi-07
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_client.enrolling import Patience, enrol  # noqa: PLC0415 - help imports nothing heavy

    found = _token(token, token_file)
    asked, url = _asked(keys, name), server or _known_server(keys)
    _show(asked)
    patience = Patience(wait, lambda line: typer.echo(line, err=True))
    _welcome(enrol(url, asked, keys, found, patience), keys)


@device.command(short_help="Write a request, to carry by hand.")
def request(
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="Where to write it.")] = Path(
        "request.json"
    ),
    name: Name = None,
    keys: Keys = KEYS,
) -> None:
    """Make the device's keys, and a request to be admitted: the same one, however often it is run.

    Carry FILE to the fleet's owner (covey fleet approve), who compares the fingerprint with the one printed
    here. Nothing secret is in it.

    \b
    covey device request --name pi-07 -o /media/usb/pi-07.json
    """  # noqa: D301 - as above
    from covey_io import durable  # noqa: PLC0415 - as above

    asked = _asked(keys, name)
    durable.replace(out, asked.data)
    _show(asked)
    typer.echo(f"for the fleet's owner: covey fleet approve DIR {out.name}")


@device.command(short_help="Enrol the device with an admission.")
def accept(
    admission: Annotated[
        Path,
        typer.Argument(metavar="ADMISSION", help="As `covey fleet approve -o` wrote it.", show_default=False),
    ],
    *,
    keys: Keys = KEYS,
    fingerprint: Annotated[
        str | None,
        typer.Option(help="Of the fleet's enrolment key (covey fleet show); without it you are asked."),
    ] = None,
) -> None:
    """Enrol the device with the admission that its request was answered with.

    From then on it believes the fleet whose fingerprint is shown: compare it with the one that `covey fleet
    show` prints for the key that admits devices.

    \b
    covey device accept /media/usb/pi-07.admission.json --fingerprint 1f0c-…
    """  # noqa: D301 - as above
    from covey.enrolment import MAX_ADMISSION_BYTES, read_admission  # noqa: PLC0415 - as above
    from covey_io import device_enrolment  # noqa: PLC0415 - as above

    try:
        with admission.open("rb") as file:
            data = file.read(MAX_ADMISSION_BYTES + 1)
    except OSError as error:
        raise InputError(f"{admission}: {type(error).__name__}", hint="name the admission's file") from error
    admitted = read_admission(data)
    _check_fleet(admitted, fingerprint)
    device_enrolment.accept(keys, admitted)
    _welcome(admitted, keys)


for _name, _line, _command in (
    ("run", "Run the agent; systemd does this.", owner_commands.run),
    ("status", "Say what the agent does and what was spent.", owner_commands.status),
    ("pause", "Begin nothing more until resumed.", owner_commands.pause),
    ("resume", "End a pause.", owner_commands.resume),
    ("doctor", "Check the device, and say what to do.", doctor_command.doctor),
    ("forget", "Erase recordings, or the whole device.", forget_command.forget),
):
    device.command(_name, short_help=_line)(_command)

device.add_typer(
    update_commands.update, name="update", short_help="What models it runs, and what is on its way."
)


def _asked(keys: Path, name: str | None) -> "Asked":
    from covey_io import device_enrolment  # noqa: PLC0415 - as above

    if name is None:
        known = device_enrolment.own_request(keys)
        name = socket.gethostname() if known is None else known.request.device
    return device_enrolment.make_request(keys, name)


def _token(text: str | None, file: Path | None) -> "Token | None":
    from covey.invitation import read_token  # noqa: PLC0415 - as above

    if text is not None and file is not None:
        raise InputError("two tokens", hint="give --token-file, or --token")
    if file is not None:
        text = _read_text(file)
    return None if text is None else read_token(text)


def _read_text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read(4096)
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {type(error).__name__}", hint="name a file with the token") from error


def _known_server(keys: Path) -> str:
    from covey_io import device_enrolment  # noqa: PLC0415 - as above

    before = device_enrolment.own_admission(keys)
    if before is None or not before.admission.server:
        raise InputError("which server?", hint="add --server URL")
    return before.admission.server


def _check_fleet(admitted: "Admitted", given: str | None) -> None:
    from covey.enrolment import fingerprint, same_fingerprint  # noqa: PLC0415 - as above

    shown = fingerprint(admitted.enrolment)
    typer.echo(f"fleet {admitted.admission.fleet!r}, its owner's key: {shown}")
    if given is not None:
        if not same_fingerprint(given, shown):
            raise InputError(
                "this admission is of another fleet than the fingerprint's",
                hint="compare with `covey fleet show`, and ask where the file comes from",
            )
        return
    try:
        agreed = typer.confirm("is this the fingerprint that `covey fleet show` prints?", err=True)
    except typer.Abort as error:
        raise InputError("nobody compared the fingerprint", hint="add --fingerprint F") from error
    if not agreed:
        raise InputError("then this is not your fleet's admission", hint="ask where the file comes from")


def _show(asked: "Asked") -> None:
    typer.echo(f"device {asked.request.device}, its key: {asked.fingerprint}")


def _welcome(admitted: "Admitted", keys: Path) -> None:
    said = admitted.admission
    typer.echo(f"enrolled as {said.device} in fleet {said.fleet!r}: {keys}")
