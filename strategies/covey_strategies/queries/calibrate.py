"""Query `calibrate`: how large do the values inside the model become, on the fleet's own inputs?

Each example counts once at every place that is asked about: in the bin of its largest value there, and in the
bin of its smallest. From the sums follow the ranges that int8 activations need; no example's values leave a
device, nor does any extreme.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Shape, Vectors
from covey.errors import InputError, PlanRefused
from covey.plan import Calibrate, Plan, Unit
from covey_models import ranges
from covey_models.observing import count, extremes
from covey_models.training import load
from covey_strategies.queries.device import Device, scaled_inputs

BATCH = 64
"""Examples at a time, always: bounds memory. How many there are together decides the last bits of a value, so
with fewer, what one example counts as would depend on how many others there are."""
FEW = (2, 3)
"""Numbers of inputs: what has an axis of its own for examples follows both."""


def check(task: Calibrate, device: Device) -> None:
    """Refuse places in another network than this device's, or where no value belongs to an example.

    A weight, turned, is a value as well; with as many rows as a device has examples it would be counted, and
    with one example more or less nothing would.

    Raises:
        PlanRefused: Depends on the plan alone.
    """
    model = device.model
    have = count(device.network, model.input_shape)
    if task.of != have or max(each.point for each in task.points) >= have:
        raise PlanRefused(f"the plan counts {task.of} places in the network, this device's has {have}")
    try:
        for inputs in FEW:
            extremes(device.network, np.zeros((inputs, *model.input_shape), np.float32), _places(task))
    except InputError as error:
        raise PlanRefused(error.message) from error


def shapes(task: Calibrate) -> dict[str, Shape]:
    """How a row is laid out, of a device or of an example: a one at each place, on each side."""
    return {"ranges": Shape(ranges.length(len(task.points)), ranges.norm(len(task.points)))}


def rows(task: Calibrate, plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: histograms over the training inputs, of each example or their weighted mean."""
    load(device.network, parameters)
    examples = device.data.train
    if plan.unit == "example":
        examples = examples.first(task.examples_cap)
    x = scaled_inputs(examples, plan.preprocessing).x
    found = [_histograms(task, device, x[start : start + BATCH]) for start in range(0, len(x), BATCH)]
    each = np.concatenate([np.zeros((0, ranges.length(len(task.points)))), *found])
    if plan.unit == "example":
        return {"ranges": each}
    weight = min(len(each) / task.examples_cap, 1.0)
    return {"ranges": weight * each.sum(axis=0, keepdims=True) / max(len(each), 1)}


def _histograms(task: Calibrate, device: Device, x: NDArray[np.float32]) -> NDArray[np.float64]:
    padded = np.concatenate([x, np.zeros((BATCH - len(x), *x.shape[1:]), np.float32)])
    values = [found[: len(x)] for found in extremes(device.network, padded, _places(task))]
    return ranges.rows(values, [each.scale for each in task.points])


def _places(task: Calibrate) -> list[int]:
    return [each.point for each in task.points]


@dataclass(frozen=True)
class CalibrateSum:
    """A fleet's histograms.

    Attributes:
        histograms: float64 (places, 2 sides, bins), noisy, in examples; see `covey_models.ranges`.
        deviation: Standard deviation of the noise in each bin, in examples.
    """

    histograms: NDArray[np.float64]
    deviation: float

    @property
    def examples(self) -> float:
        """How many were counted, about: every histogram holds them all."""
        return float(self.histograms.sum(axis=2).mean())


def read(task: Calibrate, unit: Unit, sums: Vectors, deviation: Callable[[str], float]) -> CalibrateSum:
    """Server half; the arguments are as of `covey_strategies.queries.compare.read`."""
    of_one = task.examples_cap if unit == "device" else 1
    counts = ranges.counts(sums["ranges"], len(task.points)) * of_one
    return CalibrateSum(counts, deviation("ranges") * of_one)
