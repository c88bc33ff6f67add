"""One cohort's sum in progress, masked or in clear: what the transport sends, and how it ends."""

import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from flwr.app import Message

from covey import clear
from covey import plan as plans
from covey.arrays import Parameters
from covey.encode import Integers
from covey.errors import ProtocolError
from covey.identity import Roster
from covey.plan import Plan
from covey.secagg import server
from covey.secagg.evidence import Evidence
from covey.secagg.messages import OVERHEAD, Advertised, Behind, decode
from covey.secagg.terms import Terms
from covey_strategies.wire import plan_messages, read_reply, request_messages, to_record

Replies = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Settled:
    """An opened sum.

    Attributes:
        total: int64, of rows and what noise is left.
        devices: Devices in it.
        advertised: Devices that began; without masks, all that were asked.
        sharing: Devices that could have been in it; with masks, those that shared keys.
        noise_left: Devices whose removable noise is still in it.
        evidence: What shows a reviewer who was in it; None in clear.
    """

    total: Integers
    devices: int
    advertised: int
    sharing: int
    noise_left: int
    evidence: Evidence | None


@dataclass(frozen=True)
class Failed:
    """A sum that was not opened, and why."""

    reason: str


@dataclass(frozen=True)
class Summed:
    """What a cohort's answers come to, worked out in one place.

    Attributes:
        total: int64, of rows and of the noise that is left.
        senders: Who is in it.
        refused: Whose answer was not counted, and why, one line each.
    """

    total: Integers
    senders: frozenset[int]
    refused: tuple[str, ...] = ()


@runtime_checkable
class SumsAtOnce(Protocol):
    """A grid whose devices are all in one place: where nothing hides an answer, nothing needs be sent."""

    def sum_at_once(self, plan: Plan, parameters: Parameters, cohort: Sequence[int]) -> Summed:
        """The sum that the cohort's messages would give: the same rows, coins and noise.

        Args:
            plan: Without masks, or with masks elided.
            parameters: The model that goes with it.
            cohort: Node ids.
        """


@dataclass(frozen=True)
class AtOnce:
    """Of an exchange without messages: who works it out."""

    grid: SumsAtOnce


@dataclass(frozen=True)
class Sealed:
    """Envelopes around one plan: each device gets one with a proof from the ledger that it has seen last.

    Attributes:
        envelope: By the size of the ledger that the device has seen.
        size: Of the ledger that the envelopes show.
        heads: What each node has seen last, as far as is known; shared by all exchanges of a run.
    """

    envelope: Callable[[int], bytes]
    size: int
    heads: MutableMapping[int, int]

    def by_size(self, nodes: Iterable[int]) -> dict[int, list[int]]:
        """Nodes by what they have seen last."""
        found: dict[int, list[int]] = {}
        for node in nodes:
            found.setdefault(self.heads.get(node, 0), []).append(node)
        return found


@dataclass(frozen=True)
class Exchange:
    """A plan on its way through one cohort.

    Attributes:
        plan: What is asked.
        sent: The plan's bytes.
        parameters: The model that goes with it.
        cohort: Node ids.
        sealed: Envelopes around the plan; None in clear.
        state: Of the machine.
        behind: Nodes that want another proof of the ledger, and get the plan a second time.
        held: Adverts of the others meanwhile.
        stage: What is being waited for; empty at the end.
        requests: What to send for it, by node.
        refused: What was not counted, one line each.
        end: How it ended; None while it has not.
    """

    plan: Plan
    sent: bytes
    parameters: Parameters
    cohort: tuple[int, ...]
    sealed: Sealed | None
    state: server.State | clear.State | AtOnce
    behind: tuple[int, ...] = ()
    held: tuple[tuple[int, bytes], ...] = ()
    stage: str = ""
    requests: Mapping[int, bytes] | None = None
    refused: tuple[str, ...] = ()
    end: Settled | Failed | None = None

    def first_messages(self) -> list[Message]:
        """The plan, to everyone in the cohort; nothing where the sum is worked out at once."""
        return [] if isinstance(self.state, AtOnce) else self._plan_messages(self.cohort)

    def _plan_messages(self, nodes: Sequence[int]) -> list[Message]:
        model = to_record(self.parameters)
        if self.sealed is None:
            return plan_messages(self.plan, self.sent, None, model, nodes)
        return [
            message
            for size, some in self.sealed.by_size(nodes).items()
            for message in plan_messages(self.plan, self.sent, self.sealed.envelope(size), model, some)
        ]

    def messages(self) -> list[Message]:
        """What the machine wants sent next; nothing at the end."""
        if self.behind:
            return self._plan_messages(self.behind)
        digest = plans.digest(self.sent)
        return request_messages(self.plan, digest, self.stage, self.requests) if self.requests else []

    def received(self, messages: Iterable[Message]) -> "Exchange":
        """The stage is over, with these replies."""
        if isinstance(self.state, AtOnce):
            return _at_once(self, self.state.grid)
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
        if isinstance(self.state, server.Advertising) and self.sealed is not None:
            new, replies = _caught_up(new, self.sealed, replies)
            if new.behind:
                return new
        return _masked(new, self.state, replies)


def in_clear(plan: Plan, parameters: Parameters, cohort: Iterable[int]) -> Exchange:
    """A plan without masks before it is sent.

    Args:
        plan: What is asked.
        parameters: The model that goes with it.
        cohort: Node ids.
    """
    nodes, sent = tuple(cohort), plans.to_bytes(plan)
    state = clear.Answering(plan, clear.digest_of(sent), frozenset(nodes))
    return Exchange(plan, sent, parameters, nodes, None, state)


def at_once(plan: Plan, parameters: Parameters, cohort: Iterable[int], grid: SumsAtOnce) -> Exchange:
    """A plan without masks that is not sent.

    Args:
        plan: What is asked.
        parameters: The model that goes with it.
        cohort: Node ids.
        grid: Where they are.
    """
    return Exchange(plan, plans.to_bytes(plan), parameters, tuple(cohort), None, AtOnce(grid))


def masked(  # noqa: PLR0913 - each named at the call
    plan: Plan,
    parameters: Parameters,
    cohort: Iterable[int],
    *,
    sealed: Sealed,
    roster: Roster,
    before: Mapping[str, Advertised],
) -> Exchange:
    """A plan with masks before it is sent.

    Args:
        plan: What is asked.
        parameters: The model that goes with it.
        cohort: Node ids.
        sealed: Envelopes around the plan.
        roster: That the plan names.
        before: Each device's newest advert, as far as is known.
    """
    nodes, sent = tuple(cohort), plans.to_bytes(plan)
    state = server.Advertising(Terms.of(sent), roster, frozenset(nodes), int(time.time()), before)
    return Exchange(plan, sent, parameters, nodes, sealed, state)


def _caught_up(exchange: Exchange, sealed: Sealed, replies: Replies) -> tuple[Exchange, Replies]:
    """Set aside who wants another proof of the ledger; each gets one more, once."""
    again, adverts, refused = list[int](), list(exchange.held), list(exchange.refused)
    for node, data in replies:
        size = _size_seen(data)
        if size is None or node not in exchange.cohort:
            adverts.append((node, data))
        elif node in exchange.behind or node in again:
            refused.append(f"node {node}: asked again what the ledger had grown from")
        elif size > sealed.size:
            refused.append(f"node {node}: has seen {size} entries of this ledger, which has {sealed.size}")
        else:
            sealed.heads[node] = size
            again.append(node)
    if not again:
        sealed.heads.update((node, sealed.size) for node, _ in adverts)
    after = replace(exchange, behind=tuple(again), held=tuple(adverts), refused=tuple(refused))
    return after, adverts


def _size_seen(data: bytes) -> int | None:
    """What a device that wants another proof has seen; None for any other reply."""
    try:
        return decode(data, Behind, blame="device", limit=OVERHEAD).size
    except ProtocolError:
        return None


def _at_once(exchange: Exchange, grid: SumsAtOnce) -> Exchange:
    plan = exchange.plan
    found = grid.sum_at_once(plan, exchange.parameters, exchange.cohort)
    lines = (*exchange.refused, *found.refused)
    if len(found.senders) < plan.minimum:
        end: Settled | Failed = _failed(clear.too_few(plan, len(found.senders)), lines)
    else:
        end = Settled(found.total, len(found.senders), plan.cohort, plan.cohort, 0, None)
    return replace(exchange, refused=lines, end=end)


def _in_clear(exchange: Exchange, state: clear.State, replies: Replies) -> Exchange:
    after, requests, refused = clear.step(state, replies)
    lines = (*exchange.refused, *(_named(node, reason) for node, reason in refused))
    match after:
        case clear.Finished(total, senders, noise_left):
            end: Settled | Failed | None = Settled(
                total, len(senders), len(exchange.cohort), len(exchange.cohort), noise_left, None
            )
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
            members = len(state.u3), len(state.u1), len(state.u2)
            return Settled(state.total, *members, state.noise_left, state.evidence)
        case server.Aborted(stage, reason):
            return _failed(reason if stage in reason else f"{reason} (stage {stage})", refused)
        case _:
            return None


def _failed(reason: str, refused: Sequence[str]) -> Failed:
    """Why, and what the first of those refused said: where all refuse alike, that is the cause."""
    known = not refused or "first refusal" in reason
    return Failed(reason if known else f"{reason}; first refusal: {refused[0]}")
