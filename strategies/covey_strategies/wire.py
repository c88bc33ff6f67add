"""Plans, requests and replies as Flower messages: the one place that reads what the other side sent.

To a device: a plan with its model first, in an envelope where masks are on; then requests that name the plan
they are for. Back: the bytes of one protocol message. Nothing else is accepted in a reply, so no metric can
travel beside the sum.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from covey import plan as plans
from covey.arrays import Parameters
from covey.delivery import (
    CATEGORIES,
    ENVELOPE,
    FIRST_STAGES,
    LATER_STAGES,
    LONGEST_REASON,
    PLAN,
    Asked,
    Delivery,
    Requested,
)
from covey.errors import ProtocolError
from covey.plan import Plan

MODEL = "model"
REQUEST = "request"
REPLY = "reply"
STAGE = "stage"
REFUSED = 1000  # our own reply code, outside Flower's range (flwr.common.constant.ErrorCode)


def to_record(parameters: Parameters) -> ArrayRecord:
    """Parameters as Flower carries them."""
    return ArrayRecord(
        {name: Array(np.asarray(value, np.float32, order="C")) for name, value in parameters.items()}
    )


def from_record(record: ArrayRecord) -> Parameters:
    """What a strategy in this process gave, as float32 arrays in order of their names."""
    return {name: np.asarray(array.numpy(), np.float32) for name, array in sorted(record.items())}


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


def without_action(message: Message) -> Message:
    """The same, for an app that has one function a category: the stage moves from the type to the content."""
    category, _, stage = message.metadata.message_type.partition(".")
    content = RecordDict({**message.content, STAGE: ConfigRecord({STAGE: stage})})
    return Message(content, message.metadata.dst_node_id, category)


def read(message: Message) -> Delivery:
    """What a device was sent, with its stage in the message's type or in its content.

    Raises:
        ProtocolError: Blames the server.
    """
    content, (category, _, stage) = dict(message.content), message.metadata.message_type.partition(".")
    if not stage:
        stage = _stage(content.pop(STAGE, None))
    if set(content) == {REQUEST}:
        return _requested(content[REQUEST], stage)
    for name, first in FIRST_STAGES.items():
        if set(content) == {MODEL, name} and stage == first:
            return _asked(category, name, content[name], content[MODEL])
    raise ProtocolError("a message that is neither a plan with a model nor a request", blame="server")


def _stage(config: object) -> str:
    """What stands in the content; empty, which is no stage, if nothing does."""
    stage = config.get(STAGE) if isinstance(config, ConfigRecord) and set(config) == {STAGE} else None
    return stage if isinstance(stage, str) else ""


def _asked(category: str, name: str, config: object, model: object) -> Asked:
    data = config.get(name) if isinstance(config, ConfigRecord) and set(config) == {name} else None
    if not isinstance(data, bytes) or not isinstance(model, ArrayRecord):
        raise ProtocolError("a plan or a model of another type", blame="server")
    arrays = tuple((key, array.data) for key, array in sorted(model.items()))
    return Asked(category, data if name == PLAN else None, data if name == ENVELOPE else None, arrays)


def _requested(config: object, stage: str) -> Requested:
    if not isinstance(config, ConfigRecord) or set(config) != {PLAN, REQUEST} or stage not in LATER_STAGES:
        raise ProtocolError("a request of another form", blame="server")
    plan, data = config[PLAN], config[REQUEST]
    if not isinstance(plan, str) or not isinstance(data, bytes):
        raise ProtocolError("a request of another type", blame="server")
    return Requested(plan, stage, data)


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
