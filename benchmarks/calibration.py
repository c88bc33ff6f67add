#!/usr/bin/env python3
"""What int8 costs in accuracy, by how its activation ranges were found.

One JSON object a line. First, for each model with real data at hand, every way to make the file:

  model, data, held_out   what was measured, and on how many examples that no calibration saw
  method        fp32, pooled (raw training examples), private (histograms and noise), public, weights-only
  z             noise multiplier of a private calibration; the deviation per cell is z sqrt(2 points)
  accuracy      percent of right decisions; of a private calibration the mean over --repeat draws of the noise
  least         percent, of the worst of these draws
  changed       percent of decisions that differ from float32's; the mean
  lost          sides whose histogram drowned in noise, of 2 points; the mean
  points        tensors that ranges are asked of
  examples      how many examples were counted
  bytes         of the ONNX file
  p50_us        of one inference, median; one thread of ONNX Runtime

Then, for each model of the registry, {"model", "sensitivity": …}: each layer's loss when it alone is int8,
with public ranges; the networks with data are trained, the others initialised.

Trained centrally for --epochs, in seconds: the figures compare ways to quantise, not models.

  benchmarks/calibration.py
  benchmarks/calibration.py --model wrist-motion --epochs 40 --repeat 20
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter_ns
from typing import Final

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from covey.errors import CoveyError
from covey.examples import Examples, Floats, Standardise
from covey.plan import Train
from covey.seeds import generator
from covey_models import ranges
from covey_models.evaluation import evaluate
from covey_models.export import INPUT, to_onnx
from covey_models.model import Model
from covey_models.observing import extremes, probes, public_scales
from covey_models.quantise import to_int8, to_int8_weights, to_int8_with
from covey_models.quantise_points import Point, points_of
from covey_models.registry import find, names
from covey_models.runtime import predictor
from covey_models.sensitivity import sensitivity
from covey_models.training import Local, initial, load, train
from covey_server.release import identity
from covey_simulations.central import pooled_held_out, pooled_train
from covey_simulations.data import digits, fashion, wrist
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.recordings import last_quarter

SEED: Final = 1
MULTIPLIERS: Final = (1.0, 2.0, 5.0, 10.0)
RUNS: Final = 400
DATA: Final[Mapping[str, Callable[[], FederatedData]]] = {
    "digits": digits.load,
    "image-cnn": fashion.load,
    "wrist-motion": lambda: wrist.load(last_quarter),
    "wrist-private": lambda: wrist.load(last_quarter),
}
UNSCALED: Final = {"wrist-private"}
RATES: Final = {"wrist-private": 1.0}
"""Learning rates other than 0.05: one linear layer bears more."""


@dataclass(frozen=True)
class Case:
    """A trained network with its data, scaled."""

    model: Model
    data: str
    network: nn.Module
    fp32: bytes
    devices: tuple[Floats, ...]
    held_out: Examples

    @property
    def training(self) -> Floats:
        """Everyone's inputs."""
        return np.concatenate(self.devices)


def main() -> None:
    """Print the tables."""
    asked = _parser().parse_args()
    torch.set_num_threads(1)
    for name in asked.model or names():
        case = _case(find(name), asked.epochs, asked.examples)
        for row in _rows(case, asked.repeat) if case else ():
            print(json.dumps(row), flush=True)
        print(json.dumps({"model": name, "sensitivity": _sensitivity(find(name), case)}), flush=True)


def _case(model: Model, epochs: int, examples: int | None) -> Case | None:
    """The trained model; None where there is no data for it."""
    if model.name not in DATA:
        return None
    try:
        data = DATA[model.name]()
    except CoveyError:
        return None
    raw, tested = pooled_train(data), pooled_held_out(data)
    scale = _scale(model, raw.x)
    network = model.build()
    load(network, initial(model, SEED))
    task = _task(model, epochs)
    train(network, Local(raw, scale, model.augment), task, SEED)
    mine = None if examples is None else -(-examples // data.training_devices)
    parts = (local.train.x[:mine] for local in data.devices.values() if len(local.train))
    devices = tuple(scale.apply(x) for x in parts)
    held_out = Examples(scale.apply(tested.x), tested.y)
    return Case(model, data.name, network, to_onnx(network, model.input_shape), devices, held_out)


def _task(model: Model, epochs: int) -> Train:
    return Train(
        epochs=epochs,
        batch_size=32,
        learning_rate=RATES.get(model.name, 0.05),
        momentum=0.9,
        gradient_clip=1.0,
        proximal_mu=0.0,
        weighting="examples",
        examples_cap=1,
        update_clip=1.0,
    )


def _scale(model: Model, x: Floats) -> Standardise:
    if model.name in UNSCALED:
        return identity(model)
    axes = (0, *range(2, x.ndim))
    return Standardise(tuple(x.mean(axes).tolist()), tuple((x.std(axes) + 1e-6).tolist()))


def _rows(case: Case, repeat: int) -> Iterator[dict[str, object]]:
    points = points_of(case.network, case.fp32, case.model.input_shape)
    for method, file in (
        ("fp32", case.fp32),
        ("pooled", to_int8(case.fp32, case.training)),
        ("public", to_int8(case.fp32, probes(case.model.input_shape, SEED))),
        ("weights-only", to_int8_weights(case.fp32)),
    ):
        yield _row(case, method, [file])
    for z in MULTIPLIERS:
        yield _private(case, points, z, repeat)


def _private(case: Case, points: tuple[Point, ...], z: float, repeat: int) -> dict[str, object]:
    """As a fleet calibrates: a row per example, a sum per device, noise on the sum of all."""
    places = [point.index for point in points]
    scales = public_scales(case.network, case.model.input_shape, places, SEED)
    total = sum(ranges.rows(extremes(case.network, x, places), scales).sum(0) for x in case.devices)
    deviation, count = z * ranges.norm(len(points)), len(case.training)
    files, drowned = list[bytes](), list[int]()
    for number in range(repeat):
        noise = generator(SEED, "noise", number).standard_normal(ranges.length(len(points))) * deviation
        cells = ranges.counts(total + noise, len(points))
        found = ranges.read(cells, scales, deviation, count)
        drowned.append(int(ranges.lost(cells, deviation, count).sum()))
        files.append(
            to_int8_with(case.fp32, {point.tensor: ends for point, ends in zip(points, found, strict=True)})
        )
    more = {"z": z, "lost": float(np.mean(drowned)), "points": len(points), "examples": count}
    return _row(case, "private", files) | more


def _row(case: Case, method: str, files: Iterable[bytes]) -> dict[str, object]:
    files = list(files)
    own = _decisions(case, case.fp32)
    decided = [_decisions(case, file) for file in files]
    right = [100 * float((each == case.held_out.y).mean()) for each in decided]
    return {
        "model": case.model.name,
        "data": case.data,
        "held_out": len(case.held_out),
        "method": method,
        "accuracy": round(float(np.mean(right)), 2),
        "least": round(min(right), 2),
        "changed": round(100 * float(np.mean([(each != own).mean() for each in decided])), 2),
        "bytes": len(files[0]),
        "p50_us": round(_p50(files[0], case.held_out.x), 1),
    }


def _decisions(case: Case, file: bytes) -> NDArray[np.int64]:
    return evaluate(predictor(file), case.held_out, case.model.classes).predicted


def _p50(file: bytes, x: Floats) -> float:
    """Microseconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    taken = list[int]()
    for number in range(RUNS):
        one = {INPUT: x[number % len(x)][None]}
        begun = perf_counter_ns()
        session.run(None, one)
        taken.append(perf_counter_ns() - begun)
    return median(taken) / 1000


def _sensitivity(model: Model, case: Case | None) -> dict[str, object]:
    """With public ranges, so that models without data are in the table as well."""
    network = case.network if case else model.build()
    if case is None:
        load(network, initial(model, SEED))
    fp32 = case.fp32 if case else to_onnx(network, model.input_shape)
    points = points_of(network, fp32, model.input_shape)
    places = [point.index for point in points]
    scales = public_scales(network, model.input_shape, places, SEED)
    reach = {point.tensor: (-scale, scale) for point, scale in zip(points, scales, strict=True)}
    begun = perf_counter_ns()
    found = sensitivity(fp32, reach, model.input_shape, case.held_out.x if case else None, SEED)
    return {"trained": case is not None, "seconds": (perf_counter_ns() - begun) / 1e9} | asdict(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", action="append", choices=names(), help="default: all")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--examples", type=int, help="calibrate on so many, evenly from all devices")
    parser.add_argument("--repeat", type=int, default=10, help="draws of the noise for each z")
    return parser


if __name__ == "__main__":
    main()
