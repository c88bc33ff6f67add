"""Query `statistics`: mean and deviation per channel of the fleet's inputs, without pooling any.

Inputs are clamped to the model's public bound B and divided by it, so that every device's moments lie in
[-1, 1] whatever its data.
"""

import numpy as np

from covey.encode import Shape, Vectors
from covey.errors import RoundAborted
from covey.examples import Standardise
from covey.plan import Plan, Statistics
from covey_strategies.queries.device import Device

WEIGHT_SHARE = 0.5  # of the sensitivity that the moments have
SMALLEST_DEVIATION = 1e-3  # of the bound: a constant channel must not be divided by zero


def shapes(channels: int) -> dict[str, Shape]:
    """How a row is laid out, of a device or of an example."""
    norm = float(np.sqrt(channels))
    return {
        "first": Shape(channels, norm),
        "second": Shape(channels, norm),
        "weight": Shape(1, 1.0, WEIGHT_SHARE),
    }


def rows(task: Statistics, plan: Plan, device: Device) -> Vectors:
    """Device half: moments per channel in units of the bound, of each example or their weighted mean."""
    x = device.data.train.x
    bound = device.model.input_bound
    if plan.unit == "example":
        x = x[: task.examples_cap]
    clamped = np.clip(x.astype(np.float64), -bound, bound) / bound
    axes = tuple(range(2, x.ndim))
    each = {"first": clamped.mean(axis=axes), "second": (clamped**2).mean(axis=axes)}
    if plan.unit == "example":
        return each | {"weight": np.ones((len(x), 1))}
    weight = min(len(x) / task.examples_cap, 1.0)
    weighted = {
        name: weight * found.sum(axis=0, keepdims=True) / max(len(x), 1) for name, found in each.items()
    }
    return weighted | {"weight": np.array([[weight]])}


def read(sums: Vectors, bound: float) -> Standardise:
    """Server half: the scaling that gives the fleet's inputs mean 0 and deviation 1 per channel.

    Raises:
        RoundAborted: No device had an example.
    """
    weight = float(sums["weight"][0])
    if weight <= 0:
        raise RoundAborted("no device has a training example", hint="give at least one device data")
    mean = sums["first"] / weight
    variance = np.maximum(sums["second"] / weight - mean**2, SMALLEST_DEVIATION**2)
    deviation = np.sqrt(variance)
    return Standardise(tuple((mean * bound).tolist()), tuple((deviation * bound).tolist()))
