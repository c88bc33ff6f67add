"""Cheated copies of a real run of the demo, one a folder: `covey audit` finds each by its own finding."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cheating import folders
from cheating.every import EVERY
from cheating.folders import AUDIT, FOLDER, HONEST, PAGE
from cheating.page import page
from covey.ledger.findings import KINDS
from covey_audit import clock
from covey_audit.audit_commands import audit

A_DAY_LATER = folders.about("entry-changed").now
NAMES = folders.names()


@pytest.fixture(autouse=True)
def without_opacus(monkeypatch: pytest.MonkeyPatch) -> None:
    """It brings PyTorch, and computes what dp-accounting does; other tests hold them against each other."""
    monkeypatch.setitem(sys.modules, "opacus", None)


def audited(
    files: folders.Files,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...] = (),
    now: int = A_DAY_LATER,
) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON of `covey audit`, of files in a folder."""
    folders.write(place, files)
    monkeypatch.chdir(place)
    monkeypatch.setattr(clock, "time", lambda: now)
    result = CliRunner().invoke(audit, [*AUDIT, *more, "--json"])
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def grave(said: dict[str, Any]) -> set[str]:
    return {each["code"] for each in said["findings"] if each["severity"] != "note"}


def test_the_honest_run_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = audited(folders.read(FOLDER / HONEST), tmp_path, monkeypatch)
    assert status == 0
    assert said["level"] == 2
    assert {each["code"] for each in said["findings"]} == {"simulation", "tuning-unstated"}
    rests = "The enrolment key that you gave certifies simulated devices, and protects nobody."
    assert rests in said["trusts"]


@pytest.mark.parametrize("name", NAMES)
def test_a_cheat_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = folders.about(name)
    status, said = audited(folders.cheated(name), tmp_path, monkeypatch, about.audit, about.now)
    assert status == 1
    found = {(each["code"], each["entry"], each["severity"]) for each in said["findings"]}
    assert (about.found.code, about.found.entry, about.found.severity) in found
    assert grave(said) == {about.found.code, *about.also}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_what_differs_and_nothing_else(name: str) -> None:
    honest, changed, removed = (
        folders.read(FOLDER / HONEST),
        folders.overlay(name),
        folders.about(name).removed,
    )
    assert changed or removed
    assert all(honest.get(path) != data for path, data in changed.items())
    assert set(removed) <= honest.keys() - changed.keys()


@pytest.mark.parametrize("name", NAMES)
def test_no_cheat_changes_the_keys_that_the_reader_holds(name: str) -> None:
    assert not {folders.REVIEWER, folders.ENROLMENT} & folders.overlay(name).keys()


@pytest.mark.parametrize("name", EVERY)
def test_a_folder_is_what_the_script_makes(name: str) -> None:
    assert folders.read(FOLDER / name) == EVERY[name].folder()


def test_every_cheat_has_a_folder_and_a_row() -> None:
    assert sorted(EVERY) == NAMES
    assert (FOLDER / PAGE).read_text("utf-8") == page()


def test_every_finding_is_in_the_table_of_findings() -> None:
    table = (Path(__file__).parents[2] / "docs/findings.md").read_text("utf-8")
    for name in NAMES:
        about = folders.about(name)
        for code in (about.found.code, *about.also):
            assert f"| `{code}` |" in table
        assert KINDS[about.found.code].severity == about.found.severity


def test_no_two_cheats_are_one() -> None:
    made = {tuple(sorted(folders.cheated(name).items())) for name in NAMES}
    assert len(made) == len(NAMES)
