"""What reviewers accept in signed words, and what they cannot."""

from dataclasses import replace

import msgspec
import pytest

import made_ledger
from covey.ledger import entries as ledger
from covey.ledger.findings import finding
from covey.ledger.note import Ed25519Signer, signed
from covey.ledger.waiver import Accepted
from covey_audit.audited import Audited
from covey_audit.auditing import Anchors, audit, waivers
from covey_audit.auditing.structure import Log
from made_ledger import ORIGIN, STRANGER, TRAIN, Made, plan_of
from memory_ledger import REVIEWER
from secagg_fleet import NOW

TUNING = 2
WORDS = "Three learning rates on ten people of ours."


def tuned() -> Made:
    """A ledger whose only fault is that tuning has no price."""
    made = made_ledger.honest().edited(TUNING, epsilon=None, delta=None)
    return witnessed(made)


def witnessed(made: Made) -> Made:
    """As if the witness had seen no other ledger."""
    return replace(made, anchors=replace(made.anchors, witnessed=made.checkpoint))


def waived(made: Made, accepted: Accepted, signer: Ed25519Signer = REVIEWER) -> Made:
    entry = ledger.Waiver(time=NOW + 1000, note=signed(accepted.text, signer).decode())
    return witnessed(made.resealed([*made.entries, entry]))


def examined(made: Made) -> Audited:
    return audit(made.material, made.anchors, libraries=False)


def codes(seen: Audited) -> set[tuple[str, str]]:
    return {(each.severity, each.code) for each in seen.findings}


def accept(made: Made, code: str = "tuning-unaccounted", entry: int | None = TUNING) -> Accepted:
    return Accepted.of(ORIGIN, code, entry, made.lines, WORDS)


def test_a_waived_finding_is_a_note_with_the_reviewers_words() -> None:
    made = tuned()
    assert ("warning", "tuning-unaccounted") in codes(examined(made))
    seen = examined(waived(made, accept(made)))
    (found,) = [each for each in seen.findings if each.waived]
    assert (found.severity, found.code, found.entry) == ("note", "tuning-unaccounted", TUNING)
    assert found.waived == f"reviewer.example: {WORDS}"
    assert seen.exit_status == 0


def test_a_ledger_with_a_waived_finding_is_not_certified() -> None:
    made = tuned()
    assert examined(made).certified
    assert not examined(waived(made, accept(made))).certified


def test_a_waiver_by_somebody_else_accepts_nothing() -> None:
    made = tuned()
    assert {("warning", "tuning-unaccounted"), ("warning", "waiver-unsigned")} <= codes(
        examined(waived(made, accept(made), STRANGER))
    )


def test_without_a_reviewers_key_no_waiver_counts() -> None:
    made = waived(tuned(), accept(tuned()))
    seen = audit(made.material, Anchors(policy=made_ledger.policy_note()), libraries=False)
    assert ("warning", "waiver-unsigned") in codes(seen)


@pytest.mark.parametrize(
    "accepted",
    [
        Accepted("covey.example/other", "tuning-unaccounted", TUNING, "", WORDS),
        Accepted(ORIGIN, "tuning-unaccounted", TUNING, "0" * 64, WORDS),
        Accepted(ORIGIN, "tuning-unaccounted", 1 << 40, "0" * 64, WORDS),
        Accepted(ORIGIN, "ledger-changed", None, "", WORDS),
        Accepted(ORIGIN, "no-such-code", None, "", WORDS),
    ],
)
def test_a_waiver_of_something_else_accepts_nothing(accepted: Accepted) -> None:
    made = tuned()
    if accepted.origin != ORIGIN:
        accepted = replace(accept(made), origin=accepted.origin)
    seen = codes(examined(waived(made, accepted)))
    assert {("warning", "tuning-unaccounted"), ("warning", "waiver-unsigned")} <= seen


def test_a_waiver_of_what_was_not_found_is_told() -> None:
    made = made_ledger.honest()
    seen = examined(waived(made, accept(made)))
    assert ("note", "waiver-unused") in codes(seen)


def test_a_waiver_that_is_no_note_is_told() -> None:
    made = tuned()
    broken = made.resealed([*made.entries, ledger.Waiver(time=NOW + 1000, note="agreed")])
    assert ("warning", "waiver-unsigned") in codes(examined(broken))


def test_a_policys_signature_is_no_waiver() -> None:
    made = tuned()
    entry = ledger.Waiver(time=NOW + 1000, note=made_ledger.policy_note().decode())
    assert ("warning", "waiver-unsigned") in codes(examined(made.resealed([*made.entries, entry])))


def overspent(sums: int = 3) -> Made:
    """The first sums of the honest ledger under a policy that allows the first one alone."""
    made, policy = made_ledger.honest(), made_ledger.policy_note(budget__epsilon="0.7")
    entries = made.entries
    assert isinstance(entries[0], ledger.RunPolicy)
    entries[0] = msgspec.structs.replace(entries[0], policy=policy.decode())
    plan = plan_of(1, TRAIN, 0, policy, made_ledger.roster())
    planned = [msgspec.structs.replace(plan, sum=number) for number in range(1, sums + 1)]
    asked = [made_ledger.reserve_of(each, NOW + 300 + each.sum) for each in planned]
    return made.resealed(
        [*entries[:3], *asked], evidence={}, participants={}, anchors=replace(made.anchors, witnessed=None)
    )


def test_a_waived_overspending_is_no_leave_to_go_on() -> None:
    """The finding stays where epsilon was passed first, however much is spent after the waiver."""
    made = overspent()
    over = next(each for each in examined(made).findings if each.code == "budget-exceeded")
    assert over.entry == 4
    once = waived(made, accept(made, "budget-exceeded", over.entry))
    assert ("note", "budget-exceeded") in codes(examined(once))
    longer = overspent(9)
    more = once.resealed([*once.entries, *longer.entries[6:]])
    seen = examined(more)
    assert ("critical", "budget-exceeded") in codes(seen)
    (unused,) = [each for each in seen.findings if each.code == "waiver-unused"]
    assert unused.words == "it accepts budget-exceeded, and entry 12 asked for more since"
    again = waived(more, accept(more, "budget-exceeded", over.entry))
    assert ("note", "budget-exceeded") in codes(examined(again))


def test_evidence_of_sums_elsewhere_cannot_be_waived() -> None:
    """Accepted once for the whole ledger, it would hide every later sum that is kept out of it."""
    made = tuned()
    hidden = replace(made, evidence={**made.evidence, "0" * 64: b""})
    seen = codes(examined(waived(hidden, accept(hidden, "evidence-orphaned", None))))
    assert {("critical", "evidence-orphaned"), ("warning", "waiver-unsigned")} <= seen


def test_a_waiver_needs_as_many_reviewers_as_the_policy() -> None:
    made = made_ledger.honest()
    ledgers = waivers.Ledger(ORIGIN, made.lines, 2)
    accepted = accept(made)
    entry = ledger.Waiver(time=NOW, note=signed(accepted.text, REVIEWER).decode())
    log = Log(((15, entry),))
    found = waivers.apply([finding("tuning-unaccounted", "no price", TUNING)], log, ledgers, made.anchors)
    assert not any(each.waived for each in found)
    assert "1 of 2 reviewers signed it" in next(
        each.words for each in found if each.code == "waiver-unsigned"
    )
