"""`covey fleet`."""

from pathlib import Path
from typing import Annotated

import typer

from covey.errors import InputError

fleet = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A pilot's keys, and the policy that it asks its reviewers for.",
)


@fleet.callback()
def _group() -> None:
    """A pilot's keys, and the policy that it asks its reviewers for.

    Devices answer plans that the operator signed, that a policy of the reviewers allows and that the ledger
    holds, together with devices that the enrolment key certified.
    """


@fleet.command(short_help="Make the keys of a fleet.")
def init(  # noqa: PLR0913 - options of a command
    folder: Annotated[Path, typer.Argument(help="A new folder for the keys.", show_default=False)],
    devices: Annotated[
        list[str], typer.Argument(help="Names of the devices, ten or more.", show_default=False)
    ],
    *,
    name: Annotated[str, typer.Option("--name", help="The fleet's name.")] = "fleet",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the roster holds.")] = 365,
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
) -> None:
    """Make the keys of a fleet: enrolment, operator, ledger, and one identity for each device.

    Copy FOLDER/operator to the server's host and FOLDER/devices/NAME to its device, over a channel you trust,
    and delete them here; keep FOLDER/enrolment offline. A reviewer makes a key with `covey policy key` and
    gives you the public half; without one, FOLDER/reviewer has a key to hand over. A witness runs `covey
    witness serve` where the operator cannot write; without one, FOLDER/witness has one to move there. This is
    for pilots: devices that make their own keys, invitations and revocation are not built yet.

    \b
    covey fleet init keys $(seq -f pi-%02g 1 20) --name lab --days 90 --threshold 2 \\
                     --reviewer anna.vkey --reviewer bo.vkey --witness w1.vkey=https://witness.example.org
    covey fleet init keys $(seq -f pi-%02g 1 20)
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_server.fleet_keys import make_fleet, outsiders_of  # noqa: PLC0415 - help imports nothing heavy

    outsiders = outsiders_of(reviewer or [], threshold, witness or [])
    make_fleet(folder, name, devices, days, outsiders)
    lines = [
        f"keys of {len(devices)} devices are in {folder}",
        f"  {folder}/operator      to the server's host: -c 'operator=\"/path/operator\"'",
        f"  {folder}/devices/NAME  to each device: --node-config 'keys=\"/path/NAME\" …'",
        f"  {folder}/enrolment     keep offline",
    ]
    if not reviewer:
        lines.append(f"  {folder}/reviewer      to a reviewer, who is not the operator: signs policies")
    if not witness:
        lines.append(
            f"  {folder}/witness       to a machine that the operator cannot write to: covey witness serve"
        )
        lines.append(f"                         then write its address into {folder}/operator/witnesses")
    lines.append(
        f"next: covey fleet policy FEDERATION.toml {folder}/operator > policy.toml, for the reviewers to sign"
    )
    for line in lines:
        typer.echo(line)


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
