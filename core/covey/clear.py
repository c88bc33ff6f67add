"""Sums without masks: the same rows and the same noise, sent in clear. For experiments and simulations.

With masks "elided" a simulation saves the time that masks cost; every number is what it would be with them.
With masks "none" nothing hides an answer from the server, and every record of the sum says so.

    Answering --answers-->  Removing   noise for drop-outs that did not happen is asked for
    Removing  --seeds-->    Finished
    Answering --answers-->  Finished   where no noise is to be removed
    Answering --too few-->  Aborted
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np

from covey import plan as plans
from covey import ring
from covey.encode import Integers
from covey.errors import PlanRefused, ProtocolError
from covey.noise.contribution import contribute, due, removable
from covey.plan import Plan, noise_shares
from covey.secagg.messages import OVERHEAD, Hash, Message, decode, encode

Stage = Literal["answer", "removal"]
Sender = int


class Answer(Message, frozen=True, tag="answer"):
    """Device to server: one vector for one plan, and nothing else."""

    plan: Hash
    vector: bytes


class Removal(Message, frozen=True, tag="removal"):
    """Server to device: so many of the cohort did not answer."""

    plan: Hash
    dropped: Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]


class Removed(Message, frozen=True, tag="removed"):
    """Device to server: the seed of the noise that is not needed."""

    plan: Hash
    seed: Hash | None


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """What a device remembers of its answer, in memory.

    Attributes:
        plan: H(plan).
        reply: Sent; a plan that arrives again gets the same.
        tolerated: Drop-outs that the noise is made for.
        first: Seed of the removable noise.
        removal: The request that was answered; the seeds for two different ones must not be had.
        removed: The reply to it.
    """

    plan: Hash
    reply: bytes
    tolerated: int
    first: Hash | None
    removal: bytes = b""
    removed: bytes = b""

    def __repr__(self) -> str:
        """Without the answer and the seeds."""
        return f"Answered(plan={self.plan.hex()[:16]})"


def digest_of(sent: bytes) -> bytes:
    """H(plan), 32 bytes."""
    return bytes.fromhex(plans.digest(sent))


def answer(plan: Plan, sent: bytes, vector: Integers, noise_key: bytes) -> Answered:
    """Device: add noise and answer.

    Args:
        plan: Without masks.
        sent: Its bytes.
        vector: The encoded answer, int64 (plan.length,).
        noise_key: 32 bytes, used for this plan only.

    Raises:
        PlanRefused: A plan with masks.
    """
    if plan.masks == "on":
        raise PlanRefused("a plan with masks, asked for in clear")
    noisy, first, variances = vector, None, noise_shares(plan, plan.cohort)
    if plan.noise is not None:
        own = contribute(plan.noise.mechanism, variances, plan.length, noise_key)
        noisy, first = vector + own.noise, own.first
    reply = encode(Answer(digest_of(sent), ring.to_bytes(ring.wrap(noisy))))
    return Answered(digest_of(sent), reply, len(variances) - 1, first)


def remove(state: Answered, request: bytes) -> tuple[Answered, bytes]:
    """Device: reveal the seed of the noise that is not needed, once.

    Raises:
        ProtocolError: For another plan, or a second, different request.
    """
    asked = decode(request, Removal, blame="server", limit=OVERHEAD)
    if not hmac.compare_digest(asked.plan, state.plan):
        raise ProtocolError("removal for another plan", blame="server")
    if state.removal:
        if state.removal != request:
            raise ProtocolError("a second, different request for removal", blame="server")
        return state, state.removed
    reply = encode(Removed(state.plan, due(state.first, state.tolerated, asked.dropped)))
    return msgspec.structs.replace(state, removal=request, removed=reply), reply


@dataclass(frozen=True)
class Answering:
    """Server: waits for answers of `senders`."""

    plan: Plan
    digest: bytes
    senders: frozenset[Sender]


@dataclass(frozen=True)
class Removing:
    """Server: waits for seeds of `senders`; `total` holds their noisy answers."""

    plan: Plan
    digest: bytes
    senders: frozenset[Sender]
    total: ring.Ring


@dataclass(frozen=True)
class Finished:
    """Server: the sum.

    Attributes:
        total: int64, centred.
        senders: Who is in it.
        noise_left: Of them, whose removable noise is still in it.
    """

    total: Integers
    senders: frozenset[Sender]
    noise_left: int


@dataclass(frozen=True)
class Aborted:
    """Server: too few answers; nothing is decoded."""

    reason: str


State = Answering | Removing | Finished | Aborted
Requests = Mapping[Sender, bytes]
Refused = list[tuple[Sender, str]]


def step(state: State, replies: Iterable[tuple[Sender, bytes]]) -> tuple[State, Requests, Refused]:
    """Server: end a stage with what has arrived.

    Returns:
        The next state; what to send, if anything; whose reply was not counted, and why.
    """
    match state:
        case Answering():
            return _answered(state, replies)
        case Removing():
            return _removed(state, replies)
        case Finished() | Aborted():
            return state, {}, [(sender, "answered after the end") for sender, _ in replies]


def _answered(state: Answering, replies: Iterable[tuple[Sender, bytes]]) -> tuple[State, Requests, Refused]:
    total, counted, refused = np.zeros(state.plan.length, np.uint32), set[Sender](), Refused()
    for sender, data in replies:
        try:
            vector = _vector(state, counted, sender, data)
        except ProtocolError as error:
            refused.append((sender, error.message))
            continue
        np.add(total, vector, out=total)
        counted.add(sender)
    senders = frozenset(counted)
    if len(senders) < state.plan.minimum:
        because = f"; first refusal: {refused[0][1]}" if refused else ""
        return Aborted(f"{too_few(state.plan, len(senders))}{because}"), {}, refused
    if state.plan.noise is None or not state.plan.noise.removal:
        return Finished(ring.centre(total), senders, 0), {}, refused
    request = encode(Removal(state.digest, state.plan.cohort - len(senders)))
    after = Removing(state.plan, state.digest, senders, total)
    return after, dict.fromkeys(sorted(senders), request), refused


def too_few(plan: Plan, answered: int) -> str:
    """Why nothing is decoded."""
    return f"{answered} of {plan.cohort} devices answered, the minimum is {plan.minimum}"


def _vector(state: Answering, counted: set[Sender], sender: Sender, data: bytes) -> ring.Ring:
    blame = f"node {sender}"
    if sender not in state.senders or sender in counted:
        raise ProtocolError(
            f"{blame}: {'a second answer' if sender in counted else 'was not asked'}", blame=blame
        )
    answered = decode(data, Answer, blame=blame, limit=4 * state.plan.length + OVERHEAD)
    if not hmac.compare_digest(answered.plan, state.digest):
        raise ProtocolError(f"{blame}: an answer to another plan", blame=blame)
    try:
        return ring.from_bytes(answered.vector, state.plan.length)
    except ValueError as error:
        raise ProtocolError(f"{blame}: {error}", blame=blame) from error


def _removed(state: Removing, replies: Iterable[tuple[Sender, bytes]]) -> tuple[State, Requests, Refused]:
    plan, total, seen, refused = state.plan, state.total.copy(), set[Sender](), Refused()
    dropped, variances = plan.cohort - len(state.senders), noise_shares(plan, plan.cohort)
    for sender, data in replies:
        try:
            removed = decode(data, Removed, blame=f"node {sender}", limit=OVERHEAD)
        except ProtocolError as error:
            refused.append((sender, error.message))
            continue
        if sender not in state.senders or sender in seen or removed.plan != state.digest:
            refused.append((sender, f"node {sender}: a seed that nobody asked for"))
            continue
        if plan.noise is not None and removed.seed is not None:
            seen.add(sender)
            excess = removable(
                plan.noise.mechanism, variances, plan.length, seed=removed.seed, dropped=dropped
            )
            np.subtract(total, ring.wrap(excess), out=total)
    left = len(state.senders - seen) if dropped + 1 < len(variances) else 0
    return Finished(ring.centre(total), state.senders, left), {}, refused
