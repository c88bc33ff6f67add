"""Plans and answers as Flower messages: the one place that reads what the other side sent.

To a device: the model's arrays and the plan's bytes. Back: one integer vector and the digest of the plan
it answers. Nothing else is accepted in an answer, so no metric can travel beside the sum.
"""

from collections.abc import Iterable

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from covey import plan as plans
from covey import ring
from covey.arrays import Layout, Parameters, layout_of
from covey.errors import PackageError, ProtocolError
from covey.package import npy
from covey.plan import Plan
from covey.ring import Ring

MODEL = "model"
PLAN = "plan"
ANSWER = "answer"
VECTOR = "vector"
ENCODING = "covey.ring32"  # little-endian uint32, no header

LONGEST_REASON = 200  # characters of a device's refusal that are shown

MESSAGE_TYPES = {"train": "train", "validate": "evaluate", "statistics": "query.statistics"}


def to_record(parameters: Parameters) -> ArrayRecord:
    """Parameters as Flower carries them."""
    return ArrayRecord(
        {name: Array(np.asarray(value, np.float32, order="C")) for name, value in parameters.items()}
    )


def from_record(record: ArrayRecord) -> Parameters:
    """What a strategy in this process gave, as float32 arrays in order of their names."""
    return {name: np.asarray(array.numpy(), np.float32) for name, array in sorted(record.items())}


def read_parameters(record: ArrayRecord, layout: Layout) -> Parameters:
    """What a server sent, if it is exactly what `layout` says; nothing else is decoded.

    Args:
        record: Float32 arrays in NumPy's .npy format, which is how Flower carries them.
        layout: Of the device's own model.

    Raises:
        ProtocolError: Other names, shapes or types, or numbers that are not finite. Blames the server.
    """
    described = tuple((name, tuple(array.shape)) for name, array in sorted(record.items()))
    if described != layout.shapes or {array.dtype for array in record.values()} != {"float32"}:
        raise ProtocolError("the parameters do not fit the device's model", blame="server")
    try:
        parameters = {name: npy.decode(name, array.data).copy() for name, array in sorted(record.items())}
    except PackageError as error:
        raise ProtocolError(f"a malformed array: {error.message}", blame="server") from error
    if layout_of(parameters) != layout:
        raise ProtocolError("an array of another shape than it says", blame="server")
    return parameters


def plan_messages(plan: bytes, kind: str, model: ArrayRecord, devices: Iterable[int]) -> list[Message]:
    """One message a device."""
    content = RecordDict({MODEL: model, PLAN: ConfigRecord({PLAN: plan})})
    return [Message(content, device, MESSAGE_TYPES[kind]) for device in devices]


def read_plan(message: Message) -> tuple[bytes, Plan, ArrayRecord]:
    """What a device was sent: the plan's bytes, the plan, the model as yet undecoded.

    Raises:
        ProtocolError: Blames the server.
    """
    content = message.content
    if set(content) != {MODEL, PLAN}:
        raise ProtocolError("a message that is not a plan and a model", blame="server")
    model, config = content[MODEL], content[PLAN]
    data = config.get(PLAN) if isinstance(config, ConfigRecord) else None
    if not isinstance(data, bytes) or not isinstance(model, ArrayRecord):
        raise ProtocolError("a plan or a model of another type", blame="server")
    plan = plans.from_bytes(data)
    if message.metadata.message_type != MESSAGE_TYPES[plans.kind(plan)]:
        raise ProtocolError("a plan under another kind of message", blame="server")
    return data, plan, model


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
        raise ProtocolError(f"{device}: {_plain(message.error.reason)}", blame=device)
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


def _plain(reason: str | None) -> str:
    """A device's own words, fit for an operator's terminal and log."""
    text = "".join(
        char if char.isprintable() else " " for char in (reason or "no reason given")[:LONGEST_REASON]
    )
    return " ".join(text.split())
