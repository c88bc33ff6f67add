"""Configuration files: TOML into frozen structs, with errors that name file, key and what was expected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from covey import tables
from covey.errors import ConfigError
from covey.tables import convert

__all__ = ["convert", "load", "read"]

Settings = TypeVar("Settings")


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
    return tables.parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        ConfigError: No such file, or it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(str(path), "", "no such file", hint="give the path of a TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read: {error}") from error
