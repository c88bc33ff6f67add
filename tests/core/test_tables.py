"""What files and signed texts share: TOML that is not read, and keys that are not known."""

import msgspec
import pytest

from covey.errors import ConfigError
from covey.tables import convert, parse


class Inner(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    length: int = 1


class Outer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    sure: Inner = Inner()
    perhaps: Inner | None = None
    several: tuple[int, ...] = ()


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        convert(parse(text, "a.toml"), Outer, "a.toml")
    assert caught.value.source == "a.toml"
    return caught.value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = ", "not valid TOML: Invalid value"),
        ("a = " + "[" * 5000, "not valid TOML: nested too deeply"),
        ("a = " + "9" * 5000, "not valid TOML: Exceeds the limit"),
    ],
)
def test_what_is_no_toml_is_told_without_a_traceback(text: str, told: str) -> None:
    assert refused(text).message.startswith(f"a.toml: {told}")


@pytest.mark.parametrize("table", ["sure", "perhaps"])
def test_a_misspelt_key_is_told_in_a_table_that_may_be_missing_as_well(table: str) -> None:
    assert refused(f"[{table}]\nlenght = 2\n").message == (
        f"a.toml: {table}.lenght: unknown key; did you mean length?"
    )


def test_a_key_below_a_value_is_told_by_its_type() -> None:
    assert "expected `array`, got `object`" in refused("[several]\nx = 1\n").message


def test_a_table_is_read() -> None:
    read = convert(parse("[perhaps]\nlength = 3\n", "a.toml"), Outer, "a.toml", ["sure.length=2"])
    assert read == Outer(Inner(2), Inner(3))
