"""A design as a table for people and as JSON for scripts. Words instead of Greek: it must print anywhere."""

from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain, repeat
from math import sqrt

import msgspec

from covey.accounting import round_up
from covey.planner import Design
from covey.planner.calibrate import Kind, groups, guaranteed
from covey.planner.noise import excess
from covey_audit.accountants import Counted, with_dp_accounting, with_opacus

Row = tuple[str, str, str]

SUM_OF: dict[Kind, str] = {
    "train": "training",
    "statistics": "statistics",
    "validate": "validation",
    "calibrate": "calibration",
    "health": "health",
}


def print_plan(design: Design, *, check: bool) -> None:
    """Print a design as labelled lines, each with its unit and what it means.

    Args:
        design: What to print.
        check: Add what other libraries compute.
    """
    from rich.console import Console  # noqa: PLC0415 - `covey --help` does without
    from rich.table import Table  # noqa: PLC0415 - idem
    from rich.text import Text  # noqa: PLC0415 - idem

    console = Console(highlight=False)
    for title, rows in _sections(design, check=check):
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(no_wrap=True, min_width=16)
        table.add_column(no_wrap=True, min_width=12)
        table.add_column()
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(Text(title, style="bold"))
        console.print(table)
        console.print()
    console.print(Text(_closing(design)))


def as_json(design: Design, *, check: bool) -> str:
    """A design as one JSON object; epsilon is rounded up to 6 digits.

    Args:
        design: What to print.
        check: Add what other libraries compute.
    """
    facts = {
        "unit": design.run.unit,
        "delta": design.run.delta,
        "sampler_delta": design.sampler_delta,
        "epsilon": {
            "server": round_up(design.server.value, 6),
            "release": round_up(design.release.value, 6),
        },
        "cohort": design.cohort,
        "removal": design.removal,
        "sensitivity": design.run.sensitivity,
        "multipliers": design.multipliers,
        "noise": design.noise,
        "bits": design.bits,
        "bytes_per_device": design.traffic,
    }
    checked = {"recomputed": _recomputed(design)} if check else {}
    return msgspec.json.encode({**facts, **checked}).decode()


def _sections(design: Design, *, check: bool) -> Iterator[tuple[str, list[Row]]]:
    yield f"Promise for one {design.run.unit}, whole run", [*_promise(design), *_checked(design, check=check)]
    yield "Cohort of one sum", list(_cohort(design))
    yield "Noise", list(_noise(design))
    yield "Bytes of one device in a training sum", list(_bytes(design))


def _promise(design: Design) -> Iterator[Row]:
    corrupt = _count(design.cohort.corrupt, "device")
    yield "epsilon, server", _up(design.server.value), f"against the server with {corrupt} on its side"
    yield (
        "epsilon, release",
        _up(design.release.value),
        "against others, who see only what is released, if every device adds its noise",
    )
    yield "delta", f"{design.run.delta:.3g}", _delta_note(design)
    for each in design.allotments:
        query = each.query
        note = f"{query.length:,} numbers each"
        if query.sampling_rate < 1:
            note += f"; examples join with chance {query.sampling_rate:g}, by secret coins"
        yield f"{SUM_OF[query.kind]} sums", f"{query.sums:,}", note


def _delta_note(design: Design) -> str:
    if design.sampler_delta > design.run.delta / 1000:
        return f"NOT KEPT: noise tables add {design.sampler_delta:.1g} at such an epsilon; use more noise"
    return "chance that the promise does not hold; the noise sampler adds less than a thousandth"


def _checked(design: Design, *, check: bool) -> Iterator[Row]:
    for library, value in _recomputed(design).items() if check else ():
        yield library, _up(value), "epsilon, server: recomputed by this library"


def _recomputed(design: Design) -> dict[str, float]:
    """The server's ε by other libraries; the greatest of the groups, as ours."""
    event = guaranteed(design.run.sensitivity)
    of_kind = {each.query.kind: each for each in design.allotments}
    runs: list[Counted] = [
        [(event(of_kind[query.kind]), query.sums) for query in group]
        for group in groups(design.run.unit, [each.query for each in design.allotments])
    ]
    found = {"dp-accounting": max(with_dp_accounting(run, design.run.delta) for run in runs)}
    if find_spec("opacus"):
        found["Opacus"] = max(with_opacus(run, design.run.delta) for run in runs)
    return found


def _cohort(design: Design) -> Iterator[Row]:
    cohort = design.cohort
    yield "devices", f"{cohort.devices:,}", "asked"
    yield (
        "minimum",
        f"{cohort.minimum:,}",
        f"fewest answers that are opened: {_count(cohort.tolerance, 'device')} may drop out",
    )
    yield "honest", f"{cohort.honest:,}", f"minimum less {cohort.corrupt} corrupt: only their noise counts"
    if cohort.profile == "malicious-server":
        yield "threshold", f"{cohort.threshold:,}", "devices that must agree before a sum is opened"
    else:
        yield "neighbours", f"{cohort.neighbours:,}", "devices that each one shares masks with"
        yield "threshold", f"{cohort.threshold:,}", "neighbours that recover the masks of a drop-out"
        yield "server", "semi-honest", "follows the protocol; one that does not can read single answers"


def _noise(design: Design) -> Iterator[Row]:
    notes = chain(["noise multiplier: sd of the sum per element, in clip norms"], repeat("likewise"))
    for each, note in zip(design.allotments, notes, strict=False):
        yield f"z, {SUM_OF[each.query.kind]}", f"{each.multiplier:g}", note
    yield (
        "sensitivity",
        f"{design.run.sensitivity:,}",
        f"integer units that one {design.run.unit}'s clip norm is scaled to",
    )
    budget = design.noise["train"]
    yield "share", f"{sqrt(sum(budget.shares)):,.0f}", "sd of what one device adds, integer units per element"
    extra = excess(budget)
    if design.removal:
        yield "removal", "on", f"else z is {extra:.2f} times as large when nobody drops out"
    else:
        yield "removal", "off", f"z is {extra:.2f} times as large when nobody drops out"
    yield "noise to signal", f"{_noise_to_signal(design):.3g}", _signal_note(design)


def _noise_to_signal(design: Design) -> float:
    """L2 norm of the noise in the mean of a training sum, over the clip norm."""
    train = next(each for each in design.allotments if each.query.kind == "train")
    rows = design.cohort.devices * design.run.examples * train.query.sampling_rate
    return train.multiplier * sqrt(train.query.length) / rows


def _signal_note(design: Design) -> str:
    mean = "mean update" if design.run.unit == "device" else "mean gradient"
    return f"length of the noise in a round's {mean}, in clip norms; the signal is at most 1 long"


def _bytes(design: Design) -> Iterator[Row]:
    sent, bits = design.traffic["train"], design.bits["train"]
    yield "sent", _kilobytes(sent.up), f"of it {_kilobytes(sent.vector)} the vector, {bits} bits a number"
    yield "received", _kilobytes(sent.down), "of it the model as 32-bit floats"


def _closing(design: Design) -> str:
    owner = {
        "device": "It is for a person only if each person has one device.",
        "example": "It is for one example: those of one person add up. Examples must not overlap.",
    }[design.run.unit]
    corrupt = _count(design.cohort.corrupt, "device")
    return (
        f"{owner} It rests on at most {corrupt} of the whole fleet siding with the server,"
        " and on the others running unchanged code. Who takes part is not hidden."
    )


def _up(value: float) -> str:
    """A claim, rounded up."""
    return f"{round_up(value, 3):.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _kilobytes(count: int) -> str:
    return f"{round_up(count / 1000, 1):,.1f} kB"
