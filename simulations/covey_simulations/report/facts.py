"""What a report shows, as plain frozen data; computed elsewhere, drawn in `render`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey_server.summary import Privacy, Summary, VirtualClock
from covey_simulations.report.protection import Protection


@dataclass(frozen=True)
class Round:
    """One round; accuracy is None in rounds without validation, hours without a virtual clock."""

    round: int
    loss: float
    accuracy: float | None
    devices: int
    seconds: float
    hours: float | None = None


@dataclass(frozen=True)
class DeviceResult:
    """One device of a simulation; no fleet's server could know this.

    Attributes:
        name: The device.
        group: Whom it belongs to (a subject); its own name if that is unknown.
        train_examples: Trained on.
        held_out_examples: Evaluated on; 0 gives accuracy None.
        accuracy: Share of its held-out examples that the federated model gets right.
    """

    name: str
    group: str
    train_examples: int
    held_out_examples: int
    accuracy: float | None


@dataclass(frozen=True)
class VariantResult:
    """One variant of the packaged model, run by ONNX Runtime on this machine.

    Attributes:
        accuracy: On all held-out examples.
        bytes: Size of the model file.
        p50_us: Median latency of one input, preprocessing included, µs.
        p95_us: 95th percentile of the same.
    """

    accuracy: float
    bytes: int
    p50_us: float
    p95_us: float


@dataclass(frozen=True)
class SentKind:
    """What one kind of query took from each device, over the whole run.

    Attributes:
        kind: "train", "gradient", "validate" or "statistics".
        sums: Private sums of this kind.
        elements: Integers in one answer.
        bytes_per_answer: Of the vector, one device, one answer.
        bytes_for_masks: About what keys, shares and signatures take beside it; 0 without masks.
        bytes_per_device: Both, over the run, for a device that answered every time.
        parts: What the vector holds, in order, with lengths and clip norms: (name, length, clip).
    """

    kind: str
    sums: int
    elements: int
    bytes_per_answer: int
    bytes_for_masks: int
    bytes_per_device: int
    parts: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True)
class Clock:
    """What a run came to on its virtual clock.

    Attributes:
        told: Its figures, as the summary has them.
        trace: Who could be asked when, in a sentence.
        hardware: What the devices are, in a sentence.
        joules: Of each device that was asked; of very many, evenly spaced quantiles.
        bytes: Likewise.
    """

    told: VirtualClock
    trace: str
    hardware: str
    joules: tuple[float, ...]
    bytes: tuple[float, ...]


@dataclass(frozen=True)
class Beside:
    """A finished run that another is compared with.

    Attributes:
        summary: What it came to.
        rounds: In order.
        sent: Bytes of one device's answers over the whole run.
        folder: Where it is.
    """

    summary: Summary
    rounds: tuple[Round, ...]
    sent: int
    folder: str


@dataclass(frozen=True)
class ReportFacts:
    """Everything a report shows.

    Attributes:
        name: The run's name.
        when: Local date and time the run ended, ISO 8601, minutes.
        version: Of covey.
        machine: Processor and system, one line; all latencies are this machine's.
        seconds: Wall time by stage, in order ("data", "training", "central baseline", …).
        seed: The run's seed.
        data: Name of the data set; `data_notes` sentences; `data_citation`; `data_licence`; `synthetic`.
        model: Name, `model_summary`, `model_parameters` (count), `model_source`.
        strategy: The server's optimiser, as in the configuration.
        labels: One per class.
        rounds: In order.
        accuracy_federated: Of the federated model on the held-out examples of all devices, as the last
            private sum gave it: with noise where there is noise.
        accuracy_exact: The same without noise, which only a simulation can count; None where it did not
            look at every device.
        accuracy_central: Of the same network trained on pooled data; None when it was not trained.
        confusion: (classes, classes), of the federated fp32 model; rows are true classes. With noise, counts
            are fractions and may be below 0.
        devices: By device; of a large fleet some of them, evenly spaced.
        variants: By "fp32" and "int8" (absent when none was built).
        calibration: How int8 activation ranges were found; empty without int8.
        calibration_pooled: Whether that took raw examples in one place.
        gate: What devices made of the packaged model, in a line; empty where they were not asked.
        sent: By kind, what left each device.
        privacy: What protected the sums, and what the run cost; `protection` in detail.
        beside: A finished run to compare with, or None.
        failures: Lines from devices' own logs (contributed nothing, and why), at most a few.
        package: File name, `package_bytes`, `package_sha256`, `key_fingerprint`; `package_files` bytes.
        model_sha256: Digest of the federated parameters.
        config: The resolved configuration, TOML.
        commands: Shell commands a reader can run next, with what each does.
        fleet: How many devices there are, where `devices` are some of them; 0 where they are all.
        clock: What the run came to on its virtual clock; None where it had none.
    """

    name: str
    when: str
    version: str
    machine: str
    seconds: Mapping[str, float]
    seed: int
    data: str
    data_notes: tuple[str, ...]
    data_citation: str
    data_licence: str
    synthetic: bool
    model: str
    model_summary: str
    model_parameters: int
    model_source: str
    strategy: str
    labels: tuple[str, ...]
    rounds: tuple[Round, ...]
    accuracy_federated: float
    accuracy_exact: float | None
    accuracy_central: float | None
    confusion: NDArray[np.float64]
    devices: tuple[DeviceResult, ...]
    variants: Mapping[str, VariantResult]
    calibration: str
    calibration_pooled: bool
    gate: str
    sent: tuple[SentKind, ...]
    privacy: Privacy
    protection: Protection
    beside: Beside | None
    failures: tuple[str, ...]
    package: str
    package_bytes: int
    package_sha256: str
    key_fingerprint: str
    package_files: Mapping[str, int]
    model_sha256: str
    config: str
    commands: Mapping[str, str]
    fleet: int = 0
    clock: Clock | None = None

    @property
    def all_devices(self) -> int:
        """How many devices the fleet has."""
        return self.fleet or len(self.devices)
