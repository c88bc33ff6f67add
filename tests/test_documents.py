"""Documents that list what the code defines must list all of it, and the ready federations must be valid."""

import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from covey.ledger.entries import AnyEntry, Sets
from covey.planner.cohort import Assumptions, cohort_for
from covey_client import conditions
from covey_client.configuration import DeviceFile
from covey_client.csv_windows import CsvSchema
from covey_client.data_folder import DataTable
from covey_io import settings
from covey_server.privacy import protection
from covey_server.settings import FederationFile
from covey_server.sum_rows import reserve_row
from covey_server.summary import Summary
from covey_simulations.settings import SimulationFile
from covey_simulations.world import resolve
from covey_strategies.exchange import Settled
from digits_fleet import TRAIN, crowd, masked, plan_of, question

ROOT = Path(__file__).parents[1]
READY = [
    *sorted((ROOT / "simulations").glob("*.toml")),
    *(ROOT / "simulations/covey_simulations").glob("*.toml"),
]
DEVICES = {"wrist": 20}
"""Devices of data that comes with its own."""
TABLES = re.findall(
    r"^```toml\n(.*?)^```$", (ROOT / "docs/configuration.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)


def keys(kind: Any) -> set[str]:
    found = set()
    for field in msgspec.structs.fields(kind):
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        found |= keys(field.type) if nested else {field.name}
    return found


def test_the_security_page_knows_what_a_policy_limits_and_what_nobody_proves() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "no signed policy" not in page
    assert page.count("That devices prove to nobody what software they run is known.") == 1


def test_click_is_held_where_typer_describes_arguments() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "click>=8.2,<8.5" in project["dependencies"]
    said = subprocess.run(
        [Path(sys.executable).with_name("covey"), "audit", "ledger", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "A run's folder, or a ledger's." in said


def test_the_configuration_page_has_every_key() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    assert not [key for key in keys(SimulationFile) if f"`{key}`" not in page]


def test_the_device_page_has_every_key_and_its_example_is_one() -> None:
    page = (ROOT / "docs/device.md").read_text("utf-8")
    found = keys(DeviceFile) | keys(CsvSchema) | keys(DataTable)
    tables = {"model", "data", "socket", "session", "when", "limits", "csv"}
    assert not [key for key in found - tables if f"`{key}`" not in page]
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = settings.convert(tomllib.loads(text), DeviceFile, "docs/device.md")
    assert conditions.check(file.when, "docs/device.md")


def test_the_runs_page_has_every_key_of_the_summary() -> None:
    page = (ROOT / "docs/runs.md").read_text("utf-8")
    assert not [key for key in keys(Summary) if f"`{key}`" not in page]


def test_the_runs_page_has_every_event_of_a_sum_and_every_key_of_it() -> None:
    page = (ROOT / "docs/runs.md").read_text("utf-8")
    fleet = crowd()
    plan = plan_of(question(TRAIN, list(fleet.devices), minimum=9, protection=masked(fleet)))
    settle = {field.name for field in fields(Settled)} - {"total"}
    words = {*reserve_row(plan), *settle, *Sets.__struct_fields__, "reason", "reserve", "settle", "abort"}
    assert not [word for word in words if f"`{word}`" not in page]


def test_the_runs_page_has_every_kind_of_entry() -> None:
    page = (ROOT / "docs/runs.md").read_text("utf-8")
    kinds = [each.__struct_config__.tag for each in get_args(AnyEntry)]
    assert len(kinds) == 12
    assert not [kind for kind in kinds if f"`{kind}`" not in page]


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_federations_say_how_much_noise_and_can_be_masked(path: Path) -> None:
    file = settings.load(path, SimulationFile)
    found = protection(file, resolve(file.model), None, seeded=True)
    assert bool(found.multipliers) is file.privacy.noise
    if file.privacy.masks is True:
        asked = file.federation.devices_per_round or DEVICES.get(file.data.source, file.data.devices)
        cohort_for(Assumptions(asked, file.privacy.corrupt, minimum=file.federation.minimum_devices))


@pytest.mark.parametrize("text", TABLES, ids=lambda text: text.split()[1])
def test_the_configuration_page_s_own_tables_say_how_much_noise(text: str) -> None:
    plain = tomllib.loads(text) | {"name": "a", "model": {"name": "digits"}, "federation": {"rounds": 10}}
    file = settings.convert(plain, FederationFile, "docs/configuration.md")
    protection(file, resolve(file.model), None, seeded=True)
