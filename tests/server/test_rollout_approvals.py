"""Who may let a rollout begin: enough different people of those the fleet names, on the text itself."""

from pathlib import Path

import pytest

from covey.errors import InputError
from covey.ledger.note import Ed25519Signer, signed
from covey.policy.signed import Reviewers
from covey.rollout.plan import to_text
from covey_io.device_keys import reviewers_json
from covey_server.rollout_approvals import approve, approved, read_approvers, read_plan
from rollout_plans import ANNA, BO, EVE, note, plan

TWO = Reviewers((ANNA.verifier, BO.verifier), 2)
TEXT = to_text(plan()).encode()


def test_two_people_approve_one_after_the_other() -> None:
    first = approve(TEXT, ANNA)
    both = approve(first, BO)
    found = approved(both, TWO)
    assert (found.plan, found.by) == (plan(), ("anna", "bo"))
    assert found.note.encode() == both
    assert read_plan(TEXT) == (plan(), False)
    assert read_plan(both) == (plan(), True)


@pytest.mark.parametrize(
    "data",
    [
        note(None, ANNA).encode(),
        note(None, ANNA, EVE).encode(),
        note(None, EVE).encode(),
        approve(approve(TEXT, ANNA), ANNA),
        signed(to_text(plan()), ANNA, ANNA),
        signed(to_text(plan()), ANNA, Ed25519Signer("bo", bytes(range(32)))),
    ],
)
def test_one_person_is_not_two(data: bytes) -> None:
    """Nor is one person twice, a stranger, or a stranger who calls himself bo."""
    with pytest.raises(InputError, match=r"[01] of the 2 approvers that are needed have signed"):
        approved(data, TWO)


def test_what_was_changed_after_it_was_approved_is_refused() -> None:
    both = note(None, ANNA, BO).encode()
    with pytest.raises(InputError, match="does not hold"):
        approved(both.replace(b'"most_failed":100', b'"most_failed":900'), TWO)


def test_a_signature_on_another_text_approves_nothing() -> None:
    other = signed("covey-waiver/1 covey/lab\n", ANNA, BO)
    with pytest.raises(InputError, match="malformed rollout plan"):
        approved(other, TWO)
    with pytest.raises(InputError, match="no rollout plan"):
        approve(other, ANNA)
    for wrong in (b"", b"\xff", b"{}", b"x" * (1 << 19)):
        with pytest.raises(InputError):
            read_plan(wrong)


def test_the_fleet_says_who_approves(tmp_path: Path) -> None:
    key = tmp_path / "eve.vkey"
    key.write_text(EVE.verifier.vkey + "\n")
    with pytest.raises(InputError, match="nobody is known who could approve"):
        read_approvers(tmp_path, [])
    assert read_approvers(tmp_path, [key]) == (Reviewers((EVE.verifier,), 1), False)
    (tmp_path / "approvers.json").write_bytes(reviewers_json(TWO))
    assert read_approvers(tmp_path, []) == (TWO, True)
    with pytest.raises(InputError, match="says who approves"):
        read_approvers(tmp_path, [key])
    (tmp_path / "approvers.json").write_text("{}")
    with pytest.raises(InputError):
        read_approvers(tmp_path, [])
