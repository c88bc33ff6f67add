"""The device's updater as a machine without I/O: `step(state, event, rules) -> (state, effects)`.

    idle → download → verify → stage → selftest → shadow → trial → commit → idle
                                  any of them → rollback → idle

An image that shows itself bad is quarantined in the same step that gives it up. What is no fault of the image
(no network, a full disk) leaves the phase and waits. Once an image serves (`State.on_trial`), neither expired
metadata nor silence ends its trial; only what it does, or an instruction that names another image. After the
commit nothing takes it back but a newer instruction.

An event that the phase does not allow raises, and the old state holds on.
"""

from typing import Final

from msgspec.structs import replace

from covey.errors import CoveyError
from covey.rollout import update_events as events
from covey.rollout.update_events import Effect, Event
from covey.rollout.update_following import followed
from covey.rollout.update_moves import ENDING, believed, outcome_of, proved, runs_image, withdrawn
from covey.rollout.update_rules import Rules, has_waited, is_open, wait_after
from covey.rollout.update_state import (
    MAX_CRASHES,
    MAX_QUARANTINE,
    MAX_WHY,
    Attempt,
    Phase,
    Quarantined,
    Release,
    State,
)

Step = tuple[State, tuple[Effect, ...]]

TESTED: Final = frozenset({"selftest", "shadow", "trial"})
"""Phases in which the image runs: a device that starts anew in them may have been taken down by it."""
LONGEST_WATCH: Final = 3600
"""Seconds that one look at a trial may add to it."""


class IllegalEvent(CoveyError):  # noqa: N818 - as covey.errors names its own
    """An event that the phase does not allow: a defect of whoever drives the machine."""


def step(state: State, event: Event, rules: Rules) -> Step:
    """What follows from an event.

    Args:
        state: What holds. It is never changed.
        event: What happened.
        rules: This device's own.

    Returns:
        What holds from now on, to be made durable first, and what is then to be done.

    Raises:
        IllegalEvent: The phase does not allow it.
        ProtocolError: An instruction that must not be followed: malformed, older than one that was seen, of
            another fleet, or approved by too few.
    """
    after = _after(state, event, rules)
    after = replace(
        after, outcome=outcome_of(after), why=after.why[:MAX_WHY], stopped=after.stopped[:MAX_WHY]
    )
    return after, due(after, event.now)


def due(state: State, now: float) -> tuple[Effect, ...]:
    """What is to be done in a state, after a restart as well as after an event.

    Args:
        state: What holds.
        now: The device's clock, unix seconds.
    """
    attempt = state.attempt
    if attempt is None:
        return ()
    if state.on_trial:
        return (events.Watch(attempt.image),)
    if not has_waited(state.not_before, believed(state, now)):
        return ()
    if state.phase == "commit":
        return (events.Settle(attempt.image),)
    if state.phase == "rollback":
        return (events.Return(attempt.image, attempt.slot, state.runs),)
    return () if state.stopped else _working(state, attempt, believed(state, now))


def _working(state: State, attempt: Attempt, time: float) -> tuple[Effect, ...]:
    image, slot, variant = attempt.image, attempt.slot, attempt.variant
    by_phase: dict[str, Effect] = {
        "download": events.Fetch(image),
        "verify": events.Verify(image),
        "stage": events.Stage(image),
    }
    if slot is not None:
        by_phase["selftest"] = events.SelfTest(image, slot)
    if slot is not None and variant is not None:
        by_phase["shadow"] = events.Shadow(image, slot, variant)
        if is_open(state.told.windows if state.told else (), time):
            by_phase["trial"] = events.Switch(image, slot, variant)
    return (by_phase[state.phase],) if state.phase in by_phase else ()


def _after(state: State, event: Event, rules: Rules) -> State:  # noqa: PLR0911 - a table of events
    match event:
        case events.Woke():
            return _woke(state, event, rules)
        case events.Instructed():
            return followed(state, event, rules)
        case events.Uninstructed():
            why = "its fleet publishes no instruction"
            return replace(proved(state, event.now), why=why if state.phase == "idle" else state.why)
        case events.Unreachable() if state.attempt is not None:
            return state  # what is fetched already needs nobody
        case events.Unreachable() | events.Trouble():
            return _waits(state, event.why, event.now, rules)
        case events.Stale():
            return replace(_waits(state, event.why, event.now, rules), stopped=event.why)
        case events.Watched():
            return _watched(state, event, rules)
        case events.Rejected():
            return _rejected(state, event.why, event.now)
        case events.Spoiled():
            return _spoiled(state, event, rules)
        case _:
            return _advanced(state, event)


def _advanced(state: State, event: Event) -> State:  # noqa: PLR0911 - the straight path, phase by phase
    attempt = state.attempt
    if attempt is None:
        raise _illegal(state, event)
    match state.phase, event:
        case "download", events.Fetched():
            return _goes_on(state, attempt, "verify")
        case "verify", events.Verified():
            return _goes_on(state, attempt, "stage")
        case "stage", events.Staged():
            return _goes_on(state, replace(attempt, slot=event.slot), "selftest")
        case "selftest", events.Tested():
            return _goes_on(state, replace(attempt, variant=event.variant), "shadow")
        case "shadow", events.Shadowed():
            return _goes_on(state, attempt, "trial")
        case "trial", events.Switched() if not attempt.switched:
            return _goes_on(state, replace(attempt, switched=True), "trial")
        case "commit", events.Settled():
            return replace(state, phase="idle", attempt=None)
        case "rollback", events.Returned():
            return replace(state, phase="idle", attempt=None, failures=0, not_before=0)
    raise _illegal(state, event)


def _goes_on(state: State, attempt: Attempt, phase: Phase) -> State:
    why = f"{attempt.image.name} {attempt.image.version} is in phase {phase}"
    return replace(state, phase=phase, attempt=attempt, failures=0, not_before=0, why=why)


def _illegal(state: State, event: Event) -> IllegalEvent:
    return IllegalEvent(f"{type(event).__name__} in phase {state.phase}", hint="this is a defect of Covey's")


def _woke(state: State, event: events.Woke, rules: Rules) -> State:
    anew = bool(state.boot) and state.boot != event.boot
    state = replace(state, boot=event.boot, not_before=0 if event.urgent else state.not_before)
    attempt = state.attempt
    if attempt is None:
        return _serving(state, event.serves)
    if state.phase in ENDING:
        return state
    swapped = event.serves is not None and event.serves.sha256 == attempt.image.sha256
    if attempt.switched and not swapped:
        return withdrawn(state, "what was on trial is not in use any more")
    if swapped and state.phase == "trial":
        attempt = replace(attempt, switched=True)  # the power was cut just after the swap
        state = replace(state, attempt=attempt)
    if not swapped:
        state = _serving(state, event.serves)
    return _restarted(state, attempt, event.now, rules) if anew and state.phase in TESTED else state


def _restarted(state: State, attempt: Attempt, now: float, rules: Rules) -> State:
    """The device has started anew while the image ran: by chance, or because of it."""
    attempt = replace(attempt, reboots=attempt.reboots + 1)
    state = replace(state, attempt=attempt)
    if attempt.reboots <= rules.trial.most_reboots:
        return state
    return _rejected(state, f"the device started anew {attempt.reboots} times in its {state.phase}", now)


def _serving(state: State, serves: Release | None) -> State:
    if serves == state.runs:
        return state
    return replace(state, runs=serves, before=state.runs or state.before)


def _rejected(state: State, why: str, now: float) -> State:
    """Give the attempt up, and never install its image again."""
    attempt = state.attempt
    if attempt is None or state.phase not in TESTED | {"verify"}:
        raise IllegalEvent(f"Rejected in phase {state.phase}", hint="this is a defect of Covey's")
    image = attempt.image
    known = Quarantined(sha256=image.sha256, why=why[:MAX_WHY], at=int(believed(state, now)))
    others = tuple(each for each in state.quarantine if each.sha256 != image.sha256)
    gone = "was rolled back" if attempt.switched else "was not put in use"
    said = f"{image.name} {image.version} {gone} and is quarantined: {why}"
    return replace(withdrawn(state, said), quarantine=(*others, known)[-MAX_QUARANTINE:])


def _spoiled(state: State, event: events.Spoiled, rules: Rules) -> State:
    attempt = state.attempt
    if attempt is None or state.on_trial or state.phase in ENDING | {"download"}:
        raise _illegal(state, event)
    again = replace(attempt, slot=None, variant=None)
    return _waits(replace(state, phase="download", attempt=again), event.why, event.now, rules)


def _waits(state: State, why: str, now: float, rules: Rules) -> State:
    failures = state.failures + 1
    until = int(believed(state, now)) + wait_after(failures, rules.device)
    return replace(state, failures=failures, not_before=until, why=why)


def _watched(state: State, event: events.Watched, rules: Rules) -> State:
    attempt = state.attempt
    if attempt is None:
        return _counted(state, event)
    if not state.on_trial:
        raise _illegal(state, event)
    attempt = replace(
        attempt,
        seconds=attempt.seconds + min(max(event.seconds, 0), LONGEST_WATCH),
        served=max(attempt.served, event.served),
        errors=max(attempt.errors, event.errors),
        crashed=tuple(sorted({*attempt.crashed, *event.crashed}))[:MAX_CRASHES],
    )
    state = replace(state, attempt=attempt)
    if fault := event.probe or _fault(attempt, rules):
        return _rejected(state, fault, event.now)
    return _committed(state, attempt) if _is_over(attempt, rules) else state


def _counted(state: State, event: events.Watched) -> State:
    """What is committed goes on being counted; nothing follows from it here."""
    told, before = state.told, state.outcome
    if told is None or before is None or before.result != "succeeded" or not runs_image(state, told.image):
        return state
    served, errors = max(before.served, event.served), max(before.errors, event.errors)
    return replace(state, outcome=replace(before, served=served, errors=errors))


def _fault(attempt: Attempt, rules: Rules) -> str:
    trial, died = rules.trial, len(attempt.crashed)
    if died > trial.most_crashes:
        return f"{died} processes died serving it"
    requests = max(attempt.served, attempt.errors)
    if attempt.errors >= trial.least_errors and attempt.errors * 100 > trial.most_errors * requests:
        return f"{attempt.errors} of {requests} requests failed on trial"
    return ""


def _is_over(attempt: Attempt, rules: Rules) -> bool:
    trial = rules.trial
    asked = attempt.served >= trial.requests or attempt.seconds >= trial.longest_seconds
    return attempt.seconds >= trial.seconds and asked


def _committed(state: State, attempt: Attempt) -> State:
    image = attempt.image
    runs = Release(name=image.name, version=image.version, sha256=image.sha256)
    why = f"{image.name} {image.version} passed its trial: {attempt.served} requests, {attempt.errors} failed"
    committed = replace(state, phase="commit", runs=runs, before=state.runs or state.before, why=why)
    return replace(committed, failures=0, not_before=0)
