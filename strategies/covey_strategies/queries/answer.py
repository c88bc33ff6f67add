"""The device's one way to answer: check the plan, compute, encode.

Whatever goes wrong after the checks (diverged training, a defect in a model, no memory) becomes the zero
vector, to which noise is added as to any other: an error, a count or an early exit would tell the server
something about the data.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import assert_never

import numpy as np

from covey import arrays, encode
from covey.arrays import Parameters
from covey.encode import Integers, Part, Shape, Vectors
from covey.errors import InputError, PlanRefused
from covey.plan import Calibrate, Compare, Gradient, Health, Plan, Statistics, Train, Validate
from covey.stream import Stream
from covey_models.model import Model
from covey_models.training import parameters_of
from covey_strategies.queries import calibrate, compare, gradient, health, statistics, train, validate
from covey_strategies.queries.device import Device


def answer(plan: Plan, parameters: Parameters, device: Device, coins: Stream) -> Integers:
    """One device's vector before noise and masks.

    Args:
        plan: Decoded by `covey.plan.from_bytes`.
        parameters: The model sent with it.
        device: Who answers.
        coins: Choose examples and round; secret.

    Returns:
        int64 of length `plan.length`.

    Raises:
        PlanRefused: The plan is not one this device answers. Depends on the plan alone, never on data.
    """
    check(plan, parameters, device)
    try:
        return encoded(plan, _rows(plan, parameters, device, coins), device, coins)
    except Exception as error:  # noqa: BLE001 - see the module's first paragraph
        tell(device, f"round {plan.round}: contributed nothing: {type(error).__name__}: {error}")
        return encode.zero(plan.parts)


def check(plan: Plan, parameters: Parameters, device: Device) -> None:
    """Refuse what does not fit this device's model; see `answer`."""
    if plan.model != device.model.name:
        raise PlanRefused(f"the plan is for model {plan.model}, this device has {device.model.name}")
    if arrays.digest(parameters) != plan.model_sha256:
        raise PlanRefused("the parameters are not those that the plan names")
    _check_carried(plan, parameters, device)
    if plan.preprocessing and len(plan.preprocessing.mean) != device.model.input_shape[0]:
        raise PlanRefused(f"the plan scales {len(plan.preprocessing.mean)} channels")
    try:
        parts = encode.laid_out(shapes(plan, parameters, device.model), plan.norm)
    except InputError as error:
        raise PlanRefused(error.message) from error
    if plan.parts != parts:
        raise PlanRefused("the plan lays out or scales its answer in another way than its task asks")


def _check_carried(plan: Plan, parameters: Parameters, device: Device) -> None:
    """Refuse other arrays than the task goes with."""
    match plan.task:
        case Compare():
            compare.check(plan.task, parameters, device.model)
        case Health():
            if parameters:
                raise PlanRefused("a question about a rollout that brings a model")
        case Train():
            train.check(plan.task, parameters, device)
        case _:
            if arrays.layout_of(parameters) != arrays.layout_of(parameters_of(device.network)):
                raise PlanRefused(f"the parameters do not fit {device.model.name}")
    if isinstance(plan.task, Validate):
        train.check_personal(plan.task.personal, parameters, device)
    if isinstance(plan.task, Calibrate):
        calibrate.check(plan.task, device)


def shapes(plan: Plan, parameters: Parameters, model: Model) -> dict[str, Shape]:
    """How a row of the plan's query is laid out; server and device agree on it without a word."""
    task = plan.task
    match task:
        case Train():
            found = train.shapes(task, parameters)
        case Gradient():
            found = gradient.shapes(task, parameters)
        case Validate():
            found = validate.shapes(task, model.classes, plan.unit)
        case Statistics():
            found = statistics.shapes(model.input_shape[0])
        case Calibrate():
            found = calibrate.shapes(task)
        case Compare():
            found = compare.shapes(task, model.classes, plan.unit)
        case Health():
            found = health.shapes(task, plan.unit)
        case _ as never:
            assert_never(never)
    return found


def parts(plan: Plan, parameters: Parameters, model: Model) -> tuple[Part, ...]:
    """The parts of a plan that has none yet.

    Raises:
        InputError: Its norm leaves a part no resolution.
    """
    return encode.laid_out(shapes(plan, parameters, model), plan.norm)


def _rows(plan: Plan, parameters: Parameters, device: Device, coins: Stream) -> Iterable[Vectors]:
    task = plan.task
    if isinstance(task, Gradient):
        return gradient.rows(task, plan, parameters, device, coins)
    match task:
        case Train():
            found = train.rows(task, plan, parameters, device)
        case Validate():
            found = validate.rows(task, plan, parameters, device)
        case Statistics():
            found = statistics.rows(task, plan, device)
        case Calibrate():
            found = calibrate.rows(task, plan, parameters, device)
        case Compare():
            found = compare.rows(task, plan, parameters, device)
        case Health():
            found = health.rows(task, device)
        case _ as never:
            assert_never(never)
    return [found]


def encoded(plan: Plan, rows: Iterable[Vectors], device: Device, coins: Stream) -> Integers:
    """One device's rows as a vector; of what is not finite its owner is told."""
    total = encode.zero(plan.parts)
    for some in _watched(plan, rows, device):
        total += encode.encode(plan.parts, some, coins)
    return total


def _watched(plan: Plan, rows: Iterable[Vectors], device: Device) -> Iterator[Vectors]:
    """Tell the owner of what counts as zero."""
    for some in rows:
        if not encode.is_finite(some):
            good = np.logical_and.reduce([np.isfinite(each).all(axis=1) for each in some.values()])
            left_out = f"left out {np.count_nonzero(~good)} of {len(good)} examples"
            what = "contributed nothing" if plan.unit == "device" else left_out
            tell(device, f"round {plan.round}: {what}: NaN or infinite elements in an answer")
        yield some


def tell(device: Device, line: str) -> None:
    """One line to the device's owner; a log that fails (a full disk) must not change the answer."""
    with suppress(Exception):
        device.log(" ".join(line.split()))
