"""Gathers what the report shows from a run's folder and outcome."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covey import __version__
from covey.arrays import digest
from covey.examples import Standardise
from covey.metrics import accuracy
from covey.package.contents import Variant
from covey.package.verify import Package
from covey_server.candidate import Candidate
from covey_server.coordinator import Federated
from covey_server.summary import privacy_of
from covey_simulations.beside import round_of
from covey_simulations.evaluation import by_device, log_lines
from covey_simulations.packaging import parameters_count
from covey_simulations.protected import protection_of
from covey_simulations.report.facts import Beside, DeviceResult, ReportFacts, VariantResult
from covey_simulations.sent import sent
from covey_simulations.world import World

LOG_LINES = 20


@dataclass(frozen=True)
class Outcome:
    """What a simulation came to."""

    federated: Federated
    preprocessing: Standardise
    central: NDArray[np.int64] | None
    candidate: Candidate
    package: Package
    package_path: Path
    variants: Mapping[Variant, VariantResult]
    seconds: Mapping[str, float]


def report_facts(world: World, outcome: Outcome, beside: Beside | None) -> ReportFacts:
    """Everything the report shows.

    Args:
        world: What was known before training.
        outcome: What the simulation came to.
        beside: A finished run to compare with.
    """
    federated, data, file = outcome.federated, world.data, world.file
    sums = world.folder.sum_rows()
    devices = by_device(data, world.model, federated.parameters, outcome.preprocessing)
    return ReportFacts(
        name=file.name,
        when=datetime.now().astimezone().isoformat(timespec="minutes"),
        version=__version__,
        machine=_machine(),
        seconds=outcome.seconds,
        seed=file.seed,
        data=data.name,
        data_notes=data.notes,
        data_citation=data.citation,
        data_licence=data.licence,
        synthetic=data.synthetic,
        model=world.model.name,
        model_summary=world.model.summary,
        model_parameters=parameters_count(world),
        model_source=world.model.source,
        strategy=file.strategy.name,
        labels=world.model.labels,
        rounds=tuple(map(round_of, world.folder.rows())),
        accuracy_federated=federated.validation.accuracy,
        accuracy_exact=_over_all(devices) if len(devices) == len(data.devices) else None,
        accuracy_central=None if outcome.central is None else accuracy(outcome.central).value,
        confusion=federated.validation.confusion,
        devices=devices,
        fleet=len(data.devices),
        variants={str(name): found for name, found in outcome.variants.items()},
        calibration=outcome.candidate.calibration,
        calibration_pooled=file.release.int8 and file.release.calibration == "pooled",
        gate="" if outcome.candidate.gate is None else outcome.candidate.gate.words,
        sent=sent(sums),
        privacy=privacy_of(sums, file.privacy.delta),
        protection=protection_of(sums, file.privacy.delta, federated.validation),
        beside=beside,
        failures=log_lines(world.logs, LOG_LINES),
        package=outcome.package_path.name,
        package_bytes=outcome.package_path.stat().st_size,
        package_sha256=hashlib.sha256(outcome.package_path.read_bytes()).hexdigest(),
        key_fingerprint=outcome.package.fingerprint,
        package_files={name: len(content) for name, content in sorted(outcome.package.files.items())},
        model_sha256=digest(federated.parameters),
        config=(world.folder.path / "config.toml").read_text("utf-8"),
        commands=_commands(world.folder.path, outcome.package_path),
    )


def _over_all(devices: Sequence[DeviceResult]) -> float | None:
    """Accuracy on everyone's held-out examples."""
    known = [(each.accuracy, each.held_out_examples) for each in devices if each.accuracy is not None]
    total = sum(examples for _, examples in known)
    return sum(accuracy * examples for accuracy, examples in known) / total if total else None


def _machine() -> str:
    return f"{_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _processor() -> str:
    """The processor's own name where Linux knows it (ARM kernels often do not), else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [
        value.strip()
        for key, _, value in (line.partition(":") for line in lines)
        if key.strip() == "model name"
    ]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def _commands(folder: Path, package: Path) -> dict[str, str]:
    key = folder / "keys" / "release.pub.pem"
    return {
        f"covey package verify {package} --key {key}": "check the package against its key",
        f"covey package show {package}": "see what is in it",
        f"covey simulate {folder / 'config.toml'}": "run this federation again",
    }
