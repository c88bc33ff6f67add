"""What a device wants to see of a policy and of the ledger before it touches its data."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

import policy_texts
from covey import plan as plans
from covey.budget import Saw
from covey.errors import CoveyError, LedgerBehind, PlanRefused, ProtocolError
from covey.identity import Certificate, Roster, public_of, sign, sign_roster
from covey.ledger import entries
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer
from covey.plan import Noise, Plan, PolicyReference, RosterReference
from covey.policy.signed import Reviewers
from covey.secagg.envelope import Opened, Trust, open_envelope, seal_envelope
from covey.secagg.messages import Envelope, Proofs, encode
from memory_ledger import (
    KEYS,
    LOG,
    REVIEWER,
    REVIEWERS,
    SECOND,
    MemoryLedger,
    opened,
    policy_note,
    reserve_entry,
)
from secagg_attacks import changed, mutants
from secagg_fleet import ENROLMENT, NOW, OPERATOR, identity, key, make_plan, name, roster

ROSTER = roster(12, simulation=False)
TRUST = Trust(public_of(OPERATOR), public_of(ENROLMENT), reviewers=REVIEWERS)
NOISE = Noise(mechanism="skellam", variance=(9 * 1000) ** 2, removal=False, seeded=False)
DAY = 86_400
FIRST, LAST = 1_798_761_600, 1_830_297_599
"""2027-01-01 00:00:00 and 2027-12-31 23:59:59 UTC."""

STRANGER = Ed25519Signer(REVIEWER.verifier.name, key("stranger"))


def policy(*signers: Ed25519Signer, **changes: Any) -> bytes:
    return policy_note(*signers, **(KEYS | {"assumptions__dropouts": "0.34"} | changes))


NOTE = policy()


def referring(note: bytes, reviewers: Reviewers = REVIEWERS) -> PolicyReference:
    found = opened(note, reviewers)
    return PolicyReference(sha256=found.sha256, serial=found.policy.serial)


def plan(note: bytes = NOTE, serial: int = 1, **changes: Any) -> Plan:
    """A plan that keeps to the policy."""
    made = make_plan(noise=NOISE, signed=ROSTER, serial=serial)
    return msgspec.structs.replace(made, **({"policy": referring(note)} | changes))


@dataclass
class Sent:
    """A plan on its way: an honest operator's, until a test changes one piece of it.

    Attributes:
        ledger: In which it stands.
        index: Where.
        plan: It.
        note: The signed policy.
        roster: The signed roster.
    """

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    plan: Plan = field(default_factory=plan)
    note: bytes = NOTE
    roster: bytes = ROSTER
    index: int = -1

    def __post_init__(self) -> None:
        if self.index < 0:
            self.index = self.ledger.add(reserve_entry(self.sent, OPERATOR))

    @property
    def sent(self) -> bytes:
        return plans.to_bytes(self.plan)

    def proofs(self, old: int = 0, **options: Any) -> Proofs:
        return self.ledger.proofs(self.note, self.index, old, **options)

    def envelope(self, proofs: Proofs | None = None, **options: Any) -> bytes:
        return seal_envelope(self.sent, OPERATOR, self.roster, proofs or self.proofs(**options))


def opens(data: bytes, trust: Trust = TRUST, now: int = NOW) -> Opened:
    return open_envelope(data, trust, name(3), now)


def refused(data: bytes, match: str, trust: Trust = TRUST, now: int = NOW) -> CoveyError:
    with pytest.raises(ProtocolError, match=match) as caught:
        opens(data, trust, now)
    assert caught.value.blame == "server"
    assert not isinstance(caught.value, LedgerBehind)
    return caught.value


def filled(count: int) -> MemoryLedger:
    """A ledger with so many entries."""
    ledger = MemoryLedger()
    for number in range(count):
        ledger.add(entries.Abort(time=NOW, plan="00" * 32, reason=f"entry {number}"))
    return ledger


def saw(ledger: MemoryLedger, size: int | None = None, time: int = NOW) -> dict[str, Saw]:
    """What a device remembers that has seen a ledger at a size."""
    size = ledger.size if size is None else size
    origin = ledger.log.verifier.name
    return {origin: Saw(origin, size, ledger.history.root(size).hex(), time)}


# -- a plan under a policy


def test_a_plan_with_its_policy_and_its_entry_is_believed() -> None:
    sent = Sent(ledger=filled(5))
    found = opens(sent.envelope())
    assert found.sent == sent.sent
    assert found.appeal is not None
    assert found.appeal.policy.sha256 == opened(NOTE).sha256
    assert found.appeal.policy.signers == (REVIEWER.verifier,)
    assert found.appeal.head.checkpoint.size == 6
    assert found.appeal.head.checkpoint.root == sent.ledger.history.root()
    assert (found.appeal.head.time, found.now) == (NOW, NOW)


def test_the_entry_need_not_be_the_last() -> None:
    sent = Sent(ledger=filled(3))
    for _ in range(6):
        sent.ledger.add(reserve_entry(b"another plan", OPERATOR))
    assert opens(sent.envelope()).appeal


def test_a_plan_without_policy_and_proofs_is_an_experiment() -> None:
    """Whether it is answered is its owner's to say."""
    bare = Sent(plan=plan(policy=None))
    assert opens(seal_envelope(bare.sent, OPERATOR, ROSTER)).appeal is None


def test_a_plan_that_names_a_policy_must_prove_it() -> None:
    refused(seal_envelope(Sent().sent, OPERATOR, ROSTER), "names a policy and proves nothing of it")


def test_proofs_for_a_plan_that_names_no_policy_are_refused() -> None:
    refused(Sent(plan=plan(policy=None)).envelope(), "the plan names no policy")


def test_a_device_that_knows_no_reviewer_believes_no_policy() -> None:
    refused(Sent().envelope(), "this device knows no reviewer", replace(TRUST, reviewers=None))


# -- the policy


def test_a_policy_that_the_reviewer_did_not_sign_is_refused() -> None:
    """By nobody, by a stranger under another name, and by one under the reviewer's name."""
    stranger = Ed25519Signer("someone.example", key("stranger"))
    for signer in (stranger, STRANGER, LOG):
        note = policy(signer)
        told = Sent(note=note, plan=plan(policy=PolicyReference(sha256="00" * 32, serial=1)))
        refused(told.envelope(), "signed by none of the reviewers named; it needs 1")


def test_a_policy_whose_text_was_changed_after_it_was_signed_is_refused() -> None:
    forged = NOTE.replace(b'epsilon = "8"', b'epsilon = "9"')
    assert forged != NOTE
    refused(Sent(note=forged).envelope(), "does not hold")


def test_two_must_sign_where_the_device_or_the_policy_says_so() -> None:
    both = Reviewers((REVIEWER.verifier, SECOND.verifier), 2)
    alone, together = policy(), policy(REVIEWER, SECOND)
    refused(
        Sent(note=alone).envelope(), "signed by 1 of the reviewers it needs 2", replace(TRUST, reviewers=both)
    )
    sent = Sent(note=together, plan=plan(together, policy=referring(together, both)))
    assert opens(sent.envelope(), replace(TRUST, reviewers=both)).appeal
    either = Reviewers(both.keys, 1)
    for signers, match in (
        ((REVIEWER,), "signed by 1 of the reviewers it needs 2"),
        ((REVIEWER, SECOND), ""),
    ):
        note = policy(*signers, signatures=2)
        sha256 = hashlib.sha256(note.rpartition(b"\n\n")[0] + b"\n").hexdigest()
        sent = Sent(note=note, plan=plan(policy=PolicyReference(sha256=sha256, serial=1)))
        if match:
            refused(sent.envelope(), match, replace(TRUST, reviewers=either))
        else:
            assert opens(sent.envelope(), replace(TRUST, reviewers=either)).appeal


def test_one_reviewer_twice_is_one() -> None:
    both = Reviewers((REVIEWER.verifier, SECOND.verifier), 2)
    refused(Sent(note=policy(REVIEWER, REVIEWER)).envelope(), "needs 2 of", replace(TRUST, reviewers=both))


@pytest.mark.parametrize(
    ("now", "match"),
    [
        (FIRST - 1, "holds from 2027-01-01 on"),
        (FIRST, ""),
        (LAST, ""),
        (LAST + 1, "held until 2027-12-31"),
    ],
)
def test_a_policy_holds_from_its_first_second_to_its_last(now: int, match: str) -> None:
    signed = roster_until(1 << 40)
    sent = Sent(plan=plan(roster=reference(signed)), roster=signed)
    for device, witness in ((now, 0), (0, now)):
        envelope = sent.envelope(time=witness or FIRST)
        if match and not (device == now < FIRST):
            refused(envelope, match, now=device)
        elif not match:
            assert opens(envelope, now=device).now == max(device, witness or FIRST)


def roster_until(expires: int, **changes: Any) -> bytes:
    certificates = tuple(Certificate(name(i), public_of(identity(i)), expires) for i in range(12))
    made = Roster("test", 1, expires, False, certificates)
    return sign_roster(msgspec.structs.replace(made, **changes), ENROLMENT)


def reference(signed: bytes) -> RosterReference:
    return RosterReference(sha256=hashlib.sha256(signed).hexdigest(), serial=1)


@pytest.mark.parametrize(
    ("named", "match"),
    [("keys__operator", "another operator key"), ("keys__enrolment", "another enrolment key")],
)
def test_a_policy_for_other_keys_is_refused(named: str, match: str) -> None:
    note = policy(**{named: "12" * 32})
    refused(Sent(note=note, plan=plan(note)).envelope(), match)


def test_a_policy_of_another_fleet_is_refused() -> None:
    note = policy(fleet="another")
    refused(Sent(note=note, plan=plan(note)).envelope(), "the roster is of fleet 'test'")


def test_a_simulations_policy_is_none_for_real_devices_and_the_other_way_round() -> None:
    note = policy(simulation=True)
    refused(Sent(note=note, plan=plan(note)).envelope(), "the roster is of real devices")
    simulated = roster(12, simulation=True)
    told = Sent(plan=plan(roster=reference(simulated)), roster=simulated)
    refused(told.envelope(), "the roster is of simulated devices")


def test_a_swapped_policy_is_refused() -> None:
    """Another that the reviewer signed as well, more generous than the one that the plan names."""
    generous = policy(budget__epsilon="50", serial=2, previous=opened(NOTE).sha256)
    sent = Sent(note=generous, plan=plan(NOTE))
    refused(sent.envelope(), "the plan appeals to policy")
    sent = Sent(note=NOTE, plan=plan(generous))
    refused(sent.envelope(), "the plan appeals to policy")
    serial = msgspec.structs.replace(referring(NOTE), serial=2)
    refused(Sent(plan=plan(policy=serial)).envelope(), "of serial 2")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"noise": msgspec.structs.replace(NOISE, variance=(8 * 1000) ** 2 - 1)}, "less than the policy's"),
        ({"noise": msgspec.structs.replace(NOISE, seeded=True)}, "noise from a seed"),
        ({"noise": None}, "adds no noise"),
        ({"model": "another"}, "asks about model 'another'"),
        ({"corrupt": 2}, "assumes 2 corrupt devices, the policy 1"),
        ({"minimum": 7}, "opens a sum when 5 of 12 devices are missing"),
        ({"unit": "example"}, "protects one example"),
    ],
)
def test_a_plan_beyond_the_policy_is_refused(changes: Mapping[str, Any], match: str) -> None:
    refused(Sent(plan=plan(**changes)).envelope(), match)


def test_what_is_refused_for_the_policy_says_so() -> None:
    told = refused(Sent(plan=plan(corrupt=2)).envelope(), "corrupt")
    assert isinstance(told, PlanRefused)
    assert told.message.startswith("the policy does not allow it: ")


# -- the ledger's head


def test_a_head_without_enough_cosignatures_is_refused() -> None:
    lonely = Sent(ledger=MemoryLedger(witnesses=()))
    refused(lonely.envelope(), "0 of 1 cosignatures")


def test_a_head_that_an_unknown_witness_cosigned_is_refused() -> None:
    for witness in (("another.example", policy_texts.WITNESS), (policy_texts.WITNESS_NAME, key("another"))):
        refused(Sent(ledger=MemoryLedger(witnesses=(witness,))).envelope(), "0 of 1 cosignatures")
    both = ((policy_texts.WITNESS_NAME, policy_texts.WITNESS), ("another.example", key("another")))
    assert opens(Sent(ledger=MemoryLedger(witnesses=both)).envelope()).appeal


def test_one_witness_twice_is_one() -> None:
    names = ("witness.example/w1", "witness.example/w2")
    keys = [policy_texts.vkey(each, key(each), 4) for each in names]
    note = policy(ledger__witnesses=keys, ledger__cosignatures=2)
    once = (names[0], key(names[0]))
    refused(
        Sent(note=note, plan=plan(note), ledger=MemoryLedger(witnesses=(once, once))).envelope(),
        "1 of 2 cosignatures",
    )
    other = (names[1], key(names[1]))
    assert opens(
        Sent(note=note, plan=plan(note), ledger=MemoryLedger(witnesses=(once, other))).envelope()
    ).appeal


def test_a_head_of_another_log_is_refused() -> None:
    elsewhere = Ed25519Signer("covey.example/elsewhere", policy_texts.LOG)
    refused(Sent(ledger=MemoryLedger(log=elsewhere)).envelope(), "not of 'covey.example/wrist'")
    forged = Ed25519Signer(policy_texts.ORIGIN, key("another log"))
    refused(Sent(ledger=MemoryLedger(log=forged)).envelope(), "did not sign")


def test_a_cosignature_under_another_head_is_refused() -> None:
    sent = Sent(ledger=filled(4))
    proofs = sent.proofs()
    other = sent.ledger.head(3)
    *_, cosignature = other.splitlines(keepends=True)
    *lines, _ = proofs.checkpoint.splitlines(keepends=True)
    mixed = b"".join((*lines, cosignature))
    refused(sent.envelope(msgspec.structs.replace(proofs, checkpoint=mixed)), "does not hold")


# -- the ledger only grows


def test_a_ledger_that_has_grown_is_believed_from_where_the_device_saw_it() -> None:
    sent = Sent(ledger=filled(9))
    for size in range(1, 11):
        trust = replace(TRUST, seen=saw(sent.ledger, size))
        assert opens(sent.envelope(old=size), trust).appeal


def test_a_proof_from_elsewhere_is_asked_for_again() -> None:
    """It says from where: the server may not have known."""
    sent = Sent(ledger=filled(9))
    trust = replace(TRUST, seen=saw(sent.ledger, 4))
    for old in (0, 3, 5, 10):
        with pytest.raises(LedgerBehind) as caught:
            opens(sent.envelope(old=old), trust)
        assert caught.value.size == 4
    with pytest.raises(LedgerBehind) as caught:
        opens(sent.envelope(old=4))
    assert caught.value.size == 0


def test_a_ledger_that_was_rolled_back_is_refused() -> None:
    sent = Sent(ledger=filled(5))
    before = saw(sent.ledger)
    for _ in range(4):
        sent.ledger.add(reserve_entry(b"more", OPERATOR))
    longer = replace(TRUST, seen=saw(sent.ledger))
    for old in (0, 6):
        refused(
            sent.envelope(size=6, old=old), "6 entries, this device has seen 10: it was rolled back", longer
        )
    assert opens(sent.envelope(size=6, old=6), replace(TRUST, seen=before)).appeal


def test_a_ledger_of_the_same_size_with_another_root_is_refused() -> None:
    sent, other = Sent(ledger=filled(5)), filled(5)
    other.add(reserve_entry(b"another plan", OPERATOR))
    trust = replace(TRUST, seen=saw(other))
    refused(sent.envelope(old=6), "does not go on from the 6 that this device has seen: it was forked", trust)


def test_a_larger_ledger_that_is_another_one_is_refused() -> None:
    """Forked for one device: everything in it holds, but it is not the one that the device saw."""
    seen = filled(7)
    other = filled(4)
    for number in range(3):
        other.add(reserve_entry(b"other %d" % number, OPERATOR))
    sent = Sent(ledger=other)
    trust = replace(TRUST, seen=saw(seen))
    refused(sent.envelope(old=7), "it was forked", trust)
    # nor with a proof of the other branch, nor with none
    honest = History.of([*seen.lines, sent.ledger.lines[sent.index]]).consistency(7, 8)
    for proof in (honest, ()):
        proofs = msgspec.structs.replace(sent.proofs(old=7), consistency=proof)
        refused(sent.envelope(proofs), "it was forked", trust)


def test_an_entry_that_was_changed_afterwards_is_a_fork() -> None:
    sent = Sent(ledger=filled(5))
    trust = replace(TRUST, seen=saw(sent.ledger, 4))
    sent.ledger.lines[2] = entries.encode(entries.Abort(time=NOW, plan="00" * 32, reason="never mind"))
    refused(sent.envelope(old=4), "it was forked", trust)


def test_what_was_seen_of_one_log_says_nothing_of_another() -> None:
    sent = Sent(ledger=filled(5))
    other = {"another.example": Saw("another.example", 99, "00" * 32, NOW)}
    assert opens(sent.envelope(), replace(TRUST, seen=other)).appeal


def test_a_first_head_needs_no_proof_and_gets_none() -> None:
    sent = Sent(ledger=filled(5))
    padded = msgspec.structs.replace(sent.proofs(), consistency=(bytes(32),))
    refused(sent.envelope(padded), "it was forked")


# -- the plan is in it


def test_an_entry_of_another_plan_is_refused() -> None:
    ledger = filled(3)
    other = ledger.add(reserve_entry(plans.to_bytes(plan(serial=2)), OPERATOR))
    sent = Sent(ledger=ledger)
    refused(sent.envelope(ledger.proofs(NOTE, other)), "the reserve in the ledger is for another plan")


def test_an_entry_with_another_signature_is_refused() -> None:
    """What the device was sent and what the ledger holds must be the same to the byte."""
    sent = Sent(index=0, ledger=filled(1))
    for signature in (bytes(64), sign(OPERATOR, "roster", sent.sent)):
        index = sent.ledger.add(entries.Reserve(time=NOW, plan=sent.sent, signature=signature))
        refused(sent.envelope(sent.ledger.proofs(NOTE, index)), "for another plan")


def test_an_entry_that_is_no_reserve_is_refused() -> None:
    sent = Sent(ledger=filled(3))
    unsigned = sent.ledger.add(entries.Reserve(time=NOW, plan=sent.sent, signature=None))
    told = sent.ledger.add(entries.Waiver(time=NOW, note="x"))
    for index in (0, unsigned, told):
        refused(sent.envelope(sent.ledger.proofs(NOTE, index)), "an entry that is no reserve")


def test_an_entry_that_is_not_in_the_tree_is_refused() -> None:
    """As if it had been taken out again after the head was cosigned."""
    sent = Sent(ledger=filled(3))
    elsewhere = msgspec.structs.replace(
        sent.proofs(), entry=entries.encode(reserve_entry(sent.sent, OPERATOR, NOW + 1))
    )
    refused(sent.envelope(elsewhere), "the plan's reserve is not in the ledger")
    gone = filled(4)
    proofs = msgspec.structs.replace(sent.proofs(), checkpoint=gone.head())
    refused(sent.envelope(proofs), "the plan's reserve is not in the ledger")


@pytest.mark.parametrize("index", [0, 2, 4, 5, 1 << 40])
def test_an_entry_at_another_place_is_refused(index: int) -> None:
    sent = Sent(ledger=filled(3))
    sent.ledger.add(reserve_entry(b"after", OPERATOR))
    wrong = msgspec.structs.replace(sent.proofs(), index=index)
    refused(sent.envelope(wrong), "the plan's reserve is not in the ledger")


def test_a_path_with_a_node_more_less_or_other_is_refused() -> None:
    sent = Sent(ledger=filled(6))
    proofs = sent.proofs()
    path = proofs.inclusion
    for other in ((*path, bytes(32)), path[:-1], path[1:], (bytes(32), *path[1:]), ()):
        refused(sent.envelope(msgspec.structs.replace(proofs, inclusion=other)), "is not in the ledger")


@pytest.mark.parametrize(
    "entry", [b"", b"{}", b"null", b'{"kind":"round.reserve"}', b"\xff", b"[" * 5000, b'{"kind":"waiver"}']
)
def test_an_entry_that_is_none_is_refused(entry: bytes) -> None:
    sent = Sent(ledger=filled(2))
    refused(sent.envelope(msgspec.structs.replace(sent.proofs(), entry=entry)), "malformed entry")


def test_an_entry_in_another_spelling_is_refused() -> None:
    """Even if the tree has it: nobody else could read it as the same entry."""
    ledger = filled(2)
    sent = Sent(ledger=ledger)
    index = ledger.add(ledger.lines[sent.index].replace(b'{"kind"', b'{ "kind"'))
    refused(sent.envelope(ledger.proofs(NOTE, index)), "one spelling")


# -- the clock


def test_a_witness_tells_a_device_without_a_clock_what_day_it_is() -> None:
    """One that starts in 1970 whenever it is switched on."""
    late = LAST + 1
    signed = roster_until(1 << 40)
    sent = Sent(plan=plan(roster=reference(signed)), roster=signed)
    refused(sent.envelope(time=late), "held until 2027-12-31", now=0)
    assert opens(sent.envelope(time=LAST), now=0).now == LAST


def test_a_device_does_not_forget_what_day_it_was() -> None:
    """After a restart its clock begins anew; what a witness said before still holds."""
    signed = roster_until(1 << 40)
    sent = Sent(plan=plan(roster=reference(signed)), roster=signed)
    refused(sent.envelope(), "held until", replace(TRUST, clock=LAST + 1), now=0)
    refused(sent.envelope(time=LAST + 1), "held until", replace(TRUST, clock=NOW), now=0)
    assert opens(sent.envelope(), replace(TRUST, clock=LAST), now=0).now == LAST


def test_a_witness_that_is_behind_does_not_put_a_clock_back() -> None:
    sent = Sent()
    assert opens(sent.envelope(time=FIRST), now=NOW).now == NOW


def test_the_roster_and_the_deadline_are_held_to_the_same_clock() -> None:
    soon = roster_until(NOW + 10)
    sent = Sent(plan=plan(roster=reference(soon)), roster=soon)
    assert opens(sent.envelope(time=NOW + 10), now=0).appeal
    refused(sent.envelope(time=NOW + 11), "expired", now=0)
    late = Sent(plan=plan(deadline=NOW))
    assert opens(late.envelope(time=NOW), now=0).appeal
    refused(late.envelope(time=NOW + 1), "deadline was 1 s ago", now=0)


def test_of_several_witnesses_the_last_that_is_needed_tells_the_time() -> None:
    """One that is ahead cannot let a policy run out, one that is behind cannot keep it alive."""
    names = ("witness.example/w1", "witness.example/w2")
    note = policy(
        ledger__witnesses=[policy_texts.vkey(each, key(each), 4) for each in names], ledger__cosignatures=2
    )
    sent = Sent(note=note, plan=plan(note), ledger=MemoryLedger(witnesses=((names[0], key(names[0])),)))
    ahead = sent.ledger.head(time=LAST + 10 * DAY)
    sent.ledger.witnesses = ((names[1], key(names[1])),)
    now = sent.ledger.head(time=NOW + 5)
    both = ahead + now.splitlines(keepends=True)[-1]
    assert opens(sent.envelope(msgspec.structs.replace(sent.proofs(), checkpoint=both)), now=0).now == NOW + 5


# -- all of it


def test_a_mutated_envelope_is_refused() -> None:
    sent = Sent(ledger=filled(5))
    data, trust = sent.envelope(old=3), replace(TRUST, seen=saw(sent.ledger, 3))
    right = opens(data, trust)
    for mutant in mutants(data, 4000, 11):
        if mutant == data:
            continue
        try:
            found = opens(mutant, trust)
        except ProtocolError:
            continue
        # of a checkpoint's lines and of a policy's, those of strangers may say anything
        assert found.appeal is not None
        assert right.appeal is not None
        assert replace(found, appeal=None) == replace(right, appeal=None)
        assert found.appeal.policy == right.appeal.policy
        assert found.appeal.head.checkpoint == right.appeal.head.checkpoint


def test_pieces_of_other_plans_are_refused() -> None:
    """Each is right by itself."""
    ledger = filled(3)
    one, other = Sent(ledger=ledger), Sent(ledger=ledger, plan=plan(serial=2))
    assert opens(one.envelope()).appeal
    assert opens(other.envelope()).appeal
    refused(seal_envelope(one.sent, OPERATOR, ROSTER, other.proofs()), "for another plan")
    refused(changed(one.envelope(), Envelope, plan=other.sent), r"signature \(plan\)")


def test_a_second_operator_cannot_borrow_the_policy() -> None:
    stranger = key("another operator")
    trust = replace(TRUST, operator=public_of(stranger))
    sent = Sent()
    index = sent.ledger.add(reserve_entry(sent.sent, stranger))
    data = seal_envelope(sent.sent, stranger, ROSTER, sent.ledger.proofs(NOTE, index))
    refused(data, "another operator key", trust)
    refused(data, r"signature \(plan\)")


def test_proofs_that_are_malformed_or_too_large_are_refused() -> None:
    sent = Sent()
    proofs = sent.proofs()
    beyond: list[dict[str, Any]] = [
        {"policy": bytes((1 << 17) + 1)},
        {"entry": bytes((2 << 20) + 1)},
        {"checkpoint": bytes((1 << 16) + 1)},
        {"inclusion": (bytes(32),) * 65},
        {"consistency": (bytes(32),) * 65},
        {"inclusion": (bytes(31),)},
        {"index": -1},
        {"old": -1},
        {"index": (1 << 53) + 1},
    ]
    for each in beyond:
        data = encode(Envelope(sent.sent, sign(OPERATOR, "plan", sent.sent), ROSTER, None))
        built = msgspec.to_builtins(msgspec.structs.replace(proofs, **each), builtin_types=(bytes,))
        whole = msgspec.msgpack.encode([*msgspec.msgpack.decode(data)[:4], built])
        refused(whole, "malformed")
