"""What a device may still answer: each rule by the last answer that fits and the first that does not."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import accumulate
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from covey import budget as budgets
from covey import plan as plans
from covey.accounting import Skellam, round_down, round_up
from covey.budget import Adopted, Budget, Locked, Reserved, Row, Saw, Settled
from covey.encode import Part
from covey.errors import PlanRefused
from covey.ledger.checkpoint import MAX_SIZE, Checkpoint, Witnessed
from covey.plan import Gradient, Noise, Plan, Statistics, Train, Validate
from covey.policy.signed import Opened
from covey.spending import Asked
from covey_audit.accountants import with_dp_accounting
from memory_ledger import opened, policy_note
from secagg_fleet import NOW, make_plan, roster

DELTA = 1e-5
ROSTER = roster(12)
TRAIN = Train(1, 8, 0.1, 0.0, 0.0, 0.0, "devices", 1, 1.0)
GRADIENT = Gradient(0.5, 0, 1.0, 0.1, 10.0, 64)
TASKS = {"train": TRAIN, "validate": Validate(1), "statistics": Statistics(1)}
MANY: dict[str, Any] = {
    "budget__epsilon": "1000",
    "budget__answers": 1000,
    "queries__train__answers": 1000,
    "queries__train__rate_limit": "none",
    "queries__validate__answers": 1000,
    "queries__validate__rate_limit": "none",
}
"""Changes that leave no limit but the one a test is about."""


@cache
def _policy(changes: bytes) -> Opened:
    return opened(policy_note(**msgspec.json.decode(changes)))


def policy(**changes: Any) -> Opened:
    following = {"previous": "ab" * 32} if changes.get("serial", 1) > 1 else {}
    return _policy(msgspec.json.encode(MANY | following | changes))


def plan(serial: int = 1, task: str = "validate", *, z: float = 3.0, **changes: Any) -> Plan:
    noise = Noise(mechanism="skellam", variance=round((z * 1000) ** 2), removal=False, seeded=False)
    made = make_plan(noise=noise, serial=serial, signed=ROSTER)
    return msgspec.structs.replace(made, task=TASKS[task], **changes)


def digest(of: Plan) -> str:
    return plans.digest(plans.to_bytes(of))


def spend(budget: Budget, asked: Plan, under: Opened | None = None, now: int = NOW) -> Budget:
    """After a plan was reserved and answered."""
    rows = budgets.reserve(budget, asked, digest(asked), under or policy(), now)
    for row in (*rows, Settled(now, digest(asked), "answered")):
        budget = budgets.after(budget, row)
    return budget


def answered(count: int, under: Opened | None = None, **changes: Any) -> Budget:
    budget = Budget()
    for serial in range(1, count + 1):
        budget = spend(budget, plan(serial, **changes), under)
    return budget


def refused(
    budget: Budget, asked: Plan, match: str, under: Opened | None = None, now: int = NOW
) -> PlanRefused:
    with pytest.raises(PlanRefused, match=match) as caught:
        budgets.reserve(budget, asked, digest(asked), under or policy(), now)
    assert caught.value.blame == "server"
    assert "\n" not in caught.value.message
    return caught.value


# -- which policy


def adopted(under: Opened) -> Budget:
    """A device under a policy that has answered once."""
    return spend(Budget(), plan(), under)


def test_the_first_policy_and_the_one_in_force_are_taken() -> None:
    first = policy(serial=3)
    budgets.check_policy(Budget(), first)
    budgets.check_policy(adopted(first), first)


@pytest.mark.parametrize("serial", [1, 2])
def test_an_older_policy_is_refused(serial: int) -> None:
    """Replayed after a newer one, which may allow less."""
    known = adopted(policy(serial=3))
    with pytest.raises(PlanRefused, match=f"policy {serial} after policy 3 came into force"):
        budgets.check_policy(known, policy(serial=serial))


def test_another_policy_of_the_same_serial_is_refused() -> None:
    known = adopted(policy(serial=3))
    with pytest.raises(PlanRefused, match="policy 3 after policy 3 came into force"):
        budgets.check_policy(known, policy(serial=3, purpose="Something else."))


def test_a_next_policy_must_follow_from_the_one_in_force() -> None:
    first = policy(serial=3)
    known = adopted(first)
    with pytest.raises(PlanRefused, match="policy 4 does not follow from the policy 3 in force"):
        budgets.check_policy(known, policy(serial=4, previous="00" * 32))
    budgets.check_policy(known, policy(serial=4, previous=first.sha256))


def test_a_device_that_missed_a_policy_takes_the_one_after_it() -> None:
    known = adopted(policy(serial=3))
    budgets.check_policy(known, policy(serial=5))


def test_another_unit_is_refused_once_something_is_spent() -> None:
    first = policy()
    examples = policy(serial=2, previous=first.sha256, budget__unit="example")
    with pytest.raises(PlanRefused, match="unit example after answers for unit device: they cannot be added"):
        budgets.check_policy(adopted(first), examples)
    idle = budgets.read([Adopted(NOW, first.sha256, 1, "device")])
    budgets.check_policy(idle, examples)


def test_a_newer_policy_is_written_down_with_the_first_plan_under_it() -> None:
    first = policy()
    second = policy(serial=2, previous=first.sha256)
    budget = spend(Budget(), plan(1), first)
    assert budget.policy == Adopted(NOW, first.sha256, 1, "device")
    assert [type(row) for row in budgets.reserve(budget, plan(2), digest(plan(2)), first, NOW)] == [Reserved]
    rows = budgets.reserve(budget, plan(2), digest(plan(2)), second, NOW)
    assert [type(row) for row in rows] == [Adopted, Reserved]
    budget = spend(budget, plan(2), second)
    assert budget.policy == Adopted(NOW, second.sha256, 2, "device")
    assert budget.reserved[digest(plan(1))].policy == first.sha256
    assert budget.reserved[digest(plan(2))].policy == second.sha256


def test_what_was_spent_under_an_older_policy_counts_under_a_newer_one() -> None:
    first = policy(budget__answers=2)
    second = policy(serial=2, previous=first.sha256, budget__answers=2)
    budget = spend(spend(Budget(), plan(1), first), plan(2), second)
    refused(budget, plan(3), "2 answers were given, the policy allows 2 in all", second)


# -- how many


def test_answers_of_all_kinds_are_counted_together() -> None:
    few = policy(budget__answers=3)
    budget = spend(spend(Budget(), plan(1), few), plan(2, "train"), few)
    budget = spend(budget, plan(3, "train"), few)
    told = refused(budget, plan(4), "budget: 3 answers were given, the policy allows 3 in all", few)
    assert not told.hint


def test_answers_of_each_kind_are_counted() -> None:
    few = policy(queries__train__answers=2, queries__validate__answers=1)
    budget = spend(spend(Budget(), plan(1), few), plan(2, "train"), few)
    refused(budget, plan(3), "1 answers to validate were given, the policy allows 1", few)
    budget = spend(budget, plan(3, "train"), few)
    refused(budget, plan(4, "train"), "2 answers to train were given, the policy allows 2", few)


def test_a_gradient_counts_as_training() -> None:
    few = policy(budget__unit="example", queries__train__answers=1)
    one, other = (msgspec.structs.replace(plan(serial), task=GRADIENT, unit="example") for serial in (1, 2))
    refused(spend(Budget(), one, few), other, "1 answers to train were given", few)


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("2 per minute", 60), ("2 per hour", 3600), ("2 per day", 86_400), ("2 per week", 604_800)],
)
def test_a_rate_holds_in_every_window(limit: str, seconds: int) -> None:
    """Sliding, not by the calendar: an answer counts until a whole period has passed."""
    slow = policy(queries__validate__rate_limit=limit)
    budget = spend(spend(Budget(), plan(1), slow, NOW), plan(2), slow, NOW + 10)
    for later in (10, seconds - 1):
        refused(budget, plan(3), f"within {seconds} s, the policy allows {limit}", slow, NOW + later)
    budget = spend(budget, plan(3), slow, NOW + seconds)
    refused(budget, plan(4), "rate: 2 times validate", slow, NOW + seconds + 9)
    spend(budget, plan(4), slow, NOW + seconds + 10)


def test_a_rate_is_of_one_kind() -> None:
    slow = policy(queries__validate__rate_limit="1 per day")
    budget = spend(Budget(), plan(1), slow)
    spend(budget, plan(2, "train"), slow)
    refused(budget, plan(2), "rate: 1 times validate", slow)


def test_a_clock_that_is_put_back_frees_no_rate() -> None:
    """What was answered in what is now the future counts as lately."""
    slow = policy(queries__validate__rate_limit="1 per day")
    refused(spend(Budget(), plan(1), slow, NOW), plan(2), "rate", slow, NOW - 10 * 86_400)


def test_rounds_of_hours_are_answered_when_they_may_be() -> None:
    """Twenty-four a day, one an hour, for three days: none is refused."""
    hourly, budget = policy(queries__validate__rate_limit="24 per day"), Budget()
    for serial in range(72):
        budget = spend(budget, plan(serial + 1, z=30.0), hourly, NOW + 3600 * serial)
    assert budget.counter == 72


# -- epsilon


def independent(count: int, z: float = 3.0, norm: int = 1000) -> float:
    """ε of so many sums by another library."""
    return with_dp_accounting([(Skellam(norm, 5, round((z * norm) ** 2)), count)], DELTA)


@pytest.mark.parametrize("fits", [1, 2, 7])
@pytest.mark.parametrize("digits", [2, 6])
def test_the_answer_that_just_fits_is_given_and_the_next_is_not(fits: int, digits: int) -> None:
    cap = str(round_up(budgets.spent(answered(fits), DELTA), digits))
    just = policy(budget__epsilon=cap)
    refused(answered(fits, just), plan(fits + 1), "budget: with this answer epsilon would be", just)
    less = policy(budget__epsilon=str(round_down(budgets.spent(answered(fits), DELTA), digits)))
    refused(answered(fits - 1, less), plan(fits), "budget: with this answer epsilon would be", less)
    assert float(cap) == pytest.approx(independent(fits), abs=2 * 10**-digits)


def test_a_refusal_says_the_number_and_the_cap() -> None:
    tight = policy(budget__epsilon="2.1")
    told = refused(answered(2, tight), plan(3), "budget", tight)
    would = round_up(independent(3), 3)
    assert told.message == (
        f"budget: with this answer epsilon would be {would}, the policy allows 2.1 at delta 1e-5"
    )


def test_epsilon_is_at_the_policys_delta() -> None:
    cap = str(round_up(budgets.spent(answered(2), 1e-7), 6))
    budget = answered(1)
    spend(budget, plan(2), policy(budget__epsilon=cap, budget__delta="1e-7"))
    refused(budget, plan(2), "at delta 1e-8", policy(budget__epsilon=cap, budget__delta="1e-8"))


def test_one_loud_answer_may_not_fit_where_many_quiet_ones_did() -> None:
    cap = policy(budget__epsilon="4")
    budget = answered(20, cap, z=30.0)
    refused(budget, plan(21, z=0.5), "epsilon would be", cap)
    spend(budget, plan(21, z=30.0), cap)


def test_a_reserve_costs_what_the_smallest_sum_leaves_of_noise() -> None:
    """Not what the whole cohort would: σ² is what `minimum - corrupt` honest devices add up to."""
    alone = spend(Budget(), plan(1))
    assert budgets.spent(alone, DELTA) == pytest.approx(independent(1), rel=1e-9)
    others: list[dict[str, Any]] = [
        {"cohort": 40, "minimum": 30},
        {"minimum": 12},
        {"corrupt": 3, "minimum": 9},
    ]
    for changes in others:
        assert budgets.spent(spend(Budget(), plan(1, **changes)), DELTA) == budgets.spent(alone, DELTA)


def test_runs_are_added() -> None:
    """One total for the device's whole life."""
    budget = Budget()
    for run in ("one", "other", "third"):
        budget = spend(budget, plan(1, run=run))
    assert budgets.spent(budget, DELTA) == pytest.approx(independent(3), rel=1e-9)


def test_held_out_examples_are_others_than_those_trained_on() -> None:
    """For the unit example only; a device is in both."""
    examples = policy(budget__unit="example")
    of: dict[str, Any] = {"unit": "example"}
    budget = spend(spend(Budget(), plan(1, "train", **of), examples), plan(2, **of), examples)
    assert budgets.spent(budget, DELTA) == pytest.approx(independent(1), rel=1e-9)
    budget = spend(budget, plan(3, "statistics", **of), policy_with_statistics())
    assert budgets.spent(budget, DELTA) == pytest.approx(independent(2), rel=1e-9)
    devices = spend(spend(Budget(), plan(1, "train")), plan(2))
    assert budgets.spent(devices, DELTA) == pytest.approx(independent(2), rel=1e-9)


def policy_with_statistics() -> Opened:
    query = {
        "models": ["model"],
        "clip": "1",
        "noise_multiplier": "1",
        "minimum": 8,
        "answers": 9,
        "rate_limit": "none",
    }
    return policy(budget__unit="example", queries__statistics=query)


def test_nothing_costs_nothing() -> None:
    assert budgets.spent(Budget(), DELTA) == 0


# -- once


def test_a_plan_is_reserved_once() -> None:
    refused(answered(1), plan(1), "budget was reserved for this plan before")


def test_one_cohort_of_a_sum_is_answered() -> None:
    """Of a sum's cohorts the costliest counts, since they ask different devices: so it must be one."""
    budget = answered(1)
    other = plan(1, cohorts=2, cohort_number=1)
    refused(budget, other, "reserved for another plan of this sum")
    refused(budget, plan(1, z=5.0), "reserved for another plan of this sum")
    spend(budget, plan(1, run="another"))


def test_what_was_released_is_free_and_counted_all_the_same() -> None:
    few = policy(budget__answers=1)
    rows = budgets.reserve(Budget(), plan(1), digest(plan(1)), few, NOW)
    budget = budgets.read([*rows, Settled(NOW, digest(plan(1)), "released")])
    assert (budget.reserved, budget.unsettled, budget.counter) == ({}, frozenset(), 1)
    assert budgets.spent(budget, DELTA) == 0
    budget = spend(budget, plan(2), few)
    assert budget.counter == 2
    refused(budget, plan(3), "1 answers were given", few)


def test_asking_without_ever_taking_an_answer_counts_as_asking() -> None:
    """Else a server could let a device train without end."""
    slow = policy(queries__validate__rate_limit="1 per day")
    rows = budgets.reserve(Budget(), plan(1), digest(plan(1)), slow, NOW)
    budget = budgets.read([*rows, Settled(NOW, digest(plan(1)), "released")])
    refused(budget, plan(2), "rate: 1 times validate within 86400 s", slow)


def test_what_was_answered_stays_spent() -> None:
    budget = answered(2)
    assert (len(budget.reserved), budget.unsettled, budget.counter) == (2, frozenset(), 2)
    assert budgets.spent(budget, DELTA) == pytest.approx(independent(2), rel=1e-9)


def test_a_settle_of_nothing_changes_nothing() -> None:
    budget = answered(1)
    for outcome in ("answered", "released"):
        assert budgets.after(budget, Settled(NOW, "ab" * 32, outcome)) == budget


# -- locked


def test_a_locked_budget_answers_nothing_and_stays_locked() -> None:
    locked = budgets.after(answered(1), Locked(NOW, "it was put back"))
    told = "this device answers nothing any more: it was put back"
    with pytest.raises(PlanRefused, match=told):
        budgets.check_open(locked)
    refused(locked, plan(2), told)
    rows: list[Row] = [
        Saw("log", 3, "00" * 32, NOW),
        Adopted(NOW, "ab" * 32, 9, "device"),
        Settled(NOW, digest(plan(1)), "released"),
    ]
    for row in rows:
        locked = budgets.after(locked, row)
        refused(locked, plan(2), told)
    budgets.check_open(Budget())


# -- heads of the ledger, and the clock


def head(size: int, root: bytes = bytes(32), time: int = NOW, origin: str = "log") -> Witnessed:
    return Witnessed(Checkpoint(origin, size, root), b"note", time)


def test_the_newest_head_of_each_log_is_kept() -> None:
    budget = Budget()
    for each in (head(3), head(7, time=NOW + 1), head(2, origin="other")):
        (row,) = budgets.saw(budget, each)
        budget = budgets.after(budget, row)
    assert {origin: seen.size for origin, seen in budget.seen.items()} == {"log": 7, "other": 2}
    assert budgets.saw(budget, head(7, time=NOW + 1)) == ()
    assert budgets.saw(budget, head(6, time=NOW + 9)) == ()
    assert len(budgets.saw(budget, head(7, time=NOW + 2))) == 1


def test_the_clock_is_the_latest_that_any_witness_has_said() -> None:
    assert Budget().clock == 0
    budget = budgets.read(
        [Saw("log", 3, "00" * 32, NOW), Saw("other", 9, "00" * 32, NOW - 5), Saw("third", 1, "11" * 32, 0)]
    )
    assert budget.clock == NOW


@pytest.mark.parametrize("size", [0, 1 << 53, (1 << 53) + 1, MAX_SIZE])
def test_any_head_that_can_be_signed_can_be_read_back(size: int) -> None:
    """A log that claims to be huge must not make a device's own journal unreadable."""
    (row,) = budgets.saw(Budget(), head(size))
    assert msgspec.json.decode(msgspec.json.encode(row), type=Row) == row


# -- rows


ROWS: tuple[Row, ...] = (
    *budgets.reserve(Budget(), plan(1), digest(plan(1)), policy(), NOW),
    Saw("log", 3, "ab" * 32, NOW),
    Settled(NOW, digest(plan(1)), "answered"),
    *budgets.reserve(Budget(), plan(2, run="naïve\n\u2028\U0001f600"), digest(plan(2)), policy(), NOW),
    Settled(NOW, digest(plan(2)), "released"),
    Locked(NOW, "why"),
)


def test_rows_come_back_as_they_were_written() -> None:
    for row in ROWS:
        data = msgspec.json.encode(row)
        assert b"\n" not in data
        assert msgspec.json.decode(data, type=Row) == row


def test_reading_rows_is_taking_them_one_by_one() -> None:
    for count, state in enumerate(accumulate(ROWS, budgets.after, initial=Budget())):
        assert budgets.read(ROWS[:count]) == state


@pytest.mark.parametrize(
    "data",
    [
        b'{"event":"reserve"}',
        b'{"event":"refund","time":1}',
        b'{"event":"lock","time":1,"reason":"x","more":1}',
        b'{"event":"lock","time":-1,"reason":"x"}',
        b'{"event":"settle","time":1,"plan":"%s","outcome":"forgotten"}' % (b"ab" * 32),
        b'{"event":"settle","time":1,"plan":"xy","outcome":"answered"}',
        b'{"event":"policy","time":1,"sha256":"%s","serial":1,"unit":"person"}' % (b"ab" * 32),
        b'{"event":"ledger","origin":"o","size":-1,"root":"%s","time":1}' % (b"ab" * 32),
    ],
)
def test_a_row_that_is_none_is_not_read(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(data, type=Row)


def test_what_is_kept_of_a_plan_gives_its_cost_back_to_the_bit() -> None:
    odd = msgspec.structs.replace(GRADIENT, sampling_rate=0.1 + 0.2)
    asked = Asked.of(msgspec.structs.replace(plan(1), task=odd, unit="example"))
    row = Reserved(NOW, "ab" * 32, "cd" * 32, "train", asked)
    assert msgspec.json.decode(msgspec.json.encode(row), type=Row) == row


# -- any sequence


CAP = "6.5"
LIMITED: dict[str, Any] = {"budget__epsilon": CAP, "budget__answers": 4, "queries__train__answers": 2}


class Device(RuleBasedStateMachine):
    """A device whose power may fail in the middle of any write, and a server that asks whatever it likes.

    What a row is about happens only once all rows of its write are on disk: a cut leaves the first of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.policies = [policy(**LIMITED)]
        self.rows: list[Row] = []
        self.left: dict[str, Plan] = {}
        """Plans whose vectors have left."""
        self.open: dict[str, Plan] = {}
        """Plans that were reserved and whose vectors may still leave."""
        self.counters: list[int] = []

    @property
    def budget(self) -> Budget:
        return budgets.read(self.rows)

    @initialize(renewed=st.booleans())
    def begin(self, *, renewed: bool) -> None:
        if renewed:
            (first,) = self.policies
            self.policies.append(policy(**LIMITED, serial=2, previous=first.sha256))

    def write(self, rows: Sequence[Row], kept: int) -> bool:
        """As many rows as the power lasts for; whether that was all."""
        before = self.budget.counter
        self.rows += rows[:kept]
        assert self.budget.counter >= before
        return kept >= len(rows)

    @rule(
        run=st.sampled_from("ab"),
        serial=st.integers(1, 4),
        task=st.sampled_from(["train", "validate"]),
        z=st.sampled_from([1.0, 2.0, 20.0]),
        cohort=st.integers(0, 1),
        under=st.integers(0, 1),
        kept=st.integers(0, 3),
    )
    def ask(  # noqa: PLR0913 - everything that a server chooses
        self, *, run: str, serial: int, task: str, z: float, cohort: int, under: int, kept: int
    ) -> None:
        asked = plan(serial, task, z=z, run=run, cohorts=2, cohort_number=cohort)
        named, chosen = digest(asked), self.policies[under % len(self.policies)]
        try:
            budgets.check_policy(self.budget, chosen)
            rows = budgets.reserve(self.budget, asked, named, chosen, NOW)
        except PlanRefused:
            return
        if self.write(rows, kept):
            self.open[named] = asked
            self.counters.append(self.budget.counter)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A vector leaves; how it ended may be written down or not."""
        named = data.draw(st.sampled_from(sorted(self.open)))
        self.left[named] = self.open.pop(named)
        if data.draw(st.booleans()):
            self.write([Settled(NOW, named, "answered")], data.draw(st.integers(0, 1)))

    @rule(kept=st.integers(0, 9))
    def settle(self, *, kept: int) -> None:
        """As a device does before the next plan: what did not leave never will."""
        for named in sorted(self.budget.unsettled):
            left = named in self.left
            self.open.pop(named, None)
            if not self.write([Settled(NOW, named, "answered" if left else "released")], kept):
                return

    @rule()
    def restart(self) -> None:
        """Nothing is known but what is on disk."""
        stored = b"".join(msgspec.json.encode(row) + b"\n" for row in self.rows)
        self.rows = [msgspec.json.decode(line, type=Row) for line in stored.split(b"\n")[:-1]]
        self.open.clear()

    @invariant()
    def what_was_answered_is_within_the_policy(self) -> None:
        budget = self.budget
        assert set(self.left) <= set(budget.reserved)
        alone = Budget(reserved={named: budget.reserved[named] for named in self.left})
        assert budgets.spent(alone, DELTA) <= budgets.spent(budget, DELTA) <= Fraction(CAP)
        assert len(self.left) <= 4
        trained = [each for each in self.left.values() if isinstance(each.task, Train)]
        assert len(trained) <= 2

    @invariant()
    def every_answer_has_a_number_of_its_own(self) -> None:
        assert self.counters == sorted(set(self.counters))

    @invariant()
    def one_plan_of_a_sum_was_answered(self) -> None:
        sums = [(each.run, each.sum) for each in self.left.values()]
        assert len(set(sums)) == len(sums)

    def teardown(self) -> None:
        """Computed once more, by another library, from the plans that were answered."""
        events = [(Skellam(1000, 5, each.noise.variance), 1) for each in self.left.values() if each.noise]
        if events:
            assert with_dp_accounting(events, DELTA) <= float(CAP) * (1 + 1e-6)


TestAnySequence = Device.TestCase
TestAnySequence.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@given(st.lists(st.sampled_from(ROWS), max_size=8), st.integers(0, 8))
def test_a_journal_that_is_cut_is_the_journal_up_to_there(rows: list[Row], cut: int) -> None:
    budget = budgets.read(rows[:cut])
    for row in rows[cut:]:
        budget = budgets.after(budget, row)
    assert budget == budgets.read(rows)
    assert budget.counter == sum(isinstance(row, Reserved) for row in rows)


def test_parts_do_not_change_the_cost_but_their_length_does() -> None:
    """d is in Δ's rounding: more elements, more ε."""
    long = plan(1, parts=(Part("values", 5000, 1.0, 1000.0),))
    short = spend(Budget(), plan(1))
    assert budgets.spent(spend(Budget(), long), DELTA) > budgets.spent(short, DELTA)


def test_a_budget_is_not_changed_by_what_follows() -> None:
    budget = answered(1)
    copy = replace(budget)
    spend(budget, plan(2))
    assert budget == copy
