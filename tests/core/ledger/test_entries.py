"""The decoder of a ledger's entries against bytes of all kinds: a right entry, or an error of ours."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.ledger import entries as ledger
from covey.ledger.entries import AnyEntry, decode, encode, kind_of
from secagg_attacks import mutants

HEX = "ab" * 32
EACH = 3_000

SAMPLES: tuple[AnyEntry, ...] = (
    ledger.RunPolicy(time=1, run="run", policy="format = …\n\n— reviewer AbCd\n"),
    ledger.Enrol(time=1, fleet="f", serial=2, roster=HEX, devices=12, expires=9, simulation=True),
    ledger.Revoke(time=1, fleet="f", serial=3, roster=HEX, devices=11, expires=9, simulation=False, gone=1),
    ledger.Reserve(time=1, plan=bytes(range(256)), signature=bytes(64)),
    ledger.Reserve(time=1, plan=b"plan", signature=None),
    ledger.Settle(
        time=1,
        plan=HEX,
        members=ledger.Members(advertised=12, sharing=11, survivors=10, noise_left=1),
        sets=ledger.Sets(u1=HEX, u2=HEX, u3=HEX, participants=HEX),
        evidence=HEX,
        sum=HEX,
        software=ledger.Software(covey="0.1", python="3.11", numpy="2.0"),
    ),
    ledger.Abort(time=1, plan=HEX, reason='too "few" \\ \x01 \u2028 \U0001f600'),
    ledger.MetricsRelease(time=1, run="run", name="metrics.csv", sha256=HEX),
    ledger.ModelRelease(time=1, run="run", model=HEX, package=HEX, policy=None),
    ledger.TuningRun(time=1, run="run", words="grid", epsilon="0.5", delta="1e-5"),
    ledger.AuditResult(time=1, size=9, root=HEX, findings=0, report=HEX, words="fine"),
    ledger.Waiver(time=1, note="code\n3\nwhy\n"),
    ledger.RolloutDecision(
        time=1,
        fleet="f",
        rollout="r-1",
        serial=7,
        instruction=HEX,
        plan=HEX,
        action="stop",
        opened=2,
        reason="too many failed",
        approvals=2,
    ),
)


def refused(data: bytes, match: str = ".") -> None:
    with pytest.raises(ProtocolError, match=match) as caught:
        decode(data, blame="the log")
    assert caught.value.blame == "the log"


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Places of all values in nested objects."""
    for name, inner in value.items():
        yield (*path, name), inner
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, name))


def put(value: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(value))
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = new
    return copied


def spelled(value: Any) -> bytes:
    """Any JSON value as RFC 8785 would have it, floats and all."""
    return rfc8785.dumps(value)


@pytest.mark.parametrize("entry", SAMPLES, ids=kind_of)
def test_every_kind_comes_back(entry: AnyEntry) -> None:
    data = encode(entry)
    assert decode(data) == entry
    assert json.loads(data)["kind"] == kind_of(entry)
    assert b"\n" not in data


def test_all_kinds_are_here() -> None:
    assert {type(entry) for entry in SAMPLES} == set(get_args(AnyEntry))


@pytest.mark.parametrize("entry", SAMPLES, ids=kind_of)
def test_a_mutated_entry_is_refused_or_is_another_entry_in_its_one_spelling(entry: AnyEntry) -> None:
    data = encode(entry)
    for mutant in mutants(data, EACH, len(data)):
        try:
            found = decode(mutant)
        except ProtocolError:
            continue
        assert encode(found) == mutant
        assert (found == entry) == (mutant == data)


@given(st.binary(max_size=300))
def test_bytes_are_refused(data: bytes) -> None:
    refused(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    )
)
def test_json_that_is_no_entry_is_refused(value: Any) -> None:
    refused(json.dumps(value).encode())


@given(st.sampled_from(SAMPLES), st.data())
def test_any_value_in_any_place_is_refused_or_right(entry: AnyEntry, data: st.DataObject) -> None:
    told = json.loads(encode(entry))
    path, _ = data.draw(st.sampled_from(list(leaves(told))))
    strange: Any = data.draw(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
        | st.just([])
        | st.just({})
    )
    mutant = spelled(put(told, path, strange))
    try:
        found = decode(mutant)
    except ProtocolError:
        return
    assert encode(found) == mutant


@pytest.mark.parametrize("entry", SAMPLES, ids=kind_of)
def test_a_float_is_refused_wherever_a_number_stands(entry: AnyEntry) -> None:
    data = encode(entry)
    told = json.loads(data)
    numbers = [(path, value) for path, value in leaves(told) if type(value) is int]
    assert numbers
    for path, value in numbers:
        for strange in (value + 0.5, 1e300):
            refused(spelled(put(told, path, strange)))
        name = f'"{path[-1]}":{value}'.encode()
        assert data.count(name) >= 1
        for spelling in (b".0", b"e0", b"E0", b".00"):
            refused(data.replace(name, name + spelling))
        refused(data.replace(name, f'"{path[-1]}":-0'.encode()))


@pytest.mark.parametrize("field", ["epsilon", "delta"])
@pytest.mark.parametrize(
    "value",
    [0.5, 1, True, "", "+1", "01", ".5", "5.", "1e5", "1e-123", "-1", "NaN", "inf", "0x1", "\uff11", "1\n"],
)
def test_a_decimal_is_a_plain_decimal_string(field: str, value: Any) -> None:
    told = json.loads(encode(ledger.TuningRun(time=1, run="r", words="", epsilon="1", delta="1")))
    refused(spelled({**told, field: value}), "malformed")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("time",), -1),
        (("time",), (1 << 40) + 1),
        (("time",), True),
        (("time",), "1"),
        (("plan",), HEX.upper()),
        (("plan",), HEX + "\n"),
        (("plan",), HEX[1:]),
        (("members", "survivors"), -1),
        (("members", "survivors"), 1 << 41),
        (("sets", "u1"), None),
        (("software", "numpy"), "x" * 2001),
    ],
)
def test_values_beyond_their_bounds_are_refused(path: tuple[str, ...], value: Any) -> None:
    told = json.loads(encode(SAMPLES[5]))
    refused(spelled(put(told, path, value)), "malformed")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("serial", 0),
        ("opened", 9),
        ("opened", -1),
        ("action", "advance"),
        ("action", ""),
        ("rollout", ""),
        ("instruction", HEX.upper()),
        ("plan", None),
        ("reason", "x" * 2001),
        ("approvals", -1),
    ],
)
def test_a_rollout_s_decision_keeps_to_its_bounds(field: str, value: Any) -> None:
    told = json.loads(encode(SAMPLES[-1]))
    refused(spelled({**told, field: value}), "malformed")


@pytest.mark.parametrize("entry", SAMPLES, ids=kind_of)
def test_a_field_too_many_or_too_few_is_refused(entry: AnyEntry) -> None:
    told = json.loads(encode(entry))
    refused(spelled({**told, "note2": 1}), "malformed")
    for path, value in leaves(told):
        short = put(told, path, value)
        inner = short
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
        refused(spelled(short), "malformed")


@pytest.mark.parametrize("entry", SAMPLES, ids=kind_of)
def test_a_key_that_stands_twice_is_refused(entry: AnyEntry) -> None:
    """Readers that keep the first and readers that keep the last would see two different entries."""
    data = encode(entry)
    told = json.loads(data)
    for name, value in told.items():
        once = spelled({name: value})[1:-1]
        for twice in (data[:-1] + b"," + once + b"}", b"{" + once + b"," + data[1:]):
            refused(twice)


@pytest.mark.parametrize("kind", ["round.settled", "ROUND.ABORT", "", "waiver ", 3, None, ["waiver"]])
def test_an_unknown_kind_is_refused(kind: Any) -> None:
    refused(spelled({"kind": kind, "time": 1, "note": ""}), "malformed")
    refused(spelled({"time": 1, "note": ""}), "malformed")


@pytest.mark.parametrize(
    "data",
    [
        b'{"kind":"waiver","note":"\\ud800","time":1}',
        b'{"kind":"waiver","note":"\xed\xa0\x80","time":1}',
        b'{"kind":"waiver","note":"\xff","time":1}',
        b'{"kind":"waiver","note":"a\nb","time":1}',
        b'{"kind":"waiver","note":"","time":1}\n',
        b'\xef\xbb\xbf{"kind":"waiver","note":"","time":1}',
        b' {"kind":"waiver","note":"","time":1}',
        b'{"kind":"waiver","note":"","time":1}{}',
        b'{"kind":"waiver","note":"","time":1}\0',
        b'{"note":"","kind":"waiver","time":1}',
        b'{"kind":"waiver","note":"","time":01}',
        b'{"kind":"waiver","note":"\\u007f","time":1}',
        b'{"kind":"waiver","note":"\\u000A","time":1}',
        b'[{"kind":"waiver","note":"","time":1}]',
        '{"kind":"waiver","note":"","time":1}'.encode("utf-16"),
    ],
)
def test_what_another_reader_might_read_otherwise_is_refused(data: bytes) -> None:
    refused(data)


def test_base64_has_one_spelling() -> None:
    data = encode(ledger.Reserve(time=1, plan=b"plan", signature=None))
    (encoded,) = [b"cGxhbg=="]
    assert encoded in data
    for other in (b"cGxhbg", b"cGxhbh==", b"cGxh bg==", b"cGxhbg==\\n", b"cGxhbg===", b"c-xh"):
        refused(data.replace(encoded, other))


@pytest.mark.parametrize("depth", [100, 10_000, 500_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"kind":"waiver","note":[', b'{"x":['])
def test_deep_nesting_is_refused(depth: int, opening: bytes) -> None:
    refused((opening + b"[" * depth)[: ledger.MAX_ENTRY_BYTES])


def test_huge_numbers_are_refused() -> None:
    for number in (b"9" * 30, b"9" * 100_000, b"1e999999999", b"-" + b"9" * 5000):
        refused(b'{"kind":"waiver","note":"","time":' + number + b"}")


def test_the_largest_plan_fits_and_a_larger_entry_is_refused_unread() -> None:
    data = encode(ledger.Reserve(time=1 << 40, plan=bytes(1 << 20), signature=bytes(64)))
    assert isinstance(decode(data), ledger.Reserve)
    refused(encode(ledger.Reserve(time=1, plan=bytes((1 << 20) + 1), signature=None)), "malformed")
    refused(data + b" " * (ledger.MAX_ENTRY_BYTES - len(data) + 1), "at most")


def test_whatever_can_be_read_can_be_written() -> None:
    """The bounds of every number are within what RFC 8785 can spell."""
    for entry in SAMPLES:
        told = json.loads(encode(entry))
        for path, value in leaves(told):
            if type(value) is not int:
                continue
            for most in ((1 << 40), (1 << 53) - 1, 1 << 53, (1 << 63) - 1):
                line = msgspec.json.encode(put(told, path, most), order="sorted")
                try:
                    found = decode(line)
                except ProtocolError:
                    continue
                assert encode(found) == line
