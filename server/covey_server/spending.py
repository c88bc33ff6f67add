"""What a run's sums have cost so far, computed from `sums.jsonl` and from nothing else.

Every reserve counts, also of sums that were aborted or cut short by a crash: devices may have answered.
Cohorts of one sum ask different devices, so the costliest of them counts. For the unit example held-out
examples are others than those trained on: validation is composed in parallel with the rest, and the larger ε
counts. Without masks the server sees each answer alone: against it only that device's own noise counts, and
of that what stays when all that can be removed is asked for.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from covey.accounting import DiscreteGaussian, Epsilon, Event, Skellam, epsilon
from covey.noise.removal import local_shares
from covey_server.run_folder import Row

View = Literal["server", "release"]


@dataclass(frozen=True)
class Spent:
    """What a run has cost.

    Attributes:
        unit: The unit of privacy.
        delta: δ.
        server: ε against the server and C_max devices; None if a sum had no noise. Without masks against the
            server that saw each answer.
        release: ε against an outsider who sees only releases and controls no device; None likewise.
        simulated: Whether noise was drawn from a seed: the ε are what a fleet would have, and protect nobody.
        sums: How many sums were reserved, by kind.
        unopened: How many of them were not opened.
    """

    unit: str
    delta: float
    server: Epsilon | None
    release: Epsilon | None
    simulated: bool
    sums: dict[str, int]
    unopened: int


def spent(rows: Iterable[Row], delta: float) -> Spent:
    """The cost of the sums in a book.

    Args:
        rows: Of `sums.jsonl`, at least one of them a reserve.
        delta: δ of the whole run.
    """
    rows = list(rows)
    reserves = [row for row in rows if row["event"] == "reserve"]
    settled = {(row["sum"], row["cohort_number"]): row for row in rows if row["event"] == "settle"}
    noisy = all(row["noise"] for row in reserves)
    return Spent(
        unit=reserves[0]["unit"],
        delta=delta,
        server=_epsilon(reserves, settled, delta, "server") if noisy else None,
        release=_epsilon(reserves, settled, delta, "release") if noisy else None,
        simulated=any(row["noise"] and row["noise"]["seeded"] for row in reserves),
        sums=dict(Counter(row["kind"] for row in reserves if row["cohort_number"] == 0)),
        unopened=sum((row["sum"], row["cohort_number"]) not in settled for row in reserves),
    )


def _epsilon(reserves: list[Row], settled: dict[tuple[int, int], Row], delta: float, view: View) -> Epsilon:
    groups: dict[bool, Counter[Event]] = {}
    for serial in {row["sum"]: None for row in reserves}:
        cohorts = [row for row in reserves if row["sum"] == serial]
        events = [_event(row, settled.get((serial, row["cohort_number"])), view) for row in cohorts]
        costliest = max(events, key=lambda event: event.renyi(2))
        apart = cohorts[0]["unit"] == "example" and cohorts[0]["kind"] == "validate"
        groups.setdefault(apart, Counter())[costliest] += 1
    costs = [epsilon(list(counted.items()), delta) for counted in groups.values()]
    return max(costs, key=lambda cost: cost.value)


def _event(row: Row, end: Row | None, view: View) -> Event:
    """One sum's mechanism. In the server's view only the noise that honest devices guarantee counts."""
    noise, rate = row["noise"], row["sampling_rate"]
    honest, bare = row["minimum"] - row["corrupt"], view == "server" and row["masks"] == "none"
    if noise["mechanism"] == "discrete-gaussian":
        (local,) = _shares(row, row["asked"])
        guaranteed = 1 if bare else honest
        contributors = guaranteed if view == "server" or end is None else end["devices"]
        return DiscreteGaussian(row["norm"], row["elements"], local, contributors, rate)
    guaranteed = _own(row) if bare else noise["variance"]
    variance = guaranteed if view == "server" or end is None else _left(row, end)
    return Skellam(row["norm"], row["elements"], variance, rate)


def _own(row: Row) -> int:
    """The least variance of the noise in a single answer that is sent in clear."""
    return _shares(row, row["asked"])[0]


def _left(row: Row, end: Row) -> int:
    """The variance of all survivors' noise in an opened sum: more than the server's view may count on."""
    shares, stay = _shares(row, end["sharing"]), end["sharing"] - end["devices"] + 1
    return int(end["devices"] * sum(shares[:stay]) + end["noise_left"] * sum(shares[stay:]))


def _shares(row: Row, sharing: int) -> tuple[int, ...]:
    """What each device added."""
    noise, of = row["noise"], {"corrupt": row["corrupt"], "minimum": row["minimum"]}
    return local_shares(noise["variance"], sharing=sharing, removal=noise["removal"], **of)
