"""Documents that list what the code defines must list all of it, and the ready federations must be valid."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from covey_io import settings
from covey_server.summary import Summary
from covey_simulations.settings import SimulationFile

ROOT = Path(__file__).parents[1]
READY = [*sorted((ROOT / "simulations").glob("*.toml")), ROOT / "simulations/covey_simulations/demo.toml"]


def keys(kind: Any) -> set[str]:
    found = set()
    for field in msgspec.structs.fields(kind):
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        found |= keys(field.type) if nested else {field.name}
    return found


def test_the_configuration_page_has_every_key() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    assert not [key for key in keys(SimulationFile) if f"`{key}`" not in page]


def test_the_runs_page_has_every_key_of_the_summary() -> None:
    page = (ROOT / "docs/runs.md").read_text("utf-8")
    assert not [key for key in keys(Summary) if f"`{key}`" not in page]


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_federations_are_valid(path: Path) -> None:
    settings.load(path, SimulationFile)
