"""`covey audit flower`: what the state of Flower's own privacy accountant comes to.

Exit status: 0 the accountants agree and the state keeps to its budget, 1 they do not or it does not, 2 the
file cannot be used.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from covey.errors import InputError

if TYPE_CHECKING:
    from covey_audit.flower_import import Recomputed, State

AGREE: Final = 1e-6
"""Relative difference up to which two accountants say the same."""
DIGITS: Final = 6


def audit_flower(
    file: Annotated[
        Path,
        typer.Argument(metavar="STATE.json", help="What json.dumps(accountant.state_dict()) wrote."),
    ],
    *,
    delta: Annotated[
        float | None,
        typer.Option(help="Another delta than the state's own.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recompute the epsilon of a Flower run from its RdpAccountant's state, and say what that does not show.

    A state is a list of numbers without a signature. It can be checked for its arithmetic and for nothing
    else: a ledger (covey audit) shows who was asked, with how much noise, and under whose policy.

    Exit status 0: the accountants agree, within the state's budget. 1: they do not, or it is exceeded. 2: the
    file cannot be used.
    """
    from covey_audit import flower_import  # noqa: PLC0415 - `covey --help` does without

    state = flower_import.read(_content(file), str(file))
    found = flower_import.recompute(state, delta)
    faults = list(_faults(found))
    if as_json:
        typer.echo(msgspec.json.encode(_facts(state, found, faults)).decode())
    else:
        _print(state, found, faults)
    raise typer.Exit(1 if faults else 0)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{file}: {reason}", hint="name the file that the state was written to") from error


def _faults(found: "Recomputed") -> Iterator[str]:
    if found.budget is not None and found.greatest > found.budget:
        yield f"the state's own budget of {found.budget:g} is exceeded"
    if found.gap > AGREE:
        yield "the accountants differ: rely on none of them until it is understood"


def _facts(state: "State", found: "Recomputed", faults: list[str]) -> dict[str, Any]:
    from covey_audit.flower_import import NOT_PROVEN  # noqa: PLC0415 - as above

    return {
        "delta": found.delta,
        "epsilon": {name: _rounded(value) for name, value, _ in _epsilons(found)},
        "budget": found.budget,
        "sums": state.sums,
        "sampling": state.config.sampling_method,
        "neighbours": state.config.neighboring_relation,
        "findings": faults,
        "not_shown": NOT_PROVEN,
    }


def _epsilons(found: "Recomputed") -> Iterator[tuple[str, float, str]]:
    """Name, ε, and by what."""
    yield "flower", found.flower, "dp-accounting, at the orders that the state names: what Flower says"
    if found.closed is None:
        return
    yield "closed form", found.closed, "Gaussian zCDP, at our integer orders: never below the best order's"
    if found.dp_accounting is not None:
        yield "dp-accounting", found.dp_accounting, "at our orders"
    if found.opacus is not None:
        yield "Opacus", found.opacus, "at our orders"


def _rounded(value: float, digits: int = DIGITS) -> float:
    from covey.accounting.rounding import round_up  # noqa: PLC0415 - as above

    return round_up(value, digits)


def _print(state: "State", found: "Recomputed", faults: list[str]) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.padding import Padding  # noqa: PLC0415 - idem
    from rich.table import Table  # noqa: PLC0415 - idem
    from rich.text import Text  # noqa: PLC0415 - idem

    from covey_audit.flower_import import NOT_PROVEN  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    for line in (_verdict(state, found), *(f"FINDING: {fault}" for fault in faults)):
        console.print(Text(line, style="bold"))
    console.print()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    for name, value, note in _epsilons(found):
        table.add_row(Text(f"epsilon, {name}"), Text(f"{_rounded(value):.{DIGITS}f}"), Text(note))
    for row in _rows(state, found):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    console.print(Text("\nWhat the state does not show", style="bold"))
    for each in NOT_PROVEN:
        console.print(Padding(Text(f"- {each}"), (0, 0, 0, 2)))


def _verdict(state: "State", found: "Recomputed") -> str:
    sums = "1 sum" if state.sums == 1 else f"{state.sums:,} sums"
    return (
        f"If all of it is true, these {sums} cost one client epsilon {_rounded(found.greatest, 3):.3f} "
        f"at delta {found.delta:g}, against those who see the released models and nothing else."
    )


def _rows(state: "State", found: "Recomputed") -> Iterator[tuple[str, str, str]]:
    config = state.config
    yield "delta", f"{found.delta:g}", "chance that the promise does not hold"
    if found.budget is not None:
        yield "budget", f"{found.budget:g}", "epsilon that the state allows itself"
    yield "sums", f"{state.sums:,}", f"of {len(state.counted):,} kinds"
    yield "population", f"{config.population_size:,}", "clients sampled from, as the state says"
    yield "sampling", _SAMPLING[config.sampling_method], _SAMPLED[config.sampling_method]
    yield "neighbours", config.neighboring_relation, "populations that must be hard to tell apart"
    for event, count in state.counted[:10]:
        yield (
            "z",
            f"{event.noise_multiplier:g}",
            f"noise over clip norm; {event.sample_size:,} clients; {count:,} times",
        )
    if len(state.counted) > 10:  # noqa: PLR2004 - as many as are listed
        yield "", "", f"and {len(state.counted) - 10:,} more kinds"


_SAMPLING = {"poisson": "Poisson", "without-replacement": "fixed size", "no-amplification": "none"}
_SAMPLED = {
    "poisson": "each client joins by a coin; only if nobody sees who did",
    "without-replacement": "by dp-accounting alone: we have no closed form for it",
    "no-amplification": "no amplification is claimed",
}
