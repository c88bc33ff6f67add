"""Gathers what the report shows from a run's folder and outcome."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

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
from covey_server.run_folder import RunFolder
from covey_server.summary import privacy_of
from covey_simulations.availability.run import clock_facts
from covey_simulations.beside import round_of
from covey_simulations.evaluation import by_device, log_lines
from covey_simulations.fleet import DEVICE_LOGS
from covey_simulations.packaging import parameters_count
from covey_simulations.protected import protection_of
from covey_simulations.report.facts import Beside, DeviceResult, ReportFacts, VariantResult
from covey_simulations.sent import sent
from covey_simulations.world import Scenario

LOG_LINES = 20


@dataclass(frozen=True)
class Outcome:
    """What a simulation came to; of a run that ended with its training, nothing was packaged."""

    federated: Federated
    preprocessing: Standardise
    central: NDArray[np.int64] | None
    candidate: Candidate | None
    package: Package | None
    package_path: Path | None
    variants: Mapping[Variant, VariantResult]
    seconds: Mapping[str, float]


def report_facts(
    scenario: Scenario, folder: RunFolder, outcome: Outcome, beside: Beside | None
) -> ReportFacts:
    """Everything the report shows.

    Args:
        scenario: What was known before training.
        folder: The run's.
        outcome: What the simulation came to.
        beside: A finished run to compare with.
    """
    federated, data, file, model = outcome.federated, scenario.data, scenario.file, scenario.model
    sums, made = folder.sum_rows(), outcome.candidate
    devices = by_device(data, model, federated.parameters, outcome.preprocessing)
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
        model=model.name,
        model_summary=model.summary,
        model_parameters=parameters_count(model),
        model_source=model.source,
        strategy=file.strategy.name,
        labels=model.labels,
        rounds=tuple(map(round_of, folder.rows())),
        accuracy_federated=federated.validation.accuracy,
        accuracy_exact=_over_all(devices) if len(devices) == len(data.devices) else None,
        accuracy_central=None if outcome.central is None else accuracy(outcome.central).value,
        confusion=federated.validation.confusion,
        devices=devices,
        fleet=len(data.devices),
        clock=clock_facts(folder, file.availability),
        variants={str(name): found for name, found in outcome.variants.items()},
        calibration=made.calibration if made else "",
        calibration_pooled=file.release.int8 and file.release.calibration == "pooled",
        gate=made.gate.words if made and made.gate else "",
        sent=sent(sums),
        privacy=privacy_of(sums, file.privacy.delta),
        protection=protection_of(sums, file.privacy.delta, federated.validation),
        beside=beside,
        failures=log_lines(folder.path / DEVICE_LOGS, LOG_LINES),
        model_sha256=digest(federated.parameters),
        config=(folder.path / "config.toml").read_text("utf-8"),
        commands=_commands(folder.path, outcome.package_path),
        **_packed(outcome.package, outcome.package_path),
    )


def _packed(package: Package | None, path: Path | None) -> dict[str, Any]:
    """What the report says of the package; where there is none, nothing."""
    if package is None or path is None:
        none = {"package": "", "package_sha256": "", "key_fingerprint": ""}
        return none | {"package_bytes": 0, "package_files": {}}
    return {
        "package": path.name,
        "package_bytes": path.stat().st_size,
        "package_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "key_fingerprint": package.fingerprint,
        "package_files": {name: len(content) for name, content in sorted(package.files.items())},
    }


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


def _commands(folder: Path, package: Path | None) -> dict[str, str]:
    again = f"covey simulate {folder / 'config.toml'}"
    if package is None:
        return {again: "run this federation again, to a package"}
    key = folder / "keys" / "release.pub.pem"
    return {
        f"covey package verify {package} --key {key}": "check the package against its key",
        f"covey package show {package}": "see what is in it",
        again: "run this federation again",
    }
