"""`covey release publish|refresh|bundle`: from a package to static files that devices follow."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covey.errors import CoveyError, InputError

if TYPE_CHECKING:
    from covey.package.provenance_record import Record

Repo = Annotated[Path, typer.Argument(metavar="REPO", help="The repository's folder.", show_default=False)]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--keys", metavar="DIR", help="Private keys at hand: a folder, or one file. Again for more."
    ),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The keys' passphrase; else COVEY_PASSPHRASE, else you are asked, if needed."
    ),
]


def publish(  # noqa: PLR0913 - options of a command
    repo: Repo,
    package: Annotated[
        Path, typer.Argument(metavar="FILE.covey", help="The signed package.", show_default=False)
    ],
    *,
    generation: Annotated[
        int, typer.Option(min=1, help="Above that of every release of this name that is published.")
    ],
    floor: Annotated[
        int, typer.Option(min=1, help="Lowest generation that devices may still install; it never falls.")
    ] = 1,
    server: Annotated[
        Path | None,
        typer.Option(
            metavar="SERVER.toml",
            help="The server whose ledger the release is entered into.",
            envvar="COVEY_SERVER",
        ),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The ledger. [default: that of the server's runs]"),
    ] = None,
    ungated: Annotated[
        bool, typer.Option("--ungated", help="Publish what no gate has passed, on your word.")
    ] = False,
    having: Keys = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Publish a package. No device installs it before a rollout names it.

    It must say that devices compared it and that it passed, or you say --ungated. With --server (or --ledger)
    the release stands in the fleet's ledger before anybody is shown it: a reviewer finds it there.

    The release key signs generation and floor beside the package. If the server's keys are elsewhere, the
    release waits in REPO/staged: bring it there, for `covey keys sign`. Nothing is published that a device
    could not follow: one is tried first.

    \b
    covey release publish repo motion-2.covey --generation 2 --keys fleet/tuf --server /etc/covey/server.toml
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey.package.archive import unpack  # noqa: PLC0415 - help imports nothing heavy
    from covey.package.contents import read  # noqa: PLC0415 - as above
    from covey.rollout.plan import Image  # noqa: PLC0415 - as above
    from covey_server import tuf_repository  # noqa: PLC0415 - as above
    from covey_server.key_files import passphrase  # noqa: PLC0415 - as above
    from covey_server.tuf_roles import signers_in  # noqa: PLC0415 - as above

    archive = _read(package)
    about = read(unpack(archive)).manifest
    image = Image(
        name=about.name,
        version=about.version,
        generation=generation,
        target=f"models/{about.name}/{about.version}.covey",
        sha256=hashlib.sha256(archive).hexdigest(),
        bytes=len(archive),
    )
    signers = signers_in(having or [], passphrase(passphrase_file))
    record = _gated(archive, ungated=ungated)
    tuf_repository.check_model(repo, archive, image, floor)
    _enter(archive, record, server, ledger)
    found = tuf_repository.publish_model(repo, archive, image, floor, signers)
    if found.published:
        typer.echo(f"published {image.target}, generation {generation}, floor {floor}")
        return
    typer.echo(f"prepared {image.target}; it still needs:")
    for each in found.waiting:
        typer.echo(f"  {each}")
    typer.echo(f"next: covey keys sign {repo} --keys DIR, where those keys are", err=True)


def refresh(
    repo: Repo,
    *,
    days: Annotated[
        float | None, typer.Option(min=0.01, help="Hold so long this once, for a stick that is carried.")
    ] = None,
    having: Keys = None,
) -> None:
    """Renew the timestamp, and snapshot and rollout once half of their time is over. For a timer, hourly.

    \b
    covey release refresh repo --keys /etc/covey/tuf
    """  # noqa: D301 - as above
    from covey_server import tuf_repository  # noqa: PLC0415 - as above
    from covey_server.key_files import passphrase  # noqa: PLC0415 - as above
    from covey_server.tuf_roles import signers_in  # noqa: PLC0415 - as above

    found = tuf_repository.refresh(repo, signers_in(having or [], passphrase(None)), days=days)
    if not found.published:
        raise CoveyError(
            f"not renewed: {'; '.join(found.waiting)}", hint="give --keys with the server's keys"
        )
    typer.echo("renewed")


def bundle(
    repo: Repo,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, on a stick.", show_default=False)],
) -> None:
    """Write what a site without a network needs: a device takes the folder as its repository's address.

    It is good for as long as its timestamp holds, a day; for longer, renew with --days first.

    \b
    covey release refresh repo --days 30 --keys /etc/covey/tuf
    covey release bundle repo /media/stick/covey
    """  # noqa: D301 - as above
    from covey_server.tuf_bundle import bundle as write  # noqa: PLC0415 - as above

    for path in write(repo, out):
        typer.echo(str(path))


def _gated(archive: bytes, *, ungated: bool) -> "Record | None":
    """What a package says of its making; None where it says nothing, and somebody publishes it all the same.

    Raises:
        InputError: No gate has passed it, and nobody gave their word.
    """
    from covey_server.release_entering import check_gate, record_of  # noqa: PLC0415 - as above

    try:
        record = record_of(archive)
    except InputError as error:
        if ungated:
            return None
        raise InputError(
            error.message, hint=f"{error.hint}; or publish it --ungated, on your word"
        ) from error
    if not ungated:
        check_gate(record)
    return record


def _enter(archive: bytes, record: "Record | None", server: Path | None, ledger: Path | None) -> None:
    """Into the ledger that is named; a release that stands in none is said to."""
    from covey_io.ledger_files import LedgerFiles  # noqa: PLC0415 - as above
    from covey_server import server_file  # noqa: PLC0415 - as above
    from covey_server.release_entering import enter  # noqa: PLC0415 - as above
    from covey_server.rollout_ledger import read_rollout_log  # noqa: PLC0415 - as above

    file = None if server is None else server_file.read(server)
    path = ledger or (file.folder.runs / "ledger" if file else None)
    if path is None:
        typer.echo("the release stands in no ledger: name --server SERVER.toml, or --ledger DIR", err=True)
    elif record is None:
        typer.echo("the release stands in no ledger: it does not say which run has paid for it", err=True)
    else:
        log = None if file is None else read_rollout_log(Path(file.operator))
        enter(LedgerFiles(path), log, archive, record)
        typer.echo(f"{record.name} {record.version} stands in the ledger {path}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {type(error).__name__}", hint="name a .covey file") from error
