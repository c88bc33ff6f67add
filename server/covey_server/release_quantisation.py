"""How a release's int8 model came about, and which layers suffer most from it."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Final

import msgspec

from covey.errors import StateError
from covey.package.contents import Contents, Variant
from covey.package.names import CARD
from covey.package.provenance_record import Layer, Quantisation
from covey_models.observing import probes
from covey_models.quantise import METHODS
from covey_models.quantise_graph import Range, asked, prepared, seen
from covey_models.sensitivity import sensitivity
from covey_server.release_run import Finished, Int8

RANGES: Final = "calibration.json"
MEASURE: Final = "relative L2 error of the logits over public probes, with this layer alone in int8"
MOST_LAYERS: Final = 512
_CALIBRATED: Final = "int8 calibration: "


class _Kept(msgspec.Struct, frozen=True):
    """Of what a run keeps of its private calibration, the part that is needed here."""

    tensors: dict[str, Range]


def quantisation(finished: Finished, int8: Int8, models: Mapping[Variant, bytes]) -> Quantisation:
    """What a release says of it.

    Args:
        finished: The run.
        int8: What was asked for.
        models: What is released.

    Raises:
        StateError: What the run kept of its calibration is damaged.
    """
    fp32 = models["fp32"]
    if "int8" not in models:
        return Quantisation(method="none", fp32_bytes=len(fp32))
    if int8 == "weights-only" or finished.file.release.calibration == "weights-only":
        return Quantisation(
            method="weights-only",
            calibration=METHODS["weights-only"],
            fp32_bytes=len(fp32),
            int8_bytes=len(models["int8"]),
        )
    return Quantisation(
        method="static",
        calibration=calibration_of(finished.package),
        measure=MEASURE,
        layers=_layers(finished, fp32),
        fp32_bytes=len(fp32),
        int8_bytes=len(models["int8"]),
    )


def calibration_of(package: Contents) -> str:
    """What a package's card says of its calibration; empty where it says nothing."""
    lines = package.files[CARD].decode("utf-8", "replace").splitlines()
    said = next((line for line in lines if line.startswith(_CALIBRATED)), "")
    return said.removeprefix(_CALIBRATED)[:2000]


def _layers(finished: Finished, fp32: bytes) -> tuple[Layer, ...]:
    """Most sensitive first; none for a network without layers that could be int8."""
    shape, seed = finished.model.input_shape, finished.file.seed
    try:
        found = sensitivity(fp32, _ranges(finished, fp32), shape, seed=seed)
    except ValueError:
        return ()
    errors = {each.node: each.probes.error for each in found.layers if each.quantised}
    worst = sorted(errors, key=errors.__getitem__, reverse=True)
    known = [Layer(name=name, sensitivity=f"{errors[name]:.6f}") for name in worst if isfinite(errors[name])]
    return tuple(known[:MOST_LAYERS])


def _ranges(finished: Finished, fp32: bytes) -> dict[str, Range]:
    """The run's own from its private calibration, else those of public probes."""
    path: Path = finished.folder.path / RANGES
    if path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Kept).tensors
        except msgspec.MsgspecError as error:
            raise StateError(f"{path} is damaged: {error}", hint="put it back as it was") from error
    model = prepared(fp32)
    return seen(model, probes(finished.model.input_shape, finished.file.seed), asked(model))
