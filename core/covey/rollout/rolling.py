"""A rollout as a machine: `step(state, event)` gives the next state and what is to be done, in that order.

    start ──► running ──► running      health is good: the next ring opens, its own clock begins
                      ──► complete     likewise, after the last ring
                      ──► rolled-back  too many failed: it stops by itself, and all return to the fallback
                      ──► aborted      likewise, where the plan names nothing to return to
                      ──► paused       by a person, or by itself when it looks bad and that is not certain;
                                       a person may resume it: the newest ring soaks anew
    running, paused, complete ──► aborted                 by a person: nobody begins, nothing is taken back
    running, paused, complete, aborted ──► rolled-back    by a person: all return to the fallback

Every change is one decision and one instruction, whose serial is one more than the last. Whatever cannot be
done raises and changes nothing. Signatures are not checked here: whoever starts a rollout did that.
"""

import hashlib
from collections.abc import Callable
from typing import Final, TypeVar, assert_never

import msgspec

from covey.errors import InputError, ProtocolError
from covey.ledger.entries import RolloutAction
from covey.ledger.note import parse
from covey.rollout import instruction as instructions
from covey.rollout import plan as plans
from covey.rollout.deciding import Advance, Stop, Verdict, Wait, decide, reports_over
from covey.rollout.health import check
from covey.rollout.instruction import Pin, State
from covey.rollout.rolling_state import (
    MOST_KEPT,
    Abort,
    AskHealth,
    Decided,
    Decision,
    Effect,
    Event,
    HealthCame,
    Hold,
    Pause,
    PinTo,
    Publish,
    Resume,
    RollBack,
    Rollout,
    Start,
    Tick,
    Unhold,
    Unpin,
)

OVER: Final[tuple[State, ...]] = ("complete", "aborted", "rolled-back")
"""From these a new rollout may begin; from others one that supersedes."""
LONGEST_REASON: Final = 500
MOST_PINS: Final = 256
MOST_HOLDS: Final = 1024

Each = TypeVar("Each")
Stepped = tuple[Rollout, tuple[Effect, ...]]


def step(state: Rollout | None, event: Event) -> Stepped:
    """What an event makes of a rollout.

    Args:
        state: As it stands, or the last one of the fleet; None where there never was one.
        event: What happened.

    Raises:
        InputError: A person asked for what cannot be; the hint says what can.
        ProtocolError: Health of other rings than are open, or from before they were; or an instruction that
            no device would read.
    """
    if isinstance(event, Start):
        return _start(state, event)
    if state is None:
        raise InputError("no rollout was ever started", hint="covey rollout start PLAN.approved")
    match event:
        case Tick():
            return _tick(state, event.now)
        case HealthCame():
            return _heard(state, event)
        case Pause() | Resume() | Abort() | RollBack():
            return _by_person(state, event)
        case Hold() | Unhold() | PinTo() | Unpin():
            return _apart(state, event)
        case _ as never:
            assert_never(never)


def health_due(state: Rollout, now: int) -> bool:
    """Whether health is to be asked for: each asking is a private sum, and debits devices' budgets.

    When the soak and when the time for reports ends, and in between and before no more often than
    `limits.report_seconds`; after that ever less often, as only late devices can change anything.
    """
    if state.state != "running":
        return False
    plan, begun = state.planned, state.opened_at[-1]
    ring = plan.rings[state.opened - 1]
    last = begun if state.asked is None else state.asked
    over = begun + reports_over(plan, ring)
    if any(last < moment <= now for moment in (begun + ring.soak_seconds, over)):
        return True
    if state.asked is None and ring.soak_seconds == 0:
        return True
    return now - last >= max(plan.limits.report_seconds, last - over)


def _start(before: Rollout | None, event: Start) -> Stepped:
    plan = plans.from_text(parse(event.plan.encode(), blame="operator").text, blame="operator")
    if before is not None and before.state not in OVER and not event.supersedes:
        raise InputError(
            f"{before.planned.rollout} is {before.state}",
            hint="wait until it is complete, or end it: covey rollout abort, or rollback; or --supersede it",
        )
    if before is not None and before.planned.fleet != plan.fleet:
        raise InputError(
            f"the plan is for fleet {plan.fleet}, this is {before.planned.fleet}",
            hint="name the folder of that fleet",
        )
    begun = Rollout(
        plan=event.plan,
        approvals=event.approvals,
        state="running",
        serial=max(event.after, before.serial if before else 0),
        opened_at=(event.now,),
        pins=before.pins if before else (),
        holds=before.holds if before else (),
    )
    reason = f"{plan.image.name} {plan.image.version}: ring {plan.rings[0].name} opens"
    if before is not None and before.state not in OVER:
        reason += f", in place of {before.planned.rollout}, which was {before.state}"
    return _decided(begun, event.now, "start", reason)


def _tick(state: Rollout, now: int) -> Stepped:
    if not health_due(state, now):
        return state, ()
    return msgspec.structs.replace(state, asked=now), (AskHealth(state.opened),)


def _heard(state: Rollout, event: HealthCame) -> Stepped:
    check(event.rings, state.opened)
    taken = event.now if event.taken is None else min(event.taken, event.now)
    if taken < state.opened_at[-1]:
        raise ProtocolError(
            "health from before the newest ring was opened", blame="local", hint="ask for health anew"
        )
    if state.state != "running":
        return msgspec.structs.replace(state, health=event.rings), ()
    verdict = decide(state.planned, state.open_for(taken), event.rings)
    heard = msgspec.structs.replace(
        state,
        health=event.rings,
        verdict=verdict.because,
        for_people=isinstance(verdict, Wait) and verdict.for_people,
    )
    return _follow(heard, event.now, verdict)


def _follow(state: Rollout, now: int, verdict: Verdict) -> Stepped:
    match verdict:
        case Wait(pauses=True):
            return _decided(msgspec.structs.replace(state, state="paused"), now, "pause", verdict.because)
        case Wait():
            return state, ()
        case Stop():
            back: State = "aborted" if state.planned.fallback is None else "rolled-back"
            return _decided(msgspec.structs.replace(state, state=back), now, "stop", verdict.because)
        case Advance():
            return _advanced(state, now, verdict)
        case _ as never:
            assert_never(never)


def _advanced(state: Rollout, now: int, verdict: Advance) -> Stepped:
    rings = state.planned.rings
    if state.opened == len(rings):
        return _decided(msgspec.structs.replace(state, state="complete"), now, "complete", verdict.because)
    opened = msgspec.structs.replace(state, opened_at=(*state.opened_at, now), asked=None, health=())
    return _decided(opened, now, "open", f"ring {rings[state.opened].name} opens: {verdict.because}")


def _by_person(state: Rollout, event: Pause | Resume | Abort | RollBack) -> Stepped:
    match event:
        case Pause():
            return _moved(state, event.now, "pause", event.reason, ("running",), "paused")
        case Resume():
            soaks = (*state.opened_at[:-1], event.now)  # while it was paused nobody could begin
            anew = msgspec.structs.replace(state, opened_at=soaks, asked=None)
            anew = msgspec.structs.replace(anew, health=(), verdict="")
            return _moved(anew, event.now, "resume", event.reason, ("paused",), "running")
        case Abort():
            ends: tuple[State, ...] = ("running", "paused", "complete")
            return _moved(state, event.now, "abort", event.reason, ends, "aborted")
        case RollBack():
            if state.planned.fallback is None:
                raise InputError(
                    f"{state.planned.rollout} names nothing to return to",
                    hint="covey rollout abort ends it; a new rollout of an older image takes it back",
                )
            whence: tuple[State, ...] = ("running", "paused", "complete", "aborted")
            return _moved(state, event.now, "rollback", event.reason, whence, "rolled-back")
        case _ as never:
            assert_never(never)


def _moved(  # noqa: PLR0913, PLR0917 - a row of a table
    state: Rollout, now: int, action: RolloutAction, reason: str, whence: tuple[State, ...], to: State
) -> Stepped:
    if state.state not in whence:
        raise InputError(
            f"{state.planned.rollout} is {state.state}: it cannot {_verb(action)}",
            hint=f"only when {' or '.join(whence)}; see covey rollout status",
        )
    moved = msgspec.structs.replace(state, state=to, for_people=False)
    return _decided(moved, now, action, _checked(reason))


def _apart(state: Rollout, event: Hold | Unhold | PinTo | Unpin) -> Stepped:
    """Devices that do not follow. The reason stands in a public ledger and names none of them."""
    action: RolloutAction
    match event:
        case Hold():
            if event.device in state.holds:
                raise InputError("the device is on hold already", hint="covey rollout unhold lets it go on")
            holds = _room((*state.holds, event.device), MOST_HOLDS, "devices on hold")
            changed, action = msgspec.structs.replace(state, holds=tuple(sorted(holds))), "hold"
        case Unhold():
            kept = _without(state.holds, lambda each: each == event.device, "on hold")
            changed, action = msgspec.structs.replace(state, holds=kept), "unhold"
        case PinTo():
            others = tuple(each for each in state.pins if each.device != event.pin.device)
            pins = _room((*others, event.pin), MOST_PINS, "pinned devices")
            changed, action = msgspec.structs.replace(state, pins=tuple(sorted(pins, key=_device))), "pin"
        case Unpin():
            left = _without(state.pins, lambda each: each.device == event.device, "pinned")
            changed, action = msgspec.structs.replace(state, pins=left), "unpin"
        case _ as never:
            assert_never(never)
    return _decided(changed, event.now, action, _checked(event.reason))


def _decided(state: Rollout, now: int, action: RolloutAction, reason: str) -> Stepped:
    """A decision about a state that is reached with it, and the instruction that says so."""
    decided = msgspec.structs.replace(state, serial=state.serial + 1)
    data = instructions.to_bytes(decided.instruction)
    instructions.from_bytes(data, blame="local")  # what no device would read is never published
    decision = Decision(
        time=now,
        serial=decided.serial,
        instruction=hashlib.sha256(data).hexdigest(),
        plan=decided.plan_sha256,
        action=action,
        opened=decided.opened,
        reason=reason,
        approvals=decided.approvals,
    )
    kept = (*state.decisions, decision)[-MOST_KEPT:]
    return msgspec.structs.replace(decided, decisions=kept), (Decided(decision), Publish(data))


def _checked(reason: str) -> str:
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise InputError(
            f"a reason that is no line of at most {LONGEST_REASON} characters",
            hint="say it shorter; it stands in the ledger, for everybody to read",
        )
    return reason


def _room(found: tuple[Each, ...], most: int, what: str) -> tuple[Each, ...]:
    if len(found) > most:
        raise InputError(
            f"more than {most} {what}", hint="roll out a plan that suits them, or let some follow"
        )
    return found


def _without(found: tuple[Each, ...], gone: Callable[[Each], bool], what: str) -> tuple[Each, ...]:
    kept = tuple(each for each in found if not gone(each))
    if len(kept) == len(found):
        raise InputError(f"the device is not {what}", hint="see covey rollout status")
    return kept


def _device(pin: Pin) -> str:
    return pin.device


def _verb(action: RolloutAction) -> str:
    return "be rolled back" if action == "rollback" else action
