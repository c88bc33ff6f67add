"""`covey policy`: what devices will answer, for the people who decide about it.

Exit status: 0 done, 1 findings (an error that lint finds, something that became weaker, a signature that does
not hold), 2 what was given cannot be used.
"""

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from covey.errors import CoveyError
from covey_audit.clock import now
from covey_audit.policy_signing import key, new, sign
from covey_audit.reviewer_keys import verifier_of

if TYPE_CHECKING:
    from covey_audit.policy_files import Draft

policy = typer.Typer(
    help="Write, weigh and sign what devices will answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
policy.command("new")(new)
policy.command("key")(key)
policy.command("sign")(sign)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PolicyFile = Annotated[Path, typer.Argument(metavar="POLICY", help="The TOML, or the signed file.")]

_WIDEST = 100


@policy.command("lint")
def lint(file: PolicyFile, as_json: AsJson = False) -> None:
    """Look for what is unwise in POLICY, or cannot be meant.

    An error stops a signature, a warning deserves a second look, a note says what is easily missed.

    \b
    Example:
      covey policy lint policy.toml

    Exit status 0: no errors. 1: errors. 2: POLICY is no policy; the message says what to write instead.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey.policy.linting import lint as remarks_on  # noqa: PLC0415 - numpy: `covey --help` does without
    from covey_audit.policy_files import read_draft  # noqa: PLC0415 - idem

    remarks = remarks_on(read_draft(file).policy, now())
    errors = any(each.severity == "error" for each in remarks)
    if as_json:
        _print_json({"errors": errors, "remarks": remarks})
    else:
        for each in remarks:
            _print_wrapped(f"{each.severity}: {each.key}: {each.words}", "", "  ")
        typer.echo(
            "nothing to remark" if not remarks else f"{'do not sign it yet' if errors else 'no errors'}"
        )
    if errors:
        raise typer.Exit(1)


@policy.command("explain")
def explain(file: PolicyFile, as_json: AsJson = False) -> None:
    """Print in plain words what POLICY allows, and what that can reveal at worst.

    Also what the promise rests on, and what is not promised. Checks no signature: `covey policy show` does.

    \b
    Example:
      covey policy explain policy.toml

    Exit status 0: printed. 2: POLICY is no policy.
    """  # noqa: D301 - as above
    from covey.policy.explaining import explain as explained  # noqa: PLC0415 - numpy
    from covey.policy.worst import worst  # noqa: PLC0415 - idem
    from covey_audit.policy_files import read_draft  # noqa: PLC0415 - idem

    draft = read_draft(file)
    sections = explained(draft.policy)
    if as_json:
        _print_json({"sha256": draft.sha256, "sections": sections, "by_noise_alone": worst(draft.policy)})
        return
    for section in sections:
        typer.echo(typer.style(section.title, bold=True))
        for point in section.points:
            _print_wrapped(point, "  - ", "    ")
        typer.echo("")
    typer.echo(f"SHA-256 {draft.sha256}")
    typer.echo("Signatures were not checked: covey policy show does.")


@policy.command("show")
def show(
    file: PolicyFile,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(metavar="VKEY", help="A reviewer's public key, or its file; may be given again."),
    ] = None,
    threshold: Annotated[int, typer.Option(help="Ask for so many different reviewers.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Print what POLICY is, and whether the reviewers you name signed it.

    Without --reviewer no signature is checked. Get reviewers' keys from the reviewers, not from where POLICY
    was.

    \b
    Example:
      covey policy show policy.signed --reviewer privacy.vkey --reviewer legal.vkey --threshold 2

    Exit status 0: printed, and signed by those asked for. 1: not signed by them. 2: POLICY is no policy.
    """  # noqa: D301 - as above
    from covey_audit.policy_files import read_draft  # noqa: PLC0415 - numpy

    draft = read_draft(file)
    signers = _checked(draft, reviewer, threshold) if reviewer else None
    if as_json:
        _print_json(_facts(draft, signers))
        return
    for label, value in _rows(draft, signers):
        _print_wrapped(value, f"{label:<11}", " " * 11)


@policy.command("diff")
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy in force, TOML or signed.")],
    new_file: Annotated[Path, typer.Argument(metavar="NEW", help="The one to follow it, TOML or signed.")],
    as_json: AsJson = False,
) -> None:
    """Say of two policies what NEW makes weaker, stronger, or just different.

    "Weaker" means that more may be asked, with less protection, for longer, or by fewer people's leave.

    \b
    Example:
      covey policy diff in-force.signed next.toml

    Exit status 0: nothing became weaker, and NEW is the next after OLD. 1: something did, or it is not.
    2: one of them is no policy.
    """  # noqa: D301 - as above
    from covey.policy.comparing import chain_faults, differences  # noqa: PLC0415 - numpy
    from covey_audit.policy_files import read_draft  # noqa: PLC0415 - idem

    before, after = read_draft(old), read_draft(new_file)
    faults = tuple(chain_faults(before.policy, after.policy, before.sha256, after.sha256))
    found = differences(before.policy, after.policy)
    if as_json:
        _print_json({"chain": faults, "differences": found})
    else:
        for fault in faults:
            _print_wrapped(f"order: {fault}", "", "  ")
        for each in found:
            _print_wrapped(f"{each.verdict}: {each.words}", "", "  ")
        if not faults and not found:
            typer.echo("no difference")
    if faults or any(each.verdict == "weaker" for each in found):
        raise typer.Exit(1)


def _checked(draft: "Draft", reviewer: list[str], threshold: int) -> tuple[str, ...]:
    """Public keys of the reviewers who signed; an error if they are too few."""
    from covey.policy.signed import Reviewers, open_policy  # noqa: PLC0415 - numpy
    from covey_audit.policy_files import read_bytes  # noqa: PLC0415 - idem

    reviewers = Reviewers(tuple(verifier_of(each) for each in reviewer), threshold)
    if draft.note is None:
        raise CoveyError(
            f"{draft.path} is not signed", hint="give the signed file, or sign it: covey policy sign"
        )
    opened = open_policy(read_bytes(draft.path), reviewers, blame="local")
    return tuple(each.vkey for each in opened.signers)


def _facts(draft: "Draft", signers: tuple[str, ...] | None) -> dict[str, Any]:
    return {
        "sha256": draft.sha256,
        "signatures": {
            "checked": signers is not None,
            "hold": signers or (),
            "claimed": draft.claimed,
            "needed": draft.policy.signatures,
        },
        "in_force": _in_force(draft),
        "policy": draft.policy,
    }


def _rows(draft: "Draft", signers: tuple[str, ...] | None) -> Iterable[tuple[str, str]]:
    told = draft.policy
    yield "policy", f"{told.name}, serial {told.serial}, of fleet {told.fleet}"
    yield "SHA-256", draft.sha256
    yield "previous", told.previous or "none: it is the first"
    yield "holds", f"{told.valid_from.text} to {told.valid_until.text} ({_in_force(draft)})"
    yield "purpose", " ".join(told.purpose.split())
    yield "budget", f"epsilon {told.budget.epsilon}, delta {told.budget.delta}, for one {told.budget.unit}"
    for kind, query in told.queries.items():
        limit = "no rate limit" if query.rate_limit == "none" else query.rate_limit
        yield kind, f"{query.answers:,} answers, noise multiplier {query.noise_multiplier}, {limit}"
    if told.simulation:
        yield "simulation", "YES: it protects nobody"
    if signers is not None:
        yield (
            "signed by",
            f"{len(signers)} of the reviewers named (the policy needs {told.signatures}): checked",
        )
        for each in signers:
            yield "", each
    elif draft.note is None:
        yield "signed by", "NOBODY: this is a draft"
    else:
        claimed = ", ".join(draft.claimed)
        yield (
            "signed by",
            f"NOT CHECKED; it claims {claimed} (covey policy show {draft.path} --reviewer VKEY)",
        )


def _in_force(draft: "Draft") -> str:
    second = now()
    if second < draft.policy.valid_from.seconds:
        return "not yet in force"
    return "over" if second > draft.policy.valid_until.last_second else "in force"


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _print_wrapped(text: str, first: str, rest: str) -> None:
    wrapper = textwrap.TextWrapper(
        min(shutil.get_terminal_size().columns, _WIDEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    typer.echo(wrapper.fill(text))
