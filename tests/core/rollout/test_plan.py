"""A rollout's plan: one spelling, strict bounds, rings that grow to the whole fleet."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.rollout.plan import BUCKETS, MAX_PLAN_BYTES, Ring, Window, bucket, from_text, to_text, token
from rollout_plans import FLEET, image, plan, tokens
from secagg_attacks import mutants

TEXT = to_text(plan(windows=(Window(days=("mon", "sun"), begins=1380, ends=60),)))


def refused(text: str, match: str = ".") -> None:
    with pytest.raises(ProtocolError, match=match) as caught:
        from_text(text, blame="the operator")
    assert caught.value.blame == "the operator"


def changed(**changes: Any) -> str:
    return rfc8785.dumps(json.loads(TEXT) | changes).decode() + "\n"


def test_a_plan_comes_back_from_its_text() -> None:
    assert to_text(from_text(TEXT, blame="x")) == TEXT
    assert TEXT.endswith("}\n")
    assert "\n" not in TEXT[:-1]


def test_a_mutated_plan_is_refused_or_another_in_its_one_spelling() -> None:
    data = TEXT.encode()
    read = 0
    for mutant in mutants(data, 3000, len(data)):
        try:
            text = mutant.decode()
            found = from_text(text, blame="x")
        except (UnicodeDecodeError, ProtocolError):
            continue
        assert to_text(found) == text
        read += mutant != data
    assert read, "no mutant was a plan: the test would not see one that is read wrongly"


@given(st.text(max_size=200))
def test_texts_are_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rings": []}, "malformed"),
        ({"rollout": "Wrist 2"}, "malformed"),
        ({"rollout": "../x"}, "malformed"),
        ({"fleet": ""}, "malformed"),
        ({"format": "covey-rollout-plan/2"}, "malformed"),
        ({"extra": 1}, "malformed"),
        ({"limits": {"most_failed": 0}}, "malformed"),
        ({"windows": [{"days": [], "begins": 0, "ends": 0}]}, "malformed"),
        ({"windows": [{"days": ["mon"], "begins": 1440, "ends": 0}]}, "malformed"),
        ({"limits": {}}, "one spelling"),
    ],
)
def test_what_no_plan_says_is_refused(changes: dict[str, Any], match: str) -> None:
    refused(changed(**changes), match)


@pytest.mark.parametrize(
    "target", ["models/../x.covey", "models/wrist/../../x.covey", "policy/x.covey", "/x"]
)
def test_an_image_is_a_release_s_target_and_nothing_else(target: str) -> None:
    refused(changed(image=json.loads(TEXT)["image"] | {"target": target}), "malformed")


def ring(name: str, share: int) -> Ring:
    return Ring(name=name, share=share)


@pytest.mark.parametrize(
    ("given_rings", "match"),
    [
        ((ring("a", 500), ring("b", 499), ring("c", BUCKETS)), "rings shrink"),
        ((ring("a", 500), ring("b", BUCKETS - 1)), "leaves devices out"),
        ((ring("a", 500), ring("a", BUCKETS)), "two rings of one name"),
    ],
)
def test_rings_grow_to_the_whole_fleet(given_rings: tuple[Ring, ...], match: str) -> None:
    refused(to_text(plan(rings=given_rings)), match)


def test_it_falls_back_to_an_older_image_of_the_same_model() -> None:
    other = msgspec.structs.replace(image("1"), name="arm")
    refused(to_text(plan(fallback=other)), "another model")
    refused(to_text(plan(fallback=image())), "what it rolls out")
    assert from_text(to_text(plan(fallback=None)), blame="x").fallback is None


def test_a_plan_too_large_is_refused_unread() -> None:
    refused(TEXT + " " * MAX_PLAN_BYTES, "at most")


def test_a_token_and_a_bucket_stay_what_they_are() -> None:
    """Devices and servers of all versions must agree on them: a fleet would be dealt out anew."""
    assert token("lab", "pi-07") == "93dcdca83a5a1534f863a6c42000f9ee"
    assert bucket("ab" * 32, "0" * 32) == 2858
    assert token("la", "bpi-07") != token("lab", "pi-07")


def test_buckets_are_even_and_dealt_anew_for_each_release() -> None:
    devices = [token(FLEET, str(number)) for number in range(20_000)]
    for version in ("1", "2"):
        found = Counter(bucket(image(version).sha256, each) // 1000 for each in devices)
        assert set(found) == set(range(10))
        # chi-square with 9 degrees of freedom: above 33.7 once in 10,000 releases
        assert sum((count - 2000) ** 2 / 2000 for count in found.values()) < 33.7
    same = sum(bucket(image("1").sha256, each) == bucket(image("2").sha256, each) for each in devices)
    assert same < 20
    assert len(tokens(40)) == 40
