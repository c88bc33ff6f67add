"""`covey witness`: cosign the ledgers of others, so that their owner cannot show two histories.

Exit status: 0 done, 1 the witness's memory is gone or damaged, 2 the arguments cannot be used.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from covey.ledger.note import parse
from covey_audit.reviewer_keys import verifier_of
from covey_io.witness_server import WitnessServer
from covey_io.witness_store import WitnessFolder

witness = typer.Typer(
    help="Cosign the ledgers of others: then their owner cannot show two histories, or take one back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The witness's folder.")]


@witness.command("init")
def init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="The witness's name, such as audit.example.com/w1.")],
    log: Annotated[
        list[str] | None,
        typer.Option(help="Public key of a log to cosign, or a file with it; may be given again."),
    ] = None,
) -> None:
    """Make a witness with a new key in DIR, and print its public key for the fleets' policies.

    A witness is worth something if the ledger's owner does not run it. It remembers what it cosigned in DIR:
    move that folder, never restore an old copy of it.
    """
    made = WitnessFolder.make(folder, name, tuple(map(verifier_of, log or [])))
    typer.echo(made.key.verifier.vkey)


@witness.command("add-log")
def add_log(
    folder: Folder,
    log: Annotated[str, typer.Argument(metavar="VKEY", help="The log's public key, or a file with it.")],
) -> None:
    """Cosign one more log from now on. A server that runs on DIR takes it up at once."""
    verifier = verifier_of(log)
    WitnessFolder.open(folder).add_log(verifier)
    typer.echo(f"cosigns {verifier.name} from now on")


@witness.command("serve")
def serve(
    folder: Folder,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 7320,
) -> None:
    """Answer logs until interrupted (c2sp.org/tlog-witness), and reviewers: GET /latest?origin=LOG.

    Plain HTTP: an address that everybody can reach belongs behind a web server that speaks TLS.
    """
    opened = WitnessFolder.open(folder)
    with WitnessServer(opened, host, port, lambda line: typer.echo(line, err=True)) as server:
        typer.echo(f"listening on {server.url}")
        server.serve_forever()


@witness.command("show")
def show(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the witness's public key, and of each log what was cosigned last."""
    opened = WitnessFolder.open(folder)
    logs = [_facts(opened, origin) for origin in sorted(opened.logs)]
    if as_json:
        facts = {"name": opened.key.name, "vkey": opened.key.verifier.vkey, "logs": logs}
        typer.echo(msgspec.json.encode(facts).decode())
        return
    typer.echo(opened.key.verifier.vkey)
    for each in logs:
        typer.echo(_line(each))


def _facts(opened: WitnessFolder, origin: str) -> dict[str, Any]:
    seen = opened.latest(origin)
    if seen is None:
        return {"origin": origin, "size": 0, "root": None, "time": None}
    cosignature = parse(seen.note, blame="local").signatures[-1]
    return {"origin": origin, "size": seen.size, "root": seen.root.hex(), "time": cosignature.time}


def _line(facts: dict[str, Any]) -> str:
    if facts["time"] is None:
        return f"{_printable(facts['origin'])}: nothing cosigned yet"
    when = datetime.fromtimestamp(facts["time"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{_printable(facts['origin'])}: {facts['size']:,} entries, root {facts['root']}, {when}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
