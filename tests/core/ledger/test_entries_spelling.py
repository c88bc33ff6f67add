"""Entries have one spelling, and the fast one that reading compares with is RFC 8785's."""

import contextlib
from typing import get_args

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.ledger import entries as ledger
from covey.ledger.entries import AnyEntry, decode, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
counts = st.integers(0, 1 << 40)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
members = st.builds(ledger.Members, advertised=counts, sharing=counts, survivors=counts, noise_left=counts)
sets = st.builds(ledger.Sets, u1=digests, u2=digests, u3=digests, participants=digests)
software = st.builds(ledger.Software, covey=texts, python=texts, numpy=texts)

ENTRIES: st.SearchStrategy[AnyEntry] = st.one_of(
    st.builds(ledger.RunPolicy, time=counts, run=names, policy=texts),
    st.builds(
        ledger.Enrol,
        time=counts,
        fleet=names,
        serial=counts,
        roster=digests,
        devices=counts,
        expires=st.integers(0, (1 << 53) - 1),
        simulation=st.booleans(),
    ),
    st.builds(
        ledger.Reserve,
        time=counts,
        plan=st.binary(max_size=200),
        signature=st.none() | st.binary(min_size=64, max_size=64),
    ),
    st.builds(
        ledger.Settle,
        time=counts,
        plan=digests,
        members=members,
        sets=st.none() | sets,
        evidence=st.none() | digests,
        sum=digests,
        software=software,
    ),
    st.builds(ledger.Abort, time=counts, plan=digests, reason=texts),
    st.builds(ledger.Waiver, time=counts, note=texts),
    st.builds(
        ledger.RolloutDecision,
        time=counts,
        fleet=names,
        rollout=names,
        serial=st.integers(1, (1 << 53) - 1),
        instruction=digests,
        plan=digests,
        action=st.sampled_from(get_args(ledger.RolloutAction)),
        opened=st.integers(0, 8),
        reason=texts,
        approvals=counts,
    ),
)


@given(ENTRIES)
def test_an_entry_comes_back_from_its_spelling(entry: AnyEntry) -> None:
    assert decode(encode(entry)) == entry


@given(ENTRIES)
def test_the_spelling_that_reading_compares_with_is_rfc_8785s(entry: AnyEntry) -> None:
    assert msgspec.json.encode(entry, order="sorted") == rfc8785.dumps(msgspec.to_builtins(entry))


@given(ENTRIES, st.data())
def test_a_changed_byte_gives_another_entry_or_none(entry: AnyEntry, data: st.DataObject) -> None:
    line = bytearray(encode(entry))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ProtocolError):
        assert decode(bytes(line)) != entry


@pytest.mark.parametrize(
    ("change", "to"),
    [
        (b'"time":1', b'"time":1.0'),
        (b'"time":1', b'"time":1e0'),
        (b'"time":1', b'"time": 1'),
        (b'"time":1', b'"time":"1"'),
        (b'"time":1', b'"time":1,"time":1'),
        (b'"reason":"a/b"', b'"reason":"a\\/b"'),
        (b'"reason":"a/b"', b'"reason":"\\u0061/b"'),
        (b'"reason":"a/b",', b""),
        (b"}", b',"zusatz":1}'),
        (b"round.abort", b"round.other"),
    ],
)
def test_every_other_spelling_is_refused(change: bytes, to: bytes) -> None:
    line = encode(ledger.Abort(time=1, plan="0" * 64, reason="a/b"))
    assert line.count(change) == 1
    with pytest.raises(ProtocolError):
        decode(line.replace(change, to))


def test_an_entry_of_two_mebibytes_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        decode(b" " * ((2 << 20) + 1))
