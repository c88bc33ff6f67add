"""Evidence of real sessions shows who was in them; a piece that is forged, missing or borrowed does not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.identity import Certificate, Roster, public_of, read_roster, sign, sign_roster
from covey.ledger.entries import Members, Settle, Software
from covey.ledger.evidence import check, sets_of
from covey.plan import Suite
from covey.secagg import evidence as proofs
from covey.secagg.evidence import Evidence, Shown, from_bytes, names, show, shown_by_server, to_bytes
from covey.secagg.messages import Advert, Advertised, InputProof, Vote, encode
from covey.secagg.server import Finished
from covey.secagg.terms import Terms, input_statement, set_digest, vote_statement
from secagg_attacks import mutants, read
from secagg_fleet import (
    ENROLMENT,
    NOW,
    OPERATOR,
    STAGES,
    Fleet,
    identity,
    key,
    make_plan,
    name,
    roster,
    vectors,
)

Profile = Literal["malicious-server", "semi-honest-server"]
PROFILES: tuple[Profile, ...] = ("malicious-server", "semi-honest-server")
SPARSE = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=8, threshold=5)
SIZE, MINIMUM = 14, 9
GONE = {"share": (13,), "masked": (4, 9)}
"""By stage, nodes that drop out: device 11 before U2, devices 2 and 7 before U3."""
U2 = tuple(place for place in range(SIZE) if place != 11)
U3 = tuple(place for place in U2 if place not in {2, 7})


@dataclass(frozen=True)
class Session:
    """A session, and what it left.

    Attributes:
        fleet: The machines.
        evidence: Of it.
        roster: Verified.
    """

    fleet: Fleet
    evidence: Evidence
    roster: Roster

    @property
    def terms(self) -> Terms:
        return self.fleet.terms

    def show(self, evidence: Evidence | None = None, **changes: Any) -> Shown:
        options: dict[str, Any] = {"terms": self.terms, "roster": self.roster, "now": NOW}
        return show(evidence or self.evidence, blame="operator", **(options | changes))

    def refused(self, evidence: Evidence | None = None, match: str = ".", **changes: Any) -> None:
        with pytest.raises(ProtocolError, match=match) as caught:
            self.show(evidence, **changes)
        assert caught.value.blame == "operator"

    def settle(self, **changes: Any) -> Settle:
        """What an honest server writes of it."""
        members = Members(advertised=SIZE, sharing=len(U2), survivors=len(U3), noise_left=0)
        made = Settle(
            time=NOW,
            plan=self.terms.digest.hex(),
            members=members,
            sets=sets_of(shown_by_server(self.evidence, self.terms)),
            evidence=proofs.digest(to_bytes(self.evidence)),
            sum="00" * 32,
            software=Software(covey="1", python="3", numpy="2"),
        )
        return msgspec.structs.replace(made, **changes)


@cache
def session(profile: Profile = "malicious-server", seed: int = 1) -> Session:
    suite = {} if profile == "malicious-server" else {"suite": SPARSE}
    fleet = Fleet(make_plan(SIZE, minimum=MINIMUM, serial=seed, **suite), vectors(SIZE, seed=seed))  # type: ignore[arg-type]
    end = fleet.run(GONE)  # type: ignore[arg-type]
    assert isinstance(end, Finished)
    signed = read_roster(fleet.signed, public_of(ENROLMENT), now=NOW, least_serial=0)
    return Session(fleet, end.evidence, signed)


def changed(evidence: Evidence, **changes: Any) -> Evidence:
    return msgspec.structs.replace(evidence, **changes)


def at(pieces: tuple[Any, ...], place: int, *new: Any) -> tuple[Any, ...]:
    """With other pieces in the place of one."""
    return (*pieces[:place], *new, *pieces[place + 1 :])


each_profile = pytest.mark.parametrize("profile", PROFILES)


# -- of an honest server


@each_profile
def test_evidence_shows_who_was_in_the_sum(profile: Profile) -> None:
    one = session(profile)
    found = one.show()
    assert [advert.device for advert in found.adverts] == [name(index) for index in range(SIZE)]
    assert [advert.device for advert in found.survivors] == [name(index) for index in U3]
    assert (one.evidence.u2, one.evidence.u3) == (U2, U3)
    (end,) = [each for each in one.fleet.states if isinstance(each, Finished)]
    assert found.u1 == end.root
    assert (found.u2, found.u3) == (set_digest(end.root, U2), set_digest(end.root, U3))
    assert found == shown_by_server(one.evidence, one.terms)
    assert names(one.evidence) == tuple(name(index) for index in range(SIZE))


@each_profile
def test_evidence_shows_each_devices_count_and_leaf(profile: Profile) -> None:
    one = session(profile)
    found = one.show()
    adverts = {
        node - 2: read(read(data, Advertised).body, Advert) for node, data in one.fleet.replies["advertise"]
    }
    assert found.counters == {name(index): adverts[index].counter for index in range(SIZE)}
    assert set(found.counters.values()) == {1}
    assert found.leaves == tuple(adverts[index].leaf for index in U3)


@pytest.mark.parametrize("stage", STAGES)
@each_profile
def test_whoever_drops_out_whenever_evidence_shows_the_rest(profile: Profile, stage: str) -> None:
    suite = {} if profile == "malicious-server" else {"suite": SPARSE}
    fleet = Fleet(make_plan(SIZE, minimum=MINIMUM, **suite), vectors(SIZE))  # type: ignore[arg-type]
    end = fleet.run({stage: (3, 8)})  # type: ignore[dict-item]
    assert isinstance(end, Finished)
    one = replace(session(profile), fleet=fleet, evidence=end.evidence)
    assert tuple(advert.device for advert in one.show().survivors) == end.u3


@each_profile
def test_it_is_the_same_after_it_was_stored(profile: Profile) -> None:
    one = session(profile)
    data = to_bytes(one.evidence)
    assert from_bytes(data, blame="operator") == one.evidence
    assert repr(one.evidence) == f"<Evidence of {SIZE}, {len(U2)} and {len(U3)} members>"
    assert proofs.digest(data) == proofs.digest(to_bytes(from_bytes(data, blame="operator")))


def test_a_quorum_and_no_more_votes_are_kept() -> None:
    one = session()
    assert len(one.evidence.votes) == one.terms.threshold(SIZE) == 8
    assert session("semi-honest-server").evidence.votes == ()


# -- of a server that lies: members


Forge = Callable[[Session], Evidence]


def _advert(one: Session, place: int, private: bytes, **changes: Any) -> Advertised:
    """A member's advert with other things in it, signed with any key."""
    body = encode(msgspec.structs.replace(_advert_of(one, place), **changes))
    return Advertised(body, sign(private, "advert", body))


def _advert_of(one: Session, place: int) -> Advert:
    return read(one.evidence.adverts[place].body, Advert)


def _with_advert(place: int, private: bytes, **advert: Any) -> Forge:
    def forge(one: Session) -> Evidence:
        return changed(
            one.evidence, adverts=at(one.evidence.adverts, place, _advert(one, place, private, **advert))
        )

    return forge


MEMBERS: dict[str, tuple[Forge, str]] = {
    "an advert that its device did not sign": (
        _with_advert(5, key("stranger"), leaf=bytes(32)),
        r"signature \(advert\)",
    ),
    "an advert signed by another device": (
        _with_advert(5, identity(6), leaf=bytes(32)),
        r"signature \(advert\)",
    ),
    "an advert of a device that is not in the roster": (
        _with_advert(13, key("stranger"), device="d099"),
        "'d099' is not in roster 1",
    ),
    "an advert under another device's name": (
        _with_advert(5, identity(5), device="d099"),
        "'d099' is not in roster 1",
    ),
    "an advert for another plan": (_with_advert(5, identity(5), plan=bytes(32)), "for another plan"),
    "an advert with a key of low order": (
        _with_advert(5, identity(5), seal_key=bytes(32)),
        "of low order",
    ),
    "a device twice": (
        lambda one: changed(one.evidence, adverts=at(one.evidence.adverts, 6, one.evidence.adverts[5])),
        "out of order, or one twice",
    ),
    "adverts in another order": (
        lambda one: changed(one.evidence, adverts=one.evidence.adverts[::-1]),
        "out of order, or one twice",
    ),
    "two members with one key": (
        lambda one: _with_advert(5, identity(5), seal_key=_advert_of(one, 6).seal_key)(one),
        "two members with one key",
    ),
    "an advert changed by its own device afterwards": (
        _with_advert(5, identity(5), counter=99),
        "does not hold",
    ),
    "no adverts": (lambda one: changed(one.evidence, adverts=()), "no set of members"),
}


@each_profile
@pytest.mark.parametrize("name_", MEMBERS)
def test_forged_members_are_refused(profile: Profile, name_: str) -> None:
    forge, match = MEMBERS[name_]
    one = session(profile)
    one.refused(forge(one), match)


@each_profile
def test_a_member_that_is_left_out_is_missed(profile: Profile) -> None:
    """Every survivor signed the root over all of U1."""
    one = session(profile)
    for place in (0, 11):
        fewer = one.evidence.adverts[:place] + one.evidence.adverts[place + 1 :]

        def moved(places: Iterable[int], out: int = place) -> tuple[int, ...]:
            return tuple(each - (each > out) for each in places if each != out)

        forged = changed(
            one.evidence,
            adverts=fewer,
            u2=moved(one.evidence.u2),
            u3=moved(one.evidence.u3),
            inputs=tuple(
                InputProof(proof.position - (proof.position > place), proof.vector, proof.signature)
                for proof in one.evidence.inputs
                if proof.position != place
            ),
            votes=tuple(
                Vote(vote.position - (vote.position > place), vote.signature)
                for vote in one.evidence.votes
                if vote.position != place
            ),
        )
        one.refused(forged, r"signature \(mi\)")


# -- sets


@each_profile
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"u2": U2[:-1]}, "U3 is no set of members"),
        ({"u2": (*U2, 11)}, "U2 is no set of members in order"),
        ({"u2": (*U2, SIZE)}, "U2 is no set of members in order"),
        ({"u2": (*U2, U2[-1])}, "U2 is no set of members in order"),
        ({"u2": tuple(range(SIZE))}, "does not hold"),
        ({"u2": U3}, "does not hold"),
        ({"u3": (*U3, 11)}, "U3 is no set of members"),
        ({"u3": U3[::-1]}, "U3 is no set of members"),
        ({"u3": tuple(sorted((*U3, 2)))}, "without one signed vector from every survivor"),
        ({"u3": U3[1:]}, "without one signed vector from every survivor"),
        ({"u2": (), "u3": (), "inputs": ()}, "0 survivors, the plan's minimum is 9"),
    ],
)
def test_other_sets_are_refused(profile: Profile, changes: dict[str, Any], match: str) -> None:
    one = session(profile)
    one.refused(changed(one.evidence, **changes), match)


def test_fewer_survivors_than_the_minimum_are_refused() -> None:
    one = session()
    few = U3[:8]
    forged = changed(
        one.evidence,
        u3=few,
        inputs=tuple(proof for proof in one.evidence.inputs if proof.position in few),
        votes=tuple(vote for vote in one.evidence.votes if vote.position in few),
    )
    one.refused(forged, "8 survivors, the plan's minimum is 9")


def test_more_members_than_were_asked_are_refused() -> None:
    one = session()
    small = replace(one.terms, plan=msgspec.structs.replace(one.terms.plan, cohort=SIZE - 1))
    one.refused(match=f"evidence of {SIZE} members, {SIZE - 1} were asked", terms=small)


def test_a_survivor_that_never_voted_may_be_claimed_only_with_its_vote_on_it() -> None:
    """U3 is what the quorum signed: leaving one out of it or adding one takes all their signatures along."""
    one = session()
    fewer = changed(one.evidence, u3=U3[:-1], inputs=one.evidence.inputs[:-1], votes=one.evidence.votes)
    one.refused(fewer, r"signature \(cc\)|outside U3")


# -- vectors


def _proofs(one: Session, place: int, **changes: Any) -> Evidence:
    inputs = one.evidence.inputs
    return changed(one.evidence, inputs=at(inputs, place, msgspec.structs.replace(inputs[place], **changes)))


@each_profile
def test_a_vector_that_its_device_did_not_sign_is_refused(profile: Profile) -> None:
    one = session(profile)
    found = one.show()
    near = found.u2
    position = one.evidence.inputs[3].position
    statement = input_statement(one.terms, found.u1, near, bytes(32))
    forged = sign(key("stranger"), "mi", statement)
    one.refused(_proofs(one, 3, signature=forged), r"signature \(mi\)")
    one.refused(_proofs(one, 3, vector=bytes(32)), r"signature \(mi\)")
    one.refused(_proofs(one, 3, signature=bytes(64)), r"signature \(mi\)")
    for kind in ("cc", "deal", "advert"):
        wrong = sign(identity(position), kind, statement)
        one.refused(_proofs(one, 3, vector=bytes(32), signature=wrong), r"signature \(mi\)")


@each_profile
def test_every_survivor_has_one_vector(profile: Profile) -> None:
    one = session(profile)
    inputs = one.evidence.inputs
    for other in (
        inputs[1:],
        inputs[::-1],
        (*inputs, inputs[-1]),
        at(inputs, 3, inputs[4]),
        (),
        at(inputs, 3, msgspec.structs.replace(inputs[3], position=inputs[4].position)),
    ):
        one.refused(changed(one.evidence, inputs=other), "one signed vector from every survivor")


@each_profile
def test_two_members_vectors_cannot_be_swapped(profile: Profile) -> None:
    one = session(profile)
    inputs = list(one.evidence.inputs)
    first, second = inputs[0], inputs[1]
    inputs[0] = InputProof(first.position, second.vector, second.signature)
    inputs[1] = InputProof(second.position, first.vector, first.signature)
    one.refused(changed(one.evidence, inputs=tuple(inputs)), r"signature \(mi\)")


# -- votes


def test_votes_must_be_a_quorum_of_different_survivors() -> None:
    one = session()
    votes = one.evidence.votes
    outsider = Vote(11, votes[0].signature)
    for other, match in (
        (votes[1:], "evidence with 7 votes: no quorum"),
        ((), "evidence with 0 votes: no quorum"),
        ((*votes[1:], votes[1]), "repeated or from outside U3"),
        ((*votes[1:], outsider), "repeated or from outside U3"),
        ((*votes[1:], Vote(SIZE + 5, bytes(64))), "repeated or from outside U3"),
        ((*votes[1:], Vote(votes[0].position, bytes(64))), r"signature \(cc\)"),
        (at(votes, 0, Vote(votes[0].position, votes[1].signature)), r"signature \(cc\)"),
    ):
        one.refused(changed(one.evidence, votes=other), match)


def test_votes_are_on_these_three_sets_and_this_plan() -> None:
    one, other = session(), session(seed=2)
    found = one.show()
    voters = one.evidence.votes

    def voted(u1: bytes, u2: bytes, u3: bytes, kind: str = "cc", terms: Terms = one.terms) -> Evidence:
        statement = vote_statement(terms, u1, u2, u3)
        made = [Vote(each.position, sign(identity(each.position), kind, statement)) for each in voters]
        return changed(one.evidence, votes=tuple(made))

    assert one.show(voted(found.u1, found.u2, found.u3)) == found
    for forged in (
        voted(bytes(32), found.u2, found.u3),
        voted(found.u1, found.u3, found.u2),
        voted(found.u1, found.u2, found.u2),
        voted(found.u1, found.u2, found.u3, kind="mi"),
        voted(found.u1, found.u2, found.u3, terms=other.terms),
    ):
        one.refused(forged, r"signature \(cc\)")


def test_fewer_votes_than_the_corrupt_can_outweigh_are_no_quorum() -> None:
    """As many colluding devices as are assumed cannot make evidence of a sum that nobody else was in."""
    one = session()
    assert one.terms.threshold(SIZE) > (SIZE + one.terms.plan.corrupt) // 2


# -- borrowed from another session


@each_profile
def test_evidence_of_another_session_is_refused(profile: Profile) -> None:
    one, other = session(profile), session(profile, seed=2)
    one.refused(other.evidence, "for another plan")
    for piece in ("inputs", "votes"):
        if getattr(one.evidence, piece):
            forged = changed(one.evidence, **{piece: getattr(other.evidence, piece)})
            one.refused(forged, r"signature \((mi|cc)\)")


def test_evidence_of_one_profile_is_none_of_the_other() -> None:
    one, other = session(), session("semi-honest-server")
    one.refused(other.evidence, "for another plan")
    other.refused(one.evidence, "for another plan")
    bare = changed(one.evidence, votes=())
    one.refused(bare, "no quorum")


# -- the roster


def test_certificates_must_hold_when_the_sum_was_settled() -> None:
    one = session()
    one.refused(match=r"expired|certificate", now=NOW + 1_000_001)
    early = tuple(
        Certificate(each.device, each.key, NOW - 1 if each.device == name(5) else each.not_after)
        for each in one.roster.certificates
    )
    data = sign_roster(msgspec.structs.replace(one.roster, certificates=early), ENROLMENT)
    lapsed = read_roster(data, public_of(ENROLMENT), now=NOW, least_serial=0)
    one.refused(match=r"expired|certificate", roster=lapsed)
    without = read_roster(roster(5), public_of(ENROLMENT), now=NOW, least_serial=0)
    one.refused(match="is not in roster", roster=without)


def test_a_device_enrolled_under_another_key_is_another() -> None:
    one = session()
    others = tuple(
        Certificate(each.device, public_of(key("other", each.device)), each.not_after)
        for each in one.roster.certificates
    )
    data = sign_roster(msgspec.structs.replace(one.roster, certificates=others), ENROLMENT)
    changed_keys = read_roster(data, public_of(ENROLMENT), now=NOW, least_serial=0)
    one.refused(match=r"signature \(advert\)", roster=changed_keys)


# -- what the ledger says of it


@each_profile
def test_the_ledger_says_what_evidence_shows(profile: Profile) -> None:
    one = session(profile)
    found = check(one.evidence, one.terms, one.roster, one.settle(), blame="operator")
    assert found == one.show()


@pytest.mark.parametrize(
    "members",
    [
        {"survivors": len(U3) + 1},
        {"survivors": len(U3) - 1},
        {"sharing": len(U2) + 1},
        {"advertised": SIZE - 1},
        {"survivors": SIZE, "sharing": SIZE},
    ],
)
def test_survivors_that_are_overstated_or_understated_are_refused(members: dict[str, int]) -> None:
    """More survivors, more noise, less cost: it would pay to say so."""
    one = session()
    told = msgspec.structs.replace(one.settle().members, **members)
    with pytest.raises(ProtocolError, match=f"evidence of {SIZE} advertised, .* the ledger says") as caught:
        check(one.evidence, one.terms, one.roster, one.settle(members=told), blame="operator")
    assert caught.value.blame == "operator"


@pytest.mark.parametrize("name_", ["u1", "u2", "u3", "participants"])
def test_other_sets_than_the_ledger_says_are_refused(name_: str) -> None:
    one = session()
    sets = one.settle().sets
    assert sets is not None
    told = one.settle(sets=msgspec.structs.replace(sets, **{name_: "00" * 32}))
    with pytest.raises(ProtocolError, match=f"another set than the ledger says: {name_}"):
        check(one.evidence, one.terms, one.roster, told, blame="operator")


def test_evidence_of_a_sum_that_is_said_to_have_been_in_clear_is_refused() -> None:
    one = session()
    with pytest.raises(ProtocolError, match="said to have been without masks"):
        check(one.evidence, one.terms, one.roster, one.settle(sets=None), blame="operator")


def test_certificates_are_held_to_the_settles_time() -> None:
    one = session()
    with pytest.raises(ProtocolError, match=r"expired|certificate"):
        check(one.evidence, one.terms, one.roster, one.settle(time=NOW + 1_000_001), blame="operator")


def test_the_settle_of_another_session_is_refused() -> None:
    one, other = session(), session(seed=2)
    with pytest.raises(ProtocolError, match="another set than the ledger says: u1"):
        check(one.evidence, one.terms, one.roster, other.settle(), blame="operator")


def test_participants_are_committed_to_in_no_order_of_names() -> None:
    """Whoever sees the ledger learns how many there were, and which leaf is whose only from its device."""
    one = session()
    found = one.show()
    backwards = replace(found, survivors=found.survivors[::-1])
    assert sets_of(backwards).participants == sets_of(found).participants
    one_less = replace(found, survivors=found.survivors[1:])
    assert sets_of(one_less).participants != sets_of(found).participants


# -- bytes of all kinds


@each_profile
def test_mutated_evidence_is_refused_or_shows_the_same(profile: Profile) -> None:
    one = session(profile)
    data, right = to_bytes(one.evidence), one.show()
    for mutant in mutants(data, 1500, 5):
        try:
            found = one.show(from_bytes(mutant, blame="operator"))
        except ProtocolError:
            continue
        assert found == right


@given(st.binary(max_size=400))
def test_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_bytes(data, blame="operator")
    assert caught.value.blame == "operator"


@pytest.mark.parametrize(
    "data",
    [
        b"\x95\xdd\xff\xff\xff\xff",
        b"\x95" + b"\x90" * 4,
        b"\x95" + b"\x90" * 5 + b"\x00",
        b"\x96" + b"\x90" * 6,
        b"\x91" * 50_000,
        b"\x95\xdc\x40\x01",
    ],
)
def test_lengths_that_promise_too_much_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        from_bytes(data, blame="operator")


def test_evidence_has_a_largest_size() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        from_bytes(bytes(proofs.MAX_BYTES + 1), blame="operator")


def test_a_plan_is_signed_by_its_operator_and_not_by_this() -> None:
    """Evidence says who was in a sum; that the operator asked for it, its reserve says."""
    one = session()
    assert sign(OPERATOR, "plan", one.fleet.sent) not in to_bytes(one.evidence)
