"""The updater's machine: the straight path, what stops it, and what it never forgets."""

from dataclasses import replace as altered
from typing import Any

import pytest

from covey.errors import ProtocolError, StateError
from covey.ledger.note import Ed25519Signer
from covey.policy.signed import Reviewers
from covey.rollout import update_events as events
from covey.rollout.instruction import Pin
from covey.rollout.plan import Image, Ring, Window
from covey.rollout.update_events import Event
from covey.rollout.update_following import MOST_AHEAD
from covey.rollout.update_rules import LONGEST_WAIT, Rules, Trial, has_waited, is_open, wait_after
from covey.rollout.update_state import EPOCH, MAX_PLANS, Release, State, from_bytes, to_bytes
from covey.rollout.updating import IllegalEvent, due, step
from update_world import DEVICE, FLEET, NOW, SIGNER, instruction_of, plan_of

ANOTHER = Ed25519Signer("someone.example", bytes(range(1, 33)))

TRIAL = Trial(seconds=60, requests=10, longest_seconds=600, most_crashes=1, most_reboots=1)
RULES = Rules(FLEET, DEVICE, trial=TRIAL)


def image(version: str, generation: int, name: str = "motion") -> Image:
    return Image(
        name=name,
        version=version,
        generation=generation,
        target=f"models/{name}/{version}.covey",
        sha256=f"{generation:02x}" * 32,
        bytes=1000,
    )


OLD, NEW, NEWER = image("1.0.0", 1), image("2.0.0", 2), image("3.0.0", 3)
RUNS_OLD = Release(name="motion", version="1.0.0", sha256=OLD.sha256)
RUNS_NEW = Release(name="motion", version="2.0.0", sha256=NEW.sha256)

WOKE = events.Woke(NOW, "boot-1", RUNS_OLD)


def told(
    plan: Any = None,
    serial: int = 1,
    *,
    floor: dict[str, int] | None = None,
    held: bool = False,
    now: float = NOW,
    **more: Any,
) -> events.Instructed:
    data = instruction_of(plan or plan_of(NEW, OLD), serial, **more)
    return events.Instructed(now, data, floor or {}, held)


PATH: tuple[Event, ...] = (
    WOKE,
    told(),
    events.Fetched(NOW),
    events.Verified(NOW),
    events.Staged(NOW, "slots/B"),
    events.Tested(NOW, "int8"),
    events.Shadowed(NOW),
    events.Switched(NOW),
    events.Watched(NOW, 60, 10, 0),
    events.Settled(NOW),
)
PHASES = ("idle", "download", "verify", "stage", "selftest", "shadow", "trial", "trial", "commit", "idle")


def after(*happened: Event, rules: Rules = RULES, state: State | None = None) -> State:
    state = state or State()
    for event in happened:
        state, _ = step(state, event, rules)
    return state


def at(phase: int) -> State:
    """The state after so many events of the straight path."""
    return after(*PATH[:phase])


ON_TRIAL = 8


def test_the_straight_path_ends_in_a_commit() -> None:
    state = State()
    for event, phase in zip(PATH, PHASES, strict=True):
        state, effects = step(state, event, RULES)
        assert state.phase == phase
        assert effects == due(state, NOW)
        assert len(effects) == (phase != "idle")
        assert from_bytes(to_bytes(state), where="state") == state
    assert state.runs == RUNS_NEW
    assert state.before == RUNS_OLD
    assert state.outcome is not None
    assert (state.outcome.result, state.outcome.served) == ("succeeded", 10)


def test_what_it_tells_the_fleet_goes_from_waiting_over_working_to_the_end() -> None:
    results = [state.outcome.result for n in range(2, len(PATH) + 1) if (state := at(n)).outcome]
    assert results == ["working"] * 7 + ["succeeded"] * 2
    closed = after(WOKE, told(plan_of(NEW, None), opened=0))
    assert closed.outcome is not None
    assert closed.outcome.result == "waiting"


@pytest.mark.parametrize("n", range(len(PATH) + 1))
def test_an_event_that_the_phase_does_not_allow_raises(n: int) -> None:
    state = at(n)
    allowed = {type(PATH[n])} if n < len(PATH) else set()
    for event in (*PATH[2:8], events.Settled(NOW), events.Returned(NOW)):
        if type(event) not in allowed:
            with pytest.raises(IllegalEvent):
                step(state, event, RULES)


def test_one_that_is_at_rest_rejects_nothing() -> None:
    for event in (events.Rejected(NOW, "x"), events.Spoiled(NOW, "x")):
        with pytest.raises(IllegalEvent):
            step(at(1), event, RULES)


@pytest.mark.parametrize("n", [4 - 1, 5, 6, 7, 8])
def test_a_bad_image_is_given_up_and_quarantined_in_one_step(n: int) -> None:
    bad, effects = step(at(n), events.Rejected(NOW, "it is bad"), RULES)
    assert bad.phase == "rollback"
    assert effects == (events.Return(NEW, bad.attempt.slot if bad.attempt else None, RUNS_OLD),)
    rest = after(events.Returned(NOW), state=bad)
    assert rest.runs == RUNS_OLD
    again = after(told(serial=2), state=rest)
    assert again.phase == "idle"
    assert "quarantined on this device: it is bad" in again.why
    assert again.outcome is not None
    assert again.outcome.result == "failed"


def test_a_quarantined_image_may_go_on_running_if_it_does() -> None:
    bad = after(events.Rejected(NOW, "x"), events.Returned(NOW), state=at(5))
    by_hand = after(events.Woke(NOW, "boot-1", RUNS_NEW), told(serial=2), state=bad)
    assert by_hand.phase == "idle"
    assert by_hand.why.startswith("it runs motion 2.0.0")


class TestWatching:
    @pytest.mark.parametrize(
        ("seen", "phase"),
        [
            (events.Watched(NOW, 59, 10, 0), "trial"),
            (events.Watched(NOW, 60, 9, 0), "trial"),
            (events.Watched(NOW, 600, 0, 0), "commit"),
            (events.Watched(NOW, 1, 2, 2), "trial"),
            (events.Watched(NOW, 1, 3, 3), "rollback"),
            (events.Watched(NOW, 60, 1000, 3), "commit"),
            (events.Watched(NOW, 1, 0, 0, ("a",)), "trial"),
            (events.Watched(NOW, 1, 0, 0, ("a", "b")), "rollback"),
            (events.Watched(NOW, 60, 10, 0, (), "it hangs"), "rollback"),
            (events.Watched(NOW, -5, 10, 0), "trial"),
        ],
    )
    def test_a_trial_ends_by_what_was_seen(self, seen: events.Watched, phase: str) -> None:
        assert after(seen, state=at(ON_TRIAL)).phase == phase

    def test_the_same_crash_counts_once(self) -> None:
        crash = events.Watched(NOW, 1, 0, 0, ("a",))
        assert after(crash, crash, crash, state=at(ON_TRIAL)).phase == "trial"

    def test_what_is_lost_to_a_power_cut_does_not_take_the_count_back(self) -> None:
        state = after(events.Watched(NOW, 1, 9, 2), events.Watched(NOW, 1, 1, 0), state=at(ON_TRIAL))
        assert state.attempt is not None
        assert (state.attempt.served, state.attempt.errors) == (9, 2)

    def test_one_look_adds_an_hour_at_most(self) -> None:
        state = after(events.Watched(NOW, 10**6, 0, 0), state=after(state=at(ON_TRIAL)))
        assert state.phase == "commit"  # 3600 s are more than the longest of this trial
        assert state.attempt is not None
        assert state.attempt.seconds == 3600

    def test_the_committed_one_is_counted_on_and_never_taken_back(self) -> None:
        state = after(events.Watched(NOW, 0, 50, 50, ("a", "b", "c"), "hangs"), state=at(len(PATH)))
        assert state.phase == "idle"
        assert state.outcome is not None
        assert (state.outcome.served, state.outcome.errors, state.outcome.result) == (50, 50, "succeeded")

    @pytest.mark.parametrize("n", [5, 6, 8])
    def test_a_device_that_starts_anew_again_and_again_while_it_runs_gives_it_up(self, n: int) -> None:
        serves = RUNS_NEW if n == ON_TRIAL else RUNS_OLD
        once = after(events.Woke(NOW, "boot-2", serves), state=at(n))
        assert once.phase == PHASES[n - 1]
        same = after(events.Woke(NOW, "boot-2", serves), events.Woke(NOW, "boot-2", serves), state=once)
        assert same.phase == PHASES[n - 1]
        assert after(events.Woke(NOW, "boot-3", serves), state=once).phase == "rollback"

    def test_starting_anew_while_it_is_fetched_counts_for_nothing(self) -> None:
        state = at(2)
        for n in range(9):
            state = after(events.Woke(NOW, f"boot-{n}", RUNS_OLD), state=state)
        assert state.phase == "download"

    def test_a_swap_that_was_not_written_down_is_recognised(self) -> None:
        assert after(events.Woke(NOW, "boot-2", RUNS_NEW), state=at(7)).on_trial

    @pytest.mark.parametrize("serves", [None, RUNS_OLD])
    def test_one_that_is_not_in_use_any_more_is_given_up_without_blame(self, serves: Release | None) -> None:
        state = after(events.Woke(NOW, "boot-1", serves), state=at(ON_TRIAL))
        assert state.phase == "rollback"
        assert not state.quarantine


class TestInstructions:
    def test_an_older_one_is_refused_and_changes_nothing(self) -> None:
        state = after(WOKE, told(serial=5))
        with pytest.raises(ProtocolError, match="older than 5"):
            step(state, told(serial=4), RULES)
        with pytest.raises(ProtocolError, match="two instructions"):
            step(state, told(plan_of(NEWER, OLD), serial=5), RULES)
        assert after(told(serial=5), state=state) == state

    def test_nobody_counts_to_the_end(self) -> None:
        """A stolen rollout key cannot use up the serials: after new keys the fleet could say nothing more."""
        state = after(WOKE, told(serial=5))
        for serial in (5 + MOST_AHEAD + 1, (1 << 53) - 1):
            with pytest.raises(ProtocolError, match="far beyond 5"):
                step(state, told(serial=serial), RULES)
        assert after(told(serial=5 + MOST_AHEAD), state=state).serial == 5 + MOST_AHEAD

    def test_a_plan_whose_place_another_took_is_not_followed_again(self) -> None:
        """A stolen rollout key cannot send devices back to what people once approved and signed."""
        state = after(WOKE, told(plan_of(OLD, None, rollout="r0")), told(plan_of(NEW, OLD), 2))
        assert state.attempt is not None
        with pytest.raises(ProtocolError, match="the plan of r0 again"):
            step(state, told(plan_of(OLD, None, rollout="r0"), 3), RULES)
        with pytest.raises(ProtocolError, match="the plan of r0 again"):
            step(state, told(plan_of(OLD, None, rollout="r0"), 3, signers=(ANOTHER, SIGNER)), RULES)
        back = after(told(serial=3, state="rolled-back"), state=state)
        assert back.plans == state.plans
        assert len(back.plans) == 2

    def test_plans_are_remembered_up_to_a_number(self) -> None:
        known = tuple(f"{number:064x}" for number in range(MAX_PLANS))
        state = after(told(), state=State(plans=known))
        assert state.plans[:-1] == known[1:]
        assert from_bytes(to_bytes(state), where="state") == state

    def test_one_of_another_fleet_is_refused(self) -> None:
        with pytest.raises(ProtocolError, match="another fleet"):
            step(State(), told(plan_of(NEW, OLD, fleet="vineyard")), RULES)

    def test_a_floor_only_rises_and_nothing_below_it_is_installed(self) -> None:
        state = after(WOKE, told(floor={"motion": 3}))
        assert state.phase == "idle"
        assert "below the floor, 3" in state.why
        assert state.outcome is not None
        assert state.outcome.result == "failed"
        later = after(told(serial=2, floor={"motion": 1, "other": 2}), state=state)
        assert later.floors == {"motion": 3, "other": 2}
        assert later.phase == "idle"

    def test_a_rollback_is_an_update_to_an_older_image(self) -> None:
        state = after(told(serial=2, state="rolled-back"), state=at(len(PATH)))
        assert state.phase == "download"
        assert state.attempt is not None
        assert state.attempt.image == OLD
        below = after(told(serial=2, state="rolled-back", floor={"motion": 2}), state=at(len(PATH)))
        assert below.phase == "idle"
        assert below.runs == RUNS_NEW

    @pytest.mark.parametrize("n", range(2, 9))
    def test_a_rollback_ends_an_attempt_and_quarantines_nothing(self, n: int) -> None:
        state = after(told(serial=2, state="rolled-back"), state=at(n))
        assert state.phase == "rollback"
        assert not state.quarantine
        rest = after(events.Returned(NOW), told(serial=2, state="rolled-back"), state=state)
        assert rest.phase == "idle"
        assert rest.runs == RUNS_OLD

    @pytest.mark.parametrize("n", range(2, 9))
    def test_an_aborted_rollout_ends_what_does_not_serve_yet(self, n: int) -> None:
        state = after(told(serial=2, state="aborted"), state=at(n))
        assert state.phase == ("trial" if n == ON_TRIAL else "rollback")

    @pytest.mark.parametrize("n", range(2, 9))
    def test_a_pause_holds_what_does_not_serve_yet(self, n: int) -> None:
        state, effects = step(at(n), told(serial=2, state="paused"), RULES)
        assert state.phase == PHASES[n - 1]
        assert bool(effects) == (n == ON_TRIAL)
        resumed, effects = step(state, told(serial=3), RULES)
        assert effects
        assert resumed.phase == state.phase

    @pytest.mark.parametrize("n", range(2, 9))
    def test_a_hold_ends_what_does_not_serve_yet(self, n: int) -> None:
        for event in (told(serial=2, held=True), told(serial=2, holds=(DEVICE,))):
            assert after(event, state=at(n)).phase == ("trial" if n == ON_TRIAL else "rollback")
        assert after(WOKE, told(held=True)).why == "its owner keeps it as it is"

    def test_another_image_ends_the_attempt_and_then_begins(self) -> None:
        other = told(plan_of(NEWER, OLD, rollout="r2"), serial=2)
        for n in range(2, 9):
            state = after(other, events.Returned(NOW), other, state=at(n))
            assert state.phase == "download"
            assert state.attempt is not None
            assert state.attempt.image == NEWER

    def test_a_ring_that_is_not_open_runs_the_fallback(self) -> None:
        state = after(WOKE, told(opened=0))
        assert state.phase == "idle"
        assert "not open yet" in state.why

    def test_a_pin_goes_before_the_rollout(self) -> None:
        state = after(WOKE, told(pins=(Pin(device=DEVICE, image=NEWER),), state="aborted"))
        assert state.attempt is not None
        assert state.attempt.image == NEWER


class TestApprovals:
    ada, bob, eve = (Ed25519Signer(name, name.encode() * 8 + b"12345678") for name in ("ada", "bob", "eve"))
    rules = altered(RULES, approvers=Reviewers((ada.verifier, bob.verifier), 2))

    def test_a_plan_that_too_few_have_signed_is_refused(self) -> None:
        for signers in ((self.ada,), (self.ada, self.eve), (self.eve,)):
            with pytest.raises(ProtocolError, match="approvers have signed"):
                step(at(1), told(signers=signers), self.rules)
        assert after(told(signers=(self.bob, self.eve, self.ada)), state=at(1), rules=self.rules).attempt

    def test_a_pin_to_what_nobody_approved_is_refused(self) -> None:
        both = (self.ada, self.bob)
        pinned = told(signers=both, pins=(Pin(device=DEVICE, image=NEWER),))
        state = after(pinned, state=at(1), rules=self.rules)
        assert state.phase == "idle"
        assert "nobody has approved" in state.why
        approved = told(signers=both, pins=(Pin(device=DEVICE, image=NEW),))
        assert after(approved, state=at(1), rules=self.rules).attempt


class TestTrouble:
    @pytest.mark.parametrize("n", range(2, 8))
    def test_it_waits_in_its_phase_and_goes_on(self, n: int) -> None:
        state, effects = step(at(n), events.Trouble(NOW, "the disk is full"), RULES)
        assert effects == ()
        assert state.phase == PHASES[n - 1]
        assert state.why == "the disk is full"
        assert due(state, state.not_before - 1) == ()
        assert due(state, state.not_before)

    def test_somebody_who_waits_does_not_wait(self) -> None:
        state = after(events.Trouble(NOW, "x"), state=at(2))
        assert step(state, altered(WOKE, urgent=True), RULES)[1]
        assert not step(state, WOKE, RULES)[1]

    def test_waits_grow_to_a_day_and_differ_between_devices(self) -> None:
        waits = [wait_after(n, DEVICE) for n in range(1, 40)]
        for n, wait in enumerate(waits):
            assert min(LONGEST_WAIT, 60 << n) // 2 <= wait <= min(LONGEST_WAIT, 60 << n)
        assert len({wait_after(3, f"{n:032x}") for n in range(50)}) > 30

    @pytest.mark.parametrize("n", range(2, 8))
    def test_expired_metadata_stops_an_attempt_until_it_is_renewed(self, n: int) -> None:
        stale = after(events.Stale(NOW, "expired"), state=at(n))
        later = NOW + 10 * LONGEST_WAIT
        assert due(stale, later) == ()
        assert due(after(events.Unreachable(later, "x"), state=stale), 10 * later) == ()
        assert due(after(told(serial=2, now=later), state=stale), 10 * later)

    @pytest.mark.parametrize("event", [events.Stale(NOW, "expired"), events.Unreachable(NOW, "gone")])
    def test_what_serves_is_watched_and_ended_all_the_same(self, event: Event) -> None:
        trial = after(event, state=at(ON_TRIAL))
        assert due(trial, NOW) == (events.Watch(NEW),)
        assert after(events.Watched(NOW, 60, 10, 0), state=trial).phase == "commit"
        assert after(events.Rejected(NOW, "x"), state=trial).phase == "rollback"

    def test_who_cannot_ask_goes_on_with_what_was_fetched(self) -> None:
        _, effects = step(at(4), events.Unreachable(NOW, "gone"), RULES)
        assert effects == (events.Stage(NEW),)

    def test_what_was_spoiled_is_fetched_again(self) -> None:
        for n in range(3, 8):
            state = after(events.Spoiled(NOW, "gone"), state=at(n))
            assert state.phase == "download"
            assert state.attempt is not None
            assert state.attempt.slot is None
            assert not state.quarantine


class TestClocks:
    def test_a_clock_in_1970_does_not_go_before_what_was_proved(self) -> None:
        state = after(WOKE, told(), state=None)
        assert state.clock == NOW
        assert after(told(serial=2, now=0.0), state=state).clock == NOW
        assert State().clock == EPOCH

    def test_a_clock_in_2106_raises_nothing_while_the_metadata_has_expired_by_it(self) -> None:
        far = 2.0**32
        stale = after(events.Woke(far, "boot-2", RUNS_OLD), events.Stale(far, "expired"), state=at(2))
        assert stale.clock == NOW
        assert due(stale, NOW) == ()
        back = after(told(serial=2), state=stale)
        assert due(back, NOW) == (events.Fetch(NEW),)
        troubled = after(events.Trouble(far, "x"), state=back)
        assert due(troubled, NOW) == (events.Fetch(NEW),)  # a wait until 2106 is no wait

    def test_a_wait_is_one_only_within_its_length(self) -> None:
        assert not has_waited(1000, 999)
        assert has_waited(1000, 1000)
        assert has_waited(LONGEST_WAIT + 1000, 999)

    def test_switching_waits_for_a_window(self) -> None:
        # NOW is Friday, 2027-01-15 08:00 UTC
        closed = Window(days=("fri",), begins=9 * 60, ends=10 * 60)
        state = after(*PATH[:1], told(plan_of(NEW, OLD, windows=(closed,))), *PATH[2:7])
        assert state.phase == "trial"
        assert due(state, NOW) == ()
        assert due(state, NOW + 3600) == (events.Switch(NEW, "slots/B", "int8"),)
        assert due(state, NOW + 7200) == ()

    @pytest.mark.parametrize(
        ("window", "hours"),
        [
            (Window(days=("fri",), begins=8 * 60, ends=8 * 60), range(24)),
            (Window(days=("thu",), begins=22 * 60, ends=6 * 60), []),
            (Window(days=("fri",), begins=22 * 60, ends=6 * 60), range(14, 22)),
            (Window(days=("sat", "sun"), begins=0, ends=60), [16, 40]),
        ],
    )
    def test_windows_are_in_utc_and_go_past_midnight(self, window: Window, hours: Any) -> None:
        found = {hour for hour in range(48) if is_open((window,), NOW + 3600 * hour)}
        assert found == set(hours)
        assert is_open((), NOW)


@pytest.mark.parametrize(
    "bend",
    [
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda data: data.replace(b'"idle"', b'"trial"'),
        lambda data: data.replace(b'"serial":1', b'"serial":-1'),
        lambda data: data.replace(b'"serial":1', b'"serials":1'),
        lambda _: b"",
        lambda _: b"[" * 100_000,
    ],
)
def test_a_damaged_state_is_never_read_as_another(bend: Any) -> None:
    data = to_bytes(at(len(PATH)))
    with pytest.raises(StateError, match="what is installed goes on serving"):
        from_bytes(bend(data), where="state")


def test_a_ring_keeps_its_number() -> None:
    rings = (Ring(name="lab", share=0), Ring(name="all", share=10_000))
    state = after(WOKE, told(plan_of(NEW, OLD, rings=rings), opened=2))
    assert state.told is not None
    assert state.told.ring == 1
