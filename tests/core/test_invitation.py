"""Tokens: what is printed comes back, slips are found, and what the server sees tells nothing of the rest."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from covey.errors import InputError
from covey.invitation import PIN_BYTES, SECRET_BYTES, Anchors, Token, pin_of, proof, proves, read_token
from enrolment_papers import asked, authority

TOKEN = Token(bytes(range(16)), bytes(range(32)))

tokens = some.builds(
    Token,
    some.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
    some.binary(min_size=PIN_BYTES, max_size=PIN_BYTES),
)


@given(tokens)
def test_what_is_printed_comes_back(token: Token) -> None:
    assert read_token(f"  {token.text}\n") == token
    assert token.text.startswith("covey1-")
    assert len(token.text) == 77


@given(some.integers(7, 76), some.sampled_from("ABCxyz019-_"))
def test_a_slip_of_the_pen_is_found(place: int, char: str) -> None:
    bent = TOKEN.text[:place] + char + TOKEN.text[place + 1 :]
    if bent != TOKEN.text:
        with pytest.raises(InputError) as caught:
            read_token(bent)
        assert bent[7:] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "covey1-",
        TOKEN.text[:-1],
        TOKEN.text[7:],
        TOKEN.text + "A",
        TOKEN.text + "=",
        "covey2-" + TOKEN.text[7:],
        "é",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_token(text)


@given(some.text(max_size=100))
def test_rubbish_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(InputError):
        read_token("covey1-" + text)


def test_the_secret_is_not_shown() -> None:
    assert repr(TOKEN.secret) not in repr(TOKEN)
    assert TOKEN.secret.hex() not in repr(TOKEN)


def test_gate_proof_and_name_are_apart() -> None:
    values = {TOKEN.gate, TOKEN.proof_key, TOKEN.secret, bytes.fromhex(TOKEN.invitation)}
    assert len(values) == 4
    assert TOKEN.invitation == hashlib.sha256(TOKEN.gate).hexdigest()
    # the key that proves does not follow from what the server is shown
    assert TOKEN.proof_key not in {hashlib.sha256(each).digest() for each in (TOKEN.gate, TOKEN.pin)}


def test_a_proof_is_of_one_request_by_one_token() -> None:
    data, other = asked("pi-07").data, asked("pi-08").data
    given_proof = proof(TOKEN.proof_key, data)
    assert proves(TOKEN.proof_key, data, given_proof)
    assert not proves(TOKEN.proof_key, other, given_proof)
    assert not proves(TOKEN.gate, data, given_proof)
    assert not proves(TOKEN.proof_key, data, given_proof[:-1] + ("0" if given_proof[-1] != "0" else "1"))


def test_a_pin_names_both_keys() -> None:
    der, other = authority().der, authority("another").der
    pins = {pin_of(b"k" * 32, der), pin_of(b"k" * 32, other), pin_of(b"l" * 32, der)}
    assert len(pins) == 3
    assert Anchors(enrolment=(b"k" * 32).hex(), ca=der).pin == pin_of(b"k" * 32, der)
