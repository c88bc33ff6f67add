"""The benchmark of releases runs, with real processes, and prints what its help says."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / "benchmarks" / "releases.py"


def run(*options: str) -> list[dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, check=False, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    parts = ("package", "poll", "update", "switch", "latency", "rollout")
    chosen = [word for part in parts for word in ("--part", part)]
    sizes = ("--repeat", "2", "--updates", "1", "--switches", "1", "--rounds", "1", "--devices", "2000")
    return run(*chosen, "--model", "digits", *sizes)


def of(rows: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["part"] == part]


def test_a_package_is_more_than_its_parts(rows: list[dict[str, Any]]) -> None:
    (row,) = of(rows, "package")
    sizes = row["package_bytes"]
    assert set(sizes) == {"archive", "fp32", "int8", "provenance", "bom", "card"}
    assert sizes["archive"] > sum(size for name, size in sizes.items() if name != "archive")
    assert all(row[name] > 0 for name in ("verify_ms", "verify_p95_ms", "provenance_ms", "provenance_p95_ms"))


def test_a_poll_without_news_is_two_requests(rows: list[dict[str, Any]]) -> None:
    warm, cold = of(rows, "poll")
    assert (warm["cache"], warm["update_check_requests"]) == ("warm", 2)
    assert (cold["cache"], cold["update_check_requests"]) == ("cold", 7)
    assert 0 < warm["bytes_received"] < cold["bytes_received"]


def test_an_update_brings_the_archive_once(rows: list[dict[str, Any]]) -> None:
    (row,) = of(rows, "update")
    assert list(row["steps_ms"]) == ["fetch", "verify", "stage", "selftest", "shadow", "switch", "settle"]
    assert row["archive_bytes"] < row["bytes_per_update"] < 2 * row["archive_bytes"]
    peak = row["update_peak_rss_mb"]
    assert 0 < row["update_loaded_rss_mb"] <= peak < row["children_peak_rss_mb"]["self_test"]
    assert 0 < sum(row["steps_ms"].values()) < 1e3 * row["update_s"] < 1e3 * row["process_s"]
    assert row["longest_predict_at_switch_ms"] > row["predict_p50_before_ms"] > 0


def test_both_models_have_a_latency(rows: list[dict[str, Any]]) -> None:
    (row,) = of(rows, "latency")
    for variant in ("fp32", "int8"):
        assert 0 < row["p50_us"][variant] <= row["p95_us"][variant]
    assert row["int8_over_fp32"] == pytest.approx(row["p50_us"]["int8"] / row["p50_us"]["fp32"], rel=0.01)


def test_a_bad_release_stops_and_a_good_one_does_not(rows: list[dict[str, Any]]) -> None:
    ends = {(row["scenario"], row["health_deviation"]): row for row in of(rows, "rollout")}
    assert ends["good", 0.0]["ends"] == "complete"
    assert ends["bad", 0.0]["hours_to_detect"] > 0
    assert ends["worst", 20.0]["affected"] < 2000


def test_the_application_notices_the_switch_and_no_other(rows: list[dict[str, Any]]) -> None:
    switches = of(rows, "switch")
    assert [row["pause_between_requests_ms"] for row in switches] == [0.0, 5.0]
    for row in switches:
        assert row["noticed"] == row["switches"] == 1
        assert 0 < row["switch_pause_own_ms"] <= row["switch_pause_ms"]
        assert row["p50_ms"] < row["p99_ms"]


def test_the_help_explains_the_figures(rows: list[dict[str, Any]]) -> None:
    explained = ast.get_docstring(ast.parse(SCRIPT.read_text())) or ""
    printed = {name for row in rows for name in row}
    for name in ("package_bytes", "verify_ms", "update_check_ms", "update_peak_rss_mb", "switch_pause_ms"):
        assert name in explained
        assert name in printed
