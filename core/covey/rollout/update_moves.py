"""Steps that several of the updater's transitions have in common; pure, as `covey.rollout.updating` is."""

from typing import Final

from msgspec.structs import replace

from covey.rollout.outcome import Outcome, Result
from covey.rollout.update_state import State, Told

ENDING: Final = frozenset({"commit", "rollback"})


def believed(state: State, now: float) -> float:
    """The time that the device goes by: its clock's, never before a time that signed metadata has proved."""
    return max(now, float(state.clock))


def proved(state: State, now: float) -> State:
    """Signed metadata held at the time that the device goes by: that time is past for ever."""
    waits = {} if state.attempt else {"failures": 0, "not_before": 0}
    return replace(state, clock=int(believed(state, now)), stopped="", **waits)


def runs_image(state: State, sha256: str) -> bool:
    """Whether an image is what runs."""
    return state.runs is not None and state.runs.sha256 == sha256


def withdrawn(state: State, why: str) -> State:
    """Give the attempt up, and hold nothing against its image."""
    return replace(state, phase="rollback", why=why, failures=0, not_before=0)


def outcome_of(state: State) -> Outcome | None:
    """What the device says of the newest rollout."""
    told, attempt, before = state.told, state.attempt, state.outcome
    if told is None:
        return before
    now = told_outcome(told, before, _result(state, told, before))
    if attempt is None or attempt.image.sha256 != told.image:
        return now
    return replace(now, served=max(attempt.served, attempt.errors), errors=attempt.errors)


def _result(state: State, told: Told, before: Outcome | None) -> Result:
    attempt = state.attempt
    if attempt is not None and attempt.image.sha256 == told.image and state.phase not in ENDING:
        return "working"
    if runs_image(state, told.image):
        return "succeeded"
    if state.quarantined(told.image):
        return "failed"
    known = before is not None and (before.rollout, before.image) == (told.rollout, told.image)
    return before.result if before and known and before.result in {"succeeded", "failed"} else "waiting"


def told_outcome(told: Told, before: Outcome | None, result: Result) -> Outcome:
    """An outcome of the newest rollout, with what was counted for it before."""
    if before is None or (before.rollout, before.image) != (told.rollout, told.image):
        return Outcome(rollout=told.rollout, image=told.image, ring=told.ring, result=result)
    return replace(before, ring=told.ring, result=result)
