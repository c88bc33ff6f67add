"""Query `compare`: what do two releases make of the same held-out examples, as devices would run them?

Counts for `covey.gate`. Both models see the same examples, so how often only one of them was right is counted
by itself: that is what tells a difference from chance (McNemar, Psychometrika 12, 1947).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from covey.arrays import Parameters
from covey.encode import Shape, Vectors
from covey.errors import PackageError, PlanRefused
from covey.examples import Examples, Floats
from covey.plan import Compare, Plan, Unit
from covey_models import carried
from covey_models.evaluation import Predict
from covey_models.model import Model
from covey_strategies.queries.device import Device, scaled_inputs

TOTALS = ("examples", "right old", "right new", "only old", "only new")
OF_CLASS = ("examples", "missed old", "missed new")
OF_GROUP = ("examples", "right old", "right new")
LONGEST = sqrt(3)
"""Of one example's piece of each part: at most three of its elements are 1."""


@dataclass(frozen=True)
class CompareSum:
    """A fleet's counts, noisy.

    Attributes:
        totals: By name as in `TOTALS`.
        classes: float64 (classes, 3), columns as in `OF_CLASS`.
        groups: float64 (groups, 3), columns as in `OF_GROUP`.
        deviation: Standard deviation of the noise in each count: all parts have the same clip and share.
    """

    totals: dict[str, float]
    classes: NDArray[np.float64]
    groups: NDArray[np.float64]
    deviation: float

    @property
    def cells(self) -> list[float]:
        """All counts in the order of a row."""
        return [*self.totals.values(), *self.classes.ravel().tolist(), *self.groups.ravel().tolist()]


def check(task: Compare, parameters: Parameters, model: Model) -> None:
    """Refuse what is no pair of models of this shape.

    Raises:
        PlanRefused: Depends on plan and parameters alone.
    """
    del task
    try:
        files = carried.from_arrays(parameters)
        for name, data in files.items():
            _check_shapes(name, data, model)
    except PackageError as error:
        raise PlanRefused(f"the parameters do not fit {model.name}: {error.message}") from error


def _check_shapes(name: str, data: bytes, model: Model) -> None:
    import onnxruntime as ort  # noqa: PLC0415 - its memory, only where models are compared

    try:
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise PackageError(f"{name}: ONNX Runtime cannot load it") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    wanted = ([[1, *model.input_shape]], [[1, model.classes]])
    if ([each.shape for each in inputs], [each.shape for each in outputs]) != wanted:
        raise PackageError(f"{name}: other inputs or outputs than {model.name}")


def shapes(task: Compare, classes: int, unit: Unit) -> dict[str, Shape]:
    """How a row is laid out: all counts of a device, or those of one example."""
    most = LONGEST * (float(task.examples_cap) if unit == "device" else 1.0)
    found = {
        "totals": Shape(len(TOTALS), most),
        "classes": Shape(classes * len(OF_CLASS), most),
    }
    return found | ({"groups": Shape(len(task.groups) * len(OF_GROUP), most)} if task.groups else {})


def rows(task: Compare, plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    """Device half: counts over the held-out examples, of each or of all together."""
    files = carried.from_arrays(parameters)
    held_out = device.data.held_out
    if plan.unit == "example":
        held_out = held_out.first(task.examples_cap)
    old, most = files.get(carried.OLD), task.examples_cap
    right_new = _right(files[carried.NEW], scaled_inputs(held_out, plan.preprocessing), most)
    right_old = np.zeros_like(right_new)
    if old is not None:
        right_old = _right(old, scaled_inputs(held_out, task.old_preprocessing), most)
    each = _counted(task, held_out.y, right_old, right_new, device)
    if plan.unit == "example":
        return each
    return {name: found.sum(axis=0, keepdims=True) for name, found in each.items()}


def _right(model: bytes, examples: Examples, most: int) -> NDArray[np.float64]:
    """1 for every example that the model takes for what it is.

    It runs `most` times, on nothing where examples are fewer: the models are the server's choice, as slow as
    it likes, and how long an answer takes would count the examples.
    """
    from covey_models.runtime import predictor  # noqa: PLC0415 - as above

    predict, nothing = predictor(model), np.zeros(examples.x.shape[1:], np.float32)
    right = [_is_right(predict, x, y) for x, y in zip(examples.x, examples.y, strict=True)]
    for _ in range(most - len(examples)):
        _is_right(predict, nothing, np.int64(0))
    return np.array(right, np.float64)


def _is_right(predict: Predict, x: Floats, y: np.int64) -> bool:
    """One example by itself: whatever it does to a model, the others count as they would without it."""
    try:
        return bool(predict(x[None]).argmax(axis=1)[0] == y)
    except Exception:  # noqa: BLE001 - ONNX Runtime's errors have no base class; told to nobody, as a miss
        return False


def _counted(
    task: Compare, y: NDArray[np.int64], old: NDArray[np.float64], new: NDArray[np.float64], device: Device
) -> Vectors:
    one = np.ones(len(y))
    totals = np.stack([one, old, new, old * (1 - new), new * (1 - old)], axis=1)
    width = device.model.classes * len(OF_CLASS)
    of_class = np.zeros((len(y), device.model.classes, len(OF_CLASS)))
    of_class[np.arange(len(y)), y] = np.stack([one, 1 - old, 1 - new], axis=1)
    found = {"totals": totals, "classes": of_class.reshape(len(y), width)}
    if task.groups:
        of_group = np.zeros((len(y), len(task.groups), len(OF_GROUP)))
        if device.group in task.groups:
            of_group[:, task.groups.index(device.group)] = np.stack([one, old, new], axis=1)
        found["groups"] = of_group.reshape(len(y), len(task.groups) * len(OF_GROUP))
    return found


def read(task: Compare, sums: Vectors, deviation: Callable[[str], float], classes: int) -> CompareSum:
    """Server half.

    Args:
        task: What was asked.
        sums: Decoded.
        deviation: Of the noise in each element of a part.
        classes: The model's.
    """
    groups = sums["groups"] if task.groups else np.zeros(0)
    return CompareSum(
        totals=dict(zip(TOTALS, sums["totals"].tolist(), strict=True)),
        classes=sums["classes"].reshape(classes, len(OF_CLASS)),
        groups=groups.reshape(len(task.groups), len(OF_GROUP)),
        deviation=deviation("totals"),
    )
