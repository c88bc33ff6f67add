"""`covey fleet show|invite|approve|refuse|list|revoke|rename|label|renew|listen`: who is in the fleet."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covey.errors import InputError

if TYPE_CHECKING:
    from covey_server.fleet_invitations import Waited
    from covey_server.fleet_members import Member, Members
    from covey_server.fleet_owner import OwnedFleet

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The fleet's folder.", show_default=False)]
Device = Annotated[str, typer.Argument(metavar="DEVICE", help="A device's name.", show_default=False)]
Devices = Annotated[list[str], typer.Argument(metavar="DEVICE…", help="Devices' names.", show_default=False)]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The keys' passphrase; else COVEY_PASSPHRASE, else you are asked, if it is needed.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

DEFAULT_PORT = 7321


def show(folder: Folder, *, as_json: AsJson = False) -> None:
    """Show every key of the fleet: its fingerprint, whether its file is encrypted, where it should live.

    The fingerprint of the key that admits devices is the one that `covey device accept` shows.

    \b
    covey fleet show keys
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_server import fleet_table  # noqa: PLC0415 - help imports nothing heavy

    fleet = _opened(folder)
    found, members = fleet_table.rows(folder), fleet.members()
    if as_json:
        roster = {"serial": members.serial, "expires": members.expires, "devices": len(members.present)}
        keys = [vars(each) for each in found]
        _print_json(
            {"fleet": fleet.about.fleet, "server": fleet.about.server, "keys": keys, "roster": roster}
        )
        return
    typer.echo(f"fleet {fleet.about.fleet}, {fleet.about.server}")
    for line in (*fleet_table.lines(found), _roster_line(members)):
        typer.echo(line)


def invite(
    folder: Folder,
    *,
    device: Annotated[str, typer.Option(metavar="NAME", help="Only for a device of this name.")] = "",
    hours: Annotated[int, typer.Option(min=1, max=24 * 365, help="It holds so long.")] = 24,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the device will ask; without it, as init was told."),
    ] = None,
) -> None:
    """Print a token that lets one device ask to be admitted.

    Carry it to the device, where nobody else reads it: whoever has it first can ask in its place. Then bring
    DIR/operator/invitations to the server, which learns from it who may ask, and not the token.

    \b
    covey fleet invite keys --device pi-07
    """  # noqa: D301 - as above
    from covey_server import fleet_invitations  # noqa: PLC0415 - as above
    from covey_server.fleet_keys import url_of  # noqa: PLC0415 - as above

    fleet = _opened(folder)
    url = fleet.about.server if server is None else url_of(server, fleet.about.hosts)
    token = fleet_invitations.invite(fleet, device, _now() + hours * 3600)
    typer.echo(token.text)
    typer.echo(
        f"on the device: covey device enrol --server {url} --name {device or 'NAME'} --token TOKEN", err=True
    )
    _tell_server(folder, "invitations")


def approve(  # noqa: PLR0913 - options of a command
    folder: Folder,
    requests: Annotated[
        list[Path] | None,
        typer.Argument(metavar="REQUEST…", help="Requests' files, from devices or from operator/pending."),
    ] = None,
    *,
    pending: Annotated[bool, typer.Option("--pending", help="All in DIR/operator/pending.")] = False,
    invited: Annotated[
        bool, typer.Option("--invited", help="Only those that prove an invitation, and without asking.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask: I have compared every fingerprint.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help="Also write admissions here: a file, or a folder."),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Admit devices: sign their certificates, and a roster with them in it.

    A request is believed for the fingerprint that the device printed, which you compare here, or for an
    invitation that only its device had. The admission goes to DIR/operator/admitted, from where the server
    hands it out, and with -o to a file for `covey device accept`.

    \b
    covey fleet approve keys request.json -o admission.json
    covey fleet approve keys --pending
    """  # noqa: D301 - as above
    from covey_server import fleet_invitations  # noqa: PLC0415 - as above
    from covey_server.key_files import passphrase  # noqa: PLC0415 - as above

    fleet = _opened(folder)
    waited = _named(fleet, requests or [], pending=pending)
    chosen = [each for each in waited if _is_approved(each, invited=invited, yes=yes)]
    if not chosen:
        typer.echo("nobody was admitted")
        return
    answers = fleet_invitations.admit(fleet, fleet.keys(passphrase(passphrase_file)), chosen, _now())
    if out is not None:
        _write_out(out, chosen, answers)
    for each in chosen:
        typer.echo(f"admitted {each.asked.request.device}")
    typer.echo(_roster_line(fleet.members()))
    _tell_server(folder, "roster", "nodes", "admitted")


def refuse(
    folder: Folder,
    requests: Annotated[
        list[Path], typer.Argument(metavar="REQUEST…", help="Requests' files.", show_default=False)
    ],
) -> None:
    """Refuse requests: the server tells the devices, and they stop asking.

    \b
    covey fleet refuse keys keys/operator/pending/*.json
    """  # noqa: D301 - as above
    from covey_server import fleet_invitations  # noqa: PLC0415 - as above

    fleet = _opened(folder)
    waited = _named(fleet, requests, pending=False)
    fleet_invitations.refuse(fleet, [each.asked for each in waited])
    for each in waited:
        typer.echo(f"refused {each.asked.request.device} {each.asked.fingerprint}")
    _tell_server(folder, "refused")


def list_members(folder: Folder, *, as_json: AsJson = False) -> None:
    """List the fleet's devices: who is in it, who left, who waits."""
    import msgspec  # noqa: PLC0415 - as above

    from covey_server import fleet_invitations  # noqa: PLC0415 - as above

    fleet = _opened(folder)
    members, waited = fleet.members(), fleet_invitations.waiting(fleet)
    if as_json:
        listed = [msgspec.to_builtins(each) for each in members.members]
        asking = [
            {"device": each.asked.request.device, "fingerprint": each.asked.fingerprint} for each in waited
        ]
        _print_json(
            {"serial": members.serial, "expires": members.expires, "devices": listed, "waiting": asking}
        )
        return
    for each in members.members:
        typer.echo(_member_line(each))
    for asker in waited:
        typer.echo(f"{asker.asked.request.device}  waits  {_claim(asker)}")
    typer.echo(_roster_line(members))


def revoke(folder: Folder, devices: Devices, *, passphrase_file: PassphraseFile = None) -> None:
    """Take devices out of the fleet, for ever: from the next plan on, nobody takes part with them.

    Their names are not given away again. Bring the new roster to the server: a run that goes on takes it up
    before its next round, devices refuse every older one from then on, and the ledger says that it changed.
    """
    from covey_server.key_files import passphrase  # noqa: PLC0415 - as above

    fleet = _opened(folder)
    members = fleet.revoke(fleet.keys(passphrase(passphrase_file)), devices, _now())
    typer.echo(f"revoked {', '.join(devices)}")
    typer.echo(_roster_line(members))
    _tell_server(folder, "roster", "nodes")


def rename(
    folder: Folder,
    device: Device,
    shown: Annotated[str, typer.Argument(metavar="TEXT", help="What to call it; empty for its name.")],
) -> None:
    """Call a device something else here. Its name in roster, ledger and budget stays what it is."""
    _opened(folder).note(lambda members: members.called(device, shown.strip()))
    typer.echo(f"{device} is called {shown.strip() or device}")


def label(
    folder: Folder,
    device: Device,
    labels: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help="Labels to set; KEY- takes one away.", show_default=False),
    ],
) -> None:
    """Note something about a device: for people, and for commands that pick devices.

    \b
    covey fleet label keys pi-07 site=hall-3 owner=anna
    covey fleet label keys pi-07 site-
    """  # noqa: D301 - as above
    changes = dict(map(_label, labels))
    members = _opened(folder).note(lambda members: members.labelled(device, changes))
    typer.echo(_member_line(members.find(device)))


def renew(
    folder: Folder,
    *,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="How long the roster holds; without it, as init was told."),
    ] = None,
    server: Annotated[str | None, typer.Option(metavar="URL", help="Tell devices this server's URL.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="The server's names and addresses from now on.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Sign the roster, the server's certificate and every admission anew, before they expire.

    Agents fetch their admission within about a day: with it their certificate, and the server's URL.
    """
    from covey_server.fleet_keys import url_of  # noqa: PLC0415 - as above
    from covey_server.key_files import passphrase  # noqa: PLC0415 - as above

    fleet = _opened(folder)
    keys = fleet.keys(passphrase(passphrase_file))
    if server is not None or host:
        hosts = host or fleet.about.hosts
        fleet = fleet.tell(url_of(server, hosts) if server is not None else None, hosts)
    members = fleet.renew(keys, _now(), days or fleet.about.days)
    typer.echo(_roster_line(members))
    _tell_server(folder, "roster", "tls.crt", "admitted")


def listen(
    operator: Annotated[
        Path,
        typer.Argument(metavar="OPERATOR", help="The operator's folder, on the server.", show_default=False),
    ],
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = DEFAULT_PORT,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, with OPERATOR/tls.key and tls.crt.")] = False,
    proxied: Annotated[
        bool, typer.Option("--proxied", help="Behind a reverse proxy that sets X-Forwarded-For.")
    ] = False,
) -> None:
    """Take requests of invited devices until interrupted; `covey serve` does it as well.

    What may be asked is limited in size, number and time. An address that everybody can reach needs --tls, or
    a reverse proxy in front of it.
    """
    from covey_server.enrolment_desk import EnrolmentDesk  # noqa: PLC0415 - as above
    from covey_server.enrolment_service import EnrolmentServer, Place  # noqa: PLC0415 - as above

    place = Place(host=host, port=port, tls=operator if tls else None, proxied=proxied)
    with EnrolmentServer(EnrolmentDesk(operator), place, lambda line: typer.echo(line, err=True)) as server:
        typer.echo(f"listening on {server.url}")
        server.serve_forever()


def register(group: typer.Typer) -> None:
    """Add these commands to `covey fleet`."""
    for name, command, line in (
        ("show", show, "Show every key, and where it should live."),
        ("invite", invite, "Print a token that lets one device ask."),
        ("approve", approve, "Admit devices that asked."),
        ("refuse", refuse, "Refuse devices that asked."),
        ("list", list_members, "List the devices."),
        ("revoke", revoke, "Take devices out of the fleet, for ever."),
        ("rename", rename, "Call a device something else here."),
        ("label", label, "Note something about a device."),
        ("renew", renew, "Sign roster and server's certificate anew."),
        ("listen", listen, "Take requests of invited devices."),
    ):
        group.command(name, short_help=line)(command)


def _named(fleet: "OwnedFleet", paths: Sequence[Path], *, pending: bool) -> "list[Waited]":
    from covey_server import fleet_invitations  # noqa: PLC0415 - as above

    if pending == bool(paths):
        raise InputError("which requests?", hint="name their files, or give --pending")
    if pending:
        return fleet_invitations.waiting(fleet)
    return fleet_invitations.each_once([fleet_invitations.read(fleet, path) for path in paths])


def _is_approved(waited: "Waited", *, invited: bool, yes: bool) -> bool:
    typer.echo(f"{waited.asked.request.device}  {_claim(waited)}")
    if invited:
        return waited.invitation is not None
    return yes or _agreed("admit it? (compare the fingerprint with what the device printed)")


def _agreed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as error:
        raise InputError(
            "nobody answered, and nobody was admitted", hint="add --yes, once compared"
        ) from error


def _claim(waited: "Waited") -> str:
    proved = "invited" if waited.invitation else "not proved: compare"
    return f"{waited.asked.fingerprint}  {proved}"


def _write_out(out: Path, chosen: "Sequence[Waited]", answers: Sequence[bytes]) -> None:
    from covey_io import durable  # noqa: PLC0415 - as above

    if len(chosen) == 1 and not out.is_dir():
        durable.replace(out, answers[0])
        return
    durable.make_folder(out)
    for each, answer in zip(chosen, answers, strict=True):
        durable.replace(out / f"{each.asked.request.device}.admission.json", answer)


def _label(text: str) -> tuple[str, str | None]:
    key, separator, value = text.partition("=")
    if not separator and text.endswith("-") and len(text) > 1:
        return text[:-1], None
    if not separator or not key or not value:
        raise InputError(f"{text!r} is no label", hint="write KEY=VALUE to set one, KEY- to take it away")
    return key, value


def _member_line(member: "Member") -> str:
    words = [member.device]
    if member.shown:
        words.append(f'"{member.shown}"')
    words.append(f"since {_day(member.admitted)}")
    if member.revoked is not None:
        words.append(f"revoked {_day(member.revoked)}")
    words += [f"{key}={value}" for key, value in member.labels.items()]
    return "  ".join(words)


def _roster_line(members: "Members") -> str:
    return f"roster {members.serial}: {len(members.present)} devices, holds until {_day(members.expires)}"


def _tell_server(folder: Path, *names: str) -> None:
    """Of what the server has to know. On standard error: what is asked for may be read by a script."""
    changed = ", ".join(names)
    typer.echo(
        f"changed in {folder}/operator: {changed}; bring it to the server, if that is elsewhere", err=True
    )


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _opened(folder: Path) -> "OwnedFleet":
    from covey_server.fleet_owner import OwnedFleet  # noqa: PLC0415 - as above

    return OwnedFleet.open(folder)


def _print_json(found: Any) -> None:
    import msgspec  # noqa: PLC0415 - as above

    typer.echo(msgspec.json.encode(found).decode())


def _now() -> int:
    return int(time.time())
