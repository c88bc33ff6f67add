"""Query `statistics`: mean and deviation per channel of the fleet's inputs, without pooling any.

Inputs are clamped to the model's public bound B and divided by it, so that every device's moments lie in
[-1, 1] whatever its data.
"""

import numpy as np

from covey.encode import Part, Vectors, scaled
from covey.errors import RoundAborted
from covey.examples import Standardise
from covey.plan import Statistics
from covey_strategies.queries.device import Device

SMALLEST_DEVIATION = 1e-3  # of the bound: a constant channel must not be divided by zero


def parts(channels: int, devices: int) -> tuple[Part, ...]:
    """How an answer is laid out."""
    norm = float(np.sqrt(channels))
    return scaled({"first": (channels, norm), "second": (channels, norm), "weight": (1, 1.0)}, devices)


def answer(task: Statistics, device: Device) -> Vectors:
    """Device half: weighted first and second moments per channel, in units of the bound."""
    x = device.data.train.x
    weight = min(len(x) / task.examples_cap, 1.0)
    if not len(x):
        x = np.zeros((1, *device.model.input_shape), np.float32)
    bound = device.model.input_bound
    clamped = np.clip(x.astype(np.float64), -bound, bound) / bound
    axes = (0, *range(2, x.ndim))
    return {
        "first": weight * clamped.mean(axis=axes),
        "second": weight * (clamped**2).mean(axis=axes),
        "weight": np.array([weight]),
    }


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
