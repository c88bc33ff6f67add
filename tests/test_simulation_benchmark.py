"""The benchmark of simulated client updates runs, measures whole process trees, and shows what it found."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "simulation.py"
FIGURES = ("cpu_ms_per_update", "updates_per_s", "peak_rss_mb", "peak_pss_mb", "first_round_s", "round_s")


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    nowhere = str(tmp_path_factory.mktemp("peers"))
    small = ("--rounds", "2", "--engines", "batched", "--peers", "loop", "pfl", "--environments", nowhere)
    done = run("--workloads", "W3", *small)
    assert (
        f"pfl is left out, it is not installed: benchmarks/simulation.py peers --make {nowhere}"
        in done.stderr
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_has_every_figure(lines: list[dict[str, Any]]) -> None:
    assert [(line["peer"], line["engine"]) for line in lines] == [("covey", "batched"), ("torch", "loop")]
    for line in lines:
        assert (line["workload"], line["clients"], line["cohort"], line["rounds"]) == ("W3", 1000, 100, 2)
        assert all(line[figure] > 0 for figure in FIGURES)
        assert line["cpu_ms_per_update"] == pytest.approx(1e3 * line["cpu_s"] / 100, rel=0.01)
        assert line["updates_per_s"] == pytest.approx(100 / line["wall_s"], rel=0.01)
        assert {"python", "torch"} < line["versions"].keys() | {"covey"}


def test_all_begin_with_the_same_weights_and_learn_the_same(lines: list[dict[str, Any]]) -> None:
    ours, loop = (line["loss"] for line in lines)
    assert ours == pytest.approx(loop, abs=0.01)
    assert ours < 2.303  # ln 10: what chance gets


def test_the_lines_become_a_table(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    head, _, ours, loop = run("--table", str(path)).stdout.splitlines()
    assert head.split("|")[2].strip() == "W3"
    assert ours.startswith("| covey, batched | ")
    assert f"{lines[1]['cpu_ms_per_update']:.3g}" in loop


@pytest.mark.parametrize(
    ("options", "said"),
    [((), FIGURES), (("growth",), ("--fleets", "--cohorts", "--plot")), (("peers",), ("--make",))],
)
def test_the_help_explains_itself(options: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert all(word in run(*options, "--help").stdout for word in said)


def test_a_single_round_cannot_be_measured() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rounds", "1"], capture_output=True, check=False, text=True
    )
    assert done.returncode == 2
    assert "at least 2: the first round is not measured" in done.stderr


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # its parts import one another by bare names
    return importlib.import_module("simulation_measuring")


BURNING = """
import os, time
from pathlib import Path
from simulation_peers.job import Job

def burn():
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass

def orphan():
    if os.fork():
        os._exit(0)
    burn()
    Path("orphan").touch()
    time.sleep(60)

job = Job.given()
job.round_ended(1)
burn()
for work in (burn, orphan):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    os.waitpid(child, 0)
while not Path("orphan").exists():
    time.sleep(0.01)
job.round_ended(2)
job.finished(1.0, 0.0, [])
"""


def start(parts: ModuleType, program: str, folder: Path) -> Any:
    path = folder / "program.py"
    path.write_text(textwrap.dedent(program))
    command = [sys.executable, str(path), str(folder), "2", "engine", "{socket}"]
    return parts.measure(command, {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}, folder, 30.0)


def test_time_of_children_and_of_orphans_counts(parts: ModuleType) -> None:
    with parts.scratch() as folder:
        found = start(parts, BURNING, folder)
    assert 0.59 < found.cpu_s < 0.75
    assert found.peak_rss_mb >= found.peak_pss_mb > 0
    assert found.said["accuracy"] == 1.0
    assert not list(parts.descendants(os.getpid()))


def test_a_program_that_fails_says_why(parts: ModuleType) -> None:
    with parts.scratch() as folder, pytest.raises(parts.Failed, match="status 3\nno such data"):
        start(parts, "import sys\nprint('no such data', flush=True)\nsys.exit(3)", folder)


def grown(kind: str, clients: int, cohort: int, seconds: float) -> dict[str, Any]:
    return {
        "workload": kind,
        "peer": "covey",
        "engine": "batched",
        "clients": clients,
        "cohort": cohort,
        "round_s": seconds,
        "cpu_ms_per_update": 0.1,
        "peak_rss_mb": 400.0,
    }


def test_growth_becomes_a_table_and_a_picture(tmp_path: Path) -> None:
    points = [
        grown("fleet", 1000, 100, 0.02),
        grown("fleet", 10_000, 100, 0.03),
        grown("cohort", 10_000, 10, 0.1),
    ]
    path, picture = tmp_path / "growth.jsonl", tmp_path / "growth.svg"
    path.write_text("\n".join(map(json.dumps, points)))
    assert (
        "| covey, batched | 10,000 | 100 | 0.03 | 0.1 | 400 |" in run("growth", "--table", str(path)).stdout
    )
    run("growth", "--table", str(path), "--plot", str(picture))
    drawn = picture.read_text()
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - the benchmark wrote it a moment ago
    assert not re.search(r"fill: #(fff|000)", drawn)  # transparent: it stands on a light or a dark page


def test_a_grown_fleet_has_a_size_for_every_client(parts: ModuleType, tmp_path: Path) -> None:
    del parts
    data, growth = map(importlib.import_module, ("simulation_data", "simulation_growth"))
    workload = importlib.import_module("simulation_peers.workload")
    (asked,) = growth.points([3000], [])
    data.prepare(asked, tmp_path / "data")
    clients = workload.read(tmp_path / "data")
    assert {len(clients.of(client)[1]) for client in range(3000)} == set(range(20, 51))
    assert len(clients.y) < 1000 * 50


def test_batches_are_of_one_length_give_or_take_one(parts: ModuleType) -> None:
    del parts
    workload = importlib.import_module("simulation_peers.workload")
    for size in range(1, 60):
        found = workload.batches(size, 10)
        assert [each.start for each in found[1:]] == [each.stop for each in found[:-1]]
        lengths = [each.stop - each.start for each in found]
        assert sum(lengths) == size
        assert max(lengths) - min(lengths) <= 1


def test_the_docstring_names_every_figure() -> None:
    explained = ast.get_docstring(ast.parse(SCRIPT.read_text())) or ""
    assert all(figure in explained for figure in FIGURES)
