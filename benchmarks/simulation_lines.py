"""What is printed: a JSON line for each thing measured, and a table made of such lines."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from simulation_contestants import Contestant
from simulation_measuring import Measured

Line = Mapping[str, Any]
FIGURES = (
    "cpu_ms_per_update",
    "updates_per_s",
    "peak_rss_mb",
    "peak_pss_mb",
    "first_round_s",
    "round_s",
    "cpu_s",
    "wall_s",
    "accuracy",
    "loss",
)
NONE = "\N{EN DASH}"
WORTH_A_WORD = 1.5
"""Whoever's loss is so many times the least of the same workload has not done the same."""


def figures(measured: Measured, rounds: int, cohort: int) -> dict[str, float]:
    """Of one run."""
    updates = (rounds - 1) * cohort
    return {
        "cpu_ms_per_update": 1e3 * measured.cpu_s / updates,
        "updates_per_s": updates / measured.wall_s,
        "peak_rss_mb": measured.peak_rss_mb,
        "peak_pss_mb": measured.peak_pss_mb,
        "first_round_s": measured.first_round_s,
        "round_s": measured.wall_s / (rounds - 1),
        "cpu_s": measured.cpu_s,
        "wall_s": measured.wall_s,
        "accuracy": measured.said["accuracy"],
        "loss": measured.said["loss"],
    }


def line(
    heading: Mapping[str, Any], contestant: Contestant, runs: Sequence[Measured], rounds: int
) -> dict[str, Any]:
    """Of some runs of the same: medians, and beside them the least and the most.

    Args:
        heading: What was run: workload, clients, cohort.
        contestant: Who ran it.
        runs: At least one.
        rounds: That each of them had.
    """
    found = [figures(each, rounds, heading["cohort"]) for each in runs]
    values = {name: [each[name] for each in found] for name in FIGURES}
    return {
        **heading,
        "engine": contestant.engine,
        "peer": contestant.peer,
        **{name: _rounded(median(each)) for name, each in values.items()},
        "rounds": rounds,
        "repeats": len(runs),
        "spread": {name: [_rounded(min(each)), _rounded(max(each))] for name, each in values.items()}
        if len(runs) > 1
        else {},
        "versions": runs[0].said["versions"],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def name(each: Line) -> str:
    """Of whose engine a line is."""
    return f"{each['peer']}, {each['engine']}"


def behind(lines: Iterable[Line]) -> list[str]:
    """Who did not learn what the others learned."""
    by_workload: dict[str, list[Line]] = {}
    for each in lines:
        by_workload.setdefault(each["workload"], []).append(each)
    return [
        f"{name(each)} ends with a loss of {each['loss']:.3f} on {workload}, another with {least:.3f}:"
        " they have not done the same"
        for workload, same in by_workload.items()
        for least in [min(each["loss"] for each in same)]
        for each in same
        if each["loss"] > WORTH_A_WORD * least
    ]


def read(path: Path) -> list[Line]:
    """Lines from a file; of several of one thing the last."""
    lines = [json.loads(text) for text in path.read_text("utf-8").splitlines() if text.strip()]
    return list({_key(each): each for each in lines}.values())


def _key(each: Line) -> tuple[Any, ...]:
    return tuple(each[key] for key in ("workload", "peer", "engine", "clients", "cohort"))


def table(lines: Iterable[Line]) -> str:
    """Markdown: a row for each engine, its CPU time in each workload, and what it takes besides.

    CPU time is the median, with the least and the most. What is read off the clock is the best of the
    repeats: the rest is the machine's other work.
    """
    lines = list(lines)
    workloads = sorted({each["workload"] for each in lines})
    rows: dict[tuple[str, str], dict[str, Line]] = {}
    for each in lines:
        rows.setdefault((each["peer"], each["engine"]), {})[each["workload"]] = each
    names = " / ".join(workloads)
    head = [
        "CPU ms an update",
        *workloads,
        *(f"{title}, {names}" for title in ("updates/s", "peak MB", "first round, s", "loss")),
    ]
    text = [_row(head), _row(["---"] * len(head))]
    for (peer, engine), found in rows.items():
        cells = [
            f"{peer}, {engine}",
            *(_cpu(found.get(workload)) for workload in workloads),
            _best(found, workloads, "updates_per_s", -1),
            _middle(found, workloads, "peak_rss_mb"),
            _best(found, workloads, "first_round_s", 0),
            _middle(found, workloads, "loss"),
        ]
        text.append(_row(cells))
    return "\n".join(text)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cpu(found: Line | None) -> str:
    if found is None:
        return NONE
    ends = found["spread"].get("cpu_ms_per_update")
    beside = f" ({_short(ends[0])} to {_short(ends[1])})" if ends else ""
    return _short(found["cpu_ms_per_update"]) + beside


def _middle(found: Mapping[str, Line], workloads: Sequence[str], figure: str) -> str:
    """The medians."""
    return " / ".join(_short(found[each][figure]) if each in found else NONE for each in workloads)


def _best(found: Mapping[str, Line], workloads: Sequence[str], figure: str, end: int) -> str:
    """The least (end 0) or the most (end -1) of the repeats."""
    values = [
        _short(found[each]["spread"].get(figure, [found[each][figure]])[end]) if each in found else NONE
        for each in workloads
    ]
    return " / ".join(values)


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")  # noqa: PLR2004 - three digits
