"""What everything cost, and how the figures are compared."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_ledger
from covey import spending
from covey.accounting import Skellam, epsilon
from covey.ledger import entries as ledger
from covey.plan import (
    Calibrate,
    Compare,
    Gradient,
    Health,
    Observed,
    Plan,
    Statistics,
    Task,
    Validate,
    from_bytes,
)
from covey.spending import Asked
from covey_audit.auditing import (
    Anchors,
    audit,
    composing,
    mechanism,
    policies,
    recomputing,
    reserves,
    structure,
)
from covey_audit.auditing.burning import POINTS, burn_down
from covey_audit.auditing.composing import Mechanism
from covey_audit.auditing.recomputing import disagreements
from covey_audit.auditing.reserves import Reserved
from secagg_fleet import NOW


def sums() -> tuple[Reserved, ...]:
    made = made_ledger.honest()
    log, _ = structure.read(made.lines, b"")
    return reserves.read(log, policies.read(log, made.anchors)[0])[0]


FINE = Skellam(1000, 5, 36_000_000)
SAMPLED = Skellam(1000, 5, 36_000_000, 0.1)
COARSE = Skellam(1, 1000, 4)


@pytest.mark.parametrize(
    ("name", "event", "gap", "codes"),
    [
        ("dp-accounting", FINE, 0.0, []),
        ("dp-accounting", FINE, 0.9e-6, []),
        ("dp-accounting", FINE, 2e-6, ["accountants-differ"]),
        ("dp-accounting", FINE, -2e-6, ["accountants-differ"]),
        ("Opacus", FINE, -2e-6, ["accountants-differ"]),
        ("dp-accounting", SAMPLED, 2e-6, ["accountants-apart"]),
        ("dp-accounting", SAMPLED, 2e-2, ["accountants-differ"]),
        ("dp-accounting", SAMPLED, -2e-6, ["accountants-differ"]),
        ("dp-accounting", COARSE, 2e-6, ["accountants-apart"]),
        ("dp-accounting", COARSE, -2e-6, ["accountants-differ"]),
        ("Opacus", COARSE, -6e-5, ["accountants-apart"]),
        ("Opacus", COARSE, -2e-3, ["accountants-differ"]),
    ],
)
def test_a_library_may_be_apart_only_where_that_is_explained(
    name: str, event: Skellam, gap: float, codes: list[str]
) -> None:
    found = list(disagreements({name: 1.0 + gap}, 1.0, [{event: 3}]))
    assert [each.code for each in found] == codes


def test_next_to_nothing_is_nothing() -> None:
    assert list(disagreements({"dp-accounting": 0.0}, 1e-12, [{FINE: 3}])) == []


def test_a_library_that_gives_less_is_found_in_a_whole_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputing, "with_dp_accounting", lambda *_: 1.0)
    monkeypatch.setattr(recomputing, "find_spec", lambda _: None)
    made = made_ledger.honest()
    seen = audit(made.material, made.anchors)
    assert [each.code for each in seen.findings] == ["accountants-differ"]
    assert seen.costs[0].libraries == {"dp-accounting": 1.0}
    assert not seen.certified


def test_a_dearer_cohort_of_a_sum_is_the_one_that_counts() -> None:
    first, second, *_ = composing.mechanisms(sums(), lambda _: None, "server")
    dearer = Mechanism(replace(second.reserved, plan=first.reserved.plan), Skellam(1000, 5, 1000))
    for order in ((first, dearer), (dearer, first)):
        assert composing.groups(order) == [{dearer.event: 1}]
        (point,) = burn_down(order[:1], 1e-5, 0.5)
        assert point.epsilon == 0.5


@given(
    st.lists(
        st.tuples(st.integers(1000, 9000), st.sampled_from([1.0, 0.3]), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_the_burn_down_adds_up_to_what_accounting_gives(
    drawn: list[tuple[int, float, bool, bool]],
) -> None:
    base = sums()[0]
    made: list[Mechanism] = []
    for number, (deviation, rate, apart, same) in enumerate(drawn, start=1):
        if same and made:  # another cohort of the sum before, which asks the same
            before = made[-1].reserved
            event = Skellam(1000, 5, deviation**2, before.asked.sampling_rate)
            made.append(Mechanism(before, event))
            continue
        asked = replace(base.asked, unit="example", kind="validate" if apart else "train", sampling_rate=rate)
        event = Skellam(1000, 5, deviation**2, rate)
        made.append(Mechanism(replace(base, plan=numbered(base, number), asked=asked), event))
    total = composing.costliest(composing.groups(made), 1e-5).value
    points = list(burn_down([*made, made[-1]], 1e-5, total))
    assert points[len(made) - 1].epsilon == pytest.approx(total, rel=1e-9)
    values = [each.epsilon for each in points]
    assert all(before <= after + 1e-9 for before, after in pairwise(values))


def numbered(base: Reserved, serial: int) -> Plan:
    return msgspec.structs.replace(base.plan, sum=serial)


def test_groups_are_those_of_the_spending_that_everyone_counts() -> None:
    made = composing.mechanisms(sums(), lambda _: None, "server")
    asked = [Asked.of(each.plan) for each in sums()]
    expected = spending.groups([(each, None) for each in asked], "server")
    assert [sorted(each.items(), key=repr) for each in composing.groups(made)] == [
        sorted(each, key=repr) for each in expected
    ]


TASKS: tuple[Task, ...] = (
    Gradient(0.3, 0, 1.0, 1.0, 1.0, 10),
    Validate(10),
    Statistics(10),
    Calibrate((Observed(0, 1.0),), 3, 10),
    Compare(10),
    Health("motion-1", "ab" * 32, 2),
)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(TASKS), st.integers(2, 9)), min_size=1, max_size=3),
        min_size=1,
        max_size=7,
    )
)
@settings(max_examples=60, deadline=None)
def test_an_audit_adds_up_what_devices_do_whatever_cohorts_ask(drawn: list[list[tuple[Task, int]]]) -> None:
    """Also where an operator asks the cohorts of one sum differently: that hides no cost on either side."""
    base, made = sums()[0], list[Reserved]()
    for serial, cohorts in enumerate(drawn, 1):
        for number, (task, z) in enumerate(cohorts):
            assert base.plan.noise is not None
            noise = msgspec.structs.replace(base.plan.noise, variance=(z * base.plan.norm) ** 2)
            changed = {"task": task, "unit": "example", "cohorts": len(cohorts), "noise": noise}
            plan = msgspec.structs.replace(numbered(base, serial), cohort_number=number, **changed)
            made.append(replace(base, plan=plan, asked=mechanism.numbers(plan)))
    asked = [(Asked.of(each.plan), None) for each in made]
    expected = spending.costliest(spending.groups(asked, "server"), 1e-5).value
    found = composing.mechanisms(made, lambda _: None, "server")
    total = composing.costliest(composing.groups(found), 1e-5).value
    assert total == pytest.approx(expected, rel=1e-12)
    points = list(burn_down([*found, found[-1]], 1e-5, 1e9))
    assert points[len(made) - 1].epsilon == pytest.approx(expected, rel=1e-9)


def test_a_burn_down_of_very_many_sums_is_thinned() -> None:
    (made, *_) = composing.mechanisms(sums(), lambda _: None, "server")
    many = [
        Mechanism(replace(made.reserved, index=number, plan=numbered(made.reserved, number + 1)), made.event)
        for number in range(2500)
    ]
    total = epsilon([(made.event, 2500)], 1e-5).value
    points = list(burn_down(many, 1e-5, total))
    assert len(points) <= POINTS + 1
    assert (points[-1].index, points[-1].epsilon) == (2499, total)
    assert [each.epsilon for each in points] == sorted(each.epsilon for each in points)


def test_sums_under_two_units_are_stated_apart() -> None:
    made = made_ledger.honest().replanned(11, unit="example")
    seen = audit(made.material, made.anchors, libraries=False)
    assert [each.unit for each in seen.costs] == ["device", "example"]
    assert ("units-mixed", 11) in {(each.code, each.entry) for each in seen.findings}


def test_a_sum_without_noise_has_no_epsilon_at_all() -> None:
    made = made_ledger.honest().replanned(9, noise=None)
    (cost,) = audit(made.material, made.anchors).costs
    assert (cost.server, cost.settled, cost.release, cost.libraries) == (None, None, None, {})
    assert cost.burn_down == ()


def test_noise_tables_add_next_to_nothing_to_delta() -> None:
    made = made_ledger.honest()
    (cost,) = audit(made.material, made.anchors, libraries=False).costs
    assert 0 < cost.sampler_delta < 1e-25


def test_the_same_numbers_are_computed_once_however_many_sums_have_them() -> None:
    policy = made_ledger.policy_note(queries__train__rate_limit="none", queries__train__answers=1000)
    made = made_ledger.honest()
    first = made.entries[3]
    assert isinstance(first, ledger.Reserve)
    plan = from_bytes(first.plan)
    many = [
        made_ledger.reserve_of(msgspec.structs.replace(plan, sum=number), NOW + number)
        for number in range(10, 310)
    ]
    entered = ledger.RunPolicy(time=NOW, run=made_ledger.RUN, policy=policy.decode())
    sealed = made.resealed([entered, *made.entries[1:], *many], evidence={})
    mechanism.mechanism.cache_clear()
    (cost,) = audit(sealed.material, Anchors(), libraries=False).costs
    assert sum(each.sums for each in cost.asked) == 305
    assert mechanism.mechanism.cache_info().misses < 12
