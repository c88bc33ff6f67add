"""`covey policy new`, `key` and `sign`: from an empty file to a signed policy."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covey.errors import CoveyError, InputError
from covey.ledger.note import Signer, countersigned, read_vkey, signed
from covey_audit.clock import now
from covey_audit.hsm import open_token
from covey_audit.policy_template import template
from covey_audit.reviewer_keys import (
    check_free,
    load_signer,
    make_key,
    public_path,
    secret,
    someone_is_there,
    write_public,
)
from covey_io import durable

if TYPE_CHECKING:
    from covey_audit.policy_files import Draft

Pkcs11 = Annotated[
    str | None,
    typer.Option(metavar="URI", help="The key is on a token: hsm:KEYID?label=TOKEN; set PYKCS11LIB."),
]
PinFile = Annotated[Path | None, typer.Option(help="The token's PIN; without it you are asked.")]


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
) -> None:
    """Write a policy to fill in, with notes on every line.

    \b
    Example:
      covey policy new policy.toml

    Exit status 0: written. 2: FILE exists.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    check_free(file)
    durable.replace(file, template(datetime.fromtimestamp(now(), UTC).date()).encode())
    typer.echo(f"fill in {file}, then: covey policy lint {file}")


def key(  # noqa: PLR0913 - options of a command line
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The private half, such as reviewer.pem.")],
    *,
    name: Annotated[
        str, typer.Option(help="What signatures call the key, such as privacy.example.com; without spaces.")
    ],
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Ask for a passphrase and encrypt FILE.")
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Encrypt FILE with the first line of this one.")
    ] = None,
    pkcs11: Pkcs11 = None,
    pin_file: PinFile = None,
) -> None:
    """Make a reviewer's key: FILE to keep, and beside it a .vkey file to give to everyone.

    With --pkcs11 no key is made: the .vkey file is that of a P-256 key that is on the token already.

    \b
    Examples:
      covey policy key reviewer.pem --name privacy.example.com --encrypt
      covey policy key token.vkey --name privacy.example.com --pkcs11 "hsm:2?label=reviews"

    Exit status 0: written. 2: a file exists, or the token cannot be used.
    """  # noqa: D301 - as above
    if pkcs11 is not None:
        pin = secret("PIN of the token", pin_file, "--pin-file")
        verifier = open_token(pkcs11, name, pin).verifier
        write_public(public_path(file), verifier)
    else:
        passphrase = _new_passphrase(encrypt=encrypt, file=passphrase_file)
        verifier = make_key(file, name, passphrase)
        if passphrase is None:
            typer.echo(f"{file} is not encrypted: whoever reads it can sign", err=True)
    typer.echo(verifier.vkey)


def sign(  # noqa: PLR0913 - options of a command line
    file: Annotated[
        Path, typer.Argument(metavar="POLICY", help="The TOML; with --add the file that is signed already.")
    ],
    *,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="PEM", help="The reviewer's private key.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What the signature calls the key; without it, as the .vkey file beside PEM."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write. [default: POLICY with the ending .signed]", show_default=False),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add a signature to those that are there, for the two-person rule.")
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="The passphrase of PEM; without it you are asked.")
    ] = None,
    pkcs11: Pkcs11 = None,
    pin_file: PinFile = None,
) -> None:
    """Sign POLICY, byte for byte as it stands, with a reviewer's key.

    Read it first: covey policy explain POLICY. What is no policy, or has an error that `covey policy lint`
    finds, is not signed; neither is one that names your key as the operator's, the ledger's or a witness's.

    \b
    Examples:
      covey policy sign policy.toml --key reviewer.pem
      covey policy sign policy.signed --key second.pem --add
      covey policy sign policy.toml --pkcs11 "hsm:2?label=reviews" --name privacy.example.com

    Exit status 0: signed. 1: not signed, for what lint found. 2: POLICY or the key cannot be used.
    """  # noqa: D301 - as above
    from covey_audit.policy_files import read_bytes, read_draft  # noqa: PLC0415 - numpy

    draft = read_draft(file)
    target = _target(draft, out, add=add)
    _check(draft)
    signer = _signer(key, name, passphrase_file, pkcs11, pin_file)
    _check_signer(draft, signer)
    data = countersigned(read_bytes(file), signer) if add else signed(draft.text, signer)
    durable.replace(target, data)
    _tell(read_draft(target), signer)


def _new_passphrase(*, encrypt: bool, file: Path | None) -> str | None:
    """For a new key; asked for twice, since nobody sees what is typed."""
    if file is not None:
        return secret("passphrase", file, "--passphrase-file")()
    if not encrypt:
        return None
    if not someone_is_there():
        raise InputError(
            "a passphrase is needed and nobody is there to ask", hint="add --passphrase-file FILE"
        )
    return str(typer.prompt("passphrase of the new key", hide_input=True, confirmation_prompt=True, err=True))


def _signer(
    key: Path | None,
    name: str | None,
    passphrase_file: Path | None,
    pkcs11: str | None,
    pin_file: Path | None,
) -> Signer:
    if (key is None) == (pkcs11 is None):
        raise InputError("whose key signs?", hint="give either --key PEM or --pkcs11 URI")
    if key is not None:
        return load_signer(key, name, secret(f"passphrase of {key}", passphrase_file, "--passphrase-file"))
    if name is None or pkcs11 is None:
        raise InputError(
            "a token does not know the reviewer's name", hint="add --name, as privacy.example.com"
        )
    return open_token(pkcs11, name, secret("PIN of the token", pin_file, "--pin-file"))


def _target(draft: "Draft", out: Path | None, *, add: bool) -> Path:
    """Where the result goes; nothing that was signed is lost."""
    if add and draft.note is None:
        raise InputError(
            f"{draft.path} has no signature to add to", hint="give the signed file, or leave out --add"
        )
    if not add and draft.note is not None:
        raise InputError(f"{draft.path} is signed already", hint="add a signature with --add")
    if add and out is None:
        return draft.path
    target = out if out is not None else draft.path.with_suffix(".signed")
    check_free(target)
    return target


def _check(draft: "Draft") -> None:
    from covey.policy.linting import lint  # noqa: PLC0415 - numpy

    errors = [each for each in lint(draft.policy, now()) if each.severity == "error"]
    for each in errors:
        typer.echo(f"error: {each.key}: {each.words}", err=True)
    if errors:
        raise CoveyError(f"{draft.path} is not signed", hint=f"covey policy lint {draft.path}")


def _check_signer(draft: "Draft", signer: Signer) -> None:
    """A reviewer is nobody whom the policy is there to watch, or who watches for it."""
    held = draft.policy
    others = [read_vkey(each).key for each in (held.ledger.log, *held.ledger.witnesses)]
    others += [bytes.fromhex(each) for each in (held.keys.operator, held.keys.enrolment)]
    if signer.verifier.key in others:
        raise CoveyError(
            f"{draft.path} is not signed: it has this key in another office",
            hint="sign with a reviewer's own key",
        )


def _tell(draft: "Draft", signer: Signer) -> None:
    needed, found = draft.policy.signatures, len(draft.claimed)
    typer.echo(f"signed {draft.path} as {signer.verifier.name}")
    typer.echo(f"SHA-256 of the policy: {draft.sha256}")
    if found < needed:
        typer.echo(
            f"{found} of {needed} signatures: the next reviewer's with covey policy sign {draft.path} --key"
            " PEM --add"
        )
