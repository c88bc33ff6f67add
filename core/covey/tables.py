"""TOML text into frozen structs, with errors that name the source, the key and what was expected."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import msgspec

from covey.errors import ConfigError

Settings = TypeVar("Settings")

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<key>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")


def parse(text: str, source: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        text: The whole text.
        source: What an error calls it, as a file's name.

    Raises:
        ConfigError: Not TOML, or nested or long beyond what is read.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(source, "", "not valid TOML: nested too deeply") from error
    except ValueError as error:  # a TOMLDecodeError, or an integer of thousands of digits
        raise ConfigError(source, "", f"not valid TOML: {error}") from error


def convert(
    table: dict[str, Any], kind: type[Settings], source: str, overrides: Sequence[str] = ()
) -> Settings:
    """Check a parsed table against a struct, after applying overrides.

    Args:
        table: As `parse` gave it.
        kind: A msgspec struct type.
        source: What an error calls the table, as a file's name.
        overrides: `key=value` with dots for tables and TOML values; a value that is no TOML is a string.

    Raises:
        ConfigError: An unknown key, a wrong type or a value out of range.
    """
    for override in overrides:
        table = _overridden(table, override)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind, source) from error
    except RecursionError as error:
        raise ConfigError(source, "", "nested too deeply") from error


def _overridden(table: dict[str, Any], override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    path = key.strip().split(".")
    if not separator or not all(path):
        raise ConfigError("--set", override, "expected key=value, such as --set federation.rounds=5")
    return _put(table, path, _value(text.strip()), key)


def _put(table: dict[str, Any], path: list[str], value: Any, key: str) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return table | {head: value}
    below = table.get(head, {})
    if not isinstance(below, dict):
        raise ConfigError("--set", key, f"{head} is a value, not a table")
    return table | {head: _put(below, rest, value, key)}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explained(message: str, kind: type[Any], source: str) -> ConfigError:
    match = _AT.match(message)
    what, key = (match["what"], match["key"] or "") if match else (message, "")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is None:
        return ConfigError(source, key, _lowered(what))
    full = f"{key}.{unknown['field']}" if key else unknown["field"]
    known = _fields(kind, key.split(".") if key else [])
    close = difflib.get_close_matches(unknown["field"], known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
    return ConfigError(source, full, f"unknown key; {meant}")


def _lowered(what: str) -> str:
    return what[:1].lower() + what[1:]


def _fields(kind: Any, path: list[str]) -> list[str]:
    """Names of the keys allowed in the table at `path`."""
    for name in path:
        found = [field.type for field in _fields_of(kind) if field.encode_name == name]
        if not found:
            return []
        kind = found[0]
    return [field.encode_name for field in _fields_of(kind)]


def _fields_of(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Of a struct, or of the struct in `Struct | None`; none of anything else."""
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return msgspec.structs.fields(each)
    return ()
