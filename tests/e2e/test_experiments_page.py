"""docs/experiments.md, followed literally, and the notebook that goes with it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from covey_cli.subcommands import SUMMARIES
from covey_simulations.experiments.sweep_file import HalvingSettings, StopSettings, SweepFile
from named_blocks import environment, follow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/experiments.md"
NOTEBOOK = ROOT / "examples/quickstart.ipynb"
MOST_LINES = 20


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_page_is_followed(tmp_path: Path) -> None:
    said = follow(PAGE, tmp_path)
    for words in (
        "12 runs",
        "16 runs, 12 of them over",
        "fedadam, learning_rate=0.1",
        "NO NOISE",
        '"case": "best-rate: learning_rate=0.001"',
        "ended after round 2",
    ):
        assert words in said, f"nobody said {words!r}:\n{said}"
    for name in (
        "runs/optimisers/results.parquet",
        "runs/optimisers/compare.html",
        "runs/digits-1/report.html",
        "compare.html",
        "curves.svg",
        "run.png",
        "optimisers.html",
    ):
        assert (tmp_path / name).is_file(), name


def test_the_page_has_every_key_of_a_sweep() -> None:
    page = PAGE.read_text("utf-8")
    keys = {*SweepFile.__struct_fields__, *StopSettings.__struct_fields__, *HalvingSettings.__struct_fields__}
    tables = {
        "grid": "`[grid]`",
        "cases": "`[[cases]]`",
        "stop": "**`[stop]`**",
        "halving": "**`[halving]`**",
    }
    assert not [key for key in keys if tables.get(key, f"`{key}`") not in page]
    assert {"sweep", "compare", "report"} <= SUMMARIES.keys()


def cells() -> list[str]:
    told = json.loads(NOTEBOOK.read_bytes())
    assert told["nbformat"] == 4
    return ["".join(cell["source"]) for cell in told["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_has_twenty_lines_and_no_outputs() -> None:
    lines = [line for cell in cells() for line in cell.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES
    assert lines[0].startswith("%pip install")
    told = json.loads(NOTEBOOK.read_bytes())
    assert not any(cell.get("outputs") for cell in told["cells"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_notebook_runs_from_its_first_cell_to_its_plot(tmp_path: Path) -> None:
    """Each cell as a notebook would: the value of its last line is shown."""
    (tmp_path / "cells.json").write_text(json.dumps(cells()[1:]))
    (tmp_path / "run.py").write_text(
        "import ast, json, pathlib\n"
        "names, shown = {}, []\n"
        "for source in json.loads(pathlib.Path('cells.json').read_text()):\n"
        "    *body, last = ast.parse(source).body\n"
        "    exec(compile(ast.Module(body, []), 'cell', 'exec'), names)\n"
        "    value = eval(compile(ast.Expression(last.value), 'cell', 'eval'), names)\n"
        "    png = getattr(value, '_repr_png_', lambda: b'')()\n"
        "    html = getattr(value, '_repr_html_', lambda: '')()\n"
        "    shown.append([len(png), html or ''])\n"
        "print(json.dumps(shown))\n"
    )
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (first, _), (_, table), (last, _) = json.loads(done.stdout.splitlines()[-1])
    assert first > 10_000
    assert last > 10_000
    assert "learning_rate=0.05, epochs=4" in table
    results: Any = (tmp_path / "runs/rates/results.csv").read_text().splitlines()
    assert len(results) == 1 + 8
