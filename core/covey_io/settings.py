"""Configuration files: TOML into frozen structs, with errors that name file, key and what was expected."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from covey.errors import ConfigError

Settings = TypeVar("Settings")

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<key>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")


def load(path: Path, kind: type[Settings], overrides: Sequence[str] = ()) -> Settings:
    """Read a TOML file into a struct.

    Args:
        path: The file.
        kind: A msgspec struct type.
        overrides: `key=value` with dots for tables and TOML values; a value that is no TOML is a string.

    Raises:
        ConfigError: No such file, not TOML, an unknown key, a wrong type or a value out of range.
    """
    return convert(read(path), kind, str(path), overrides)


def read(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        ConfigError: No such file, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(str(path), "", "no such file", hint="give the path of a TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), "", f"not valid TOML: {error}") from error


def convert(
    table: dict[str, Any], kind: type[Settings], source: str, overrides: Sequence[str] = ()
) -> Settings:
    """Check a parsed table against a struct, after applying overrides; see `load`."""
    for override in overrides:
        table = _overridden(table, override)
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind, source) from error


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
        found = [field.type for field in msgspec.structs.fields(kind) if field.encode_name == name]
        if not found:
            return []
        kind = found[0]
    try:
        return [field.encode_name for field in msgspec.structs.fields(kind)]
    except TypeError:
        return []
