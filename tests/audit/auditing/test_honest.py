"""An honest ledger is clean, and what is said of it is right."""

from dataclasses import replace

import pytest

import made_ledger
from covey import spending
from covey.ledger.entries import Reserve
from covey.plan import from_bytes
from covey.spending import Asked, Ended
from covey_audit.audited import Audited
from covey_audit.auditing import Anchors, audit


@pytest.fixture(scope="module")
def audited() -> Audited:
    made = made_ledger.honest()
    return audit(made.material, made.anchors)


def test_an_honest_ledger_has_no_findings(audited: Audited) -> None:
    assert audited.findings == ()
    assert audited.clean
    assert audited.exit_status == 0


def test_its_epsilon_is_certified_and_its_members_are_shown(audited: Audited) -> None:
    assert audited.certified
    assert audited.level == 2
    assert [each.evidence for each in audited.sums] == [
        "verified",
        "verified",
        "not needed",
        "verified",
        "verified",
    ]


def test_the_outcomes_and_members_are_those_of_the_machines(audited: Audited) -> None:
    assert [each.outcome for each in audited.sums] == ["opened", "opened", "aborted", "opened", "opened"]
    shown = [each.members for each in audited.sums]
    assert [each and (each.advertised, each.sharing, each.survivors) for each in shown] == [
        (12, 12, 12),
        (12, 12, 10),
        None,
        (12, 11, 11),
        (12, 12, 12),
    ]
    assert audited.sums[2].reason == "too few devices"


def test_its_costs_are_those_of_the_spending_that_servers_and_devices_count(audited: Audited) -> None:
    entries = made_ledger.honest().entries
    asked = [Asked.of(from_bytes(each.plan)) for each in entries if isinstance(each, Reserve)]
    ended = [each.members and Ended(each.members.survivors, each.members.sharing) for each in audited.sums]
    (cost,) = audited.costs
    for view, value in (("server", cost.server), ("settled", cost.settled), ("release", cost.release)):
        groups = spending.groups(zip(asked, ended, strict=True), view)  # type: ignore[arg-type]
        assert value == pytest.approx(spending.costliest(groups, 1e-5).value, rel=1e-12)
    assert cost.settled is not None
    assert cost.server is not None
    assert cost.settled < cost.server


def test_other_libraries_give_the_same(audited: Audited) -> None:
    (cost,) = audited.costs
    assert "dp-accounting" in cost.libraries
    for value in cost.libraries.values():
        assert value == pytest.approx(cost.server, rel=1e-6)


def test_the_burn_down_rises_to_the_whole_cost(audited: Audited) -> None:
    (cost,) = audited.costs
    spent = [point.epsilon for point in cost.burn_down]
    assert spent == sorted(spent)
    assert len(spent) == 5
    assert spent[-1] == cost.server
    assert cost.by_kind["train"] == pytest.approx(spent[3], rel=1e-12)


def test_a_plan_that_was_opened_twice_with_other_devices_is_not_covered_by_what_settled(
    audited: Audited,
) -> None:
    """Nothing shows the second sum; its devices may have had no more noise than the minimum's."""
    words = "a server can open a plan with other devices too"
    assert sum(words in each for each in audited.trusts) == 1
    made = replace(made_ledger.honest(), evidence={})
    assert not any(words in each for each in audit(made.material, made.anchors, libraries=False).trusts)


def test_every_kind_is_counted_against_what_the_policy_allows(audited: Audited) -> None:
    (cost,) = audited.costs
    assert [(each.kind, each.sums, each.allowed) for each in cost.asked] == [
        ("train", 4, 40),
        ("validate", 1, 20),
    ]
    assert cost.cap == "8"


def test_without_a_key_of_the_readers_own_it_says_so_first() -> None:
    made = made_ledger.honest()
    found = audit(made.material, Anchors(), libraries=False)
    assert [each.code for each in found.findings] == ["no-key-of-yours", "no-witness-asked"]
    assert found.exit_status == 1
    assert found.level == 0
    assert not found.certified
    assert found.trusts[0].startswith("NOTHING OF YOUR OWN")


def test_the_readers_own_policy_is_enough() -> None:
    made = made_ledger.honest()
    anchors = replace(made.anchors, reviewers=None, policy=made_ledger.policy_note())
    found = audit(made.material, anchors, libraries=False)
    assert found.clean
    assert found.level == 2


def test_without_evidence_epsilon_is_certified_by_the_minimum_alone() -> None:
    made = replace(made_ledger.honest(), evidence={})
    found = audit(made.material, made.anchors, libraries=False)
    assert [each.code for each in found.findings] == ["evidence-missing"]
    assert found.findings[0].entry == 4
    assert found.level == 1
    assert found.certified
    assert found.costs[0].settled is None
    assert found.costs[0].server == pytest.approx(1.4902324, rel=1e-6)


def test_the_members_leaves_and_rosters_are_asked_for() -> None:
    made = replace(made_ledger.honest(), participants={}, rosters={})
    found = audit(made.material, made.anchors, libraries=False)
    assert [each.code for each in found.findings] == [
        "roster-missing",
        "evidence-missing",
        "participants-missing",
    ]
    assert not found.rosters[0].verified


def test_progress_is_told_sum_by_sum() -> None:
    made = made_ledger.honest()
    told: list[tuple[int, int]] = []
    audit(made.material, made.anchors, libraries=False, progress=lambda *each: told.append(each))
    assert told == [(number, 5) for number in range(1, 6)]


def test_a_ledger_without_entries_says_nothing_is_in_force() -> None:
    made = made_ledger.honest().resealed([], evidence={})
    found = audit(made.material, replace(made.anchors, witnessed=None), libraries=False)
    assert {each.code for each in found.findings} == {"policy-missing", "no-witness-asked"}
    assert found.size == 0
    assert found.costs == ()
    assert not found.certified
