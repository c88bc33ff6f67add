"""`covey plan`: from a fleet and a privacy target to the numbers of a run, before any device is asked.

Exit status: 0 planned, 2 the numbers do not go together (the message names the one to change).
"""

from typing import Annotated

import typer

from covey.accounting import checks
from covey.accounting.composition import MOST_SUMS
from covey.errors import InputError
from covey.plan import Profile, Unit
from covey.planner import Assumptions, Query, Run, design
from covey.planner.calibrate import Kind
from covey_audit.plan_table import as_json, print_plan


def plan(  # noqa: PLR0913 - options of a command line
    *,
    devices: Annotated[int, typer.Option(help="Devices asked for one sum, 10 to 500 (more: see --profile).")],
    length: Annotated[int, typer.Option(help="Numbers in one answer: the model's parameters.")],
    rounds: Annotated[int, typer.Option(help="Training rounds in the whole run; one sum each.")],
    epsilon: Annotated[
        float | None, typer.Option(help="Target of the whole run, in the server's view.", show_default=False)
    ] = None,
    noise_multiplier: Annotated[
        float | None,
        typer.Option(
            help="Instead of a target: noise of a sum, standard deviation per element, in clip norms.",
            show_default=False,
        ),
    ] = None,
    delta: Annotated[float, typer.Option(help="Chance that the promise does not hold.")] = 1e-5,
    corrupt: Annotated[
        int, typer.Option(help="Most devices of the whole fleet that may side with the server.")
    ] = 1,
    dropouts: Annotated[float, typer.Option(help="Fraction of the devices that may drop out.")] = 0.3,
    minimum: Annotated[
        int | None,
        typer.Option(help="Fewest answers that are opened, instead of --dropouts.", show_default=False),
    ] = None,
    unit: Annotated[
        Unit, typer.Option(help="Whose contribution is hidden: a device's, or one example's.")
    ] = "device",
    sampling_rate: Annotated[
        float, typer.Option(help="Unit example: chance that an example joins a training sum.")
    ] = 1.0,
    examples: Annotated[
        int | None,
        typer.Option(help="Unit example: most examples that one device uses.", show_default=False),
    ] = None,
    statistics: Annotated[int, typer.Option(help="Sums of input statistics in the run.")] = 0,
    validations: Annotated[
        int, typer.Option(help="Sums of validation counts in the run, comparisons of releases among them.")
    ] = 0,
    calibrations: Annotated[int, typer.Option(help="Sums of ranges for int8, in the run.")] = 0,
    health: Annotated[int, typer.Option(help="Sums of how rollouts went, for the budget's whole life.")] = 0,
    profile: Annotated[
        Profile, typer.Option(help="What the server may do; semi-honest-server is for 500 to 10,000 devices.")
    ] = "malicious-server",
    removal: Annotated[
        bool | None,
        typer.Option(
            "--removal/--no-removal",
            help="Take off noise planned for drop-outs that did not happen. [default: up to 32 drop-outs]",
            show_default=False,
        ),
    ] = None,
    sensitivity: Annotated[
        int, typer.Option(help="Integer units that the clip norm is scaled to; coarser is smaller to send.")
    ] = 1024,
    check: Annotated[
        bool, typer.Option("--check", help="Recompute epsilon with dp-accounting and, if installed, Opacus.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Plan a private run: how much noise, how many answers, how many bytes, what is promised.

    Give a privacy target (--epsilon) to get the least noise that keeps it, or --noise-multiplier to get the
    promise that follows. Nothing is sent to anyone. Several kinds of sums share a target: statistics get 3 %
    of it, calibrations 4 %, validations 7 %, health 20 %, training the rest; for unit example validations use
    other examples and get all but what health takes.

    \b
    Examples:
      covey plan --devices 20 --length 4423 --rounds 200 --epsilon 8
      covey plan --devices 200 --length 4423 --rounds 50 --noise-multiplier 4
      covey plan --devices 20 --length 4423 --rounds 200 --epsilon 4 \\
                 --unit example --sampling-rate 0.1 --examples 500

    Exit status 0: planned. 2: the numbers do not go together; the message names the one to change.
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    checks.whole("rounds", rounds, 1, MOST_SUMS, hint="training rounds in the whole run")
    sums: dict[Kind, int] = {
        "train": rounds,
        "statistics": statistics,
        "validate": validations,
        "calibrate": calibrations,
        "health": health,
    }
    queries = tuple(
        Query(kind, length, count, sampling_rate if kind == "train" else 1.0)
        for kind, count in sums.items()
        if count
    )
    multipliers = None if noise_multiplier is None else {query.kind: noise_multiplier for query in queries}
    planned = design(
        Run(
            assumptions=Assumptions(devices, corrupt, dropouts, minimum, profile),
            queries=queries,
            unit=unit,
            delta=delta,
            epsilon=epsilon,
            multipliers=multipliers,
            examples=_examples(unit, examples),
            sensitivity=sensitivity,
            removal=removal,
        )
    )
    if json:
        typer.echo(as_json(planned, check=check))
    else:
        print_plan(planned, check=check)


def _examples(unit: Unit, examples: int | None) -> int:
    if unit == "example" and examples is None:
        raise InputError("how many examples does one device use at most?", hint="add --examples, as 500")
    return 1 if examples is None else examples
