"""`covey rollout`: bring a release to a fleet, ring after ring, and take it back."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from covey.errors import InputError
from covey_io.input_files import read_file
from covey_server import rollout_device_commands
from covey_server.rollout_options import AsJson, Reason, acted, print_json, say_where

if TYPE_CHECKING:
    from covey.rollout.plan import RolloutPlan
    from covey.rollout.rolling_state import Rollout
    from covey_server.rollout_asking import ServerHealth
    from covey_server.rollout_places import Places

CONFIG = Path("/etc/covey/server.toml")

HELP = """Bring a release to a fleet, ring after ring, and take it back.

A plan says what is rolled out, to whom first, and when it stops. People approve it by signing it; from then
on the next ring opens by itself once devices of the open ones have reported well, and everything stops by
itself when too many have failed. Each decision stands in the fleet's ledger before any device is told.

\b
Example:
  covey rollout plan plan.toml -o plan.json           what people approve, and what is doubtful about it
  covey rollout approve plan.json --key anna.pem      one signature; again with the next person's key
  covey rollout start plan.approved                   the first ring opens
  covey rollout tick --ask federation.toml            from a timer: asks devices, opens rings, or stops
  covey rollout status
  covey rollout explain pi-07                         why a device runs what it runs
  covey rollout rollback --reason "wrong labels"      everybody returns to the older image
"""

rollout = typer.Typer(no_args_is_help=True, add_completion=False, help=HELP)


@rollout.callback()
def _group(  # noqa: PLR0913 - options of a command line
    context: typer.Context,
    *,
    server: Annotated[
        Path,
        typer.Option(
            "--server", metavar="SERVER.toml", help="The server's configuration.", envvar="COVEY_SERVER"
        ),
    ] = CONFIG,
    ledger: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The fleet's ledger. [default: that of the server's runs]"),
    ] = None,
    repository: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The TUF repository. [default: STATE/repository]")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its online keys. [default: OPERATOR/tuf]")
    ] = None,
    plain: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Publish into a plain folder instead, unsigned: for trials."),
    ] = None,
) -> None:
    say_where(context, server=server, ledger=ledger, repository=repository, keys=keys, plain=plain)


@rollout.command(short_help="Write the plan that people approve.")
def plan(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="PLAN.toml", help="What is rolled out, and how.", show_default=False)
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Where to write the plan's text.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the text that people approve, from PLAN.toml and the fleet's roster, and say what it means.

    Members of rings are named there by tokens: the plan is published, and names no device. What is doubtful
    is said: a ring without devices, one too small to show anything, reports that come too late for a window.

    \b
    PLAN.toml:
      rollout = "wrist-1.3"
      unproven = "advance"           # small rings: "wait" for a new plan, or "advance" on the estimate
      [image]
      archive = "wrist-1.3.covey"
      generation = 7
      [fallback]
      archive = "wrist-1.2.covey"
      generation = 6
      [[rings]]
      name = "lab"
      devices = ["pi-00", "pi-01"]
      minimum_reports = 0            # on trust: opens the next unless surely bad; for health with noise
      [[rings]]
      name = "all"
      percent = 100
      soak_hours = 24
      [limits]
      most_failed_percent = 10
      report_hours = 24

    \b
    covey rollout plan plan.toml -o plan.json
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    import msgspec  # noqa: PLC0415 - help imports nothing heavy

    from covey.rollout import plan as plans  # noqa: PLC0415 - as above
    from covey_io import durable  # noqa: PLC0415 - as above
    from covey_server.rollout_draft import doubts, drafted  # noqa: PLC0415 - as above
    from covey_server.rollout_words import plan_lines  # noqa: PLC0415 - as above

    places = _places(context)
    made, tokens = drafted(file, places.roster()), places.tokens()
    doubtful = list(doubts(made, tokens))
    if out is not None:
        durable.replace(out, plans.to_text(made).encode())
    if as_json:
        print_json({"plan": msgspec.to_builtins(made), "doubts": doubtful})
        return
    _tell(plan_lines(made, tokens))
    for each in doubtful:
        typer.echo(f"doubtful: {each}", err=True)
    if out is None:
        typer.echo("nothing was written: add -o FILE", err=True)
    else:
        typer.echo(f"next: covey rollout approve {out} --key PEM", err=True)


@rollout.command(short_help="Sign a plan, once for each person.")
def approve(
    file: Annotated[Path, typer.Argument(metavar="PLAN", help="As `plan` wrote it, or signed already.")],
    *,
    key: Annotated[Path, typer.Option("--key", metavar="PEM", help="Your private key: covey policy key.")],
    name: Annotated[
        str | None,
        typer.Option(help="What the signature calls the key; without it, as the .vkey beside PEM."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="[default: PLAN with the ending .approved]",
            show_default=False,
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The passphrase of PEM; without it you are asked.")
    ] = None,
) -> None:
    """Approve PLAN: show what it says, and sign its text. No server is needed.

    A plan that is signed already gets one more signature. Who counts, and how many, says approvers.json in
    the operator's folder.

    \b
    covey rollout approve plan.json --key anna.pem
    covey rollout approve plan.approved --key bo.pem
    """  # noqa: D301 - as above
    from covey_audit.reviewer_keys import load_signer, secret  # noqa: PLC0415 - as above
    from covey_io import durable  # noqa: PLC0415 - as above
    from covey_server.rollout_approvals import approve as signed_by  # noqa: PLC0415 - as above
    from covey_server.rollout_approvals import read_plan  # noqa: PLC0415 - as above
    from covey_server.rollout_words import plan_lines  # noqa: PLC0415 - as above

    data = read_file(file)
    said, is_signed = read_plan(data)
    _tell(plan_lines(said, None))
    signer = load_signer(key, name, secret(f"passphrase of {key}", passphrase_file, "--passphrase-file"))
    target = out or (file if is_signed else file.with_suffix(".approved"))
    if target != file and target.exists():
        raise InputError(f"{target} exists", hint="add to it: approve that file; or name another with -o")
    durable.replace(target, signed_by(data, signer))
    typer.echo(f"{signer.verifier.name} approved {said.rollout}: {target}")


@rollout.command(short_help="Begin: the first ring opens.")
def start(  # noqa: PLR0913 - each is an option
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="PLAN.approved", help="The plan, as people signed it.")],
    *,
    approver: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.vkey",
            help="An approver's key, where OPERATOR/approvers.json is missing; repeat for more.",
        ),
    ] = None,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Take the place of the rollout that is under way.")
    ] = False,
    after: Annotated[
        int,
        typer.Option(
            metavar="SERIAL",
            min=0,
            max=(1 << 53) - 2,
            help="Number instructions above this one, which devices have seen and the ledger has not:"
            " whoever stole the rollout key published it.",
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Begin a rollout that enough people approved: the first ring opens, and the ledger says so.

    OPERATOR/approvers.json, in the form of reviewers.json, says whose approvals count and how many there
    must be: {"threshold": 2, "keys": ["…", "…"]} is the two-person rule. A rollout's name is never used
    twice, and the last one must be over; --supersede ends it in the same step, as for a release that raises
    the security floor above what the last one names.

    \b
    covey rollout start plan.approved
    """  # noqa: D301 - as above
    from covey_server.rollout_approvals import approved, read_approvers  # noqa: PLC0415 - as above

    places = _places(context)
    approvers, configured = read_approvers(places.operator, approver or [])
    found = approved(read_file(file), approvers)
    _check_fleet(places, found.plan)
    if not configured:
        typer.echo(f"one approval is enough: no {places.operator / 'approvers.json'} asks for more", err=True)
    if not places.is_watched():
        typer.echo(f"no policy in {places.operator}: nobody witnesses the ledger", err=True)
    typer.echo(f"approved by {', '.join(found.by)}", err=True)
    places.desk().start(found, supersedes=supersede, after=after)
    _print_status(places, as_json=as_json)


@rollout.command(short_help="Say how it stands.")
def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Say how the rollout stands: rings, what devices reported, the last decisions.

    Exit status 1: people are needed, or something that was decided is not published yet.

    \b
    covey rollout status --json | jq .state
    """  # noqa: D301 - as above
    places = _places(context)
    kept = places.rollouts.read()
    _print_status(places, as_json=as_json)
    if kept.pending is not None or (kept.rollout is not None and kept.rollout.for_people):
        raise typer.Exit(1)


@rollout.command(short_help="Let time go by: from a timer.")
def tick(
    context: typer.Context,
    *,
    health: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What a health sum wrote: JSON, covey-rollout-health/1."),
    ] = None,
    ask: Annotated[
        Path | None,
        typer.Option(
            metavar="FEDERATION.toml",
            help="Ask the devices if health is due: a private sum, paid from the budget of this federation.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go on: finish what was cut short, open the next ring or stop, renew what would expire.

    Call it from a timer, every few minutes. With --ask it has the running server (covey serve) ask the
    devices whenever health is due, as FEDERATION.toml's policy allows ([release] health_sums). Without --ask
    and --health nothing opens; it says when health is due.

    \b
    covey rollout tick --ask federation.toml

    \b
    FILE: {"format": "covey-rollout-health/1", "rollout": "wrist-1.3", "time": 1800000000,
           "deviation": 3.2, "rings": [{"succeeded": 41.0, "failed": 2.2}]}, an object for each open ring

    \b
    covey rollout tick --health health.json
    """  # noqa: D301 - as above
    from covey_server.rollout_health import read_health  # noqa: PLC0415 - as above

    places = _places(context)
    standing, heard, due = places.rollouts.read().rollout, None, False
    if standing is None and health is not None:
        raise InputError("no rollout was ever started", hint="covey rollout start PLAN.approved")
    if standing is None:
        places.publisher().refresh()
    else:
        if health is not None:
            heard = read_health(health, standing.planned.rollout, places.expected(standing))
        asking = None if ask is None else _asking(context, places, ask, standing)
        _, due = places.desk().tick(asking, heard=heard)
    _print_status(places, as_json=as_json)
    if due:
        typer.echo("health is due: covey rollout tick --ask FEDERATION.toml", err=True)


def _asking(
    context: typer.Context, places: "Places", federation: Path, standing: "Rollout"
) -> "ServerHealth":
    """Asks the fleet through its server."""
    from covey_server import server_file  # noqa: PLC0415 - as above
    from covey_server.rollout_asking import ServerHealth  # noqa: PLC0415 - as above

    return ServerHealth(
        server_file.read(context.obj.server),
        federation,
        places.rollouts.path,
        lambda: places.expected(standing),
        lambda line: typer.echo(line, err=True),
    )


@rollout.command(short_help="Let nobody begin to install.")
def pause(context: typer.Context, *, reason: Reason = "paused by a person", as_json: AsJson = False) -> None:
    """Let nobody begin to install, until `resume`. Devices that have begun go on."""
    from covey.rollout.rolling_state import Pause  # noqa: PLC0415 - as above

    _act(context, lambda now: Pause(now, reason), as_json=as_json)


@rollout.command(short_help="Go on after a pause.")
def resume(
    context: typer.Context, *, reason: Reason = "resumed by a person", as_json: AsJson = False
) -> None:
    """Go on after a pause. The newest ring soaks anew: while it was paused nobody could begin."""
    from covey.rollout.rolling_state import Resume  # noqa: PLC0415 - as above

    _act(context, lambda now: Resume(now, reason), as_json=as_json)


@rollout.command(short_help="End it; nothing is taken back.")
def abort(context: typer.Context, *, reason: Reason = "aborted by a person", as_json: AsJson = False) -> None:
    """End it for good: nobody begins any more, and devices keep what they have."""
    from covey.rollout.rolling_state import Abort  # noqa: PLC0415 - as above

    _act(context, lambda now: Abort(now, reason), as_json=as_json)


@rollout.command(short_help="Everybody returns to the older image.")
def rollback(
    context: typer.Context, *, reason: Reason = "rolled back by a person", as_json: AsJson = False
) -> None:
    """End it for good: everybody returns to the plan's fallback. Also after it was complete.

    It is a newer instruction that names an older image. A device refuses one below its security floor.

    \b
    covey rollout rollback --reason "calls every gesture a fall"
    """  # noqa: D301 - as above
    from covey.rollout.rolling_state import RollBack  # noqa: PLC0415 - as above

    _act(context, lambda now: RollBack(now, reason), as_json=as_json)


rollout_device_commands.register(rollout)


def _act(context: typer.Context, event: Callable[[int], Any], *, as_json: bool) -> None:
    places = acted(context, event)
    _print_status(places, as_json=as_json)


def _places(context: typer.Context) -> "Places":
    from covey_server.rollout_places import Places  # noqa: PLC0415 - as above

    return Places.of(context.obj)


def _print_status(places: "Places", *, as_json: bool) -> None:
    from covey_server.rollout_words import status_json, status_lines  # noqa: PLC0415 - as above

    kept = places.rollouts.read()
    expected: Sequence[int] = places.expected(kept.rollout)
    if as_json:
        print_json(status_json(kept, expected))
    else:
        _tell(status_lines(kept, expected))


def _check_fleet(places: "Places", plan: "RolloutPlan") -> None:
    fleet = places.roster().fleet
    if plan.fleet != fleet:
        raise InputError(f"the plan is for fleet {plan.fleet}, this is {fleet}", hint="plan it for this one")


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
