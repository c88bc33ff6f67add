"""How a round grows with the fleet and with the cohort: the points to measure, and their table."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from simulation_lines import Line, name
from simulation_peers import workload

FLEETS = (1_000, 10_000, 100_000, 1_000_000)
COHORTS = (10, 100, 1_000, 10_000)
COHORT = 100
"""Of every fleet whose size is what changes."""
FLEET = 10_000
"""Or the cohort, if that is larger, where the cohort is what changes."""
ROUNDS = 11
MEASURES = (
    ("round_s", "seconds a round"),
    ("cpu_ms_per_update", "CPU ms an update"),
    ("peak_rss_mb", "peak memory, MB"),
)


def points(fleets: Sequence[int], cohorts: Sequence[int]) -> Iterator[workload.Workload]:
    """W1, larger and smaller."""
    for fleet in fleets:
        yield replace(workload.W1, name="fleet", clients=fleet, cohort=min(COHORT, fleet), rounds=ROUNDS)
    for cohort in cohorts:
        yield replace(workload.W1, name="cohort", clients=max(FLEET, cohort), cohort=cohort, rounds=ROUNDS)


def table(lines: Iterable[Line]) -> str:
    """Markdown: a row for each point."""
    titles = " | ".join(title for _, title in MEASURES)
    rows = [
        f"| {name(each)} | {each['clients']:,} | {each['cohort']:,} | "
        + " | ".join(f"{each[measure]:,.4g}" for measure, _ in MEASURES)
        + " |"
        for each in lines
    ]
    return "\n".join((f"| engine | devices | a round | {titles} |", "|---" * 6 + "|", *rows))
