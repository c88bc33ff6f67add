"""One cohort's sum in progress, masked or in clear: what the transport sends, and how it ends."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flwr.app import Message

from covey import clear
from covey import plan as plans
from covey.arrays import Parameters
from covey.encode import Integers
from covey.errors import ProtocolError
from covey.identity import Roster
from covey.plan import Plan
from covey.secagg import server
from covey.secagg.terms import Terms
from covey_strategies.wire import plan_messages, read_reply, request_messages, to_record

Replies = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Settled:
    """An opened sum.

    Attributes:
        total: int64, of rows and what noise is left.
        devices: Devices in it.
        sharing: Devices that could have been; with masks, those that shared keys.
        noise_left: Devices whose removable noise is still in it.
        sets: SHA-256 commitments to who was in it; empty in clear.
    """

    total: Integers
    devices: int
    sharing: int
    noise_left: int
    sets: Mapping[str, str]


@dataclass(frozen=True)
class Failed:
    """A sum that was not opened, and why."""

    reason: str


@dataclass(frozen=True)
class Exchange:
    """A plan on its way through one cohort.

    Attributes:
        plan: What is asked.
        sent: The plan's bytes.
        parameters: The model that goes with it.
        cohort: Node ids.
        state: Of the machine.
        stage: What is being waited for; empty at the end.
        requests: What to send for it, by node.
        refused: What was not counted, one line each.
        end: How it ended; None while it has not.
    """

    plan: Plan
    sent: bytes
    parameters: Parameters
    cohort: tuple[int, ...]
    envelope: bytes | None
    state: server.State | clear.State
    stage: str = ""
    requests: Mapping[int, bytes] | None = None
    refused: tuple[str, ...] = ()
    end: Settled | Failed | None = None

    def first_messages(self) -> list[Message]:
        """The plan, to everyone in the cohort."""
        return plan_messages(self.plan, self.sent, self.envelope, to_record(self.parameters), self.cohort)

    def messages(self) -> list[Message]:
        """What the machine wants sent next; nothing at the end."""
        digest = plans.digest(self.sent)
        return request_messages(self.plan, digest, self.stage, self.requests) if self.requests else []

    def received(self, messages: Iterable[Message]) -> "Exchange":
        """The stage is over, with these replies."""
        replies: Replies = []
        refused = []
        for message in messages:
            try:
                replies.append((message.metadata.src_node_id, read_reply(message)))
            except ProtocolError as error:
                refused.append(error.message)
        new = replace(self, requests=None, stage="", refused=(*self.refused, *refused))
        if isinstance(self.state, clear.Answering | clear.Removing | clear.Finished | clear.Aborted):
            return _in_clear(new, self.state, replies)
        return _masked(new, self.state, replies)


def start(
    plan: Plan, parameters: Parameters, cohort: Iterable[int], envelope: bytes | None, roster: Roster | None
) -> Exchange:
    """A plan before it is sent.

    Args:
        plan: What is asked.
        parameters: The model that goes with it.
        cohort: Node ids.
        envelope: Around the plan, where masks are on.
        roster: That the plan names, where masks are on.
    """
    nodes, sent = tuple(cohort), plans.to_bytes(plan)
    if envelope is None or roster is None:
        state: server.State | clear.State = clear.Answering(plan, clear.digest_of(sent), frozenset(nodes))
    else:
        state = server.Advertising(Terms.of(sent), roster, frozenset(nodes), int(time.time()))
    return Exchange(plan, sent, parameters, nodes, envelope, state)


def _in_clear(exchange: Exchange, state: clear.State, replies: Replies) -> Exchange:
    after, requests, refused = clear.step(state, replies)
    lines = (*exchange.refused, *(_named(node, reason) for node, reason in refused))
    match after:
        case clear.Finished(total, senders, noise_left):
            end: Settled | Failed | None = Settled(total, len(senders), len(exchange.cohort), noise_left, {})
        case clear.Aborted(reason):
            end = _failed(reason, lines)
        case _:
            end = None
    return replace(exchange, state=after, stage="removal", requests=requests, refused=lines, end=end)


def _masked(exchange: Exchange, state: server.State, replies: Replies) -> Exchange:
    after, effects = server.step(state, replies, workers=2)
    stage, requests = "", {}
    lines = list(exchange.refused)
    for effect in effects:
        match effect:
            case server.Deliver(stage_, requests_):
                stage, requests = stage_, dict(requests_)
            case server.Blame(sender, reason):
                lines.append(_named(sender, reason))
    return replace(
        exchange, state=after, stage=stage, requests=requests, refused=tuple(lines), end=_end(after, lines)
    )


def _named(node: int, reason: str) -> str:
    """A refusal that says whose it is, once."""
    return reason if reason.startswith(f"node {node}:") else f"node {node}: {reason}"


def _end(state: server.State, refused: Sequence[str]) -> Settled | Failed | None:
    match state:
        case server.Finished():
            return Settled(
                state.total, len(state.u3), len(state.u2), state.noise_left, {"u1": state.root.hex()}
            )
        case server.Aborted(stage, reason):
            return _failed(reason if stage in reason else f"{reason} (stage {stage})", refused)
        case _:
            return None


def _failed(reason: str, refused: Sequence[str]) -> Failed:
    """Why, and what the first of those refused said: where all refuse alike, that is the cause."""
    known = not refused or "first refusal" in reason
    return Failed(reason if known else f"{reason}; first refusal: {refused[0]}")
