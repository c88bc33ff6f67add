"""Plans and answers as Flower messages: the one place that reads what the other side sent.

To a device: the model's arrays and the plan's bytes. Back: one integer vector and the digest of the plan
it answers. Nothing else is accepted in an answer, so no metric can travel beside the sum.
"""

from collections.abc import Iterable

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from covey import plan as plans
from covey import ring
from covey.arrays import Parameters
from covey.errors import ProtocolError
from covey.plan import Plan
from covey.ring import Ring

MODEL = "model"
PLAN = "plan"
ANSWER = "answer"
VECTOR = "vector"
ENCODING = "covey.ring32"  # little-endian uint32, no header

MESSAGE_TYPES = {"train": "train", "validate": "evaluate", "statistics": "query.statistics"}


def to_record(parameters: Parameters) -> ArrayRecord:
    """Parameters as Flower carries them."""
    return ArrayRecord({name: Array(np.asarray(value, np.float32)) for name, value in parameters.items()})


def from_record(record: ArrayRecord) -> Parameters:
    """Parameters as float32 arrays, in order of their names.

    Raises:
        ProtocolError: An array that is not numeric.
    """
    try:
        return {name: np.asarray(array.numpy(), np.float32) for name, array in sorted(record.items())}
    except (ValueError, TypeError, EOFError) as error:
        raise ProtocolError(f"a malformed array: {error}", blame="server") from error


def plan_messages(plan: bytes, kind: str, model: ArrayRecord, devices: Iterable[int]) -> list[Message]:
    """One message a device."""
    content = RecordDict({MODEL: model, PLAN: ConfigRecord({PLAN: plan})})
    return [Message(content, device, MESSAGE_TYPES[kind]) for device in devices]


def read_plan(message: Message) -> tuple[bytes, Plan, Parameters]:
    """What a device was sent: the plan's bytes, the plan, the model.

    Raises:
        ProtocolError: Blames the server.
    """
    try:
        data = message.content[PLAN][PLAN]
        model = message.content[MODEL]
    except (KeyError, TypeError) as error:
        raise ProtocolError("a message without a plan or a model", blame="server") from error
    if not isinstance(data, bytes) or not isinstance(model, ArrayRecord):
        raise ProtocolError("a plan or a model of another type", blame="server")
    return data, plans.from_bytes(data), from_record(model)


def answer_message(plan: bytes, vector: Ring, reply_to: Message) -> Message:
    """A device's answer."""
    array = Array("uint32", (len(vector),), ENCODING, ring.to_bytes(vector))
    header = ConfigRecord({PLAN: plans.digest(plan)})
    return Message(RecordDict({ANSWER: header, VECTOR: ArrayRecord({VECTOR: array})}), reply_to=reply_to)


def read_answer(message: Message, plan: Plan, digest: str) -> Ring:
    """The vector in an answer.

    Args:
        message: As received.
        plan: What was asked.
        digest: `covey.plan.digest` of the plan as sent.

    Raises:
        ProtocolError: An error reply, another plan's answer, more or less than one vector, a wrong length.
            Blames the device by its node id.
    """
    device = f"node {message.metadata.src_node_id}"
    if message.has_error():
        raise ProtocolError(f"{device}: {message.error.reason}", blame=device)
    content = message.content
    if set(content) != {ANSWER, VECTOR} or content[ANSWER] != ConfigRecord({PLAN: digest}):
        raise ProtocolError(
            f"{device}: an answer to another plan, or with more in it than a vector", blame=device
        )
    record = content[VECTOR]
    if not isinstance(record, ArrayRecord) or list(record) != [VECTOR]:
        raise ProtocolError(f"{device}: an answer that is not one vector", blame=device)
    array = record[VECTOR]
    # also what an array says of itself: free text there would be a way out beside the sum
    if (array.dtype, tuple(array.shape), array.stype) != ("uint32", (plan.length,), ENCODING):
        raise ProtocolError(f"{device}: an answer that is not one vector of {plan.length}", blame=device)
    try:
        return ring.from_bytes(array.data, plan.length)
    except ValueError as error:
        raise ProtocolError(f"{device}: {error}", blame=device) from error
