"""The comparison of accountants runs, is the same every time, and holds what docs/accountants.md says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accountants.py"
RUNS = 60
FINE = 1024
"""Sensitivity, of plans too, from which on the libraries agree with the closed form to 1e-6."""


def run(*options: str) -> str:
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, check=True, text=True)
    assert not done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accountants") / "table.md"


@pytest.fixture(scope="module")
def lines(table: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("--runs", str(RUNS), "--table", str(table)).splitlines()]


def gaps(line: dict[str, Any]) -> list[float]:
    return [line["dp_accounting_gap"], line["opacus_gap"]]


def test_every_kind_of_run_is_among_them(lines: list[dict[str, Any]]) -> None:
    assert len(lines) == RUNS
    assert {line["group"] for line in lines} == {"exact", "sampled exact", "rounded", "sampled rounded"}
    assert {line["formula"] for line in lines} >= {"A", "sampled"}
    assert {s["mechanism"] for line in lines for s in line["sums"]} == {"skellam", "discrete-gaussian"}


def test_no_library_lies_below_the_closed_form(lines: list[dict[str, Any]]) -> None:
    assert min(min(gaps(line)) for line in lines) > -1e-9


def test_without_rounding_all_agree(lines: list[dict[str, Any]]) -> None:
    assert max(max(gaps(line)) for line in lines if line["group"] == "exact") < 1e-9
    fine = [line for line in lines if min(s["sensitivity"] for s in line["sums"]) >= FINE]
    assert len(fine) > RUNS // 10
    assert max(max(gaps(line)) for line in fine) < 1e-6


def test_with_coarse_integers_they_lie_slightly_above(lines: list[dict[str, Any]]) -> None:
    assert 1e-6 < max(max(gaps(line)) for line in lines) < 1e-3
    unsampled = [line for line in lines if line["group"] == "rounded"]
    assert max(line["dp_accounting_gap"] for line in unsampled) < 1e-9


def test_the_same_seed_gives_the_same_lines_and_another_does_not(lines: list[dict[str, Any]]) -> None:
    assert [json.loads(line) for line in run("--runs", "2").splitlines()] == lines[:2]
    assert [json.loads(line) for line in run("--runs", "2", "--seed", "1").splitlines()] != lines[:2]


@pytest.mark.usefixtures("lines")
def test_the_table_has_a_row_for_each_group_and_library(table: Path) -> None:
    rows = table.read_text("utf-8").splitlines()
    assert rows[0].startswith("| runs | how many |")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert [row[0] for row in cells[::2]] == ["exact", "sampled exact", "rounded", "sampled rounded"]
    assert sum(int(row[1]) for row in cells[::2]) == RUNS
    assert {row[3] for row in cells} == {"dp-accounting", "Opacus"}
