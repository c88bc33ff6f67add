"""Laws of the updater's machine, over whatever may happen to it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.rollout import update_events as events
from covey.rollout.instruction import State as States
from covey.rollout.plan import Image
from covey.rollout.update_events import Effect, Event
from covey.rollout.update_rules import Rules, Trial
from covey.rollout.update_state import Release, State, from_bytes, to_bytes
from covey.rollout.updating import IllegalEvent, due, step
from update_world import DEVICE, FLEET, NOW, instruction_of, plan_of

RULES = Rules(FLEET, DEVICE, trial=Trial(seconds=5, requests=2, longest_seconds=10, most_reboots=2))


def image(generation: int) -> Image:
    return Image(
        name="motion",
        version=f"{generation}.0.0",
        generation=generation,
        target=f"models/motion/{generation}.0.0.covey",
        sha256=f"{generation:02x}" * 32,
        bytes=1000,
    )


IMAGES = [image(n) for n in range(1, 5)]
STATES: tuple[States, ...] = ("running", "paused", "aborted", "rolled-back", "complete")
INSTRUCTIONS = {
    (serial, new, state, opened): instruction_of(
        plan_of(IMAGES[new], IMAGES[new - 1], rollout=f"r{new}-{serial // 3}"),
        serial,
        state=state,
        opened=opened,
    )
    for serial in range(1, 7)
    for new in range(1, 4)
    for state in STATES
    for opened in (0, 1)
}
CLOCKS = st.sampled_from([0.0, NOW, NOW + 3600, NOW + 10 * 86_400, 2.0**32])


def release(of: Image) -> Release:
    return Release(name=of.name, version=of.version, sha256=of.sha256)


RUNNING = st.sampled_from([None, *map(release, IMAGES)])
WHY = st.sampled_from(["x", "y" * 2000])
HAPPENS = st.one_of(
    st.builds(events.Woke, CLOCKS, st.sampled_from(["b1", "b2"]), RUNNING, st.booleans()),
    st.builds(
        events.Instructed,
        CLOCKS,
        st.sampled_from(list(INSTRUCTIONS.values())),
        st.dictionaries(st.just("motion"), st.integers(0, 4)),
        st.booleans(),
    ),
    *(st.builds(kind, CLOCKS, WHY) for kind in (events.Trouble, events.Unreachable, events.Stale)),
    *(st.builds(kind, CLOCKS, WHY) for kind in (events.Rejected, events.Spoiled)),
    st.builds(events.Uninstructed, CLOCKS),
)
WATCHED = st.builds(
    events.Watched,
    CLOCKS,
    st.integers(-5, 20),
    st.integers(0, 10),
    st.integers(0, 10),
    st.sampled_from([(), ("a",), ("a", "b", "c")]),
)


def done(effect: Effect, now: float, draw: Any) -> Event:  # noqa: PLR0911 - a table of effects
    """What doing an effect comes to if it goes well; a trial, anyhow."""
    match effect:
        case events.Fetch():
            return events.Fetched(now)
        case events.Verify():
            return events.Verified(now)
        case events.Stage():
            return events.Staged(now, "slots/B")
        case events.SelfTest():
            return events.Tested(now, "fp32")
        case events.Shadow():
            return events.Shadowed(now)
        case events.Switch():
            return events.Switched(now)
        case events.Watch():
            return draw(WATCHED) if draw else events.Watched(now, 10, 10, 0)
        case events.Settle():
            return events.Settled(now)
        case events.Return():
            return events.Returned(now)


def check_effects(state: State, effects: tuple[Effect, ...]) -> None:
    assert len(effects) <= 1
    for effect in effects:
        if isinstance(effect, events.Switch | events.Fetch | events.Stage | events.SelfTest | events.Shadow):
            assert state.quarantined(effect.image.sha256) is None
            assert effect.image.generation >= state.floors.get(effect.image.name, 0)
            assert not state.stopped
        if isinstance(effect, events.Return) and state.quarantined(effect.image.sha256):
            assert effect.onto is None or effect.onto.sha256 != effect.image.sha256


def check_memory(before: State, after: State) -> None:
    """What only ever grows."""
    assert after.serial >= before.serial
    assert after.clock >= before.clock
    assert after.plans[: len(before.plans)] == before.plans
    assert all(after.floors[name] >= low for name, low in before.floors.items())
    assert {each.sha256 for each in before.quarantine} <= {each.sha256 for each in after.quarantine}
    assert from_bytes(to_bytes(after), where="state") == after


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_happens_memory_grows_and_nothing_bad_is_asked_for_and_it_converges(
    data: st.DataObject,
) -> None:
    state = State()
    for _ in range(data.draw(st.integers(1, 30))):
        asked = due(state, NOW)
        goes_well = asked and data.draw(st.integers(0, 3)) > 0
        event = done(asked[0], data.draw(CLOCKS), data.draw) if goes_well else data.draw(HAPPENS)
        try:
            after, effects = step(state, event, RULES)
        except (IllegalEvent, ProtocolError):
            continue
        check_memory(state, after)
        check_effects(after, effects)
        if after.phase == "commit" and state.phase != "commit":
            assert after.runs is not None
            assert after.quarantined(after.runs.sha256) is None
        state = after
    check_convergence(state)


def check_convergence(state: State) -> None:
    """From any state: told to run something good, a device ends there, in a bounded number of steps."""
    serves = release(state.attempt.image) if state.on_trial and state.attempt else state.runs
    last = image(9)
    plan = plan_of(last, None, rollout="last")
    told = events.Instructed(NOW, instruction_of(plan, state.serial + 1), {})
    now = NOW
    state, _ = step(state, events.Woke(now, state.boot, serves, urgent=True), RULES)
    for _ in range(30):
        effects = due(state, now)
        if state.phase == "idle":
            if state.runs is not None and state.runs.sha256 == last.sha256:
                return
            state, _ = step(state, told, RULES)
        elif effects:
            state, _ = step(state, done(effects[0], now, None), RULES)
        else:
            state, _ = step(state, told, RULES)
    raise AssertionError(f"it does not converge: {state}")
