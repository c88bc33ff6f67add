"""A device in private sums: what it holds, whom it believes, and the session it is in.

Messages come one by one, each perhaps to a process of its own; the session is carried between them in memory.
Everything that decides what leaves the device is in `covey.secagg.device` and `covey.clear`; here it is only
carried out, in the order that they give.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from covey import budget as budgets
from covey import clear
from covey import delivery as deliveries
from covey import plan as plans
from covey.budget import Locked, Settled
from covey.delivery import Arrays, Asked, Delivery, Requested
from covey.encode import Integers
from covey.errors import LedgerBehind, MemoryRestored, PlanRefused, ProtocolError
from covey.ledger import participation
from covey.plan import Gradient, Plan
from covey.secagg import device as machine
from covey.secagg import states
from covey.secagg.envelope import Appeal, Opened, Trust, open_envelope
from covey.secagg.messages import Behind, encode
from covey.secagg.states import AnyState, Claim, Effect, Open, Request, Send
from covey_client.budget import Journal
from covey_client.claims import Claims
from covey_client.seeds import Seeds
from covey_io.device_keys import Keys

Log = Callable[[str], None]

NEVER: Final = bytes(32)
"""Stands for the request that no vector of a plan will answer any more."""


class Prepared(Protocol):
    """A plan that the device's model fits: all that can be refused was refused."""

    def answer(self, coins: bytes) -> Integers:
        """The device's vector before noise and masks; what goes wrong with the data makes it zero.

        Args:
            coins: 32 bytes of randomness that choose examples and round.

        Returns:
            int64 of length `plan.length`.
        """


class Trainer(Protocol):
    """What computes answers, in this process or in one of its own."""

    def prepared(self, plan: Plan, model: Arrays) -> AbstractContextManager[Prepared]:
        """Check whether a plan can be answered, before anything is spent on it.

        Raises:
            ProtocolError: The plan is not one for this device's model. Depends on plan and model alone.
        """


@dataclass(frozen=True)
class Participant:
    """A device in private sums.

    Attributes:
        trainer: Its data and model.
        log: Takes one line for the device's owner.
        seeds: Where its randomness comes from.
        claims: What it never does twice.
        journal: Its budget.
        keys: None: it cannot take part in masked sums.
        unprotected: Whether its owner lets it answer plans without masks, without noise or without a policy.
        pad_seconds: Answers to `gradient` are held back to whole multiples of so many seconds, so that the
            time they take tells little of how many examples the coins chose; 0 for no padding.
        remember: Keeps the policy that is taken up, as its reviewers signed it, for the updater.
    """

    trainer: Trainer
    log: Log
    seeds: Seeds
    claims: Claims
    journal: Journal
    keys: Keys | None
    unprotected: bool
    pad_seconds: float = 0.0
    remember: Callable[[bytes], None] = lambda _: None


class Memory(Protocol):
    """Where a session lives between messages: in memory, never on a disk."""

    session: bytes


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A session as it is remembered."""

    masked: bytes | None
    clear: clear.Answered | None

    def __repr__(self) -> str:
        """Without the session's secrets."""
        return "<_Kept>"


def answered(participant: Participant, memory: Memory, delivery: Delivery) -> bytes:
    """Answer what was delivered.

    Raises:
        ProtocolError: Refused. Depends on the plan and the model alone, never on data.
    """
    try:
        if isinstance(delivery, Asked):
            return begin(participant, memory, delivery)
        return go_on(participant, memory, delivery)
    except LedgerBehind as error:
        return encode(Behind(error.size))
    except MemoryRestored:  # told already: the owner must act on it
        raise
    except ProtocolError as error:
        _tell(participant, f"refused: {error.message}")
        raise


def begin(participant: Participant, memory: Memory, asked: Asked) -> bytes:
    """Answer a plan, or advertise for one.

    Raises:
        ProtocolError: Refused. Depends on the plan and the model alone, never on data.
    """
    if asked.envelope is None:
        return _answer(participant, memory, asked, asked.plan or b"")
    return _advertise(participant, memory, asked, asked.envelope)


def go_on(participant: Participant, memory: Memory, requested: Requested) -> bytes:
    """Answer a later request of the session.

    Raises:
        ProtocolError: Refused, or there is no such session.
    """
    kept = _remembered(memory)
    if kept.clear is not None and requested.stage == "removal":
        after, reply = clear.remove(kept.clear, requested.data)
        _remember(memory, None, after)
        return reply
    if kept.masked is None or participant.keys is None:
        raise ProtocolError("a request without a session: this device was restarted", blame="server")
    state = states.from_bytes(kept.masked)
    if plans.digest(state.plan) != requested.plan:
        raise ProtocolError("a request for another plan than the open one", blame="server")
    budget = participant.journal.budget
    budgets.check_open(budget)
    if state.terms.plan.policy is not None and requested.plan not in budget.reserved:
        raise PlanRefused("this plan was given up when another one came")
    event = Request(requested.data, max(int(time.time()), budget.clock))
    try:
        stepped = machine.step(participant.keys.me, state, event)
    except MemoryRestored as error:
        participant.journal.write([Locked(int(time.time()), error.message)])
        _tell(participant, f"locked: {error.message}")
        raise
    reply = _act(participant, memory, stepped)
    if isinstance(stepped[0], states.Closed) and requested.plan in budget.unsettled:
        participant.journal.write([Settled(int(time.time()), requested.plan, "answered")])
    return reply


def _answer(participant: Participant, memory: Memory, asked: Asked, sent: bytes) -> bytes:
    """In clear."""
    plan = plans.from_bytes(sent)
    deliveries.check_kind(asked.category, plan)
    plans.check_current(plan, int(time.time()))
    budgets.check_open(participant.journal.budget)
    if not participant.unprotected:
        raise PlanRefused("this device answers no plan without masks; its owner has not allowed it")
    if plan.policy is not None:
        raise PlanRefused("the plan names a policy and proves nothing of it")
    kept, digest = _remembered(memory).clear, clear.digest_of(sent)
    if kept is not None and kept.plan == digest:
        return kept.reply
    with participant.trainer.prepared(plan, asked.model) as prepared:
        vector = _compute(participant, plan, prepared)
    state = clear.answer(plan, sent, vector, participant.seeds.noise(plan))
    participant.claims.claim(Claim(plan.run, plan.sum, "advertise", digest))
    _remember(memory, None, state)
    return state.reply


def _advertise(participant: Participant, memory: Memory, asked: Asked, envelope: bytes) -> bytes:
    """Train, then open the session."""
    keys = participant.keys
    if keys is None:
        raise PlanRefused("this device has no keys for masked sums")
    with ExitStack() as stack:
        with participant.journal.held():
            opened = _opened(participant, keys, envelope)
            plan = opened.terms.plan
            deliveries.check_kind(asked.category, plan)
            _check_protected(participant, opened)
            replied = _replied(memory, opened)
            if replied is not None:
                return replied
            participant.claims.check(Claim(plan.run, plan.sum, "advertise", opened.terms.digest))
            prepared = stack.enter_context(participant.trainer.prepared(plan, asked.model))
            if opened.appeal is not None:
                _reserve(participant, opened, opened.appeal)
        vector = _compute(participant, plan, prepared)
    event = Open(
        envelope=opened,
        vector=vector,
        seed=participant.seeds.session(),
        noise=participant.seeds.noise(plan),
        counter=participant.journal.budget.counter,
        leaf=participation.leaf(participation.opening(keys.salt, plan.run, plan.sum), keys.me.device),
    )
    return _act(participant, memory, machine.step(keys.me, None, event))


def _opened(participant: Participant, keys: Keys, envelope: bytes) -> Opened:
    """A plan that this device believes is the operator's, with a roster that it is in."""
    budget, claims = participant.journal.budget, participant.claims
    budgets.check_open(budget)
    trust = Trust(
        keys.operator, keys.me.enrolment, claims.least_serial, keys.reviewers, budget.seen, budget.clock
    )
    opened = open_envelope(envelope, trust, keys.me.device, int(time.time()))
    claims.saw_roster(opened.roster.serial)
    return opened


def _check_protected(participant: Participant, opened: Opened) -> None:
    """What only an owner may allow."""
    if participant.unprotected:
        return
    if opened.terms.plan.noise is None:
        raise PlanRefused("this device answers no plan without noise; its owner has not allowed it")
    if opened.appeal is None:
        raise PlanRefused("this device answers no plan without a signed policy; its owner has not allowed it")


def _reserve(participant: Participant, opened: Opened, appeal: Appeal) -> None:
    """Write down what is going to be answered; first, how what was reserved before has ended.

    Head and policy are kept even if the plan is refused: older ones will not be believed any more.
    """
    journal, digest, policy = participant.journal, plans.digest(opened.sent), appeal.policy
    plan = opened.terms.plan
    _settle_earlier(participant, opened.now)
    participant.claims.check(Claim(plan.run, plan.sum, "masked", opened.terms.digest))  # not one given back
    journal.write(budgets.saw(journal.budget, appeal.head))
    budgets.check_policy(journal.budget, policy)
    participant.remember(appeal.note)
    journal.write(budgets.adopts(journal.budget, policy, opened.now))
    journal.write(budgets.reserve(journal.budget, plan, digest, policy, opened.now))


def _settle_earlier(participant: Participant, now: int) -> None:
    """A plan whose vector never left, and never will, gives back what was reserved for it.

    That it never will is claimed first, as if the vector had left: whatever still knows the session can send
    no other.
    """
    journal = participant.journal
    for digest in sorted(journal.budget.unsettled):
        asked = journal.budget.reserved[digest].asked
        try:
            participant.claims.claim(Claim(asked.run, asked.sum, "masked", NEVER))
        except PlanRefused:  # it left, or may have: of older sums nothing is remembered
            journal.write([Settled(now, digest, "answered")])
        else:
            journal.write([Settled(now, digest, "released")])


def _replied(memory: Memory, opened: Opened) -> bytes | None:
    """What was answered to this very plan, if its session is still open."""
    kept = _remembered(memory).masked
    if kept is None:
        return None
    state = states.from_bytes(kept)
    if state.plan != opened.sent:
        return None
    return next((each.reply for each in state.replies if each.stage == "advertise"), None)


def _tell(participant: Participant, line: str) -> None:
    """One line to the device's owner; a log that fails must not change the answer."""
    with suppress(Exception):
        participant.log(" ".join(line.split()))


def _compute(participant: Participant, plan: Plan, prepared: Prepared) -> Integers:
    started = time.monotonic()
    vector = prepared.answer(participant.seeds.coins(plan))
    if participant.pad_seconds and isinstance(plan.task, Gradient):
        elapsed = time.monotonic() - started
        time.sleep(-elapsed % participant.pad_seconds)
    return vector


def _act(participant: Participant, memory: Memory, stepped: tuple[AnyState, tuple[Effect, ...]]) -> bytes:
    """Carry out effects in their order: what is claimed first is durable before anything is sent."""
    after, effects = stepped
    reply = b""
    for effect in effects:
        match effect:
            case Claim():
                participant.claims.claim(effect)
            case Send(data):
                reply = data
    _remember(memory, after, None)
    return reply


def _remember(memory: Memory, masked: AnyState | None, answered: clear.Answered | None) -> None:
    kept = _Kept(None if masked is None else states.to_bytes(masked), answered)
    memory.session = msgspec.msgpack.encode(kept)


def _remembered(memory: Memory) -> _Kept:
    return msgspec.msgpack.decode(memory.session, type=_Kept) if memory.session else _Kept(None, None)
