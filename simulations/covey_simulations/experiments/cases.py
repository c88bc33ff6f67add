"""What a sweep consists of: its cases, and a run of each with each seed, in an order that never changes."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import msgspec

from covey.errors import ConfigError
from covey_io import settings
from covey_simulations.experiments.changes import flat, overrides, written
from covey_simulations.experiments.sweep_file import SweepFile
from covey_simulations.settings import SimulationFile

LONGEST_NAME: Final = 63
HASH_DIGITS: Final = 8
RESERVED: Final = {"name": "a run is named after its case", "seed": "write seeds = [...] for the sweep"}
"""Keys that a sweep sets itself."""

Digests = Callable[[SimulationFile], Mapping[str, str]]
"""Digests of the person's own files that a configuration names."""


@dataclass(frozen=True)
class Case:
    """One variant of the federation.

    Attributes:
        label: What a reader calls it.
        changes: Values by dotted key, to the base.
    """

    label: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Planned:
    """One run of a sweep.

    Attributes:
        case: Its variant.
        file: Its resolved configuration; the name in it is that of its folder.
    """

    case: Case
    file: SimulationFile

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.file.name

    @property
    def seed(self) -> int:
        """Of everything random in it."""
        return self.file.seed


def cases_of(file: SweepFile) -> list[Case]:
    """Every named case combined with every point of the grid, in the order of the file.

    Raises:
        ConfigError: A grid's value is no list, a key is the sweep's own, or two cases have one name.
    """
    grid = _lists(file.grid)
    named = [_named(case) for case in file.cases] or [("", {})]
    found = [
        Case(_label(file.name, name, changes, _varied(point, grid)), changes | point)
        for name, changes in named
        for point in _points(grid)
    ]
    for case in found:
        _check(case)
    labels = [case.label for case in found]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(
            "sweep", "cases", f"{twice[0]!r} is there twice", hint="give each a name of its own"
        )
    return found


def planned(
    file: SweepFile, base: dict[str, Any], digests: Digests, cases: Sequence[Case] | None = None
) -> list[Planned]:
    """All runs of a sweep, checked.

    Args:
        file: The sweep.
        base: Tables of the federation that it starts from.
        digests: Of files; part of what a run's folder is named after.
        cases: Its cases, if they are known.

    Raises:
        ConfigError: A case is no federation; names the case.
    """
    variants = cases_of(file) if cases is None else cases
    pairs = [(case, seed) for case in variants for seed in dict.fromkeys(file.seeds)]
    if file.order == "seeds":
        pairs = [(case, seed) for seed in dict.fromkeys(file.seeds) for case in variants]
    return [_planned(case, seed, base, digests) for case, seed in pairs]


def _planned(case: Case, seed: int, base: dict[str, Any], digests: Digests) -> Planned:
    changes = [*overrides(case.changes), f"seed={seed}"]
    file = settings.convert({"name": "run"} | base, SimulationFile, f"case {case.label!r}", changes)
    return Planned(case, msgspec.structs.replace(file, name=_name(case.label, file, digests(file))))


def _name(label: str, file: SimulationFile, digests: Mapping[str, str]) -> str:
    """A folder's name: words of the case, the seed, and digits that follow from all that is run."""
    known = msgspec.to_builtins(file) | {"name": "", "files": dict(digests)}
    digest = hashlib.sha256(msgspec.json.encode(known, order="deterministic")).hexdigest()
    end = f"s{file.seed}-{digest[:HASH_DIGITS]}"
    words = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[: LONGEST_NAME - len(end) - 1].strip("-")
    return f"{words}-{end}" if words else end


def _lists(grid: Mapping[str, Any]) -> dict[str, list[Any]]:
    found = flat(grid)
    for key, values in found.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError("sweep", f"grid.{key}", "expected a list of values, such as [0.01, 0.1]")
    return {key: list(values) for key, values in found.items()}


def _points(grid: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _varied(point: Mapping[str, Any], grid: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Without what is the same at every point."""
    return {key: value for key, value in point.items() if len(grid[key]) > 1}


def _named(case: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    changes = flat({key: value for key, value in case.items() if key != "name"})
    name = case.get("name", "")
    if not isinstance(name, str):
        raise ConfigError("sweep", "cases.name", "expected a string")
    return name or _said(changes), changes


def _label(sweep: str, name: str, changes: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    """Of a sweep in which nothing varies, its own name."""
    words = [name] if name or changes else []
    return ", ".join([*words, _said(point)] if point else words) or sweep


def _said(changes: Mapping[str, Any]) -> str:
    """Values with the ends of their keys, or the whole keys where two end alike."""
    ends = [key.rpartition(".")[2] for key in changes]
    return ", ".join(
        f"{end if ends.count(end) == 1 else key}={written(key, value).strip(chr(34))}"
        for (key, value), end in zip(changes.items(), ends, strict=True)
    )


def _check(case: Case) -> None:
    for key, reason in RESERVED.items():
        if key in case.changes:
            raise ConfigError(f"case {case.label!r}", key, reason)
