"""The one strict reader of a policy's TOML. Errors say what to write instead: a lawyer may read them."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from covey import tables
from covey.errors import ConfigError, InputError
from covey.identity import check_key
from covey.ledger.note import COSIGNATURE, ED25519, read_vkey
from covey.policy.terms import (
    DECIMAL,
    DIGEST_OR_NONE,
    FIRST_LINE,
    HEX_KEY,
    KINDS,
    RATE,
    SECONDS_A_DAY,
    Assumptions,
    Budget,
    Day,
    LedgerTerms,
    Policy,
    Query,
    exact,
)

MAX_TEXT: Final = 48 * 1024
"""Bytes of the longest text that is read; a policy has some three thousand."""

_UNIX_EPOCH: Final = 719_163  # as a proleptic Gregorian ordinal, day 1 being 1 January of the year 1
_LEFT_OF_HONEST: Final = 2  # a sum over one honest device is that device's answer

_MISSING: Final = re.compile(r"object missing required field `(?P<key>[^`]*)`")
_WORDS: Final = {
    DECIMAL: 'expected a plain decimal number between quotation marks, as "4", "0.3" or "1e-5"',
    RATE: 'expected a limit, as "24 per day" (minute, hour, day or week), or "none"',
    HEX_KEY: "expected an Ed25519 public key, 64 hexadecimal digits in lower case",
    DIGEST_OR_NONE: 'expected a SHA-256, 64 hexadecimal digits in lower case, or "" for the first policy',
}
_CHOICES: Final = {
    "unit": 'expected "device" or "example"',
    "options": 'expected "control-variates", "personal-parameters" or "clip-indicator"',
    "profiles": 'expected "malicious-server" or "semi-honest-server"',
    "attestation": 'expected "none": devices of this version prove no software to anyone',
}
MOST_EPSILON: Final = "1000"
_RANGES: Final = {
    "epsilon": ("1e-3", MOST_EPSILON),
    "delta": ("1e-30", "0.1"),
    "dropouts": ("0", "0.9"),
    "clip": ("1e-9", "1e9"),
    "noise_multiplier": ("1e-4", "10000"),
    "sampling_rate": ("1e-12", "1"),
}


class _Queries(msgspec.Struct, forbid_unknown_fields=True):
    train: Query | None = None
    validate: Query | None = None
    calibrate: Query | None = None
    statistics: Query | None = None
    drift: Query | None = None
    health: Query | None = None


class _Asked(msgspec.Struct):
    queries: _Queries


def parse(text: str, source: str) -> Policy:
    """Read a policy.

    Args:
        text: The TOML, as it stands in the file or the signed note.
        source: What an error calls it, as the file's name.

    Raises:
        ConfigError: It is no policy, or one that no device could follow: names the key and what to do.
    """
    _check_text(text, source)
    table = tables.parse(text, source)
    try:
        # Query by query first: that way an error can name the kind it is about.
        queries = _queries(table, source)
        policy = tables.convert(table | _days(table, source) | {"queries": queries}, Policy, source)
    except ConfigError as error:
        raise _reworded(error) from error
    for key, fault in _faults(policy):
        raise ConfigError(source, key, fault)
    return policy


def _check_text(text: str, source: str) -> None:
    if (size := len(text.encode("utf-8", "replace"))) > MAX_TEXT:
        raise ConfigError(source, "", f"{size:,} bytes long, a policy has at most {MAX_TEXT:,}")
    if text.split("\n", 1)[0] != FIRST_LINE:
        raise ConfigError(source, "", f"the first line of a policy is exactly: {FIRST_LINE}")
    for number, line in enumerate(text.split("\n"), start=1):
        hidden = _hidden(line)
        if hidden:
            raise ConfigError(
                source,
                "",
                f"line {number} has the character U+{ord(hidden):04X}, which does not show",
                hint="replace it by a space or leave it out: what is signed must be what is seen",
            )


def _hidden(text: str) -> str:
    """The first character that a reader would not see; empty if there is none."""
    return next((char for char in text if not char.isprintable()), "")


def _queries(table: dict[str, Any], source: str) -> dict[str, Query]:
    read = tables.convert({"queries": table.get("queries", {})}, _Asked, source).queries
    found = {kind: getattr(read, kind) for kind in KINDS}
    return {kind: query for kind, query in found.items() if query is not None}


def _days(table: dict[str, Any], source: str) -> dict[str, Day]:
    return {key: _day(table[key], key, source) for key in ("valid_from", "valid_until") if key in table}


def _day(value: Any, key: str, source: str) -> Day:
    """From TOML's local date. A date and time has an hour as well, and means less than it seems to."""
    if not hasattr(value, "toordinal") or hasattr(value, "hour"):
        raise ConfigError(source, key, f"expected a date without quotation marks, as {key} = 2027-01-31")
    seconds = (value.toordinal() - _UNIX_EPOCH) * SECONDS_A_DAY
    if seconds < 0:
        raise ConfigError(source, key, f"{value.isoformat()} is before 1970")
    return Day(text=value.isoformat(), seconds=seconds)


def _reworded(error: ConfigError) -> ConfigError:
    """The same error in words that say what to write."""
    expected = error.message.removeprefix(f"{error.source}: ").removeprefix(f"{error.key}: ")
    last = error.key.rpartition(".")[2].partition("[")[0]
    if missing := _MISSING.fullmatch(expected):
        return ConfigError(error.source, f"{error.key}.{missing['key']}".lstrip("."), "is missing")
    if expected.startswith("invalid enum value") and last in _CHOICES:
        return ConfigError(error.source, error.key, _CHOICES[last])
    bare = expected in {"expected `str`, got `float`", "expected `str`, got `int`"}
    if bare and last in _RANGES:
        return ConfigError(error.source, error.key, f"{_WORDS[DECIMAL]}; a bare number is kept inexactly")
    if bare:
        return ConfigError(error.source, error.key, "expected text: put it between quotation marks")
    for pattern, words in _WORDS.items():
        if repr(pattern)[1:-1] in expected:
            return ConfigError(error.source, error.key, words)
    return error


def _faults(policy: Policy) -> Iterator[tuple[str, str]]:
    """What no device could follow, each as a key and what is wrong with it."""
    yield from _unseen(msgspec.to_builtins(policy), "")
    yield from _validity(policy)
    yield from _out_of_range(policy.budget, "budget")
    yield from _out_of_range(policy.assumptions, "assumptions")
    if len(set(policy.assumptions.profiles)) != len(policy.assumptions.profiles):
        yield "assumptions.profiles", "one profile twice"
    yield from _key_faults(policy)
    yield from _ledger_faults(policy.ledger)
    for kind, query in policy.queries.items():
        for key, fault in _query_faults(policy, query):
            yield f"queries.{kind}.{key}", fault


def _unseen(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Texts in which a TOML escape put what a reader would not see; only a purpose has lines."""
    match value:
        case dict():
            for name, each in value.items():
                yield from _unseen(each, f"{key}.{name}".lstrip("."))
        case list() | tuple():
            for each in value:
                yield from _unseen(each, key)
        case str():
            hidden = _hidden(value.replace("\n", "") if key == "purpose" else value)
            if hidden:
                yield key, f"has the character U+{ord(hidden):04X}, which does not show"


def _validity(policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.valid_until.seconds < policy.valid_from.seconds:
        yield "valid_until", f"{policy.valid_until.text} is before valid_from, {policy.valid_from.text}"
    if policy.serial == 1 and policy.previous:
        yield "previous", 'serial 1 is the first policy of a fleet: write previous = ""'
    if policy.serial > 1 and not policy.previous:
        yield (
            "previous",
            "a serial above 1 needs the SHA-256 of the policy before (covey policy show prints it)",
        )


def _out_of_range(table: Budget | Assumptions | Query, at: str) -> Iterator[tuple[str, str]]:
    for name, (least, most) in _RANGES.items():
        value = getattr(table, name, None)
        if value is not None and not exact(least) <= exact(value) <= exact(most):
            yield f"{at}.{name}".lstrip("."), f"{value} is not between {least} and {most}"


def _key_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    for name in ("operator", "enrolment"):
        try:
            check_key(bytes.fromhex(getattr(policy.keys, name)))
        except ValueError as error:
            yield f"keys.{name}", f"{error}"
    if policy.keys.operator == policy.keys.enrolment:
        yield "keys.enrolment", "the operator's own key: whoever asks must not choose whom devices believe"


def _ledger_faults(ledger: LedgerTerms) -> Iterator[tuple[str, str]]:
    keys: list[bytes] = []
    for key, vkey, algorithm in (
        ("ledger.log", ledger.log, ED25519),
        *(("ledger.witnesses", each, COSIGNATURE) for each in ledger.witnesses),
    ):
        try:
            verifier = read_vkey(vkey)
        except InputError as error:
            yield key, error.message
            continue
        if verifier.algorithm != algorithm:
            yield key, f"a key of type {verifier.algorithm}, expected type {algorithm}"
        keys.append(verifier.key)
    if len(set(keys)) != len(keys):
        yield "ledger.witnesses", "one key twice: each witness has a key of its own, not the log's"
    if ledger.cosignatures > len(ledger.witnesses):
        yield "ledger.cosignatures", f"{ledger.cosignatures} of {len(ledger.witnesses)} witnesses"


def _query_faults(policy: Policy, query: Query) -> Iterator[tuple[str, str]]:
    yield from _out_of_range(query, "")
    if len(set(query.models)) != len(query.models):
        yield "models", "one model twice"
    if len(set(query.options)) != len(query.options):
        yield "options", "one option twice"
    least = policy.assumptions.corrupt + _LEFT_OF_HONEST
    if query.minimum < least:
        yield (
            "minimum",
            f"{query.minimum} may leave one honest device, whose answer the sum is: write {least} or more",
        )
    if policy.budget.unit == "device" and exact(query.sampling_rate) != 1:
        yield (
            "sampling_rate",
            "coins for single examples do not sample a device: leave it out, or take unit example",
        )
