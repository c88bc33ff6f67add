"""The device's one way to answer: check the plan, compute, encode.

Whatever goes wrong after the checks (diverged training, a defect in a model, no memory) becomes the zero
vector: an error, a count or an early exit would tell the server something about the data.
"""

from contextlib import suppress
from typing import assert_never

from covey import arrays, encode
from covey.arrays import Parameters
from covey.encode import Part, Vectors
from covey.errors import InputError, PlanRefused
from covey.plan import Plan, Statistics, Train, Validate
from covey.ring import Ring
from covey_models.training import parameters_of
from covey_strategies.queries import statistics, train, validate
from covey_strategies.queries.device import Device


def answer(plan: Plan, parameters: Parameters, device: Device) -> Ring:
    """One device's vector.

    Args:
        plan: Decoded by `covey.plan.from_bytes`.
        parameters: The model sent with it.
        device: Who answers.

    Returns:
        uint32 of length `plan.length`.

    Raises:
        PlanRefused: The plan is not one this device answers. Depends on the plan alone, never on data.
    """
    check(plan, parameters, device)
    try:
        vectors = _compute(plan, parameters, device)
        return _encoded(plan, vectors, device)
    except Exception as error:  # noqa: BLE001 - see the module's first paragraph
        _tell(device, f"round {plan.round}: contributed nothing: {type(error).__name__}: {error}")
        return encode.zero(plan.parts)


def check(plan: Plan, parameters: Parameters, device: Device) -> None:
    """Refuse what does not fit this device's model; see `answer`."""
    if plan.model != device.model.name:
        raise PlanRefused(f"the plan is for model {plan.model}, this device has {device.model.name}")
    if arrays.digest(parameters) != plan.model_sha256:
        raise PlanRefused("the parameters are not those that the plan names")
    if arrays.layout_of(parameters) != arrays.layout_of(parameters_of(device.network)):
        raise PlanRefused(f"the parameters do not fit {device.model.name}")
    if plan.preprocessing and len(plan.preprocessing.mean) != device.model.input_shape[0]:
        raise PlanRefused(f"the plan scales {len(plan.preprocessing.mean)} channels")
    try:
        parts = _parts(plan, parameters, device)
    except InputError as error:
        raise PlanRefused(error.message) from error
    if plan.parts != parts:
        raise PlanRefused("the plan lays out or scales its answer in another way than its task asks")


def _parts(plan: Plan, parameters: Parameters, device: Device) -> tuple[Part, ...]:
    match plan.task:
        case Train():
            return train.parts(plan.task, parameters, plan.cohort)
        case Validate():
            return validate.parts(plan.task, device.model.classes, plan.cohort)
        case Statistics():
            return statistics.parts(device.model.input_shape[0], plan.cohort)
    assert_never(plan.task)


def _compute(plan: Plan, parameters: Parameters, device: Device) -> Vectors:
    match plan.task:
        case Train():
            return train.answer(plan.task, plan, parameters, device)
        case Validate():
            return validate.answer(plan, parameters, device)
        case Statistics():
            return statistics.answer(plan.task, device)
    assert_never(plan.task)


def _encoded(plan: Plan, vectors: Vectors, device: Device) -> Ring:
    if not encode.is_finite(vectors):
        _tell(device, f"round {plan.round}: contributed nothing: the answer has NaN or infinite elements")
    return encode.encode(plan.parts, vectors)


def _tell(device: Device, line: str) -> None:
    """One line to the device's owner; a log that fails (a full disk) must not change the answer."""
    with suppress(Exception):
        device.log(" ".join(line.split()))
