"""The operator cheats, with all keys but the reviewer's and the devices', and the audit finds it.

Each cheat is a ledger; what must be found is a code and the entry that shows it.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest

import made_ledger
from covey import plan as plans
from covey.ledger import entries as ledger
from covey.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer
from covey.plan import Noise, Plan, PolicyReference, RosterReference, Train
from covey.secagg import evidence
from covey_audit.audited import Audited
from covey_audit.auditing import audit
from made_ledger import NORM, ORIGIN, RUN, SIZE, Made
from memory_ledger import LOG, REVIEWER, REVIEWERS, enrol_entry, policy_sha
from policy_texts import WITNESS_NAME
from secagg_fleet import NOW, key

POLICY, ENROL, TUNING = 0, 1, 2
FIRST, FIRST_END = 3, 4
SECOND, SECOND_END = 5, 6
THIRD, ABORT = 7, 8
FOURTH, FOURTH_END = 9, 10
CHECK, CHECK_END = 11, 12
MODEL, METRICS = 13, 14

Found = tuple[str, int | None]


def examined(made: Made) -> Audited:
    return audit(made.material, made.anchors, libraries=False)


def found(made: Made) -> set[Found]:
    return {(each.code, each.entry) for each in examined(made).findings}


def codes(made: Made) -> set[str]:
    return {code for code, _ in found(made)}


def plan_at(made: Made, index: int) -> Plan:
    entry = made.entries[index]
    assert isinstance(entry, ledger.Reserve)
    return plans.from_bytes(entry.plan)


def digest_at(made: Made, index: int) -> str:
    entry = made.entries[index]
    assert isinstance(entry, ledger.Reserve)
    return plans.digest(entry.plan)


def settle_at(made: Made, index: int) -> ledger.Settle:
    entry = made.entries[index]
    assert isinstance(entry, ledger.Settle)
    return entry


def noise(variance: int) -> Noise:
    return Noise(mechanism="skellam", variance=variance, removal=False, seeded=False)


# Entries, with a checkpoint that was honest once


def test_a_changed_entry() -> None:
    made = made_ledger.honest()
    entries = list(made.lines)
    entries[ABORT] = ledger.encode(msgspec.structs.replace(made.entries[ABORT], reason="another reason"))
    assert ("ledger-changed", None) in found(replace(made, lines=tuple(entries)))


def test_a_removed_entry() -> None:
    made = made_ledger.honest()
    cut = replace(made, lines=(*made.lines[:ABORT], *made.lines[ABORT + 1 :]))
    assert {("ledger-shorter", 13), ("sum-unfinished", THIRD)} <= found(cut)


def test_an_inserted_entry() -> None:
    made = made_ledger.honest()
    more = ledger.encode(ledger.MetricsRelease(time=NOW, run=RUN, name="x", sha256="0" * 64))
    longer = replace(made, lines=(*made.lines[:ABORT], more, *made.lines[ABORT:]))
    assert {("ledger-changed", None), ("entries-uncovered", 15)} <= found(longer)


def test_reordered_entries() -> None:
    made = made_ledger.honest()
    lines = list(made.lines)
    lines[ENROL], lines[TUNING] = lines[TUNING], lines[ENROL]
    assert ("ledger-changed", None) in found(replace(made, lines=tuple(lines)))


def test_truncated_entries() -> None:
    made = made_ledger.honest()
    assert ("ledger-shorter", 9) in found(replace(made, lines=made.lines[:10]))


def test_a_torn_entry() -> None:
    assert ("ledger-torn", None) in found(replace(made_ledger.honest(), torn=b'{"kind":'))


def test_a_ledger_without_a_checkpoint() -> None:
    assert ("checkpoint-missing", None) in found(replace(made_ledger.honest(), checkpoint=None))


# A colluding operator signs anew; whoever has an older or a witness's checkpoint sees it


def test_a_ledger_shorter_than_the_witness_saw() -> None:
    made = made_ledger.honest()
    cut = made.resealed(made.entries[:9])
    assert ("ledger-rolled-back", 8) in found(cut)


def test_a_checkpoint_rolled_back() -> None:
    made = made_ledger.honest()
    stale = replace(made, checkpoint=made_ledger.head_over(made.lines[:9]))
    assert {("ledger-rolled-back", 9), ("entries-uncovered", 9)} <= found(stale)


def test_a_log_forked_for_one_reader() -> None:
    made = made_ledger.honest()
    forked = made.edited(ABORT, reason="another story")
    assert ("ledger-forked", None) in found(forked)


def test_a_fork_against_a_checkpoint_that_the_reader_kept() -> None:
    made = made_ledger.honest()
    kept = made_ledger.head_over(made.lines[:10])
    anchors = replace(made.anchors, witnessed=None, previous=kept)
    forked = made.edited(
        ABORT,
        reason="another story",
    )
    assert ("ledger-forked", None) in found(replace(forked, anchors=anchors))
    assert ("ledger-forked", None) not in found(replace(made, anchors=anchors))


def test_entries_dated_before_a_checkpoint_that_the_reader_kept() -> None:
    made = made_ledger.honest()
    kept = made_ledger.head_over(made.lines[:10], NOW + 100_000)
    anchors = replace(made.anchors, previous=kept, now=NOW + 200_000)
    assert ("time-untrue", 10) in found(replace(made, anchors=anchors))


def test_entries_dated_after_their_checkpoint() -> None:
    made = made_ledger.honest()
    assert ("time-untrue", METRICS) in found(made.edited(METRICS, time=NOW + 500_000))


@pytest.mark.parametrize("forged", [False, True], ids=["log alone", "in the witness's name"])
def test_a_shortened_ledger_with_a_checkpoint_that_no_witness_saw(*, forged: bool) -> None:
    """The operator cuts the end off, and hands out as the witness's a checkpoint that it made itself."""
    made = made_ledger.honest()
    history = History.of(made.lines[:7])
    alone = sign_checkpoint(Checkpoint(ORIGIN, history.size, history.root()), LOG)
    if forged:
        line = cosign(alone, WITNESS_NAME, key("another witness"), NOW).split(" ")[2]
        known = b64encode(made_ledger.WITNESS.key_id + b64decode(line)[4:]).decode()
        alone = with_cosignatures(alone, [f"\N{EM DASH} {WITNESS_NAME} {known}\n"])
    shown = {each: made.evidence[each] for each in (digest_at(made, FIRST), digest_at(made, SECOND))}
    anchors = replace(made.anchors, witnessed=alone)
    cut = made.resealed(made.entries[:7], evidence=shown, anchors=anchors)
    assert ("no-witness-asked", None) in found(cut)
    assert any("no checkpoint from a witness was compared" in each for each in examined(cut).trusts)
    assert "no-witness-asked" not in codes(made)
    assert not any("no checkpoint from a witness" in each for each in examined(made).trusts)


def test_a_second_ledger_under_the_same_key() -> None:
    made = made_ledger.honest()
    other = made_ledger.head_over(made.lines[:4], origin="covey.example/other")
    anchors = replace(made.anchors, witnessed=other)
    assert ("second-ledger", None) in found(replace(made, anchors=anchors))


def test_a_ledger_that_the_policy_does_not_name() -> None:
    made = made_ledger.honest()
    log = Ed25519Signer("covey.example/other", key("other log"))
    other = replace(made, checkpoint=made_ledger.head_over(made.lines, origin="covey.example/other", log=log))
    assert {("policy-of-another-ledger", POLICY), ("checkpoint-untrusted", None)} <= found(other)


def test_a_checkpoint_signed_by_another_key() -> None:
    made = made_ledger.honest()
    forged = made_ledger.head_over(made.lines, log=Ed25519Signer(made_ledger.ORIGIN, key("other log")))
    assert ("checkpoint-untrusted", None) in found(replace(made, checkpoint=forged))


def test_a_checkpoint_that_no_witness_has_seen() -> None:
    made = made_ledger.honest()
    assert made.checkpoint is not None
    alone = b"".join(made.checkpoint.splitlines(keepends=True)[:-1])
    assert ("checkpoint-uncosigned", None) in found(replace(made, checkpoint=alone))


def test_an_earlier_audit_of_another_history() -> None:
    made = made_ledger.honest()
    result = ledger.AuditResult(
        time=NOW + 1000, size=9, root="0" * 64, findings=0, report="0" * 64, words="all well"
    )
    assert ("audit-of-another-ledger", 15) in found(made.resealed([*made.entries, result]))


# Sums and their ends


def test_a_settle_without_a_reserve() -> None:
    made = made_ledger.honest()
    entries = made.entries
    del entries[CHECK]
    assert ("end-without-reserve", CHECK) in found(made.resealed(entries))


def test_a_reserve_that_came_after_its_settle() -> None:
    made = made_ledger.honest()
    entries = made.entries
    entries[FIRST], entries[FIRST_END] = entries[FIRST_END], entries[FIRST]
    assert ("end-without-reserve", FIRST) in found(made.resealed(entries))


def test_a_sum_that_was_given_up_and_opened() -> None:
    made = made_ledger.honest()
    settle = settle_at(made, SECOND_END)
    again = msgspec.structs.replace(settle, plan=digest_at(made, THIRD), time=NOW + 1000)
    seen = found(made.resealed([*made.entries, again]))
    assert ("end-twice", 15) in seen


def test_an_opened_sum_that_is_called_aborted() -> None:
    made = made_ledger.honest()
    entries = made.entries
    entries[CHECK_END] = ledger.Abort(time=NOW + 1000, plan=digest_at(made, CHECK), reason="too few devices")
    assert ("evidence-of-aborted", CHECK_END) in found(made.resealed(entries))


def test_a_sum_that_was_left_out() -> None:
    made = made_ledger.honest()
    entries = made.entries
    del entries[FIRST : FIRST_END + 1]
    seen = found(made.resealed(entries))
    assert ("evidence-orphaned", None) in seen
    assert ("counter-gap", FIRST) in seen


def test_overstated_survivors() -> None:
    made = made_ledger.honest()
    settle = settle_at(made, SECOND_END)
    more = msgspec.structs.replace(settle.members, survivors=12)
    assert ("evidence-forged", SECOND_END) in found(made.edited(SECOND_END, members=more))


def test_more_survivors_than_were_asked() -> None:
    made = made_ledger.honest()
    many = ledger.Members(advertised=500, sharing=500, survivors=500, noise_left=0)
    seen = found(made.edited(SECOND_END, members=many))
    assert ("members-impossible", SECOND_END) in seen


def test_fewer_survivors_than_the_minimum() -> None:
    made = made_ledger.honest()
    few = ledger.Members(advertised=12, sharing=12, survivors=2, noise_left=0)
    assert ("members-impossible", SECOND_END) in found(made.edited(SECOND_END, members=few))


def test_noise_said_to_be_left_in_a_sum_without_removal() -> None:
    made = made_ledger.honest()
    members = msgspec.structs.replace(settle_at(made, SECOND_END).members, noise_left=3)
    assert ("members-impossible", SECOND_END) in found(made.edited(SECOND_END, members=members))


def test_a_missing_evidence_file() -> None:
    made = made_ledger.honest()
    kept = {plan: data for plan, data in made.evidence.items() if plan != digest_at(made, SECOND)}
    assert found(replace(made, evidence=kept)) == {("evidence-missing", SECOND_END)}


def test_a_changed_evidence_file() -> None:
    made = made_ledger.honest()
    named = digest_at(made, SECOND)
    changed = {**made.evidence, named: made.evidence[named] + b"\0"}
    assert ("evidence-changed", SECOND_END) in found(replace(made, evidence=changed))


def test_evidence_of_another_sum() -> None:
    made = made_ledger.honest()
    borrowed = made.evidence[digest_at(made, FIRST)]
    swapped = {**made.evidence, digest_at(made, FOURTH): borrowed}
    seen = made.edited(FOURTH_END, evidence=evidence.digest(borrowed))
    assert ("evidence-forged", FOURTH_END) in found(replace(seen, evidence=swapped))


def test_evidence_with_a_forged_signature() -> None:
    made = made_ledger.honest()
    named = digest_at(made, SECOND)
    read = evidence.from_bytes(made.evidence[named], blame="local")
    first, *others = read.inputs
    forged = msgspec.structs.replace(first, signature=bytes(64))
    data = evidence.to_bytes(msgspec.structs.replace(read, inputs=(forged, *others)))
    sealed = made.edited(SECOND_END, evidence=evidence.digest(data))
    assert ("evidence-forged", SECOND_END) in found(replace(sealed, evidence={**made.evidence, named: data}))


def test_a_masked_sum_that_commits_to_nobody() -> None:
    made = made_ledger.honest()
    assert ("members-uncommitted", SECOND_END) in found(made.edited(SECOND_END, sets=None, evidence=None))


def test_changed_participants() -> None:
    made = made_ledger.honest()
    named = digest_at(made, FIRST)
    fewer = {**made.participants, named: made.participants[named][65:]}
    assert ("participants-changed", FIRST_END) in found(replace(made, participants=fewer))


# Plans


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"noise": noise((5 * NORM) ** 2)}, "plan-outside-policy"),
        ({"noise": None}, "no-noise"),
        ({"minimum": 8}, "plan-outside-policy"),
        ({"corrupt": 2}, "plan-outside-policy"),
        ({"model": "another"}, "plan-outside-policy"),
        ({"policy": None}, "plan-outside-policy"),
        ({"policy": PolicyReference(sha256="0" * 64, serial=1)}, "policy-unknown"),
        ({"policy": PolicyReference(sha256="0" * 64, serial=1)}, "plan-outside-policy"),
        ({"roster": RosterReference(sha256="0" * 64, serial=1)}, "roster-unknown"),
        ({"masks": "none", "suite": None, "roster": None}, "no-masks"),
        ({"masks": "elided", "suite": None, "roster": None}, "no-masks"),
        ({"sum": 1, "cohorts": 2, "cohort_number": 1}, "cohorts-differ"),
        ({"sum": 1}, "cohort-twice"),
        ({"sum": 1}, "sum-not-rising"),
        ({"task": Train(1, 16, 0.1, 0.0, 0.0, 0.0, "devices", 1, 2.0)}, "plan-outside-policy"),
        ({"run": "run-b"}, "policy-unknown"),
    ],
)
def test_a_plan_that_breaks_a_rule(changes: dict[str, object], code: str) -> None:
    made = made_ledger.honest()
    assert (code, FOURTH) in found(made.replanned(FOURTH, **changes))


def test_an_understated_clip() -> None:
    made = made_ledger.honest()
    plan = plan_at(made, FOURTH)
    longer = msgspec.structs.replace(plan.parts[0], clip=2.0)
    reserve = made_ledger.reserve_of(msgspec.structs.replace(plan, parts=(longer,)), NOW + 540)
    entries = made.entries
    entries[FOURTH] = reserve
    assert ("plan-unreadable", FOURTH) in found(made.resealed(entries))


def test_a_plan_signed_by_another_key() -> None:
    made = made_ledger.honest()
    entries = made.entries
    entries[FOURTH] = made_ledger.reserve_of(plan_at(made, FOURTH), NOW + 540, key("other operator"))
    assert ("plan-unsigned", FOURTH) in found(made.resealed(entries))


def test_a_plan_that_nobody_signed() -> None:
    assert ("plan-unsigned", FOURTH) in found(made_ledger.honest().edited(FOURTH, signature=None))


def test_a_plan_reserved_twice() -> None:
    made = made_ledger.honest()
    entries = made.entries
    assert ("plan-twice", 15) in found(made.resealed([*entries, entries[FIRST]]))


def asked_again(made: Made, times: int, every: int = 60, **changes: object) -> Made:
    """More training sums after the honest ones, none of them opened."""
    last = plan_at(made, FOURTH)
    more = [
        made_ledger.reserve_of(
            msgspec.structs.replace(last, sum=10 + number, **changes), NOW + 1000 + every * number
        )
        for number in range(times)
    ]
    return made.resealed([*made.entries, *more])


def test_more_rounds_than_allowed() -> None:
    allowed = asked_again(made_ledger.honest(), 36, every=4000)
    assert "answers-exceeded" not in codes(allowed)
    more = asked_again(made_ledger.honest(), 37, every=4000)
    assert ("answers-exceeded", 15 + 36) in found(more)


def test_rounds_faster_than_allowed() -> None:
    assert "rate-exceeded" not in codes(asked_again(made_ledger.honest(), 20))
    assert ("rate-exceeded", 15 + 20) in found(asked_again(made_ledger.honest(), 21))


def test_rounds_that_are_dated_back_are_no_slower() -> None:
    assert ("rate-exceeded", 15 + 20) in found(asked_again(made_ledger.honest(), 21, every=-40))


def test_a_wider_rate_limit_counts_what_came_before_it() -> None:
    narrow = made_ledger.policy_note(queries__train__rate_limit="20 per minute")
    made = under(narrow)
    previous = policy_sha(narrow)
    wide = made_ledger.policy_note(serial=2, previous=previous, queries__train__rate_limit="4 per day")
    entered = ledger.RunPolicy(time=NOW + 900, run=RUN, policy=wide.decode())
    reference = PolicyReference(sha256=policy_sha(wide), serial=2)
    more = asked_again(made.resealed([*made.entries, entered]), 1, policy=reference)
    assert ("rate-exceeded", 16) in found(more)


def test_a_budget_that_is_spent() -> None:
    policy = made_ledger.policy_note(budget__epsilon="1.3")
    seen = examined(under(policy))
    over = [each for each in seen.findings if each.code == "budget-exceeded"]
    assert [each.entry for each in over] == [FOURTH]
    assert "above 1.3" in over[0].words
    assert "1.491 in the end (sums not opened, counted as spent: 1)" in over[0].words


def under(policy: bytes, **changes: object) -> Made:
    """The honest ledger as if another policy had been in force all along; no evidence fits it."""
    made = made_ledger.honest()
    entries: list[ledger.AnyEntry] = []
    renamed: dict[str, str] = {}
    named = policy_sha(policy)
    for entry in made.entries:
        match entry:
            case ledger.RunPolicy():
                entries.append(msgspec.structs.replace(entry, policy=policy.decode()))
            case ledger.Reserve():
                plan = plans.from_bytes(entry.plan)
                reference = PolicyReference(sha256=named, serial=1)
                reserve = made_ledger.reserve_of(
                    msgspec.structs.replace(plan, policy=reference, **changes), entry.time
                )
                renamed[plans.digest(entry.plan)] = plans.digest(reserve.plan)
                entries.append(reserve)
            case ledger.Settle() | ledger.Abort():
                entries.append(msgspec.structs.replace(entry, plan=renamed[entry.plan]))
            case ledger.ModelRelease():
                entries.append(msgspec.structs.replace(entry, policy=named))
            case _:
                entries.append(entry)
    return made.resealed(entries, evidence={}, anchors=replace(made.anchors, witnessed=None))


# Policies


def test_another_policy_in_force_is_no_finding_by_itself() -> None:
    seen = codes(under(made_ledger.policy_note(budget__answers=61)))
    assert seen == {"evidence-missing", "no-witness-asked", "participants-missing"}


def test_a_policy_signed_by_the_wrong_key() -> None:
    made = under(made_ledger.policy_note(made_ledger.STRANGER))
    seen = examined(made)
    assert ("policy-unsigned", POLICY) in {(each.code, each.entry) for each in seen.findings}
    assert seen.level == 0
    assert not seen.certified


def test_a_policy_that_the_reader_does_not_hold() -> None:
    made = under(made_ledger.policy_note(budget__answers=61))
    mine = made_ledger.policy_note()
    for reviewers in (None, REVIEWERS):
        anchors = replace(made.anchors, reviewers=reviewers, policy=mine)
        assert ("policy-not-yours", POLICY) in found(replace(made, anchors=anchors))


def test_a_weaker_policy_that_nobody_signed_in_the_middle_of_a_run() -> None:
    made = made_ledger.honest()
    weak = made_ledger.policy_note(
        made_ledger.STRANGER,
        serial=2,
        previous=policy_sha(made_ledger.policy_note()),
        queries__train__noise_multiplier="1",
    )
    entered = ledger.RunPolicy(time=NOW + 900, run=RUN, policy=weak.decode())
    reference = PolicyReference(sha256=policy_sha(weak), serial=2)
    base = made.resealed([*made.entries, entered])
    seen = examined(asked_again(base, 1, policy=reference, noise=noise(NORM**2)))
    assert ("policy-unsigned", 15) in {(each.code, each.entry) for each in seen.findings}
    assert seen.level == 0
    kept = replace(made.anchors, reviewers=None, policy=made_ledger.policy_note())
    assert ("policy-not-yours", 15) in found(replace(base, anchors=kept))


def test_an_expired_policy() -> None:
    policy = made_ledger.policy_note(valid_until="~2027-01-02")
    assert {("policy-expired", FIRST), ("policy-expired", CHECK)} <= found(under(policy))


def successor(**changes: object) -> ledger.RunPolicy:
    terms: dict[str, object] = {"serial": 2, "previous": policy_sha(made_ledger.policy_note())}
    note = made_ledger.policy_note(REVIEWER, **(terms | changes))
    return ledger.RunPolicy(time=NOW + 200, run=RUN, policy=note.decode())


def test_a_policy_replayed_after_a_newer_one() -> None:
    made = made_ledger.honest()
    entries = made.entries
    entries.insert(FIRST_END + 1, successor())
    assert ("policy-replayed", SECOND + 1) in found(made.resealed(entries))
    entries.insert(FIRST_END + 2, entries[POLICY])
    assert ("policy-replayed", FIRST_END + 2) in found(made.resealed(entries))


def test_a_policy_that_follows_another() -> None:
    made = made_ledger.honest()
    broken = made.resealed([*made.entries, successor(previous="0" * 64)])
    assert ("policy-chain-broken", 15) in found(broken)
    assert "policy-chain-broken" not in codes(made.resealed([*made.entries, successor()]))


def test_two_policies_of_one_serial() -> None:
    made = made_ledger.honest()
    twice = made.resealed([*made.entries, successor(serial=1, previous="", purpose="Other.")])
    assert ("policy-serial-twice", 15) in found(twice)


def test_a_policy_whose_past_is_elsewhere() -> None:
    policy = made_ledger.policy_note(serial=2, previous="0" * 64)
    assert ("policy-spent-elsewhere", POLICY) in found(under(policy))


def test_a_policy_of_another_fleet() -> None:
    made = made_ledger.honest()
    assert ("policy-of-another-fleet", 15) in found(made.resealed([*made.entries, successor(fleet="other")]))


def test_a_policy_that_was_entered_after_its_plan() -> None:
    made = made_ledger.honest()
    entries = made.entries
    entries.insert(FIRST + 1, entries.pop(POLICY))
    assert ("policy-unknown", FIRST - 1) in found(made.resealed(entries))


def test_a_policy_entry_that_holds_none() -> None:
    made = made_ledger.honest()
    assert ("policy-unreadable", POLICY) in found(made.edited(POLICY, policy="no policy"))


def test_a_policy_that_asks_for_no_witness() -> None:
    assert ("policy-without-witness", POLICY) in found(under(made_ledger.policy_note(ledger__cosignatures=0)))


# Rosters and simulations


def test_an_old_roster() -> None:
    made = made_ledger.honest()
    newer = made_ledger.roster(SIZE - 1, 2)
    entries = made.entries
    entries.insert(FIRST_END + 1, enrol_entry(newer, NOW + 200, gone=1))
    seen = found(made.resealed(entries, rosters={**made.rosters, sha256(newer).hexdigest(): newer}))
    assert ("roster-old", SECOND + 1) in seen
    assert "roster-misdescribed" not in {code for code, _ in seen}


def test_a_device_left_out_without_a_word() -> None:
    made = made_ledger.honest()
    newer = made_ledger.roster(SIZE - 1, 2)
    more = made.resealed(
        [*made.entries, enrol_entry(newer, NOW + 200)],
        rosters={**made.rosters, sha256(newer).hexdigest(): newer},
    )
    assert ("roster-misdescribed", 15) in found(more)


def test_a_roster_that_comes_back() -> None:
    made = made_ledger.honest()
    newer = made_ledger.roster(SIZE, 2)
    entries = [*made.entries, enrol_entry(newer, NOW + 200), made.entries[ENROL]]
    again = made.resealed(entries, rosters={**made.rosters, sha256(newer).hexdigest(): newer})
    assert ("roster-replayed", 16) in found(again)


def test_a_roster_of_another_file() -> None:
    made = made_ledger.honest()
    (named,) = made.rosters
    assert ("roster-untrusted", ENROL) in found(replace(made, rosters={named: made_ledger.roster(SIZE, 2)}))


def test_a_roster_that_the_enrolment_key_did_not_sign() -> None:
    made = made_ledger.honest()
    anchors = replace(made.anchors, enrolment=LOG.verifier.key)
    assert {("roster-untrusted", ENROL), ("enrolment-key-not-yours", POLICY)} <= found(
        replace(made, anchors=anchors)
    )


@pytest.mark.parametrize("changes", [{"devices": 13}, {"serial": 2}, {"fleet": "other"}, {"expires": NOW}])
def test_a_roster_that_is_misdescribed(changes: dict[str, object]) -> None:
    assert ("roster-misdescribed", ENROL) in found(made_ledger.honest().edited(ENROL, **changes))


def re_enrolled(data: bytes, simulation: bool = False) -> Made:
    """The honest ledger as if another roster had been named all along."""
    made = made_ledger.honest()
    named = sha256(data).hexdigest()
    changed = under(made_ledger.policy_note(), roster=RosterReference(sha256=named, serial=1))
    return replace(
        changed.edited(ENROL, roster=named, simulation=simulation),
        rosters={named: data},
        anchors=made.anchors,
    )


def test_an_expired_roster() -> None:
    assert ("roster-expired", CHECK) in found(re_enrolled(made_ledger.roster(expires=NOW + 300)))


def test_a_roster_of_another_fleet() -> None:
    assert ("roster-of-another-fleet", FIRST) in found(re_enrolled(made_ledger.roster(fleet="other")))


def test_a_simulation_passed_off_as_a_deployment_by_its_entry() -> None:
    made = re_enrolled(made_ledger.roster(simulation=True))
    assert {("simulation-disguised", ENROL), ("simulation-disguised", FIRST)} <= found(made)


def test_a_simulation_passed_off_as_a_deployment_by_its_policy() -> None:
    made = re_enrolled(made_ledger.roster(simulation=True), simulation=True)
    seen = examined(made)
    assert ("simulation-disguised", FIRST) in {(each.code, each.entry) for each in seen.findings}
    assert seen.simulation
    assert not seen.certified


def test_seeded_noise_under_a_policy_for_real_devices() -> None:
    made = made_ledger.honest()
    seeded = msgspec.structs.replace(noise((6 * NORM) ** 2), seeded=True)
    assert ("simulation-disguised", FOURTH) in found(made.replanned(FOURTH, noise=seeded))


def test_an_honest_simulation_certifies_no_epsilon() -> None:
    policy = made_ledger.policy_note(simulation=True)
    listed = made_ledger.roster(simulation=True)
    named = sha256(listed).hexdigest()
    made = under(policy, roster=RosterReference(sha256=named, serial=1)).edited(
        ENROL, roster=named, simulation=True
    )
    seen = examined(replace(made, rosters={named: listed}))
    assert {each.severity for each in seen.findings} == {"warning", "note"}
    assert "simulation" in {each.code for each in seen.findings}
    assert seen.simulation
    assert not seen.certified
    assert seen.costs[0].server is not None


# Releases


def test_a_release_that_points_at_another_runs_budget() -> None:
    made = made_ledger.honest()
    assert ("release-unpaid", MODEL) in found(made.edited(MODEL, run="run-b"))
    assert ("release-unpaid", METRICS) in found(made.edited(METRICS, run="run-b"))


def test_a_release_of_a_model_from_elsewhere() -> None:
    assert ("release-unpaid", MODEL) in found(made_ledger.honest().edited(MODEL, model="0" * 64))


def test_a_release_of_an_earlier_model() -> None:
    seen = found(made_ledger.honest().edited(MODEL, model=made_ledger.model(1)))
    assert ("release-of-earlier-model", MODEL) in seen


def test_a_release_under_another_policy() -> None:
    for policy in ("0" * 64, None):
        seen = found(made_ledger.honest().edited(MODEL, policy=policy))
        assert ("release-under-other-policy", MODEL) in seen


def test_a_run_that_goes_on_after_its_release() -> None:
    assert ("run-after-release", 15) in found(asked_again(made_ledger.honest(), 1))


def test_a_run_of_which_nothing_is_released() -> None:
    made = made_ledger.honest()
    assert ("run-unreleased", CHECK) in found(made.resealed(made.entries[:MODEL]))


def test_settings_whose_cost_nobody_knows() -> None:
    made = made_ledger.honest()
    unknown = made.edited(TUNING, epsilon=None, delta=None, words="three learning rates")
    assert ("tuning-unaccounted", TUNING) in found(unknown)
    entries = made.entries
    del entries[TUNING]
    assert ("tuning-unstated", None) in found(made.resealed(entries))


def test_a_clock_that_was_set_back() -> None:
    made = made_ledger.honest()
    assert ("time-backwards", ABORT) in found(made.edited(ABORT, time=NOW))


# Entries that are none


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"kind":"audit.unknown","time":1}',
        b'{"kind":"round.abort","plan":"' + b"0" * 64 + b'","reason":"","time":1.5}',
        b'{"kind":"round.abort","plan":"' + b"0" * 64 + b'","reason":"","time":-1}',
        b'{"kind":"round.abort","plan":"' + b"0" * 64 + b'","reason":"","time":99999999999999999999}',
        b'{"kind":"round.abort","plan":"' + b"0" * 64 + b'","reason":"","time":1,"time":1}',
        b'{"kind":"round.abort","plan":"' + b"0" * 64 + b'","reason":"\xff","time":1}',
        b'{ "kind":"round.abort","plan":"' + b"0" * 64 + b'","reason":"","time":1}',
        b'{"kind":"metrics.release","name":"' + b"x" * (2 << 20) + b'","run":"r","sha256":"","time":1}',
    ],
)
def test_a_line_that_is_no_entry(line: bytes) -> None:
    made = made_ledger.honest()
    assert ("entry-malformed", 15) in found(made.resealed([*made.lines, line]))


CHEATS: list[Callable[[Made], Made]] = [
    lambda made: made.edited(FIRST, time=0),
    lambda made: made.edited(SECOND_END, time=1 << 40),
]


@pytest.mark.parametrize("cheat", CHEATS)
def test_dates_that_cannot_be(cheat: Callable[[Made], Made]) -> None:
    assert examined(cheat(made_ledger.honest())).findings
