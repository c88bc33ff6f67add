"""`summary.json`: a run's outcome in one small file for scripts. docs/runs.md shows one."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from covey.accounting import round_up
from covey_io import durable
from covey_server.spending import Spent, spent
from covey_server.sum_rows import Row

DECIMALS = 3


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What protected a run's sums, and what they cost; computed from the ledger.

    Attributes:
        masks: "on", "elided" or "none".
        noise: "skellam", "discrete-gaussian" or "none".
        simulated: Whether noise was drawn from a seed: the ε are what a fleet would have, and protect nobody.
        unit: What the ε are about: one example, or one device's whole contribution.
        delta: δ of the whole run.
        epsilon_server: ε against the server and the devices it may control; null without noise. Rounded up.
        epsilon_release: ε against an outsider who sees only what is released; null without noise. Rounded up.
        sums: Private sums that were asked for, by kind; each counts, also if it was not opened.
        unopened: How many were not opened.
        statement: The claim in words.
    """

    masks: str
    noise: str
    simulated: bool
    unit: str
    delta: float
    epsilon_server: float | None
    epsilon_release: float | None
    sums: dict[str, int]
    unopened: int
    statement: str


def privacy_of(rows: Sequence[Row], delta: float) -> Privacy:
    """What protected a run and what it cost, as its summary has it.

    Args:
        rows: Of the run's sums; see `covey_server.sum_rows`.
        delta: δ of the whole run.
    """
    cost = spent(rows, delta)
    first = next(row for row in rows if row["event"] == "reserve")
    noise = first["noise"]["mechanism"] if first["noise"] else "none"
    server = None if cost.server is None else round_up(cost.server.value, DECIMALS)
    release = None if cost.release is None else round_up(cost.release.value, DECIMALS)
    return Privacy(
        masks=first["masks"],
        noise=noise,
        simulated=cost.simulated,
        unit=cost.unit,
        delta=cost.delta,
        epsilon_server=server,
        epsilon_release=release,
        sums=cost.sums,
        unopened=cost.unopened,
        statement=_statement(first["masks"], cost, server, release),
    )


def _statement(masks: str, cost: Spent, server: float | None, release: float | None) -> str:
    """One line that says no more than holds."""
    hidden = {
        "on": "masked sums: the server saw no single answer",
        "elided": "masks elided: a simulation that skips them",
        "none": "NO MASKS: the server saw every answer",
    }[masks]
    if server is None or release is None:
        return f"{hidden}; NO NOISE: no differential privacy"
    claim = (
        f"ε = {server} against the server, {release} for the release, δ = {cost.delta:g}, unit {cost.unit}"
    )
    seeded = "; SIMULATION: noise from a seed protects nobody; the same settings on a fleet give these ε"
    return f"{hidden}; {claim}{seeded if cost.simulated else ''}"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. What needs pooled or per-device data is null on a fleet.

    Attributes:
        name: The run's name.
        simulation: Whether the devices were simulated.
        model: Name of the architecture.
        rounds: Training rounds.
        devices: Most devices in one training sum.
        privacy: What protected the sums, and what the run cost.
        accuracy_federated: The final model on held-out examples of all connected devices, by a query.
        accuracy_central: The same network trained on pooled data. Simulation only.
        accuracy_fp32: The packaged fp32 model in ONNX Runtime, on pooled held-out examples. Simulation only.
        accuracy_int8: The packaged int8 model, likewise. Simulation only.
        model_sha256: `covey.arrays.digest` of the federated parameters.
        package: Path of the signed package.
        package_bytes: Its size.
        latency_p50_us: Median time from raw input to label of the variant that a device would run, µs.
        seconds: Wall time of the stages; training counts all rounds, also those before a resume.
    """

    name: str
    simulation: bool
    model: str
    rounds: int
    devices: int
    privacy: Privacy
    accuracy_federated: float
    accuracy_central: float | None
    accuracy_fp32: float | None
    accuracy_int8: float | None
    model_sha256: str
    package: str
    package_bytes: int
    latency_p50_us: float | None
    seconds: float


def write(summary: Summary, path: Path) -> None:
    """Write it, durably; a run that has this file is finished."""
    durable.replace(path, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def read(path: Path) -> Summary:
    """Read it back."""
    return msgspec.json.decode(path.read_bytes(), type=Summary)
