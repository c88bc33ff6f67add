"""What a device checks before it touches its data: the plan, who signed it, and the roster."""

import hashlib
from typing import Any

import msgspec
import pytest

from covey import plan as plans
from covey.errors import PlanRefused, ProtocolError
from covey.identity import public_of, sign
from covey.plan import Noise, Plan, PolicyReference, RosterReference, Suite
from covey.secagg.envelope import Opened, Trust, open_envelope, seal_envelope
from covey.secagg.messages import Envelope, encode
from secagg_attacks import changed, read
from secagg_fleet import ENROLMENT, NOW, OPERATOR, make_plan, name, roster

ROSTER = roster(12)
TRUST = Trust(public_of(OPERATOR), public_of(ENROLMENT))


def sealed(plan: Plan, signed: bytes = ROSTER, operator: bytes = OPERATOR) -> bytes:
    return seal_envelope(plans.to_bytes(plan), operator, signed)


def opens(data: bytes, trust: Trust = TRUST, device: str = name(3), now: int = NOW) -> Opened:
    return open_envelope(data, trust, device, now)


def refusal(data: bytes, match: str, **options: Any) -> None:
    with pytest.raises(ProtocolError, match=match) as caught:
        opens(data, **options)
    assert caught.value.blame == "server"


def test_a_right_envelope_opens() -> None:
    opened = opens(sealed(make_plan()))
    assert opened.terms.plan == make_plan()
    assert opened.sent == plans.to_bytes(make_plan())
    assert opened.terms.digest.hex() == plans.digest(opened.sent)
    assert opened.roster.serial == 1


def test_a_plan_is_the_operators() -> None:
    data = sealed(make_plan())
    refusal(sealed(make_plan(), operator=ENROLMENT), r"signature \(plan\)")
    refusal(changed(data, Envelope, signature=bytes(64)), r"signature \(plan\)")
    refusal(changed(data, Envelope, plan=plans.to_bytes(make_plan(serial=2))), r"signature \(plan\)")
    plan = plans.to_bytes(make_plan())
    for kind in ("roster", "advert", "mi", "cc", "deal"):
        refusal(encode(Envelope(plan, sign(OPERATOR, kind, plan), ROSTER)), r"signature \(plan\)")


def test_the_roster_is_the_enrolment_keys_current_and_the_plans() -> None:
    data = sealed(make_plan())
    forged = read_signed(ROSTER)
    refusal(changed(data, Envelope, roster=forged), r"signature \(roster\)")
    refusal(changed(data, Envelope, roster=roster(13)), "another roster than the one sent")
    refusal(sealed(make_plan(signed=roster(12, serial=2)), roster(12, serial=2)), "another roster")
    refusal(data, "serial 1 after 2 was seen", trust=Trust(TRUST.operator, TRUST.enrolment, 2))
    refusal(data, "has expired", now=NOW + 1_000_001)
    refusal(data, r"signature \(roster\)", trust=Trust(TRUST.operator, TRUST.operator))


def read_signed(data: bytes) -> bytes:
    """The same roster, signed by the operator."""
    body, _ = msgspec.msgpack.decode(data)
    return msgspec.msgpack.encode([body, sign(OPERATOR, "roster", body)])


def test_a_device_that_is_not_in_the_roster_takes_no_part() -> None:
    refusal(sealed(make_plan()), "'d012' is not in roster 1", device="d012")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"deadline": NOW - 1}, "deadline was 1 s ago"),
        ({"policy": PolicyReference(sha256="0" * 64, serial=1)}, "names a policy and proves nothing of it"),
        ({"masks": "none", "suite": None, "roster": None}, "without masks in an envelope"),
        ({"masks": "elided", "suite": None, "roster": None}, "without masks in an envelope"),
    ],
)
def test_plans_that_a_device_will_not_answer(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(PlanRefused, match=match):
        opens(sealed(msgspec.structs.replace(make_plan(), **changes)))


def test_seeded_noise_is_for_simulations_only() -> None:
    real = roster(12, simulation=False)
    seeded = Noise(mechanism="skellam", variance=1000, removal=False, seeded=True)
    opens(sealed(make_plan(noise=seeded)))
    with pytest.raises(PlanRefused, match="noise from a seed in a fleet that is no simulation"):
        opens(sealed(make_plan(noise=seeded, signed=real), real))
    fresh = msgspec.structs.replace(seeded, seeded=False)
    opens(sealed(make_plan(noise=fresh, signed=real), real))


def test_an_envelope_with_anything_more_or_less_is_malformed() -> None:
    data = sealed(make_plan())
    for junk in (b"", data[:-1], data + b"\0", encode(read(data, Envelope))[1:]):
        refusal(junk, "malformed")
    refusal(bytes((10 << 20) + 1), "at most")
    with_proofs = msgspec.msgpack.encode([*msgspec.msgpack.decode(data)[:4], {"proof": 1}])
    refusal(with_proofs, "malformed")


# --- plans whose numbers do not hold together: less noise, fewer devices, more corrupt ones than they say

NOISE = Noise(mechanism="skellam", variance=10**6, removal=True, seeded=True)
SPARSE = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=6, threshold=4)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"minimum": 6}, "minimum of 6 is below the quorum 7"),
        ({"minimum": 13}, "minimum of 13 in a cohort of 12"),
        ({"corrupt": 0}, "assumes no corrupt device"),
        ({"corrupt": 7}, "may leave one honest device"),
        ({"corrupt": 8}, "may leave one honest device"),
        ({"corrupt": 5}, "below the quorum 9"),
        ({"cohort": 9, "minimum": 8}, "cohort of 9, allowed are 10 to 500"),
        ({"cohort": 501, "minimum": 300}, "cohort of 501, allowed are 10 to 500"),
        ({"suite": msgspec.structs.replace(SPARSE, profile="malicious-server")}, "sets the graph"),
        ({"suite": msgspec.structs.replace(SPARSE, threshold=3)}, "6 neighbours and a threshold of 3"),
        ({"suite": msgspec.structs.replace(SPARSE, neighbours=7)}, "7 neighbours"),
        ({"suite": msgspec.structs.replace(SPARSE, neighbours=8, threshold=5)}, "8 neighbours"),
        ({"suite": None}, "do not go together"),
        ({"roster": None}, "do not go together"),
        ({"masks": "none"}, "do not go together"),
        ({"norm": 999}, "longer than its norm of 999"),
        ({"noise": msgspec.structs.replace(NOISE, mechanism="discrete-gaussian")}, "cannot be divided"),
        ({"noise": msgspec.structs.replace(NOISE, variance=1 << 40)}, "variance above"),
        ({"cohort": 60, "minimum": 31, "noise": msgspec.structs.replace(NOISE, removal=False)}, ""),
        ({"cohort": 66, "minimum": 34}, ""),
        ({"cohort": 68, "minimum": 35}, "removes noise for 33 drop-outs, at most 32"),
        ({"cohort": 40, "minimum": 21, "corrupt": 2}, "below the quorum 22"),
        ({"cohort": 100_000}, "cohort of 100000"),
        ({"cohorts": 2, "cohort_number": 2}, "cohort 2 of 2"),
    ],
)
def test_a_plan_whose_noise_minimum_and_corrupt_do_not_hold_together_is_refused(
    changes: dict[str, Any], match: str
) -> None:
    plan = msgspec.structs.replace(make_plan(noise=NOISE), **changes)
    if not match:
        opens(sealed(plan))
        return
    refusal(sealed(plan), match)


def test_less_noise_than_planned_is_another_plan() -> None:
    """The variance a device adds follows from the plan alone: lowering it changes H(plan)."""
    plan = make_plan(noise=NOISE)
    less = make_plan(noise=msgspec.structs.replace(NOISE, variance=1))
    assert plans.digest(plans.to_bytes(plan)) != plans.digest(plans.to_bytes(less))
    for sharing in range(8, 13):
        shares = plans.noise_shares(plan, sharing)
        for dropped in range(sharing - 7):
            honest = sharing - plan.corrupt - dropped
            assert honest * sum(shares[: dropped + 1]) >= 10**6
    without = make_plan(noise=msgspec.structs.replace(NOISE, removal=False))
    assert plan.honest * plans.noise_shares(without, 12)[0] >= 10**6


def test_the_roster_reference_names_bytes_not_content() -> None:
    reference = RosterReference(sha256=hashlib.sha256(ROSTER).hexdigest(), serial=2)
    refusal(sealed(msgspec.structs.replace(make_plan(), roster=reference)), "another roster")
