"""`covey sweep` as a person runs it: processes, Ctrl-C, a process that dies, and the same command again."""

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from covey_simulations.experiments.pool import WORKER
from small_federation import command
from small_sweep import FEDERATION, carried_out

LONGER: dict[str, Any] = FEDERATION | {"federation": FEDERATION["federation"] | {"rounds": 12}}
KEYS: dict[str, Any] = {"name": "rates", "base": LONGER, "seeds": [0, 1], "parallel": 2}
GRID = {"training.learning_rate": [0.01, 0.05]}
BEGINNING = 120.0
"""Seconds that processes have to begin with their runs."""


def write(folder: Path) -> Path:
    path = folder / "rates.toml"
    path.write_bytes(msgspec.toml.encode(KEYS | {"grid": GRID}))
    return path


@contextmanager
def begun(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command, in a process group of its own, as a terminal would have it."""
    with subprocess.Popen(
        [command(), "sweep", str(write(folder))],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def rounds(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (folder / "runs/rates").glob("*/metrics.jsonl"))


def until(folder: Path, least: int) -> None:
    """Wait until so many rounds are done."""
    deadline = time.monotonic() + BEGINNING
    while rounds(folder) < least:
        assert time.monotonic() < deadline, "no round is done"
        time.sleep(0.02)


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs/rates/results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def again(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [command(), "sweep", "rates.toml", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.long
def test_ctrl_c_leaves_what_the_same_command_goes_on_with(tmp_path: Path) -> None:
    with begun(tmp_path) as process:
        until(tmp_path, 3)
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("covey: stopped -> go on: covey sweep ")
    assert out.startswith("4 runs\n")
    assert {row["state"] for row in results(tmp_path)} >= {"unfinished"}
    before = rounds(tmp_path)
    done = again(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "covey compare runs/rates"
    assert sum(": accuracy " in line for line in lines) == 4 - sum("over" in line for line in lines[:1])
    assert rounds(tmp_path) == 4 * 12 > before >= 3
    whole = carried_out(tmp_path / "whole", base=LONGER, grid=GRID, seeds=[0, 1])
    models = [record.summary.model_sha256 for record in whole.records().values()]
    assert [row["model_sha256"] for row in results(tmp_path)] == models
    assert not list((tmp_path / "runs/rates/failures").iterdir())


@pytest.mark.long
def test_a_process_that_dies_costs_its_run_and_no_other(tmp_path: Path) -> None:
    with begun(tmp_path) as process:
        until(tmp_path, 1)
        workers = [
            child
            for child in psutil.Process(process.pid).children()
            if any(WORKER in word for word in child.cmdline())
        ]
        assert 1 <= len(workers) <= 2
        workers[0].send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "1 of 4 runs failed -> mend it, then --retry-failed" in err
    assert "FAILED: its process was killed, as the system does where memory runs out" in out
    states = [row["state"] for row in results(tmp_path)]
    assert sorted(states) == ["failed", "finished", "finished", "finished"]
    assert again(tmp_path).returncode == 1
    done = again(tmp_path, "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert [row["state"] for row in results(tmp_path)] == ["finished"] * 4


def test_a_wrong_sweep_begins_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    done = again(tmp_path, "--set", "grid.training.epochs=[1, 0]")
    assert done.returncode == 2
    assert "case 'learning_rate=0.01, epochs=0': training.epochs" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_listing_has_what_was_asked(tmp_path: Path) -> None:
    folder = carried_out(tmp_path, seeds=[0])
    told = json.loads((folder.path / "sweep.json").read_bytes())
    assert [run["changes"] for run in told["runs"]] == [
        {"training.learning_rate": 0.001},
        {"training.learning_rate": 0.05},
    ]
