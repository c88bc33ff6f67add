"""The benchmark of private sums runs, opens the right sums and prints what its help says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "secagg.py"


def run(*options: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(SCRIPT), "--repeat", "1", "--sample", "2", *options]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_has_every_figure() -> None:
    (row,) = run("--profile", "malicious-server", "--n", "12", "--d", "100", "--drop", "5", "--bits", "20")
    assert {
        name: row[name] for name in ("n", "neighbours", "d", "cipher", "bits", "drop", "packed_bytes")
    } == {
        "n": 12,
        "neighbours": 11,
        "d": 100,
        "cipher": "chacha20",
        "bits": 20,
        "drop": 1,
        "packed_bytes": 250,
    }
    for side in ("client", "server"):
        assert list(row[f"{side}_stages_ms"]) == ["advertise", "share", "masked", "consistency", "unmask"]
        assert all(row[f"{side}_{figure}"] > 0 for figure in ("cpu_ms", "min_ms", "floor_ms", "ratio"))
        assert row[f"{side}_bound_ms"] > row[f"{side}_floor_ms"]
    assert row["upload_bytes"] > row["packed_bytes"]
    assert {"peak_extra_mb", "server_peak_extra_mb", "encode_cpu_ms", "noise_cpu_ms"} <= row.keys()


def test_the_sparse_graph_and_both_ciphers_without_tracing_memory() -> None:
    rows = run(
        *("--profile", "semi-honest-server", "--n", "500", "--d", "16", "--drop", "5", "--no-memory"),
        *("--cipher", "aes-256-ctr", "--cipher", "chacha20", "--workers", "2"),
    )
    assert [row["cipher"] for row in rows] == ["aes-256-ctr", "chacha20"]
    for row in rows:
        assert row["neighbours"] < 99
        assert row["drop"] == 25
        assert list(row["server_stages_ms"]) == ["advertise", "share", "masked", "unmask"]
        assert "peak_extra_mb" not in row


@pytest.mark.parametrize("name", ["client_cpu_ms", "server_…", "peak_extra_mb", "--no-memory"])
def test_the_help_explains_itself(name: str) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, check=True, text=True)
    assert name in done.stdout
