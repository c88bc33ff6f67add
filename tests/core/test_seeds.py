import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.seeds import derive, generator, key


def independent(*fields: str) -> int:
    """The format as its docstring states it, written a second time."""
    text = b"covey/v1/seed" + b"".join(
        len(field.encode()).to_bytes(4, "big") + field.encode() for field in fields
    )
    return int(hashlib.sha256(text).hexdigest()[:16], 16) // 2


KEY = "7cebe8fcd7d6e0236b975769de8261a84a9efb45f3e8dddd9fb54c5b487b4d10"


def test_known_answers() -> None:
    assert derive(7, "cohort", 3) == 5549242823126562175
    assert derive(7, "cohort", 3) == independent("7", "cohort", "int:3")
    assert derive(0, "device", "s01-left") == 9131919728888757196
    assert derive(0, "device", "s01-left") == independent("0", "device", "str:s01-left")
    assert generator(7, "cohort", 3).integers(1 << 32, size=3).tolist() == [1144507801, 889185015, 1177490556]


@given(
    st.integers(0, 1 << 64),
    st.text(st.characters(codec="utf-8"), max_size=9),
    st.lists(st.integers() | st.text(st.characters(codec="utf-8")), max_size=3),
)
def test_a_seed_is_its_documented_format(seed: int, purpose: str, keys: list[int | str]) -> None:
    named = [f"int:{key}" if isinstance(key, int) else f"str:{key}" for key in keys]
    found = derive(seed, purpose, *keys)
    assert found == independent(str(seed), purpose, *named)
    assert 0 <= found < 1 << 63


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a"), (2, "a")),
        ((1, "a"), (1, "b")),
        ((1, "a", 1), (1, "a", "1")),
        ((1, "a", 1, 2), (1, "a", 12)),
        ((1, "a", "b"), (1, "ab")),
        ((1, "a", 1, 2), (1, "a", 2, 1)),
    ],
)
def test_uses_are_told_apart(
    one: tuple[int, str, *tuple[int | str, ...]], other: tuple[int, str, *tuple[int | str, ...]]
) -> None:
    assert derive(*one) != derive(*other)


def test_a_generator_starts_anew_each_time() -> None:
    assert generator(1, "x").random() == generator(1, "x").random()


def test_a_key_is_the_whole_of_what_a_seed_is_the_start_of() -> None:
    assert key(7, "noise", 3, "train").hex() == KEY
    assert int.from_bytes(key(7, "cohort", 3)[:8], "big") >> 1 == derive(7, "cohort", 3)
    assert len({key(7, "noise", 3), key(7, "coins", 3), key(8, "noise", 3), key(7, "noise", 4)}) == 4
