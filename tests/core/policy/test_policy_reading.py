"""The TOML of a policy: what is read, and in which words it is refused."""

import contextlib
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ConfigError, CoveyError
from covey.identity import public_of
from covey.ledger.note import Verifier
from covey.policy.reading import MAX_TEXT, parse
from covey.policy.terms import FIRST_LINE, Day, Policy, exact, rate
from policy_texts import (
    ENROLMENT,
    LOG,
    OPERATOR,
    ORIGIN,
    WITNESS,
    WITNESS_NAME,
    policy_table,
    policy_text,
    to_toml,
    vkey,
)

QUERY = {"models": ["model"], "clip": "1", "noise_multiplier": "6", "minimum": 8, "answers": 4}


def read(**changes: object) -> Policy:
    return parse(policy_text(**changes), "policy.toml")


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, "policy.toml")
    assert caught.value.source == "policy.toml"
    assert caught.value.message.startswith("policy.toml: ")
    return caught.value


def test_a_policy_is_what_its_text_says() -> None:
    policy = read()
    assert policy.valid_from == Day("2027-01-01", 1_798_761_600)
    assert policy.valid_until.last_second == 1_830_297_599
    assert (policy.budget.epsilon, policy.budget.delta) == ("8", "1e-5")
    assert list(policy.queries) == ["train", "validate"]
    assert policy.queries["train"].sampling_rate == "1"
    assert policy.previous == ""


@pytest.mark.parametrize(
    ("day", "seconds"),
    [("1970-01-01", 0), ("1970-01-02", 86_400), ("2000-03-01", 951_868_800), ("2027-02-28", 1_803_772_800)],
)
def test_a_day_begins_at_midnight_in_utc(day: str, seconds: int) -> None:
    assert read(valid_from=f"~{day}").valid_from == Day(day, seconds)


def test_the_ledgers_keys_become_a_trust() -> None:
    trust = read().log_trust()
    assert (trust.origin, trust.cosignatures) == (ORIGIN, 1)
    assert trust.log == Verifier(ORIGIN, 1, public_of(LOG))
    assert trust.witnesses == (Verifier(WITNESS_NAME, 4, public_of(WITNESS)),)


def test_decimals_are_exact() -> None:
    assert exact("0.3") * 10 == 3
    assert exact("1e-5") * 100_000 == 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("24 per day", (24, 86_400)),
        ("1 per minute", (1, 60)),
        ("5 per hour", (5, 3600)),
        ("100 per week", (100, 604_800)),
        ("none", None),
    ],
)
def test_a_rate_is_a_count_in_seconds(limit: str, expected: tuple[int, int] | None) -> None:
    assert rate(read(queries__train__rate_limit=limit).queries["train"]) == expected
    assert rate(read(queries__train__rate_limit=None).queries["train"]) == (24, 86_400)


@pytest.mark.parametrize("value", [8, 8.0, "~1e-5", "~nan", "~inf"])
@pytest.mark.parametrize(
    "key",
    [
        "budget__epsilon",
        "budget__delta",
        "assumptions__dropouts",
        "queries__train__clip",
        "queries__train__noise_multiplier",
        "queries__train__sampling_rate",
    ],
)
def test_a_number_without_quotation_marks_is_told_to_have_them(key: str, value: object) -> None:
    error = refused(policy_text(**{key: value}))
    assert error.key == key.replace("__", ".")
    assert "expected a plain decimal number between quotation marks" in error.message
    assert error.message.endswith("a bare number is kept inexactly")


@pytest.mark.parametrize(
    "value",
    ["", "04", ".3", "3.", "+3", "-3", "1_0", "0x3", "3,5", "1e5", "1E-5", "1e--5", "٣", " 3", "3 ", "nan"],
)
def test_a_decimal_has_one_plain_form(value: str) -> None:
    assert 'as "4", "0.3" or "1e-5"' in refused(policy_text(budget__epsilon=value)).message


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("budget__epsilon", "0", "0 is not between 1e-3 and 1000"),
        ("budget__epsilon", "1001", "1001 is not between 1e-3 and 1000"),
        ("budget__delta", "0", "0 is not between 1e-30 and 0.1"),
        ("budget__delta", "0.2", "0.2 is not between 1e-30 and 0.1"),
        ("assumptions__dropouts", "0.91", "0.91 is not between 0 and 0.9"),
        ("queries__train__clip", "0", "0 is not between 1e-9 and 1e9"),
        ("queries__train__noise_multiplier", "0.00009", "0.00009 is not between 1e-4 and 10000"),
        ("queries__train__sampling_rate", "1.1", "1.1 is not between 1e-12 and 1"),
        ("queries__train__minimum", 2, "2 may leave one honest device, whose answer the sum is"),
        ("queries__train__sampling_rate", "0.5", "coins for single examples do not sample a device"),
        ("queries__train__rate_limit", "often", 'expected a limit, as "24 per day"'),
        ("queries__train__rate_limit", "0 per day", 'expected a limit, as "24 per day"'),
        ("queries__train__models", ["a", "a"], "one model twice"),
        ("queries__train__models", [], "expected `array` of length >= 1"),
        ("queries__train__answers", 0, "expected `int` >= 1"),
        ("queries__train__noise_multplier", "6", "unknown key; did you mean noise_multiplier?"),
        ("queries__trian", QUERY, "unknown key; did you mean train?"),
        ("queries__train__clip", None, "is missing"),
        ("queries", "all", "expected `object`, got `str`"),
        ("queries__train", "yes", "expected `object | null`, got `str`"),
        ("name", 3, "expected text: put it between quotation marks"),
        ("name", "a\nb", "has the character U+000A, which does not show"),
        ("purpose", "a\u202eb", "line 4 has the character U+202E"),
        ("valid_from", "2027-01-01", "expected a date without quotation marks"),
        ("valid_from", "~2027-01-01T00:00:00Z", "expected a date without quotation marks"),
        ("valid_from", "~00:00:00", "expected a date without quotation marks"),
        ("valid_from", "~{text = '2027-01-01', seconds = 0}", "expected a date without quotation marks"),
        ("valid_from", "~1969-12-31", "1969-12-31 is before 1970"),
        ("valid_from", "~2027-13-01", "not valid TOML"),
        ("valid_until", "~2026-12-31", "2026-12-31 is before valid_from, 2027-01-01"),
        ("valid_until", None, "is missing"),
        ("serial", 2, "a serial above 1 needs the SHA-256 of the policy before"),
        ("serial", 0, "expected `int` >= 1"),
        ("previous", "a" * 64, "serial 1 is the first policy of a fleet"),
        ("previous", "A" * 64, "expected a SHA-256, 64 hexadecimal digits"),
        ("simulation", "no", "expected `bool`, got `str`"),
        ("signatures", 17, "expected `int` <= 16"),
        ("budget__unit", "person", 'expected "device" or "example"'),
        ("assumptions__profiles", ["honest"], 'expected "malicious-server" or "semi-honest-server"'),
        ("assumptions__profiles", ["malicious-server"] * 2, "one profile twice"),
        ("assumptions__attestation", "tpm", 'expected "none"'),
        ("assumptions__corrupt", 0, "expected `int` >= 1"),
        ("keys__operator", "0" * 64, "a public key of small order"),
        ("keys__operator", "ab", "64 hexadecimal digits in lower case"),
        ("keys__enrolment", public_of(OPERATOR).hex(), "the operator's own key"),
        ("ledger__log", vkey(ORIGIN, LOG, 4), "a key of type 4, expected type 1"),
        ("ledger__log", "not a key", "is no public key"),
        ("ledger__witnesses", [vkey(WITNESS_NAME, WITNESS)], "a key of type 1, expected type 4"),
        ("ledger__witnesses", [vkey(ORIGIN, LOG, 4)], "one key twice"),
        ("ledger__witnesses", [vkey("a", WITNESS, 4), vkey("b", WITNESS, 4)], "one key twice"),
        ("ledger__cosignatures", 2, "2 of 1 witnesses"),
        ("queries__train__options", ["clip-bit"], 'expected "control-variates"'),
        ("queries__train__options", ["clip-indicator"] * 2, "one option twice"),
        ("extra", 1, "unknown key"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_what_to_write(key: str, value: object, told: str) -> None:
    error = refused(policy_text(**{key: value}))
    assert told in error.message
    assert "$" not in error.message


def test_every_key_but_four_must_be_there() -> None:
    table = policy_table()
    free = {"previous", "queries", "queries.train.rate_limit", "queries.validate.rate_limit"}
    free |= {"queries.train", "queries.validate", "format"}  # fewer questions are a policy, too
    for key in _keys(table, ""):
        if key in free:
            continue
        error = refused(policy_text(**{key.replace(".", "__"): None}))
        assert error.message == f"policy.toml: {key}: is missing"


def _keys(table: dict[str, object], at: str) -> list[str]:
    found = []
    for name, value in table.items():
        found.append(f"{at}{name}")
        if isinstance(value, dict):
            found += _keys(value, f"{at}{name}.")
    return found


def test_a_policy_may_allow_nothing() -> None:
    assert read(queries=None).queries == {}


def test_only_a_purpose_has_several_lines() -> None:
    assert read(purpose="Detect falls.\nNothing else.").purpose == "Detect falls.\nNothing else."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n" + policy_text(),
        policy_text().replace(FIRST_LINE, "format = 'covey-policy/1'"),
        policy_text().replace(FIRST_LINE, FIRST_LINE + " "),
        policy_text().replace("covey-policy/1", "covey-policy/2"),
        "\ufeff" + policy_text(),
        policy_text().replace("\n", "\r\n"),
    ],
)
def test_the_first_line_tells_a_policy_from_every_other_text(text: str) -> None:
    assert refused(text).message == f"policy.toml: the first line of a policy is exactly: {FIRST_LINE}"


@pytest.mark.parametrize("char", ["\u202e", "\u200b", "\u00a0", "\t", "\x00", "\x7f", "\u2028", "\u00ad"])
def test_what_does_not_show_is_refused_even_in_a_comment(char: str) -> None:
    error = refused(f"{policy_text()}# a{char}b\n")
    assert f"has the character U+{ord(char):04X}, which does not show" in error.message
    assert "what is signed must be what is seen" in error.hint


@pytest.mark.parametrize(
    "more",
    [
        'epsilon = "9"\n',  # the last table's, twice
        "[budget]\n",
        "x = " + "[" * 5000,
        "x = " + "9" * 5000,
        "[queries.train]\n",
    ],
)
def test_what_is_not_toml_is_refused(more: str) -> None:
    text = policy_text(queries=None) + '[queries.train]\nepsilon = "8"\n' + more
    assert "not valid TOML" in refused(text).message


def test_keys_in_keys_in_keys_are_refused() -> None:
    deep = ".".join("a" * 9000) + " = 1"
    assert "unknown key" in refused(f"{policy_text()}{deep}\n").message
    assert "expected" in refused(policy_text(budget__epsilon="~{" + deep + "}")).message


def test_what_is_too_long_is_not_read() -> None:
    room = MAX_TEXT - len(policy_text())
    assert parse(policy_text() + "#" * (room - 1) + "\n", "policy.toml") == read()
    assert "a policy has at most 49,152" in refused(policy_text() + "#" * room + "\n").message
    assert "at most 49,152" in refused(policy_text() + "#" + "é" * (room // 2) + "\n").message


TEXT = policy_text()


@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 40),
    st.text(st.sampled_from("\"'\n\\=[]{}#.,-_:0123456789abcdefxnit \u202e\x00é"), max_size=12),
)
def test_a_mutated_policy_is_read_or_refused_in_words(place: int, gone: int, new: str) -> None:
    text = TEXT[:place] + new + TEXT[place + gone :]
    with contextlib.suppress(CoveyError):
        policy = parse(text, "policy.toml")
        assert msgspec.convert(msgspec.to_builtins(policy), Policy) == policy


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["~2027-01-01", "~nan", "~0x10", "8", "1e-5", "24 per day", "none", "train"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = [key.replace(".", "__") for key in _keys(policy_table(), "")]


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=3))
def test_a_policy_with_other_values_is_read_or_refused_in_words(changes: dict[str, object]) -> None:
    nested = sorted(changes, key=len)
    with contextlib.suppress(CoveyError, _NotToml):
        policy = parse(_text({key: changes[key] for key in nested}), "policy.toml")
        assert msgspec.convert(msgspec.to_builtins(policy), Policy) == policy


class _NotToml(Exception):  # noqa: N818 - what a test leaves out
    """The test's own writer cannot write this."""


def _text(changes: dict[str, object]) -> str:
    try:
        return policy_text(**changes)
    except (AttributeError, TypeError) as error:  # a table was replaced by a value before
        raise _NotToml from error


def test_the_tests_own_writer_writes_what_was_meant() -> None:
    table = tomllib.loads(policy_text())
    assert table["queries"]["train"]["answers"] == 40
    assert to_toml(policy_table()) == policy_text()
    assert public_of(ENROLMENT).hex() == table["keys"]["enrolment"]
