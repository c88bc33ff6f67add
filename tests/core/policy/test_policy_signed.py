"""Whose signature makes a policy, and when it holds."""

import hashlib

import pytest

from covey.errors import InputError, PlanRefused, ProtocolError
from covey.ledger.note import COSIGNATURE, Ed25519Signer, Verifier, countersigned, signed
from covey.policy.reading import parse
from covey.policy.signed import MAX_BYTES, Reviewers, check_current, digest, open_policy
from policy_texts import OPERATOR, REVIEWER, SECOND_REVIEWER, policy_text

FIRST = Ed25519Signer("reviewer.example", REVIEWER)
SECOND = Ed25519Signer("second.example", SECOND_REVIEWER)
OTHER = Ed25519Signer("reviewer.example", OPERATOR)
ONE = Reviewers((FIRST.verifier,))
TWO = Reviewers((FIRST.verifier, SECOND.verifier), threshold=2)
FIRST_SECOND = 1_798_761_600  # 2027-01-01T00:00:00Z
LAST_SECOND = 1_830_297_599  # 2027-12-31T23:59:59Z


def test_a_signed_policy_opens_as_its_text_was_written() -> None:
    text = policy_text() + "# a note for people; signed like the rest\n"
    opened = open_policy(signed(text, FIRST), ONE, blame="server")
    assert opened.text == text
    assert opened.policy == parse(text, "policy.toml")
    assert opened.sha256 == hashlib.sha256(text.encode()).hexdigest() == digest(text)
    assert opened.signers == (FIRST.verifier,)


def refused(data: bytes, reviewers: Reviewers) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        open_policy(data, reviewers, blame="operator")
    assert caught.value.blame == "operator"
    return caught.value


def test_a_key_that_is_not_the_reviewers_signs_nothing() -> None:
    error = refused(signed(policy_text(), SECOND), ONE)
    assert "signed by none of the reviewers named; it needs 1" in error.message


def test_another_key_under_the_reviewers_name_signs_nothing() -> None:
    assert "signed by none" in refused(signed(policy_text(), OTHER), ONE).message


def test_two_reviewers_are_two_people() -> None:
    text = policy_text()
    opened = open_policy(countersigned(signed(text, FIRST), SECOND), TWO, blame="server")
    assert opened.signers == (FIRST.verifier, SECOND.verifier)
    assert "signed by 1" in refused(signed(text, FIRST), TWO).message
    assert "signed by 1" in refused(signed(text, FIRST, FIRST), TWO).message
    assert "signed by 1" in refused(signed(text, FIRST, OTHER), TWO).message


def test_a_policy_may_ask_for_more_signatures_than_its_reader() -> None:
    both = Reviewers((FIRST.verifier, SECOND.verifier), threshold=1)
    text = policy_text(signatures=2)
    assert "needs 2" in refused(signed(text, FIRST), both).message
    assert open_policy(signed(text, FIRST, SECOND), both, blame="server").policy.signatures == 2
    assert open_policy(signed(policy_text(), FIRST), both, blame="server").policy.signatures == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'epsilon = "8"', b'epsilon = "9"'),
        (b"valid_until = 2027-12-31", b"valid_until = 2028-12-31"),
        (b"\n\n[budget]", b"\n[budget]"),
        (b'purpose = "Rec', b'purpose = "rec'),
    ],
)
def test_a_text_that_was_changed_after_signing_is_refused(before: bytes, after: bytes) -> None:
    data = signed(policy_text(), FIRST)
    changed = data.replace(before, after)
    assert changed != data
    assert "does not hold" in refused(changed, ONE).message


def test_a_signed_text_that_is_no_policy_is_refused() -> None:
    assert "the first line of a policy" in refused(signed("covey.example\n0\n\n", FIRST), ONE).message
    spoiled = policy_text(budget__epsilon=8.0)
    assert "between quotation marks" in refused(signed(spoiled, FIRST), ONE).message


def test_nothing_is_read_before_a_signature_held() -> None:
    assert "signed by none" in refused(signed("no policy at all\n", SECOND), ONE).message


def test_what_is_too_large_is_not_read() -> None:
    text = policy_text() + "# " + "x" * MAX_BYTES + "\n"
    assert f"at most {MAX_BYTES}" in refused(signed(text, FIRST), ONE).message


@pytest.mark.parametrize(
    ("keys", "threshold", "fault"),
    [
        ((), 1, "1 signatures of 0 reviewers"),
        ((FIRST.verifier,), 0, "0 signatures of 1"),
        ((FIRST.verifier,), 2, "2 signatures of 1"),
        ((FIRST.verifier, FIRST.verifier), 1, "one key stands for two"),
        ((FIRST.verifier, Ed25519Signer("another.name", REVIEWER).verifier), 2, "one key stands for two"),
        ((Verifier("w", COSIGNATURE, FIRST.verifier.key),), 1, "a witness's key"),
    ],
)
def test_reviewers_are_distinct_keys_that_can_reach_the_threshold(
    keys: tuple[Verifier, ...], threshold: int, fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        Reviewers(keys, threshold)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (FIRST_SECOND - 1, "holds from 2027-01-01 on"),
        (FIRST_SECOND, None),
        (LAST_SECOND, None),
        (LAST_SECOND + 1, "held until 2027-12-31"),
    ],
)
def test_a_policy_holds_from_its_first_second_to_its_last(now: int, told: str | None) -> None:
    policy = parse(policy_text(), "policy.toml")
    if told is None:
        check_current(policy, now)
        return
    with pytest.raises(PlanRefused, match=told):
        check_current(policy, now)
