"""`covey audit prove` and `check-proof`: a device's owner shows the device's own part, and nobody else's."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from covey.errors import CoveyError, InputError
from covey_io import durable

if TYPE_CHECKING:
    from covey.ledger.checkpoint import LogTrust
    from covey.ledger.proof import Proved
    from covey_audit.own_part import Own, Part, Unknown

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def prove(  # noqa: PLR0913 - options of a command line
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A run's folder, or a ledger's.")],
    *,
    device: Annotated[Path, typer.Option(metavar="FOLDER", help="The device's own folder.")],
    run: Annotated[str | None, typer.Option(help="Only sums of this run.")] = None,
    sum_: Annotated[int | None, typer.Option("--sum", help="Only this sum of a run.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a proof of each sum into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the sums that a device was in and what it has spent; write proofs of them.

    Run it where the device's folder is: its salt must not leave the device. A proof shows one sum and the
    device's name; nothing follows from it about other sums. Of a sum whose participation leaves are missing
    or were changed nothing is known, and no proof is written.

    \b
    Examples:
      covey audit prove ledger/ --device /var/lib/covey
      covey audit prove ledger/ --device /var/lib/covey --sum 12 --out proofs/

    Exit status 0: every sum is known, and the device's journal agrees with the ledger. 1: not so; it says
    what the one has and the other has not. 2: something cannot be read.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    # What reads ledgers is imported when it is needed: `covey --help` does without.
    from covey.ledger import proof as proofs  # noqa: PLC0415
    from covey_audit.ledger_folder import find  # noqa: PLC0415
    from covey_audit.own_part import (  # noqa: PLC0415
        Part,
        Unknown,
        delta_of,
        disagreements,
        not_known,
        parts,
        proof_of,
        read_own,
    )

    found, own = find(path), read_own(device)
    lines, _ = found.files.lines()
    every = list(parts(lines, found.files, own))
    chosen = [each for each in every if run in {None, each.plan.run} and sum_ in {None, each.plan.sum}]
    wanted = [each for each in chosen if isinstance(each, Part)]
    unknown = [each for each in chosen if isinstance(each, Unknown)]
    if not chosen and (run is not None or sum_ is not None):
        raise CoveyError(f"{own.device} was in no such sum of this ledger", hint="leave out --run and --sum")
    written = {}
    for each in wanted if out is not None else ():
        head = found.files.head()
        if head is None:
            raise InputError("the ledger has no checkpoint to prove anything under", hint="audit it")
        target = (out or Path()) / f"proof-{each.digest[:16]}.json"
        durable.make_folder(target.parent)
        durable.replace(target, proofs.to_bytes(proof_of(each, own, lines, head)))
        written[each.digest] = str(target)
    faults = disagreements(own, [each for each in every if isinstance(each, Part)], lines)
    if as_json:
        typer.echo(msgspec.json.encode(_facts(own, wanted, unknown, written, faults)).decode())
    else:
        _print(own, wanted, written, whole=not unknown)
        _print_spent(own, delta_of(lines))
    for words in not_known(own, unknown):
        typer.echo(f"NOT KNOWN: {words}", err=as_json)
    for fault in faults:
        typer.echo(f"NOT IN AGREEMENT: {fault}", err=as_json)
    if faults or unknown:
        raise typer.Exit(1)


def check_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof that a device's owner gave you.")],
    *,
    policy: Annotated[
        Path | None, typer.Option(help="The policy that names the ledger's keys, signed or not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a device was in a sum, by a proof that its owner wrote.

    \b
    Example:
      covey audit check-proof proof-3f2a.json --policy policy.signed

    Exit status 0: it was. 1: the proof does not hold; the message says where. 2: something cannot be read.
    """  # noqa: D301 - as above
    from covey.ledger import proof as proofs  # noqa: PLC0415

    trust = None if policy is None else _trust(policy)
    proved = proofs.check(proofs.from_bytes(_content(file)), trust)
    if as_json:
        typer.echo(msgspec.json.encode(_proved(proved, checked=trust is not None)).decode())
        return
    plan = proved.plan
    typer.echo(
        f"{proved.device!r} was one of {proved.members} devices in sum {plan.sum} of run {plan.run!r}"
        f" (entries {proved.reserve} and {proved.settle} of {proved.checkpoint.origin!r})"
    )
    if trust is None:
        typer.echo(
            f"the checkpoint's signatures were NOT CHECKED: compare its root, {proved.checkpoint.root.hex()},"
            f" at {proved.checkpoint.size} entries, or add --policy"
        )


def _trust(path: Path) -> "LogTrust":
    from covey_audit.policy_files import read_draft  # noqa: PLC0415

    return read_draft(path).policy.log_trust()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file}: {(error.strerror or str(error)).lower()}", hint="give a proof's file"
        ) from error


def _facts(
    own: "Own",
    parts: "Sequence[Part]",
    unknown: "Sequence[Unknown]",
    written: dict[str, str],
    faults: list[str],
) -> dict[str, Any]:
    sums = [
        {
            "run": each.plan.run,
            "sum": each.plan.sum,
            "plan": each.digest,
            "reserve": each.reserve,
            "settle": each.settle,
            "devices": len(each.leaves),
            "proof": written.get(each.digest),
        }
        for each in parts
    ]
    missed = [
        {
            "run": each.plan.run,
            "sum": each.plan.sum,
            "plan": each.digest,
            "settle": each.settle,
            "leaves": each.leaves,
            "reserved": each.digest in own.budget.reserved,
        }
        for each in unknown
    ]
    reserved = len(own.budget.reserved)
    return {"device": own.device, "reserved": reserved, "sums": sums, "unknown": missed, "faults": faults}


def _proved(proved: "Proved", *, checked: bool) -> dict[str, Any]:
    return {
        "device": proved.device,
        "run": proved.plan.run,
        "sum": proved.plan.sum,
        "reserve": proved.reserve,
        "settle": proved.settle,
        "devices": proved.members,
        "origin": proved.checkpoint.origin,
        "size": proved.checkpoint.size,
        "root": proved.checkpoint.root.hex(),
        "signatures": "checked" if checked else "not checked",
    }


def _print(own: "Own", parts: "Sequence[Part]", written: dict[str, str], *, whole: bool) -> None:
    known = "" if whole else ", as far as is known"
    sums = "1 sum that was opened" if len(parts) == 1 else f"{len(parts)} sums that were opened"
    typer.echo(f"{own.device!r} was in {sums}{known}")
    for each in parts:
        where = f"  {written[each.digest]}" if each.digest in written else ""
        typer.echo(
            f"  run {each.plan.run!r}, sum {each.plan.sum}, round {each.plan.round}:"
            f" one of {len(each.leaves)}, entry {each.settle}{where}"
        )


def _print_spent(own: "Own", delta: float) -> None:
    from covey.accounting import round_up  # noqa: PLC0415 - numpy
    from covey.budget import spent  # noqa: PLC0415 - idem

    answers = len(own.budget.reserved)
    if answers:
        epsilon = round_up(spent(own.budget, delta), 3)
        typer.echo(f"its journal reserves {answers} answers: epsilon {epsilon:.3f} at delta {delta:g}")
    else:
        typer.echo("its folder has no journal with answers in it")
