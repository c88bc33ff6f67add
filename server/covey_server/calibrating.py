"""Ranges of activations for int8, by a private sum over devices: the server has no data to find them in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from torch import nn

from covey.arrays import Parameters, digest
from covey.errors import StateError
from covey.examples import Standardise
from covey.plan import Calibrate, Observed, Task
from covey_io import durable
from covey_models import ranges
from covey_models.model import Model
from covey_models.observing import count, public_scales
from covey_models.quantise_points import points_of, without_point
from covey_server.run_folder import CALIBRATION
from covey_server.settings import FederationFile
from covey_strategies.private_sum import PrivateSum
from covey_strategies.queries import calibrate

AGAIN: Final = "remove it: the devices are asked again, and that counts again"

Ask = Callable[[Task, Parameters, Standardise | None], PrivateSum]
"""One private sum over all connected devices: a task, what goes with it, how inputs are scaled for it."""


class Ranges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was found, as kept in the run's folder: a run that goes on does not ask again.

    Attributes:
        model: Digest of the parameters that were asked about.
        tensors: Smallest and largest value by name of the ONNX tensor.
        lost: Tensors of which noise left too little on a side; there the public scale stands.
        left_out: Tensors that devices cannot be asked about: nodes around them stay in float32.
        examples: How many were counted, about.
        deviation: Standard deviation of the noise in each count, in examples.
        devices: In the sum.
    """

    model: str
    tensors: dict[str, tuple[float, float]]
    lost: tuple[str, ...]
    left_out: tuple[str, ...]
    examples: float
    deviation: float
    devices: int

    @property
    def drowned(self) -> bool:
        """Whether most ranges are public ones: those may cost points of accuracy."""
        return 2 * len(self.lost) > len(self.tensors)

    @property
    def words(self) -> str:
        """For the model card."""
        noise = f", noise of deviation {self.deviation:.3g} on each count" if self.deviation else ""
        lost = f"; {len(self.lost)} drowned in noise and have a public range" if self.lost else ""
        return (
            f"Activation ranges by a private sum over {self.devices} devices, about {self.examples:.0f}"
            f" training examples{noise}: {len(self.tensors)} tensors{lost}."
        )


@dataclass(frozen=True)
class Trained:
    """What is to be quantised.

    Attributes:
        model: Its architecture.
        network: With the trained parameters.
        parameters: Those.
        preprocessing: How devices scale their inputs; None for not at all.
        fp32: As ONNX.
    """

    model: Model
    network: nn.Module
    parameters: Parameters
    preprocessing: Standardise | None
    fp32: bytes


def private_ranges(ask: Ask, file: FederationFile, trained: Trained, folder: Path) -> Ranges:
    """Ask the devices, once about a model.

    Where a checkpoint was lost, rounds are run again and end, with other noise, in another model.

    Raises:
        RoundAborted: Too few devices.
        StateError: What was kept is damaged.
    """
    path = folder / CALIBRATION
    kept = _kept(path)
    if kept is None or kept.model != digest(trained.parameters):
        kept = _asked(ask, file, trained)
        durable.replace(path, msgspec.json.encode(kept))
    return kept


def _kept(path: Path) -> Ranges | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ranges)
    except msgspec.MsgspecError as error:
        raise StateError(f"{path} is damaged: {error}", hint=AGAIN) from error


def _asked(ask: Ask, file: FederationFile, trained: Trained) -> Ranges:
    shape = trained.model.input_shape
    points = points_of(trained.network, trained.fp32, shape)
    places = sorted({point.index for point in points})
    scales = public_scales(trained.network, shape, places, file.seed)
    of = count(trained.network, shape)
    task = Calibrate(tuple(map(Observed, places, scales)), of, file.federation.examples_cap)
    collected = ask(task, trained.parameters, trained.preprocessing)
    summed = calibrate.read(task, file.privacy.unit, collected.sums, collected.deviation)
    found = dict(zip(places, _read(summed, scales), strict=True))
    drowned = ranges.lost(summed.histograms, summed.deviation, summed.examples).tolist()
    lost = {place for place, sides in zip(places, drowned, strict=True) if any(sides)}
    return Ranges(
        model=digest(trained.parameters),
        tensors={point.tensor: found[point.index] for point in points},
        lost=tuple(point.tensor for point in points if point.index in lost),
        left_out=without_point(trained.fp32, points),
        examples=summed.examples,
        deviation=summed.deviation,
        devices=collected.devices,
    )


def _read(summed: calibrate.CalibrateSum, scales: Sequence[float]) -> tuple[ranges.Range, ...]:
    return ranges.read(summed.histograms, scales, summed.deviation, summed.examples)
