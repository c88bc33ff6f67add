"""The example of a device's configuration, and its page: every key, and what holds without it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from covey_client.configuration import DeviceFile, read

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "client/deploy/device.toml.example"
KEY = re.compile(r"#(\[[a-z.]+\]|[a-z_]+ = .*)")
MARK = re.compile(r" # an example\b")


def shown(line: str) -> str:
    """A line as its owner would have it, who removes the # before a key."""
    found = KEY.fullmatch(line)
    return found[1] if found else line


def whole() -> str:
    """The example with all that it shows, and one of the two ways to name a model."""
    lines = [shown(line) for line in EXAMPLE.read_text().splitlines()]
    return "\n".join(line for line in lines if not line.startswith("file = "))


def names(kind: Any, before: str = "") -> dict[str, Any]:
    """Every key of the configuration with its default; tables, by their keys."""
    found: dict[str, Any] = {}
    for each in msgspec.structs.fields(kind):
        inner = next(
            (one for one in (each.type, *getattr(each.type, "__args__", ())) if _is_table(one)), None
        )
        name = before + each.name
        found |= names(inner, f"{name}.") if inner else {name: each.default}
    return found


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def values(found: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Every value, by its key; `labels` is a value."""
    flat: dict[str, Any] = {}
    for key, value in found.items():
        name = before + key
        is_table = isinstance(value, dict) and not name.endswith("labels")
        flat |= values(value, f"{name}.") if is_table else {name: value}
    return flat


def marked() -> set[str]:
    """Keys whose value is an example."""
    table, found = "", set[str]()
    for line in map(shown, EXAMPLE.read_text().splitlines()):
        if line.startswith("["):
            table = line.partition("]")[0][1:] + "."
        if MARK.search(line):
            found.add(table + line.partition(" ")[0])
    return found


def test_it_shows_every_key_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(whole())
    read(path)
    assert {*values(tomllib.loads(whole())), "model.file"} == {*names(DeviceFile)}


def test_what_is_not_marked_as_an_example_holds_without_it() -> None:
    defaults, plain = names(DeviceFile), values(tomllib.loads(EXAMPLE.read_text()))
    for name, value in values(tomllib.loads(whole())).items():
        if name not in plain and name not in marked():
            assert value == defaults[name], name
            assert type(value) is type(defaults[name]), name


def test_an_example_that_is_marked_is_none_by_chance() -> None:
    assert marked() == {
        "counter",
        "group",
        "model.file",
        "data.csv.channels",
        "data.csv.label",
        "data.csv.labels",
        "session.server",
        "update.approvers",
        "update.source",
        "when.windows",
    }


@pytest.mark.parametrize("name", sorted(names(DeviceFile)))
def test_the_page_has_every_key(name: str) -> None:
    rows = [line for line in (ROOT / "docs/device.md").read_text().splitlines() if line.startswith("| `")]
    keys = {key for row in rows for key in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert name.rpartition(".")[2] in keys
