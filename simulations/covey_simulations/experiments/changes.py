"""Changes to a configuration: plain values in Python or TOML, as the `key=value` that `--set` takes."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from covey.errors import ConfigError

Changes = Mapping[str, Any]
"""Values by key, with dots for tables, or tables within."""


def flat(changes: Changes, before: str = "") -> dict[str, Any]:
    """Values by dotted key, tables taken apart."""
    found: dict[str, Any] = {}
    for key, value in changes.items():
        whole = f"{before}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{whole}.")
        else:
            found[whole] = value
    return found


def overrides(changes: Changes) -> Iterator[str]:
    """Each change as `--set` has it.

    Raises:
        ConfigError: A value that TOML cannot say, as None.
    """
    for key, value in flat(changes).items():
        yield f"{key}={written(key, value)}"


def written(key: str, value: Any) -> str:
    """A value in TOML.

    Raises:
        ConfigError: TOML cannot say it, as None.
    """
    try:
        plain = msgspec.to_builtins(value, enc_hook=_plain)
        text = "" if plain is None else msgspec.toml.encode({"value": plain}).decode()
    except (TypeError, NotImplementedError) as error:
        raise ConfigError("--set", key, f"{value!r} cannot be written in TOML") from error
    if not text:
        raise ConfigError("--set", key, "None cannot be written in TOML", hint="leave the key out")
    return " ".join(text.removeprefix("value = ").split("\n")).strip()


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy's.

    Raises:
        NotImplementedError: It is neither.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    raise NotImplementedError(type(value))
