"""`covey release`: build a release from a run, sign it, see what it is, compare, verify and publish it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from covey.errors import InputError
from covey_server.publish_commands import bundle, publish, refresh

if TYPE_CHECKING:
    from covey.package.comparing import Row
    from covey.package.contents import Contents
    from covey_server.release_verifying import Verified

release = typer.Typer(
    help="Build a release from a finished run, sign it, compare it, verify it, publish it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .covey archive, or its folder.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@release.command("build", short_help="Make an unsigned release of a finished run.")
def build(  # noqa: PLR0913 - options of a command line
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder.", show_default=False)],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; else NAME-VERSION.covey, here.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The package's name; else the run's.")] = None,
    version: Annotated[str | None, typer.Option(help="Its version; else the run's identifier.")] = None,
    parent: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The archive of the release before; else the run's.")
    ] = None,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Quantise the weights anew; needs no data.")
    ] = False,
    fp32_only: Annotated[bool, typer.Option("--fp32-only", help="Leave out the int8 model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an unsigned release of a finished run.

    It holds the model of the run's last checkpoint, in float32 and as the run quantised it, inputs with known
    outputs, the model card, the bill of materials, and the provenance: which run and rounds, under which
    policy, what it cost, and the ledger's proof of the run's last sum. A run whose gate did not pass is
    refused.

    \b
    covey release build runs/lab --version 1.4.0 --parent lab-1.3.0.covey
    covey release sign lab-1.4.0.covey --key keys/release.pem

    Exit status 0: built. 1: a file of the run is damaged. 2: no release can be made of it.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey.package.archive import unpack  # noqa: PLC0415 - help imports nothing heavy
    from covey.package.contents import read  # noqa: PLC0415 - as above
    from covey_io import durable  # noqa: PLC0415 - as above
    from covey_server.release_building import build as built  # noqa: PLC0415 - as above
    from covey_server.release_run import Wanted  # noqa: PLC0415 - as above

    if weights_only and fp32_only:
        raise InputError("--weights-only and --fp32-only exclude each other", hint="give one of them")
    int8 = "weights-only" if weights_only else "none" if fp32_only else "as-run"
    data = built(run, Wanted(name, version, parent, int8))  # type: ignore[arg-type]  # one of three words
    manifest = read(unpack(data)).manifest
    path = out or Path(f"{manifest.name}-{manifest.version}.covey")
    durable.replace(path, data)
    if as_json:
        _print_json(
            {"file": str(path), "name": manifest.name, "version": manifest.version, "bytes": len(data)}
        )
        return
    typer.echo(f"{path}: {manifest.name} {manifest.version}, {len(data):,} bytes, NOT SIGNED")
    typer.echo(f"sign it: covey release sign {path} --key KEY.pem")


@release.command("sign", short_help="Sign a release.")
def sign(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The archive; it is replaced.", show_default=False)
    ],
    *,
    key: Annotated[
        Path, typer.Option(metavar="KEY.pem", help="The publisher's private key.", show_default=False)
    ],
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The key's passphrase; else COVEY_PASSPHRASE, else you are asked, if it is needed.",
        ),
    ] = None,
) -> None:
    """Sign a release. A signature that it has is replaced.

    The key is ECDSA P-256 in PEM; the signature is that of OpenSSF model signing, so that other tools verify
    it as well. Nothing malformed is signed, nor anything whose provenance does not fit its models.

    \b
    covey release sign lab-1.4.0.covey --key keys/release.pem
    """  # noqa: D301 - as above
    from covey_server.key_files import passphrase  # noqa: PLC0415 - help imports nothing heavy
    from covey_server.release_signing import sign_archive  # noqa: PLC0415 - as above

    fingerprint = sign_archive(file, key, passphrase(passphrase_file))
    typer.echo(f"{file}: signed by the key {fingerprint}")


@release.command("show", short_help="Say what a release is; nothing is verified.")
def show(file: File, *, as_json: AsJson = False) -> None:
    """Say what a release is: models, sizes, budget, who took part, gate, quantisation.

    Nothing is verified: it is what the release says of itself. `covey release verify` checks it.

    \b
    covey release show lab-1.4.0.covey
    covey release show lab-1.4.0.covey --json | jq .release.claim
    """  # noqa: D301 - as above
    from covey_server.release_showing import facts, lines  # noqa: PLC0415 - help imports nothing heavy

    package = _read(file)
    if as_json:
        _print_json(facts(package))
        return
    for topic, words in lines(package):
        typer.echo(_printable(f"{topic:<18}{words}"))


@release.command("diff", short_help="Say what changed from OLD to NEW.")
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A release.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another.", show_default=False)],
    *,
    every: Annotated[bool, typer.Option("--all", help="Also what did not change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what changed from OLD to NEW: size, accuracy, latency, budget, labels, preprocessing, layers.

    Figures are those that the releases state. Nothing is verified.

    \b
    covey release diff lab-1.3.0.covey lab-1.4.0.covey
    """  # noqa: D301 - as above
    from covey.package.comparing import compare  # noqa: PLC0415 - help imports nothing heavy
    from covey_server.release_layers import compare_layers  # noqa: PLC0415 - as above

    before, after = _read(old), _read(new)
    rows = [*compare(before, after), *compare_layers(before, after)]
    shown = [row for row in rows if every or not row.is_same]
    if as_json:
        _print_json({"changes": msgspec.to_builtins(shown), "same": len(rows) - len(shown)})
        return
    if shown:
        _print_rows(shown)
    typer.echo(f"{len(rows) - len(shown)} of {len(rows)} facts are the same")


@release.command("verify", short_help="Check a release offline: signature, making, cost.")
def verify(  # noqa: PLR0913 - options of a command line
    file: File,
    *,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUB.pem", help="The publisher's public key, got from the publisher."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The policy: what the run may have cost, and its ledger."),
    ] = None,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VKEY", help="A reviewer's key or its file: all named must have signed the policy."
        ),
    ] = None,
    log: Annotated[
        str | None, typer.Option(metavar="VKEY", help="The ledger's key or its file; else the policy's.")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option(metavar="VKEY", help="A witness's key or its file; with --log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a release offline: its signature, how it was made, that it cost what the policy allows.

    The signature covers every file. With a policy (or the ledger's key) the provenance is checked as well:
    the checkpoint's signatures, that the ledger holds the run's last sum, and ε computed anew from all sums
    of the run. What a release cannot show about itself an audit of the ledger does: covey audit.

    \b
    covey release verify lab-1.4.0.covey --key release.pub.pem --policy policy.signed --reviewer anna.vkey

    Exit status 0: verified. 1: it is not; the message says what. 2: something cannot be read.
    """  # noqa: D301 - as above
    from covey_server.release_verifying import Trusted, verify_release  # noqa: PLC0415 - help imports nothing heavy

    if key is None:
        raise InputError(
            "which key do you trust? a key found beside a release proves nothing about its author",
            hint=f"covey release verify {file} --key PUB.pem",
        )
    found = verify_release(file, Trusted(key, policy, reviewer or (), log, witness or ()))
    if as_json:
        _print_json(_verified_facts(found))
        return
    for line in _verified_lines(found):
        typer.echo(line)


for _name, _command, _line in (
    ("publish", publish, "Publish a package; no device installs it yet."),
    ("refresh", refresh, "Renew what expires soon; for a timer."),
    ("bundle", bundle, "Write a folder for sites without a network."),
):
    release.command(_name, short_help=_line)(_command)


def _read(file: Path) -> "Contents":
    from covey.package.contents import read  # noqa: PLC0415 - numpy
    from covey_io.packages import read_package  # noqa: PLC0415 - as above

    return read(read_package(file))


def _verified_facts(found: "Verified") -> dict[str, Any]:
    manifest, record = found.package.manifest, found.record
    return {
        "verified": True,
        "key": found.package.fingerprint,
        "name": manifest.name,
        "version": manifest.version,
        "provenance": "not checked" if record is None else "checked",
        "run": None if record is None else record.run,
        "epsilon": None if record is None else record.claim.epsilon_server,
        "delta": None if record is None else record.claim.delta,
        "policy_epsilon": None if found.policy is None else found.policy.budget.epsilon,
    }


def _verified_lines(found: "Verified") -> list[str]:
    manifest, record = found.package.manifest, found.record
    lines = [
        f"verified: {manifest.name} {manifest.version}, {len(found.package.files)} files",
        f"signed by the key {found.package.fingerprint}",
    ]
    if record is None:
        return [*lines, "provenance NOT CHECKED: name the policy, or the ledger's key"]
    lines.append(f"made from run {record.run}, whose last sum is entry {record.budget.index} of its ledger")
    cost = f"ε = {record.claim.epsilon_server or 'none, no noise'} at δ = {record.claim.delta}"
    allowed = (
        "held to no policy" if found.policy is None else f"the policy allows {found.policy.budget.epsilon}"
    )
    return [*lines, f"{cost} (unit {record.claim.unit}); {allowed}"]


def _print_rows(rows: "Sequence[Row]") -> None:
    from rich.console import Console  # noqa: PLC0415 - laid out only here
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False)
    for head in ("", "what", "old", "new", "change"):
        table.add_column(head, overflow="fold")
    for row in rows:
        cells = (row.topic, row.name, row.old, row.new, row.change)
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    Console(highlight=False).print(table)


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _printable(text: str) -> str:
    """Without control characters: a release that nobody verified must not drive the terminal."""
    return "".join(char for char in text if char.isprintable())
