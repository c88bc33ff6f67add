"""What devices are told: one spelling, strict, and never at odds with the plan in it."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ProtocolError
from covey.rollout.instruction import (
    MAX_INSTRUCTION_BYTES,
    Instruction,
    Pin,
    from_bytes,
    image_names,
    to_bytes,
)
from covey.rollout.plan import MAX_PLAN_BYTES, to_text
from rollout_plans import ANNA, BO, image, instruction, note, plan, tokens
from secagg_attacks import mutants

WHOLE = instruction(
    opened=2,
    pins=(Pin(device=tokens(1)[0], image=image("0", 1)),),
    holds=tuple(tokens(3)),
    plan=note(None, ANNA, BO),
)
DATA = to_bytes(WHOLE)


def refused(data: bytes, match: str = ".") -> None:
    with pytest.raises(ProtocolError, match=match) as caught:
        from_bytes(data, blame="the operator")
    assert caught.value.blame == "the operator"


def changed(**changes: Any) -> bytes:
    return rfc8785.dumps(json.loads(DATA) | changes)


def test_an_instruction_comes_back_with_its_plan() -> None:
    assert from_bytes(DATA) == WHOLE
    assert WHOLE.planned == plan()


def test_a_mutated_instruction_is_refused_or_another_in_its_one_spelling() -> None:
    read = 0
    for mutant in mutants(DATA, 3000, len(DATA)):
        try:
            found = from_bytes(mutant)
        except ProtocolError:
            continue
        assert to_bytes(found) == mutant
        read += mutant != DATA
    assert read, "no mutant was an instruction: the test would not see one that is read wrongly"


@given(st.binary(max_size=300))
def test_bytes_are_refused(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"serial": 0}, "malformed"),
        ({"opened": 9}, "malformed"),
        ({"opened": 5}, "more rings than its plan"),
        ({"state": "stopped"}, "malformed"),
        ({"fleet": "other"}, "another fleet"),
        ({"plan": "x"}, "malformed note"),
        ({"plan": "x\n\n— anna AAAA\n"}, "."),
        ({"plan": to_text(plan())}, "malformed note"),
        ({"holds": ["pi-00"]}, "malformed"),
        ({"extra": 1}, "malformed"),
        ({"format": "covey-rollout/2"}, "malformed"),
    ],
)
def test_what_no_instruction_says_is_refused(changes: dict[str, Any], match: str) -> None:
    refused(changed(**changes), match)


def test_a_serial_that_json_cannot_spell_is_refused() -> None:
    assert from_bytes(changed(serial=(1 << 53) - 1)).serial == (1 << 53) - 1
    refused(DATA.replace(b'"serial":1,', b'"serial":9007199254740992,'), "malformed")


def test_a_device_that_is_pinned_twice_is_refused() -> None:
    pins = (*WHOLE.pins, Pin(device=tokens(1)[0], image=image()))
    refused(to_bytes(instruction(pins=pins)), "twice")


def test_an_instruction_too_large_is_refused_unread() -> None:
    refused(DATA + b" " * MAX_INSTRUCTION_BYTES, "at most")


def test_the_largest_plan_with_all_pins_and_holds_has_room() -> None:
    room = MAX_INSTRUCTION_BYTES - MAX_PLAN_BYTES
    most = instruction(
        pins=tuple(Pin(device=each, image=image("0" * 64)) for each in tokens(256)), holds=tuple(tokens(1024))
    )
    assert len(to_bytes(most)) - len(most.plan) < room
    assert from_bytes(to_bytes(most)) == most


def test_every_image_that_it_may_send_a_device_to_is_named() -> None:
    assert image_names(WHOLE) == (image(), image("1", 1), image("0", 1))
    assert image_names(instruction(plan(fallback=None))) == (image(),)


def test_its_spelling_is_one_line_in_order() -> None:
    assert b"\n" not in DATA
    assert list(json.loads(DATA)) == sorted(Instruction.__struct_fields__)
