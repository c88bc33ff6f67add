"""What a run would release: its model in every variant, how int8 was calibrated, and what the gate says.

Between the last round and the package devices are asked up to two more private sums: ranges for int8, and
what they make of the result. Each is asked once in a run, however often the run is stopped and gone on with,
unless it stops in the moment between the sum and its file: then it is asked, and paid, again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from covey.errors import InputError
from covey.examples import Floats
from covey.gate import GateReport
from covey.package.contents import Variant
from covey_models.export import to_onnx
from covey_models.model import Model
from covey_models.observing import probes
from covey_models.quantise import METHODS, to_int8, to_int8_weights, to_int8_with
from covey_models.training import load
from covey_server.calibrating import Ask, Ranges, Trained, private_ranges
from covey_server.coordinator import Federated
from covey_server.gating import gate
from covey_server.settings import FederationFile

Pooled = Callable[[], Floats]
"""Scaled training inputs in one place, as only a simulation has them."""


@dataclass(frozen=True)
class Candidate:
    """What would be released.

    Attributes:
        trained: What it was made from.
        variants: ONNX files.
        calibration: How int8 came about, in a sentence or two; empty without int8.
        gate: What devices made of it; None where they were not asked.
    """

    trained: Trained
    variants: Mapping[Variant, bytes]
    calibration: str
    gate: GateReport | None

    def check(self) -> None:
        """Refuse what the gate does not let pass.

        Raises:
            InputError: Says which number failed. Nothing was packaged.
        """
        if self.gate is not None and not self.gate.may_publish:
            raise InputError(
                f"nothing is released: {self.gate.words}",
                hint="train on, or with other [release.limits], under another name; gate.json has it all",
            )


def candidate(
    ask: Ask, file: FederationFile, trained: Trained, folder: Path, pooled: Pooled | None = None
) -> Candidate:
    """Quantise and compare.

    Args:
        ask: One private sum over all devices.
        file: The federation.
        trained: Its result.
        folder: The run's, where answers are kept.
        pooled: Where there is such a thing.

    Raises:
        RoundAborted: Too few devices.
        InputError: Pooled examples are asked for where there are none.
        StateError: An answer that was kept is damaged.
    """
    int8, words = _int8(ask, file, trained, folder, pooled)
    variants: dict[Variant, bytes] = {"fp32": trained.fp32}
    if int8 is not None:
        variants["int8"] = int8
    decided = None
    if file.release.gate:
        decided = gate(ask, file, trained, int8 or trained.fp32, folder)
    return Candidate(trained, variants, words, decided)


def trained_of(model: Model, federated: Federated) -> Trained:
    """A federation's result as what follows needs it."""
    network = model.build()
    load(network, federated.parameters)
    fp32 = to_onnx(network, model.input_shape)
    return Trained(model, network, federated.parameters, federated.preprocessing, fp32)


def _private(found: Ranges, fp32: bytes) -> tuple[bytes, str]:
    """Where noise left too little of the ranges, int8 weights alone: those need none."""
    if found.drowned:
        return to_int8_weights(fp32), f"{METHODS['weights-only']} Noise drowned the ranges: {found.words}"
    return to_int8_with(fp32, found.tensors), found.words


def _int8(
    ask: Ask, file: FederationFile, trained: Trained, folder: Path, pooled: Pooled | None
) -> tuple[bytes | None, str]:
    release = file.release
    if not release.int8:
        return None, ""
    told = METHODS[release.calibration]
    match release.calibration:
        case "private":
            return _private(private_ranges(ask, file, trained, folder), trained.fp32)
        case "weights-only":
            return to_int8_weights(trained.fp32), told
        case "public":
            inputs = probes(trained.model.input_shape, file.seed)[: release.calibration_examples]
            return to_int8(trained.fp32, inputs), told
        case "pooled":
            if pooled is None:
                raise InputError(
                    "no fleet has its training examples in one place",
                    hint='set [release] calibration = "private"',
                )
            return to_int8(trained.fp32, pooled()), told
