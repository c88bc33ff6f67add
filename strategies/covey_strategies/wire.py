"""Plans, requests and replies as Flower messages: the one place that reads what the other side sent.

To a device: a plan with its model first, in an envelope where masks are on; then requests that name the plan
they are for. Back: the bytes of one protocol message. Nothing else is accepted in a reply, so no metric can
travel beside the sum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from covey import plan as plans
from covey.arrays import Layout, Parameters, layout_of
from covey.errors import PackageError, ProtocolError
from covey.package import npy
from covey.plan import Plan

MODEL = "model"
PLAN = "plan"
ENVELOPE = "envelope"
REQUEST = "request"
REPLY = "reply"

LONGEST_REASON = 200  # characters of a device's refusal that are shown

CATEGORIES = {"train": "train", "gradient": "train", "validate": "evaluate", "statistics": "query"}
"""Flower's kind of message for each kind of query; the stage follows after a dot."""

FIRST_STAGES = {PLAN: "answer", ENVELOPE: "advertise"}
LATER_STAGES = ("share", "masked", "consistency", "unmask", "removal")
STAGES = (*FIRST_STAGES.values(), *LATER_STAGES)


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


@dataclass(frozen=True)
class Asked:
    """A first message: a plan and the model to answer it with.

    Attributes:
        plan: The plan's bytes; None in an envelope.
        envelope: The envelope's bytes; None in clear.
        model: Not yet decoded.
    """

    plan: bytes | None
    envelope: bytes | None
    model: ArrayRecord


@dataclass(frozen=True)
class Requested:
    """A later message: a request of a session.

    Attributes:
        plan: H(plan), hexadecimal.
        stage: What it answers to; part of the message's type.
        data: The request.
    """

    plan: str
    stage: str
    data: bytes


def plan_messages(
    plan: Plan, sent: bytes, envelope: bytes | None, model: ArrayRecord, devices: Iterable[int]
) -> list[Message]:
    """One first message a device.

    Args:
        plan: The plan.
        sent: Its bytes.
        envelope: Holds it where masks are on.
        model: Goes with it.
        devices: Node ids.
    """
    name, data = (PLAN, sent) if envelope is None else (ENVELOPE, envelope)
    content = RecordDict({MODEL: model, name: ConfigRecord({name: data})})
    kind = f"{CATEGORIES[plans.kind(plan)]}.{FIRST_STAGES[name]}"
    return [Message(content, device, kind) for device in devices]


def request_messages(plan: Plan, digest: str, stage: str, requests: Mapping[int, bytes]) -> list[Message]:
    """One later message a device."""
    kind = f"{CATEGORIES[plans.kind(plan)]}.{stage}"
    return [
        Message(RecordDict({REQUEST: ConfigRecord({PLAN: digest, REQUEST: data})}), device, kind)
        for device, data in requests.items()
    ]


def read(message: Message) -> Asked | Requested:
    """What a device was sent.

    Raises:
        ProtocolError: Blames the server.
    """
    content, (_, _, stage) = message.content, message.metadata.message_type.partition(".")
    if set(content) == {REQUEST}:
        return _requested(content[REQUEST], stage)
    for name, first in FIRST_STAGES.items():
        if set(content) == {MODEL, name} and stage == first:
            return _asked(name, content[name], content[MODEL])
    raise ProtocolError("a message that is neither a plan with a model nor a request", blame="server")


def _asked(name: str, config: object, model: object) -> Asked:
    data = config.get(name) if isinstance(config, ConfigRecord) and set(config) == {name} else None
    if not isinstance(data, bytes) or not isinstance(model, ArrayRecord):
        raise ProtocolError("a plan or a model of another type", blame="server")
    return Asked(data if name == PLAN else None, data if name == ENVELOPE else None, model)


def _requested(config: object, stage: str) -> Requested:
    if not isinstance(config, ConfigRecord) or set(config) != {PLAN, REQUEST} or stage not in LATER_STAGES:
        raise ProtocolError("a request of another form", blame="server")
    plan, data = config[PLAN], config[REQUEST]
    if not isinstance(plan, str) or not isinstance(data, bytes):
        raise ProtocolError("a request of another type", blame="server")
    return Requested(plan, stage, data)


def check_kind(message: Message, plan: Plan) -> None:
    """Refuse a plan under another kind of message.

    Raises:
        ProtocolError: Blames the server.
    """
    category, _, _ = message.metadata.message_type.partition(".")
    if category != CATEGORIES[plans.kind(plan)]:
        raise ProtocolError("a plan under another kind of message", blame="server")


def reply_message(data: bytes, reply_to: Message) -> Message:
    """A device's reply."""
    return Message(RecordDict({REPLY: ConfigRecord({REPLY: data})}), reply_to=reply_to)


def read_reply(message: Message) -> bytes:
    """The bytes in a reply.

    Raises:
        ProtocolError: An error reply, or more or less than one string of bytes. Blames the device by its node
            id.
    """
    device = f"node {message.metadata.src_node_id}"
    if message.has_error():
        raise ProtocolError(f"{device}: {_plain(message.error.reason)}", blame=device)
    content = message.content
    config = content[REPLY] if set(content) == {REPLY} else None
    data = config[REPLY] if isinstance(config, ConfigRecord) and set(config) == {REPLY} else None
    if not isinstance(data, bytes):
        raise ProtocolError(f"{device}: a reply with more or less in it than one message", blame=device)
    return data


def _plain(reason: str | None) -> str:
    """A device's own words, fit for an operator's terminal and log."""
    text = "".join(
        char if char.isprintable() else " " for char in (reason or "no reason given")[:LONGEST_REASON]
    )
    return " ".join(text.split())
