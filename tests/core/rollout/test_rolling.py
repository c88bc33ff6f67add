"""A rollout as a machine: what follows from what, serials that only grow, and what cannot be done."""

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import InputError, ProtocolError
from covey.ledger.entries import RolloutDecision
from covey.rollout import rolling
from covey.rollout.health import RingHealth
from covey.rollout.instruction import Instruction, Pin, from_bytes
from covey.rollout.plan import Limits
from covey.rollout.rolling import OVER, health_due, step
from covey.rollout.rolling_state import (
    MOST_KEPT,
    Abort,
    AskHealth,
    Decided,
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
from rollout_plans import HOUR, NOW, image, note, plan, rings, tokens

GOOD, BAD = RingHealth(50, 50, 0), RingHealth(50, 0, 50)
DEVICE, OTHER = tokens(2)


def started(**changes: Any) -> Rollout:
    return step(None, Start(NOW, note(plan(**changes)), 2))[0]


def told(effects: tuple[Effect, ...]) -> tuple[RolloutDecision, Instruction]:
    """What is written and what is published, which must belong together and come in that order."""
    decided, publish = effects
    assert isinstance(decided, Decided)
    assert isinstance(publish, Publish)
    instruction, decision = from_bytes(publish.data), decided.decision
    assert decision.instruction == hashlib.sha256(publish.data).hexdigest()
    assert (decision.serial, decision.opened) == (instruction.serial, instruction.opened)
    entry = RolloutDecision(
        fleet="lab", rollout=instruction.planned.rollout, **msgspec.structs.asdict(decision)
    )
    return entry, instruction


def heard(state: Rollout, *health: RingHealth, after: int = 2 * HOUR) -> tuple[Rollout, tuple[Effect, ...]]:
    return step(state, HealthCame(state.opened_at[-1] + after, health))


def complete() -> Rollout:
    state = started()
    while state.state == "running":
        state, _ = heard(state, *[GOOD] * state.opened)
    return state


def test_a_start_opens_the_first_ring() -> None:
    state, effects = step(None, Start(NOW, note(), 2))
    entry, instruction = told(effects)
    assert (entry.action, entry.approvals, entry.serial) == ("start", 2, 1)
    assert entry.reason == "wrist 2: ring lab opens"
    assert entry.plan == hashlib.sha256(state.text.encode()).hexdigest()
    assert (instruction.state, instruction.opened, instruction.planned) == ("running", 1, plan())


def test_good_health_opens_ring_after_ring_and_completes() -> None:
    state, seen = started(), []
    while state.state == "running":
        state, effects = heard(state, *[GOOD] * state.opened)
        seen.append((told(effects)[0].action, told(effects)[1].opened))
    assert seen == [("open", 2), ("open", 3), ("open", 4), ("complete", 4)]
    assert state.state == "complete"
    assert [each.serial for each in state.decisions] == [1, 2, 3, 4, 5]
    assert heard(state, *[BAD] * 4)[1] == ()


def test_bad_health_stops_it_by_itself() -> None:
    state, effects = heard(started(), BAD, after=60)
    entry, instruction = told(effects)
    assert (entry.action, instruction.state, instruction.opened) == ("stop", "rolled-back", 1)
    assert "above the limit" in entry.reason
    assert heard(state, GOOD) == (msgspec.structs.replace(state, health=(GOOD,)), ())
    assert step(state, Tick(NOW + 99 * HOUR)) == (state, ())


def test_where_nothing_is_there_to_return_to_it_is_aborted() -> None:
    state, effects = heard(started(fallback=None), BAD, after=60)
    assert (told(effects)[0].action, state.state) == ("stop", "aborted")


def test_it_pauses_by_itself_when_it_looks_bad_and_that_is_not_certain() -> None:
    poor = RingHealth(20, 17, 3)
    assert heard(started(), poor, after=HOUR)[1] == ()
    state, effects = heard(started(), poor)
    entry, instruction = told(effects)
    assert (entry.action, instruction.state, state.for_people) == ("pause", "paused", True)
    assert "not within the limit" in entry.reason
    again, _ = step(state, Resume(NOW + 3 * HOUR, "three cables"))
    assert (again.state, again.for_people, again.health) == ("running", False, ())


def test_what_decides_nothing_is_remembered() -> None:
    state, effects = heard(started(), GOOD, after=60)
    assert effects == ()
    assert (state.health, state.for_people) == ((GOOD,), False)
    assert "soaks" in state.verdict
    stuck, effects = heard(started(limits=Limits(report_seconds=HOUR)), RingHealth(2, 2, 0))
    assert effects == ()
    assert stuck.for_people


def test_health_of_other_rings_than_are_open_changes_nothing() -> None:
    state, _ = heard(started(), GOOD)
    with pytest.raises(ProtocolError, match="health of 1 rings, and 2 are open"):
        heard(state, GOOD)


def test_health_is_asked_for_when_it_can_change_something() -> None:
    """One hour of soak and one for reports, then at 4 h, 8 h and so on: each costs devices' budget."""
    state, asked = started(), []
    for minute in range(0, 20 * 60, 5):
        state, effects = step(state, Tick(NOW + minute * 60))
        if effects:
            assert effects == (AskHealth(1),)
            asked.append(minute)
    assert asked == [60, 120, 180, 240, 360, 600, 1080]


def test_a_long_soak_is_watched_no_more_often_than_reports_take() -> None:
    long = msgspec.structs.replace(rings()[0], soak_seconds=90 * 60)
    state, asked = started(rings=(long, *rings()[1:])), []
    for minute in range(0, 200, 5):
        state, effects = step(state, Tick(NOW + minute * 60))
        asked += [minute] * len(effects)
    assert asked == [60, 90, 150]


def test_without_a_soak_health_is_due_at_once() -> None:
    now_at_once = msgspec.structs.replace(rings()[0], soak_seconds=0)
    state = started(rings=(now_at_once, *rings()[1:]))
    assert health_due(state, NOW)
    state, _ = step(state, Tick(NOW))
    assert not health_due(state, NOW + 1)
    assert health_due(state, NOW + HOUR)


def test_a_clock_that_went_back_opens_nothing() -> None:
    state = started()
    assert step(state, Tick(NOW - 9 * HOUR)) == (state, ())
    with pytest.raises(ProtocolError, match="from before the newest ring was opened"):
        heard(state, GOOD, after=-9 * HOUR)


def test_silent_devices_are_judged_as_of_when_they_were_asked() -> None:
    """A file with an old answer, read again hours later, says nothing of who has been silent since."""
    state, half = started(), RingHealth(50, 20, 0)
    late = HealthCame(NOW + 9 * HOUR, (half,), taken=NOW + HOUR // 2)
    assert step(state, late)[1] == ()
    stopped, effects = step(state, HealthCame(NOW + 9 * HOUR, (half,)))
    assert stopped.state == "rolled-back"
    assert told(effects)[0].time == NOW + 9 * HOUR
    from_before = HealthCame(NOW + 9 * HOUR, (half,), taken=NOW - 1)
    with pytest.raises(ProtocolError, match="from before"):
        step(state, from_before)


def test_a_pause_stops_the_clock_and_a_resume_begins_it_anew() -> None:
    state, effects = step(started(), Pause(NOW + 1, "look first"))
    assert (told(effects)[0].action, told(effects)[1].state) == ("pause", "paused")
    assert step(state, Tick(NOW + 9 * HOUR)) == (state, ())
    assert heard(state, BAD)[1] == ()
    state, effects = step(state, Resume(NOW + 9 * HOUR, "looked"))
    assert (told(effects)[0].action, told(effects)[1].state) == ("resume", "running")
    assert step(state, Tick(NOW + 9 * HOUR + HOUR - 1))[1] == ()
    assert step(state, Tick(NOW + 10 * HOUR))[1] == (AskHealth(1),)


def test_a_rollback_works_from_everywhere_and_after_completion() -> None:
    running = started()
    paused, _ = step(running, Pause(NOW, ""))
    aborted, _ = step(running, Abort(NOW, ""))
    for state in (running, paused, aborted, complete()):
        back, effects = step(state, RollBack(NOW + 9, "wrong"))
        entry, instruction = told(effects)
        assert (entry.action, instruction.state) == ("rollback", "rolled-back")
        assert instruction.serial == state.serial + 1
        assert instruction.planned.fallback == image("1", 1)
        with pytest.raises(InputError, match="it cannot be rolled back"):
            step(back, RollBack(NOW + 10, "again"))


def test_a_rollback_to_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="names nothing to return to") as caught:
        step(started(fallback=None), RollBack(NOW, ""))
    assert "abort" in caught.value.hint


@pytest.mark.parametrize(
    ("state", "event", "words"),
    [
        ("running", Resume(NOW, ""), "is running: it cannot resume"),
        ("paused", Pause(NOW, ""), "is paused: it cannot pause"),
        ("complete", Pause(NOW, ""), "is complete: it cannot pause"),
        ("aborted", Resume(NOW, ""), "is aborted: it cannot resume"),
        ("aborted", Abort(NOW, ""), "is aborted: it cannot abort"),
        ("rolled-back", Abort(NOW, ""), "is rolled-back: it cannot abort"),
        ("rolled-back", Resume(NOW, ""), "is rolled-back: it cannot resume"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(state: Any, event: Event, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        step(msgspec.structs.replace(started(), state=state), event)
    assert "only when" in caught.value.hint


def test_a_new_rollout_begins_when_the_last_is_over_and_goes_on_counting() -> None:
    before, _ = step(complete(), Hold(NOW, DEVICE, ""))
    after, effects = step(before, Start(NOW + 9, note(plan(rollout="wrist-3", image=image("3", 3))), 1))
    entry, instruction = told(effects)
    assert (entry.serial, entry.rollout, entry.opened) == (before.serial + 1, "wrist-3", 1)
    assert instruction.holds == (DEVICE,)
    assert after.health == ()
    assert step(None, Start(NOW, note(), 1, after=70))[0].serial == 71
    assert step(before, Start(NOW, note(), 1, after=3))[0].serial == before.serial + 1
    for state in (started(), step(started(), Pause(NOW, ""))[0]):
        with pytest.raises(InputError, match=r"wrist-2 is (running|paused)"):
            step(state, Start(NOW, note(), 1))


def test_a_rollout_may_supersede_one_that_is_not_over() -> None:
    later = note(plan(rollout="wrist-3", image=image("3", 3), fallback=None))
    state, effects = step(started(), Start(NOW, later, 1, supersedes=True))
    entry, instruction = told(effects)
    assert (entry.action, entry.serial, instruction.planned.rollout) == ("start", 2, "wrist-3")
    assert entry.reason == "wrist 3: ring lab opens, in place of wrist-2, which was running"
    assert state.opened == 1


def test_a_plan_of_another_fleet_is_refused() -> None:
    with pytest.raises(InputError, match="for fleet other, this is lab"):
        step(complete(), Start(NOW, note(plan(fleet="other")), 1))


def test_nothing_happens_before_a_start() -> None:
    for event in (Tick(NOW), Pause(NOW, ""), Hold(NOW, DEVICE, "")):
        with pytest.raises(InputError, match="no rollout was ever started"):
            step(None, event)


def test_holds_and_pins_come_and_go_in_every_state() -> None:
    for state in (started(), step(started(), Pause(NOW, ""))[0], complete()):
        held, effects = step(state, Hold(NOW, DEVICE, "customer asked"))
        entry, instruction = told(effects)
        assert (entry.action, entry.reason, instruction.holds) == ("hold", "customer asked", (DEVICE,))
        assert instruction.state == state.state
        pin = Pin(device=OTHER, image=image("0", 1))
        pinned, effects = step(held, PinTo(NOW, pin, ""))
        assert told(effects)[1].pins == (pin,)
        again = Pin(device=OTHER, image=image("1", 1))
        assert told(step(pinned, PinTo(NOW, again, ""))[1])[1].pins == (again,)
        free, _ = step(step(pinned, Unhold(NOW, DEVICE, ""))[0], Unpin(NOW, OTHER, ""))
        assert (free.holds, free.pins, free.serial) == ((), (), state.serial + 4)
        for event in (Unhold(NOW, DEVICE, ""), Unpin(NOW, OTHER, "")):
            with pytest.raises(InputError, match="the device is not"):
                step(free, event)
        with pytest.raises(InputError, match="on hold already"):
            step(held, Hold(NOW, DEVICE, ""))


def test_there_are_only_so_many_pins_and_holds() -> None:
    many = tokens(1025)
    full = msgspec.structs.replace(started(), holds=tuple(many[:1024]))
    with pytest.raises(InputError, match="more than 1024 devices on hold"):
        step(full, Hold(NOW, many[1024], ""))
    pins = tuple(Pin(device=each, image=image("1", 1)) for each in many[:256])
    with pytest.raises(InputError, match="more than 256 pinned"):
        step(
            msgspec.structs.replace(started(), pins=pins),
            PinTo(NOW, Pin(device=many[256], image=image()), ""),
        )


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines", "bell \x07"])
def test_a_reason_is_one_line(reason: str) -> None:
    with pytest.raises(InputError, match="a reason that is no line"):
        step(started(), Abort(NOW, reason))


def test_what_no_device_would_read_is_never_published() -> None:
    with pytest.raises(ProtocolError):
        step(started(), Hold(NOW, "pi-00", ""))


def test_the_state_comes_back_from_its_bytes() -> None:
    state = complete()
    assert msgspec.json.decode(msgspec.json.encode(state), type=Rollout) == state


def test_it_remembers_its_newest_decisions() -> None:
    state = started()
    for _ in range(MOST_KEPT // 2 + 1):
        state, _ = step(step(state, Hold(NOW, DEVICE, ""))[0], Unhold(NOW, DEVICE, ""))
    assert len(state.decisions) == MOST_KEPT
    assert state.decisions[-1].serial == state.serial


EVENTS = st.one_of(
    st.builds(Tick, st.integers(NOW, NOW + 99 * HOUR)),
    st.sampled_from([GOOD, BAD, RingHealth(2, 2, 0)]),
    *(
        st.builds(kind, st.integers(NOW, NOW + 99 * HOUR), st.just(""))
        for kind in (Pause, Resume, Abort, RollBack)
    ),
    st.builds(Hold, st.just(NOW), st.sampled_from(tokens(3)), st.just("")),
    st.builds(Unhold, st.just(NOW), st.sampled_from(tokens(3)), st.just("")),
    st.builds(Start, st.just(NOW), st.just(note()), st.just(1)),
)


@given(st.lists(EVENTS, max_size=25))
def test_whatever_happens_serials_grow_by_one_and_rings_only_open(events: list[Any]) -> None:
    state, serial = started(), 1
    for each in events:
        came = HealthCame(NOW + 999 * HOUR, (each,) * state.opened) if isinstance(each, RingHealth) else each
        try:
            new, effects = step(state, came)
        except (InputError, ProtocolError):
            continue
        if effects and not isinstance(effects[0], AskHealth):
            entry, instruction = told(effects)
            assert instruction.serial == entry.serial == serial + 1
            serial += 1
        if not isinstance(came, Start):
            assert state.opened <= new.opened <= state.opened + 1
            assert not (state.state in OVER and new.state == "running")
            if new.opened > state.opened:
                assert isinstance(came, HealthCame)
        assert new.serial == serial
        state = new
    assert rolling.OVER == OVER
