"""What an updater makes of an instruction: begin, go on, wait, give up, or leave all as it is."""

import hashlib
from typing import Final

from msgspec.structs import replace

from covey.errors import ProtocolError
from covey.ledger.note import parse
from covey.rollout import instruction as instructions
from covey.rollout import update_events as events
from covey.rollout.choosing import Choice, choose
from covey.rollout.instruction import Instruction
from covey.rollout.update_moves import ENDING, proved, runs_image, told_outcome, withdrawn
from covey.rollout.update_rules import Rules, check_approved, is_approved
from covey.rollout.update_state import MAX_PLANS, Attempt, State, Told

MOST_AHEAD: Final = 1 << 20
"""Instructions that a device may have missed. Each is a person's or a ring's, so no fleet has given so many;
and a thief of the rollout key who counts up by this at every poll never comes to the largest serial."""


def followed(state: State, event: events.Instructed, rules: Rules) -> State:
    """What holds once an instruction was read.

    Raises:
        ProtocolError: It must not be followed; see `covey.rollout.updating.step`.
    """
    instruction = instructions.from_bytes(event.instruction)
    digest = hashlib.sha256(event.instruction).hexdigest()
    _check_newest(state, instruction, digest, rules)
    check_approved(instruction, rules.approvers)
    choice, plan = choose(instruction, rules.device), instruction.planned
    told = Told(rollout=plan.rollout, image=plan.image.sha256, ring=choice.ring, windows=plan.windows)
    floors = {
        name: max(low, event.floors.get(name, 0)) for name, low in (event.floors | state.floors).items()
    }
    known = replace(proved(state, event.now), serial=instruction.serial, instruction=digest, floors=floors)
    known = replace(known, plans=_plans(state, instruction))
    return _follow(replace(known, told=told), choice, instruction, event, rules)


def _check_newest(state: State, instruction: Instruction, digest: str, rules: Rules) -> None:
    if instruction.fleet != rules.fleet:
        raise ProtocolError(f"an instruction of another fleet, {instruction.fleet!r}", blame="operator")
    if instruction.serial < state.serial:
        raise ProtocolError(
            f"an instruction with serial {instruction.serial}, older than {state.serial}, which was seen",
            blame="server",
            hint="somebody replays an old one, or the repository was put back",
        )
    if instruction.serial > state.serial + MOST_AHEAD:
        raise ProtocolError(
            f"an instruction with serial {instruction.serial}, far beyond {state.serial}, which was seen",
            blame="server",
            hint="somebody counts to the end, so that nothing newer can follow; the next serial is one more",
        )
    if instruction.serial == state.serial and digest != state.instruction:
        raise ProtocolError(f"two instructions with serial {instruction.serial}", blame="operator")


def _plans(state: State, instruction: Instruction) -> tuple[str, ...]:
    """Plans that were followed, with this one.

    People approve a plan for once: whoever holds the rollout key cannot send devices back to what was
    approved long ago, by a newer instruction that names the old plan with its signatures.

    Raises:
        ProtocolError: Another plan took its place before.
    """
    text = parse(instruction.plan.encode(), blame="operator").text
    named = hashlib.sha256(text.encode()).hexdigest()
    if named in state.plans[:-1]:
        raise ProtocolError(
            f"the plan of {instruction.planned.rollout} again, whose place another one took",
            blame="operator",
            hint="plan anew, under another name, and have it approved",
        )
    return state.plans if named in state.plans else (*state.plans, named)[-MAX_PLANS:]


def _follow(
    state: State, choice: Choice, instruction: Instruction, event: events.Instructed, rules: Rules
) -> State:
    attempt, wanted = state.attempt, choice.image
    if state.phase in ENDING:
        return state
    same = attempt is not None and wanted is not None and attempt.image.sha256 == wanted.sha256
    if state.on_trial:
        ends = wanted is not None and not same and not event.held
        return withdrawn(state, _otherwise(choice)) if ends else state
    if refused := _refused(state, choice, instruction, rules):
        return _failed(_left(state, refused), choice)
    if rest := _at_rest(state, choice, event, begun=same and instruction.state != "aborted"):
        return _left(state, rest)
    return _to_work(state, choice)


def _to_work(state: State, choice: Choice) -> State:
    attempt, wanted = state.attempt, choice.image
    if wanted is None:
        return state
    if attempt is None:
        why = f"{wanted.name} {wanted.version} is on its way: {choice.because}"
        begun = Attempt(image=wanted)
        return replace(state, phase="download", attempt=begun, failures=0, not_before=0, why=why)
    if attempt.image.sha256 != wanted.sha256:
        return withdrawn(state, _otherwise(choice))
    return replace(state, stopped="" if choice.may_begin else choice.because)


def _otherwise(choice: Choice) -> str:
    return f"it was told otherwise: {choice.because}"


def _refused(state: State, choice: Choice, instruction: Instruction, rules: Rules) -> str:
    """Why the device will not install what it is told to; empty if it would."""
    wanted = choice.image
    if wanted is None or runs_image(state, wanted.sha256):
        return ""
    if known := state.quarantined(wanted.sha256):
        return f"{wanted.name} {wanted.version} is quarantined on this device: {known.why}"
    floor = state.floors.get(wanted.name, 0)
    if wanted.generation < floor:
        return f"{wanted.name} {wanted.version}, generation {wanted.generation}, is below the floor, {floor}"
    if not is_approved(choice, instruction, rules.approvers):
        return f"it is pinned to {wanted.name} {wanted.version}, which nobody has approved"
    return ""


def _at_rest(state: State, choice: Choice, event: events.Instructed, *, begun: bool) -> str:
    """Why there is nothing to do; empty if there is."""
    if choice.image is not None and runs_image(state, choice.image.sha256):
        return f"it runs {choice.image.name} {choice.image.version}: {choice.because}"
    if event.held:
        return "its owner keeps it as it is"
    return choice.because if choice.image is None or not (choice.may_begin or begun) else ""


def _left(state: State, why: str) -> State:
    return replace(state, why=why) if state.attempt is None else withdrawn(state, why)


def _failed(state: State, choice: Choice) -> State:
    """What is refused has failed, if the rollout is about it."""
    if state.told is None or choice.image is None or state.told.image != choice.image.sha256:
        return state
    return replace(state, outcome=told_outcome(state.told, state.outcome, "failed"))
