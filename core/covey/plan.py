"""The plan: what the server asks of a cohort in one round, and the one strict decoder for it.

One plan, one private sum. The task says what a device computes; the parts say how its answer is laid
out, clipped and scaled. `masks` and `noise` say what protects the sum. This version knows only "none"
for both, and says so wherever a figure is shown.
"""

import hashlib
from math import inf, isfinite
from typing import Annotated, Literal

import msgspec

from covey.encode import Part, fits
from covey.errors import ProtocolError
from covey.examples import Standardise

VERSION: Literal[1] = 1
MAX_PLAN_BYTES = 1 << 20
SMALLEST_SUM = 2  # a sum over one device is that device's answer

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Weighting = Literal["devices", "examples"]


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="train"):
    """Train locally from the model sent; answer with the weighted update.

    Attributes:
        epochs: Passes over the local examples.
        batch_size: Examples a step.
        learning_rate: Of the local SGD, this round.
        momentum: Of the local SGD, from zero each round.
        gradient_clip: Largest L2 norm of one batch's gradient; 0 for no limit.
        proximal_mu: Weight of ½‖w - w_global‖² (FedProx, arXiv:1812.06127).
        weighting: "devices": each device counts once. "examples": by its examples, up to examples_cap.
        examples_cap: Public constant: a device's weight is min(examples / cap, 1).
        update_clip: Largest L2 norm of an update.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    learning_rate: Positive
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    gradient_clip: NotNegative
    proximal_mu: NotNegative
    weighting: Weighting
    examples_cap: Count
    update_clip: Positive


class Validate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="validate"):
    """Evaluate the model sent on held-out examples; answer with confusion counts and summed loss.

    Attributes:
        examples_cap: Public constant: the L2 norm to which a device's counts are clipped.
    """

    examples_cap: Count


class Statistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="statistics"):
    """Answer with first and second moments per channel of the training inputs.

    Attributes:
        examples_cap: Public constant: a device's weight is min(examples / cap, 1).
    """

    examples_cap: Count


Task = Train | Validate | Statistics


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one private sum is made of.

    Attributes:
        version: Of this format.
        run: The run's identifier.
        round: Position in the run; 0 comes before training.
        model: Name of the model.
        model_sha256: `covey.arrays.digest` of the parameters sent along.
        preprocessing: How inputs are scaled; None before statistics are known.
        task: What a device computes.
        parts: How its answer is laid out.
        cohort: Devices asked.
        minimum: Fewest devices whose sum is opened.
        masks: What hides a single answer from the server.
        noise: What makes the sum differentially private.
    """

    version: Literal[1] = VERSION
    run: Name
    round: Annotated[int, msgspec.Meta(ge=0, le=999_999)]
    model: Name
    model_sha256: Digest
    preprocessing: Standardise | None
    task: Task
    parts: tuple[Part, ...]
    cohort: Count
    minimum: Count
    masks: Literal["none"] = "none"
    noise: Literal["none"] = "none"

    @property
    def length(self) -> int:
        """Elements of one answer."""
        return sum(part.length for part in self.parts)


def kind(plan: Plan) -> str:
    """The query's name: "train", "validate" or "statistics"."""
    return str(plan.task.__struct_config__.tag)


def to_bytes(plan: Plan) -> bytes:
    """The plan as sent (msgpack). Hash these bytes; never encode again in order to compare."""
    return msgspec.msgpack.encode(plan)


def digest(plan: bytes) -> str:
    """SHA-256 of the plan as sent, hexadecimal. An answer names the plan it answers by this."""
    return hashlib.sha256(b"covey/v1/plan\0" + plan).hexdigest()


def from_bytes(data: bytes) -> Plan:
    """Decode and check a plan.

    Raises:
        ProtocolError: Too large, malformed, of another version, or inconsistent. Blames the server.
    """
    if len(data) > MAX_PLAN_BYTES:
        raise ProtocolError(f"a plan of {len(data)} bytes, at most {MAX_PLAN_BYTES}", blame="server")
    try:
        plan = msgspec.msgpack.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed plan: {error}", blame="server") from error
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    names = [part.name for part in plan.parts]
    if not names or len(set(names)) != len(names):
        raise ProtocolError("a plan without parts, or with two of one name", blame="server")
    if not SMALLEST_SUM <= plan.minimum <= plan.cohort:
        raise ProtocolError(f"a minimum of {plan.minimum} in a cohort of {plan.cohort}", blame="server")
    if not fits(plan.parts, plan.cohort):
        raise ProtocolError(f"a sum over {plan.cohort} devices would wrap around 2^32", blame="server")
    if plan.preprocessing is not None and not _can_scale(plan.preprocessing):
        raise ProtocolError("preprocessing with numbers that cannot scale an input", blame="server")


def _can_scale(preprocessing: Standardise) -> bool:
    """One finite mean and one finite positive deviation for each of at least one channel."""
    mean, deviation = preprocessing.mean, preprocessing.deviation
    in_range = all(map(isfinite, mean)) and all(0 < each < inf for each in deviation)
    return len(mean) == len(deviation) > 0 and in_range
