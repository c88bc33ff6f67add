"""`covey fleet`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from covey.errors import InputError
from covey_server import member_commands, run_commands

fleet = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A fleet's keys, its devices, and the policy that it asks its reviewers for.",
)


@fleet.callback()
def _group() -> None:
    """A fleet's keys, its devices, and the policy that it asks its reviewers for.

    Devices answer plans that the operator signed, that a policy of the reviewers allows and that the ledger
    holds, together with devices that the enrolment key certified.
    """


@fleet.command(short_help="Make the keys of a fleet.")
def init(  # noqa: PLR0913 - options of a command
    folder: Annotated[Path, typer.Argument(help="A new folder for the keys.", show_default=False)],
    devices: Annotated[
        list[str] | None, typer.Argument(help="Devices whose keys are made here, for trials.")
    ] = None,
    *,
    name: Annotated[str, typer.Option("--name", help="The fleet's name.")] = "fleet",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long a roster holds.")] = 365,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="A name or address of the server; repeat for more. Without it, localhost and 127.0.0.1.",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Its URL for devices; without it, https:// and the first host."),
    ] = None,
    reviewer: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.vkey", help="A reviewer's public key; repeat for more. Made if none is given."
        ),
    ] = None,
    threshold: Annotated[
        int, typer.Option(min=1, help="So many reviewers must sign a policy: 2 is the two-person rule.")
    ] = 1,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.vkey=ADDRESS",
            help="A witness's key and address; repeat for more. Made if none is given.",
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Encrypt keys with the first line of FILE; else with COVEY_PASSPHRASE."
        ),
    ] = None,
    ask_passphrase: Annotated[
        bool, typer.Option("--ask-passphrase", help="Ask for a passphrase to encrypt keys with.")
    ] = False,
) -> None:
    """Make the keys of a fleet: its owner's, the server's, those of releases.

    Copy FOLDER/operator to the server's host, over a channel you trust, and keep FOLDER/enrolment offline;
    `covey fleet show` says where each key belongs. Devices make keys of their own and ask to be admitted:
    `covey fleet invite`, `approve`, or by files with `covey device request`. Those that are named here get
    their keys here: for trials. A passphrase encrypts the keys that people use, not those of the server.
    A reviewer makes a key with `covey policy key` and gives you the public half; without one, FOLDER/reviewer
    has a key to hand over. A witness runs `covey witness serve` where the operator cannot write; without one,
    FOLDER/witness has one to move there. FOLDER/tuf has the keys of releases, for when there are any.

    \b
    covey fleet init keys --name lab --days 90 --host fleet.example.org --ask-passphrase \\
                     --threshold 2 --reviewer anna.vkey --reviewer bo.vkey \\
                     --witness w1.vkey=https://witness.example.org
    covey fleet init keys $(seq -f pi-%02g 1 20)
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_server.fleet_keys import LOCAL, make_fleet, outsiders_of  # noqa: PLC0415 - help imports nothing heavy
    from covey_server.key_files import new_passphrase  # noqa: PLC0415 - as above

    outsiders = outsiders_of(reviewer or [], threshold, witness or [])
    secret = new_passphrase(passphrase_file, ask=ask_passphrase)
    make_fleet(
        folder,
        name,
        devices or [],
        days,
        outsiders,
        hosts=host or LOCAL,
        server=server,
        passphrase=secret,
    )
    for line in _made(folder, devices or [], reviewer=not reviewer, witness=not witness):
        typer.echo(line)
    if secret is None:
        typer.echo(f"{folder}/enrolment is not encrypted: whoever reads it can admit devices", err=True)


def _made(folder: Path, devices: list[str], *, reviewer: bool, witness: bool) -> Iterator[str]:
    """What was made, and what goes where."""
    yield f"keys of the fleet are in {folder}; covey fleet show {folder} lists them"
    yield f"  {folder}/operator      to the server's host: -c 'operator=\"/path/operator\"'"
    if devices:
        yield f"  {folder}/devices/NAME  to each device: --node-config 'keys=\"/path/NAME\" …'"
    yield f"  {folder}/enrolment     keep offline"
    yield f"  {folder}/tuf           keys for releases: roots offline, with three people"
    if reviewer:
        yield f"  {folder}/reviewer      to a reviewer, who is not the operator: signs policies"
    if witness:
        yield f"  {folder}/witness       to a machine that the operator cannot write to: covey witness serve"
        yield f"                         then write its address into {folder}/operator/witnesses"
    if not devices:
        yield f"next: covey fleet invite {folder} --device NAME, for each device"
    yield f"next: covey fleet policy FEDERATION.toml {folder}/operator > policy.toml, for reviewers to sign"


@fleet.command(short_help="Draft the policy that a federation needs.")
def policy(  # noqa: PLR0913 - options of a command
    federation: Annotated[
        Path, typer.Argument(metavar="FEDERATION.toml", help="What is going to be asked.", show_default=False)
    ],
    operator: Annotated[
        Path, typer.Argument(metavar="OPERATOR", help="The operator's folder.", show_default=False)
    ],
    *,
    purpose: Annotated[str, typer.Option(help="What the answers are for, in words.")] = "",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the policy holds, from today.")] = 90,
    spare: Annotated[
        int, typer.Option(min=0, help="Sums of each kind to spare, for rounds that fail: they raise epsilon.")
    ] = 0,
    rate_limit: Annotated[
        str, typer.Option(metavar="N per PERIOD", help="Answers of a device to each kind of query.")
    ] = "none",
    after: Annotated[
        Path | None, typer.Option(metavar="POLICY", help="The signed policy that this one replaces.")
    ] = None,
) -> None:
    """Draft the policy that a federation needs, and print it: for the reviewers, who may change anything.

    What is asked, of how many devices, with how much noise and how often follows from FEDERATION.toml and the
    roster; keys, log and witnesses from OPERATOR. Nothing is signed here: the reviewers read it (covey policy
    explain), change it and sign it (covey policy sign); put what they signed into OPERATOR/policy.

    \b
    covey fleet policy federation.toml keys/operator --purpose "Find worn bearings." > policy.toml
    covey fleet policy federation.toml keys/operator --purpose "…" --spare 3 --rate-limit "24 per day"
    covey fleet policy federation.toml keys/operator --purpose "…" --after keys/operator/policy
    """  # noqa: D301 - as above
    from covey_server.fleet_policy import drafted  # noqa: PLC0415 - as above

    if not purpose.strip():
        raise InputError(
            "what are the answers for? devices' owners and reviewers will read it",
            hint='add --purpose "Find worn bearings before they fail."',
        )
    text = drafted(
        federation, operator, purpose=purpose, days=days, spare=spare, rate_limit=rate_limit, after=after
    )
    typer.echo(text, nl=False)


@fleet.command(short_help="Enter a waiver, a search for settings or an audit.")
def record(  # noqa: PLR0913 - options of a command
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The fleet's ledger.", show_default=False)],
    operator: Annotated[
        Path, typer.Argument(metavar="OPERATOR", help="The operator's folder.", show_default=False)
    ],
    *,
    waiver: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A waiver that reviewers signed: covey audit waive.")
    ] = None,
    tuning: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Settings of this run were chosen on the same people's data."),
    ] = None,
    epsilon: Annotated[str | None, typer.Option(help="What the search cost, as a decimal.")] = None,
    delta: Annotated[str | None, typer.Option(help="At this delta.")] = None,
    audited: Annotated[
        Path | None, typer.Option(metavar="REPORT", help="The report of an audit of the ledger as it stands.")
    ] = None,
    findings: Annotated[int, typer.Option(min=0, help="How many findings the audit had.")] = 0,
    words: Annotated[str, typer.Option(help="What was tried on what, or what the auditor concluded.")] = "",
) -> None:
    """Write a waiver, a search for settings or an audit into the fleet's ledger: one of them at a time.

    \b
    covey fleet record runs/ledger keys/operator --waiver waiver.signed
    covey fleet record runs/ledger keys/operator --tuning 4f96f7a513ca53a0 \\
                       --words "20 rates, on the fleet's data" --epsilon 2 --delta 1e-5
    covey fleet record runs/ledger keys/operator --audited report.html --words "clean"
    """  # noqa: D301 - as above
    from covey_server import recording  # noqa: PLC0415 - as above

    if sum(each is not None for each in (waiver, tuning, audited)) != 1:
        raise InputError("one thing at a time", hint="give --waiver, or --tuning, or --audited")
    if waiver is None and not words.strip():
        raise InputError("what should a reader of the ledger know of it?", hint="add --words")
    if waiver is not None:
        number = recording.record(ledger, operator, recording.waiver(waiver))
    elif tuning is not None:
        number = recording.record(ledger, operator, recording.tuning(tuning, words, epsilon, delta))
    else:
        done = recording.audited(ledger, audited or Path(), findings, words)
        number = recording.record(ledger, operator, done)
    typer.echo(f"entry {number} of {ledger}, announced")


member_commands.register(fleet)
run_commands.register(fleet)
