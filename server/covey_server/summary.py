"""`summary.json`: a run's outcome in one small file for scripts. docs/runs.md shows one."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from covey import claim
from covey.claim import Privacy
from covey_io import durable
from covey_server.spending import sums_of
from covey_server.sum_rows import Row

__all__ = ["Privacy", "Summary", "privacy_of", "write"]


def privacy_of(rows: Sequence[Row], delta: float) -> Privacy:
    """What protected a run and what it cost, as its summary has it; see `covey.claim`.

    Args:
        rows: Of the run's sums; see `covey_server.sum_rows`.
        delta: δ of the whole run.
    """
    return claim.privacy_of(sums_of(rows), delta)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a figure is distributed over devices.

    Attributes:
        mean: Of all.
        median: Half of them have more.
        p95: One in twenty has more.
        most: Nobody has more.
    """

    mean: float
    median: float
    p95: float
    most: float


class VirtualClock(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated run came to on its virtual clock: modelled, not measured.

    Attributes:
        hours: From its beginning to its last sum.
        waited: Of them, hours before rounds in which too few devices were online.
        devices: That were ever asked; the figures below are over them.
        asked: How often a device was asked for a sum, over all sums.
        answered: How often one was in it.
        joules: Of a device, above idling.
        bytes: That a device received and sent.
        joules_in_all: Of all devices.
        bytes_in_all: Likewise.
    """

    hours: float
    waited: float
    devices: int
    asked: int
    answered: int
    joules: Spread
    bytes: Spread
    joules_in_all: float
    bytes_in_all: int


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
        package: Path of the signed package; null of a run that ended with its training.
        package_bytes: Its size; likewise.
        latency_p50_us: Median time from raw input to label of the variant that a device would run, µs.
        seconds: Wall time of the stages; training counts all rounds, also those before a resume.
        clock: On its virtual clock; null on a fleet, and in a simulation that keeps none.
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
    package: str | None
    package_bytes: int | None
    latency_p50_us: float | None
    seconds: float
    clock: VirtualClock | None = None


def write(summary: Summary, path: Path) -> None:
    """Write it, durably; a run that has this file is finished."""
    durable.replace(path, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def read(path: Path) -> Summary:
    """Read it back."""
    return msgspec.json.decode(path.read_bytes(), type=Summary)
