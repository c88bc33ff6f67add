"""Whatever is changed, an audit says so, and never breaks down."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_ledger
from covey.errors import InputError
from covey.identity import sign
from covey.ledger import entries as ledger
from covey.secagg.evidence import digest
from covey_audit.audited import Audited
from covey_audit.auditing import Anchors, audit
from made_ledger import Made
from secagg_fleet import OPERATOR


def examined(made: Made) -> Audited:
    return audit(made.material, made.anchors, libraries=False)


def flipped(data: bytes, place: int, mask: int) -> bytes:
    """One byte changed; the place counts around."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


PLACES, MASKS = st.integers(0, 1 << 20), st.integers(1, 255)


@given(line=st.integers(0, 14), place=PLACES, mask=MASKS)
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_of_any_entry_is_found(line: int, place: int, mask: int) -> None:
    made = made_ledger.honest()
    lines = list(made.lines)
    lines[line] = flipped(lines[line], place, mask)
    assert examined(replace(made, lines=tuple(lines))).exit_status == 1


@given(line=st.integers(0, 14), place=PLACES, mask=MASKS)
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_under_a_new_seal_breaks_nothing_down(line: int, place: int, mask: int) -> None:
    made = made_ledger.honest()
    lines: list[bytes] = list(made.lines)
    lines[line] = flipped(lines[line], place, mask)
    assert examined(made.resealed(lines)).exit_status == 1  # the witness's checkpoint has another root
    alone = replace(made.resealed(lines), anchors=Anchors())
    assert examined(alone).exit_status == 1  # no key of the reader's own


@given(place=PLACES, mask=MASKS)
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_of_the_checkpoint_is_found(place: int, mask: int) -> None:
    made = made_ledger.honest()
    assert made.checkpoint is not None
    assert examined(replace(made, checkpoint=flipped(made.checkpoint, place, mask))).exit_status == 1


@given(which=st.integers(0, 3), place=PLACES, mask=MASKS)
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_of_evidence_is_found(which: int, place: int, mask: int) -> None:
    made = made_ledger.honest()
    named = sorted(made.evidence)[which]
    changed = {**made.evidence, named: flipped(made.evidence[named], place, mask)}
    seen = examined(replace(made, evidence=changed))
    assert {each.code for each in seen.findings} == {"evidence-changed"}


@given(place=PLACES, mask=MASKS)
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_of_evidence_under_its_new_hash_is_found(place: int, mask: int) -> None:
    made = made_ledger.honest()
    named = min(made.evidence)
    data = flipped(made.evidence[named], place, mask)
    index = next(
        index
        for index, entry in enumerate(made.entries)
        if getattr(entry, "plan", None) == named and hasattr(entry, "evidence")
    )
    sealed = made.edited(index, evidence=digest(data))
    seen = examined(replace(sealed, evidence={**made.evidence, named: data}))
    assert "evidence-forged" in {each.code for each in seen.findings}


@given(place=PLACES, mask=MASKS)
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_of_a_roster_or_of_participants_is_found(place: int, mask: int) -> None:
    made = made_ledger.honest()
    (roster,) = made.rosters
    first = min(made.participants)
    bent = replace(made, rosters={roster: flipped(made.rosters[roster], place, mask)})
    assert "roster-untrusted" in {each.code for each in examined(bent).findings}
    bent = replace(
        made, participants={**made.participants, first: flipped(made.participants[first], place, mask)}
    )
    assert {each.code for each in examined(bent).findings} == {"participants-changed"}


@given(st.lists(st.binary(max_size=200), max_size=5), st.binary(max_size=50))
@settings(max_examples=50, deadline=None)
def test_any_lines_at_all_can_be_audited(lines: list[bytes], torn: bytes) -> None:
    made = replace(made_ledger.honest(), lines=tuple(lines), torn=torn, evidence={})
    assert examined(made).exit_status == 1


@given(st.permutations(range(15)), st.integers(0, 15))
@settings(max_examples=40, deadline=None)
def test_entries_in_any_order_under_a_new_seal_can_be_audited(order: list[int], count: int) -> None:
    made = made_ledger.honest()
    entries = made.entries
    sealed = made.resealed([entries[place] for place in order[:count]])
    assert bool(examined(sealed).exit_status) == (order[:count] != list(range(15)))


JUNK: list[Callable[[bytes], Anchors]] = [
    lambda data: Anchors(policy=data),
    lambda data: Anchors(witnessed=data),
    lambda data: Anchors(previous=data),
]


@given(st.binary(max_size=400), st.sampled_from(JUNK))
@settings(max_examples=40, deadline=None)
def test_what_the_reader_gives_is_refused_with_words(
    data: bytes, anchors: Callable[[bytes], Anchors]
) -> None:
    made = made_ledger.honest()
    with pytest.raises(InputError) as caught:
        audit(made.material, anchors(data), libraries=False)
    assert caught.value.hint


@given(st.sampled_from([3, 5, 7, 9, 11]), PLACES, MASKS)
@settings(max_examples=50, deadline=None)
def test_a_changed_byte_of_a_plan_that_is_signed_anew_is_found(index: int, place: int, mask: int) -> None:
    made = made_ledger.honest()
    entries = made.entries
    reserve = entries[index]
    assert isinstance(reserve, ledger.Reserve)
    plan = flipped(reserve.plan, place, mask)
    entries[index] = ledger.Reserve(time=reserve.time, plan=plan, signature=sign(OPERATOR, "plan", plan))
    alone = replace(made.resealed(entries), anchors=replace(made.anchors, witnessed=None))
    assert examined(alone).exit_status == 1


@given(enrolment=st.binary(min_size=32, max_size=32))
@settings(max_examples=20, deadline=None)
def test_any_other_enrolment_key_is_noticed(enrolment: bytes) -> None:
    made = made_ledger.honest()
    anchors = replace(made.anchors, enrolment=enrolment)
    assert "enrolment-key-not-yours" in {
        each.code for each in examined(replace(made, anchors=anchors)).findings
    }
