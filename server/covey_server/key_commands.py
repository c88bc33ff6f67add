"""`covey keys new|init|sign|rotate|renew|status`: who signs what of a fleet's releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covey.errors import InputError

if TYPE_CHECKING:
    from covey_io.tuf_metadata import Signer
    from covey_server.tuf_publishing import Outcome

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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

keys = typer.Typer(
    name="keys",
    help="Keys of a fleet's releases: begin, sign, exchange and renew; who must act, and until when.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@keys.command(short_help="Make a key pair.")
def new(
    name: Annotated[
        Path, typer.Argument(metavar="NAME", help="NAME.key and NAME.pub are written.", show_default=False)
    ],
    *,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without a passphrase: for keys that a server uses by itself.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a key pair (ECDSA P-256), to take the place of another.

    \b
    covey keys new anna/root-1
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - help imports nothing heavy
        Encoding,
        PublicFormat,
    )

    from covey_io import durable  # noqa: PLC0415 - as above
    from covey_server.key_files import new_p256, new_passphrase, write_private  # noqa: PLC0415 - as above

    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    if private.exists() or public.exists():
        raise InputError(f"{private} is there already", hint="keys are never overwritten: name another")
    secret = None if plain else new_passphrase(passphrase_file, ask=True)
    key = new_p256()
    write_private(private, key, secret)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    durable.replace(public, pem)
    typer.echo(f"made {private} (keep it) and {public} (hand it on)")


@keys.command(short_help="Begin the repository of releases.")
def init(
    fleet: Annotated[
        Path,
        typer.Argument(
            metavar="FLEET", help="The fleet's folder, as `covey fleet init` made it.", show_default=False
        ),
    ],
    repo: Repo,
    *,
    having: Keys = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Begin the repository that devices fetch releases from.

    Only public keys are read from FLEET. What is to be signed waits in REPO/staged: bring REPO to each holder
    for `covey keys sign`, two roots and targets; the server, which has snapshot, timestamp and rollout,
    comes last, and publishes. For a trial give every key at once.

    \b
    covey keys init fleet repo
    covey keys init fleet repo --keys fleet/tuf
    """  # noqa: D301 - as above
    from covey_server import tuf_ceremony  # noqa: PLC0415 - as above
    from covey_server.tuf_roles import holders_of  # noqa: PLC0415 - as above

    signers = _signers(having, passphrase_file)
    found = tuf_ceremony.init(repo, holders_of(fleet), signers)
    _tell(found)
    if found.published:
        typer.echo(
            f"devices begin with {repo}/metadata/1.root.json; serve {repo}/metadata and {repo}/targets"
        )


@keys.command(short_help="Add your signatures to what waits.")
def sign(repo: Repo, *, having: Keys = None, passphrase_file: PassphraseFile = None) -> None:
    """Add your signatures to what waits; publish it once it has enough and the server's keys are here.

    \b
    covey keys sign repo --keys anna/root-1.key
    """  # noqa: D301 - as above
    from covey_server import tuf_ceremony  # noqa: PLC0415 - as above

    _tell(tuf_ceremony.sign(repo, _signers(having, passphrase_file)))


@keys.command(short_help="Exchange keys.")
def rotate(
    repo: Repo,
    exchanged: Annotated[
        list[str],
        typer.Argument(metavar="ROLE=NEW.pub…", help="Roles and their new public keys.", show_default=False),
    ],
    *,
    replaces: Annotated[
        Path | None,
        typer.Option(metavar="OLD.pub", help="Of a role with several keys, the one that goes."),
    ] = None,
    having: Keys = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Exchange keys.

    It needs two roots, or targets for models, policy, roster and rollout; and the new key. Give the old key
    too while you still have it: then no device is left behind for a moment. If the server's keys were stolen,
    exchange snapshot, timestamp and rollout together: devices then count their versions anew, however far the
    thief has counted.

    \b
    covey keys rotate repo root=new/root-1.pub --replaces fleet/tuf/root-1.pub --keys fleet/tuf
    covey keys rotate repo snapshot=n/snapshot.pub timestamp=n/timestamp.pub rollout=n/rollout.pub --keys n
    """  # noqa: D301 - as above
    from covey_server import tuf_ceremony  # noqa: PLC0415 - as above
    from covey_server.tuf_roles import public_key  # noqa: PLC0415 - as above

    pairs = [each.partition("=") for each in exchanged]
    if not all(role and path for role, _, path in pairs):
        raise InputError("a role and its new key are expected", hint="write ROLE=NEW.pub")
    public = {role: public_key(Path(path)) for role, _, path in pairs}
    old = None if replaces is None else public_key(replaces)
    _tell(tuf_ceremony.rotate(repo, public, _signers(having, passphrase_file), old=old))


@keys.command(short_help="Sign a role anew, before its time is over.")
def renew(
    repo: Repo,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="As status names it.", show_default=False)],
    *,
    having: Keys = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Sign a role anew as it is, before its time is over.

    \b
    covey keys renew repo models --keys fleet/tuf/models.key
    """  # noqa: D301 - as above
    from covey_server import tuf_ceremony  # noqa: PLC0415 - as above

    _tell(tuf_ceremony.renew(repo, role, _signers(having, passphrase_file)))


@keys.command(short_help="Show who signs what, until when, and who must act.")
def status(repo: Repo, *, as_json: AsJson = False) -> None:
    """Show every role: its keys, how many must sign, its version, when it expires and who must act.

    Exit status 1 if something expires within 14 days; for what is signed for less than 28 days, within half
    of its time, as a timer should have renewed it by then. After that, devices go on serving the model that
    they have, and install nothing new.

    \b
    covey keys status repo
    """  # noqa: D301 - as above
    import msgspec  # noqa: PLC0415 - as above

    from covey_server import tuf_status  # noqa: PLC0415 - as above

    waiting = tuf_status.waiting(repo)
    begun = (repo / "metadata/1.root.json").exists()
    found = tuf_status.rows(repo) if begun or not waiting else []
    if as_json:
        roles = [vars(row) for row in found]
        typer.echo(msgspec.json.encode({"roles": roles, "waiting": waiting}).decode())
    else:
        table = tuf_status.lines(found) if found else ()
        for line in (*table, *(f"waits for a signature: {each}" for each in waiting)):
            typer.echo(line)
    if any(row.due for row in found):
        raise typer.Exit(1)


def _signers(having: list[Path] | None, passphrase_file: Path | None) -> "tuple[Signer, ...]":
    from covey_server.key_files import passphrase  # noqa: PLC0415 - as above
    from covey_server.tuf_roles import signers_in  # noqa: PLC0415 - as above

    return signers_in(having or [], passphrase(passphrase_file))


def _tell(outcome: "Outcome") -> None:
    if outcome.published:
        typer.echo("published")
        return
    typer.echo("prepared; not published yet. It still needs:")
    for each in outcome.waiting:
        typer.echo(f"  {each}")
    typer.echo("next: bring the repository to who has such a key, for covey keys sign", err=True)
