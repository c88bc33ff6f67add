"""`covey audit waive`: a reviewer accepts a finding, in signed words for the ledger."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from covey.errors import InputError, ProtocolError
from covey.ledger.findings import KINDS
from covey.ledger.note import Ed25519Signer, countersigned, parse, signed
from covey.ledger.waiver import Accepted
from covey.ledger.waiver import parse as read
from covey_audit.anchor_options import Enrolment, Policy, Previous, Reviewer, Threshold, Witnessed
from covey_audit.reviewer_keys import load_signer, secret
from covey_io import durable

if TYPE_CHECKING:
    from covey_audit.anchor_files import Given

_MOST: Final = 6
"""Entries that a hint names."""


def waive(  # noqa: PLR0913 - options of a command line
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run's folder, or a ledger's.")],
    code: Annotated[str, typer.Argument(metavar="CODE", help="The finding's code.")],
    *,
    key: Annotated[Path, typer.Option(metavar="KEY.pem", help="Your private key.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it, or one to sign as well.")],
    words: Annotated[str, typer.Option(help="Why you accept it; everybody will read this.")] = "",
    entry: Annotated[
        int | None, typer.Option(help="The entry that shows the finding; leave it out if none does.", min=0)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the signature calls the key.")] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="The key's passphrase; without it you are asked.")
    ] = None,
    policy: Policy = None,
    reviewer: Reviewer = None,
    threshold: Threshold = 1,
    enrolment: Enrolment = None,
    witnessed: Witnessed = None,
    previous: Previous = None,
) -> None:
    """Accept a finding: write a waiver that you sign, for one finding at one entry of this ledger.

    The operator enters it in the ledger. From then on the finding is a note with your words; the epsilon
    stays uncertified, since what you accepted happened all the same. The ledger is audited first, with the
    keys that you give as to covey audit (with none, a run's own are tried as well): what is not found is not
    signed. Where two reviewers must sign, the second one names the first one's FILE and no words.

    \b
    Example:
      covey audit waive runs/pilot roster-expired --entry 41 --key reviewer.pem --out waiver.signed \\
            --words "The roster expired an hour before the last sum; nobody had been revoked."

    Exit status 0: written. 2: there is no such finding, it cannot be accepted, or something cannot be read.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    # What reads ledgers is imported when it is needed: `covey --help` does without.
    from covey_audit.anchor_files import Given, origin_of  # noqa: PLC0415
    from covey_audit.ledger_folder import find  # noqa: PLC0415

    _check_code(code)
    found = find(path)
    lines, _ = found.files.lines()
    if entry is not None and entry >= len(lines):
        raise InputError(f"{path} has {len(lines)} entries, none is number {entry}", hint="see covey audit")
    before = out.read_bytes() if out.is_file() else None
    given = Given(policy, tuple(reviewer or ()), threshold, enrolment, witnessed, previous)
    _check_found(path, given, code, entry)
    accepted = Accepted.of(origin_of(found), code, entry, lines, words or _words_of(out, before))
    signer = load_signer(key, name, secret("passphrase of the key", passphrase_file, "--passphrase-file"))
    durable.replace(out, _signed(accepted, signer, out, before))
    typer.echo(f"{out}: signed by {signer.verifier.name}; give it to the operator to enter in the ledger")


def _words_of(out: Path, before: bytes | None) -> str:
    if before is None:
        raise InputError("a waiver without words", hint='say why you accept it: --words "It is …"')
    return _read(out, before).words


def _signed(accepted: Accepted, signer: Ed25519Signer, out: Path, before: bytes | None) -> bytes:
    if before is None:
        return signed(accepted.text, signer)
    if _read(out, before) != accepted:
        raise InputError(f"{out} is another waiver", hint="name another file, or give the same words")
    return countersigned(before, signer)


def _read(out: Path, before: bytes) -> Accepted:
    try:
        return read(parse(before, blame="local").text, blame="local")
    except ProtocolError as error:
        raise InputError(f"{out} is no waiver: {error.message}", hint="name another file") from error


def _check_found(path: Path, given: "Given", code: str, entry: int | None) -> None:
    """Refuse what the audit of a ledger does not find at that entry; who signs it would accept nothing.

    Args:
        path: A run's folder, or a ledger's.
        given: What the reviewer holds. With nothing of it, a run is held against its own keys as well.
        code: The finding's.
        entry: That shows it; None for none.
    """
    from covey_audit.anchor_files import Given  # noqa: PLC0415 - as above
    from covey_audit.examining import examine  # noqa: PLC0415 - idem
    from covey_audit.ledger_folder import find  # noqa: PLC0415 - idem

    found = list(examine(path, given).findings)
    against = "the keys and files given"
    if given == Given():
        against = "no key of yours"
        if find(path).folder is not None:
            found += examine(path, given, self_check=True).findings
            against = "no key of yours, and with the run's own"
    entries = {each.entry for each in found if each.code == code}
    if entry in entries:
        return
    where = "without an entry" if entry is None else f"at entry {entry}"
    others = [f"at entry {each}" for each in sorted(each for each in entries if each is not None)[:_MOST]]
    others += ["without --entry"] if None in entries else []
    raise InputError(
        f"this audit finds no {code} {where}; it was made with {against}",
        hint=f"it finds it {', '.join(others)}"
        if others
        else "give what you gave to covey audit: --reviewer …",
    )


def _check_code(code: str) -> None:
    kind = KINDS.get(code)
    if kind is None:
        raise InputError(f"there is no finding {code!r}", hint="take the code as covey audit prints it")
    if not kind.waivable:
        raise InputError(
            f"{code} cannot be accepted: it makes the ledger itself doubtful",
            hint=kind.hint or "see covey audit",
        )
