"""Comparisons of real runs: of a small sweep, and of runs by themselves."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from rich.console import Console

from covey.errors import InputError
from covey_simulations import experiment_commands
from covey_simulations.api import compare, simulate
from covey_simulations.experiments import comparison_page, comparison_table, figures
from covey_simulations.experiments.comparison import Comparison
from covey_simulations.experiments.comparison import compare as read_comparison
from covey_simulations.experiments.sweep_folder import SweepFolder
from covey_simulations.report import svg
from html_page import HOSTILE, Page
from small_sweep import FEDERATION, carried_out

CASES = ["learning_rate=0.002", "learning_rate=0.05"]
KEYS: dict[str, Any] = {
    "grid": {"training.learning_rate": [0.002, 0.05]},
    "seeds": [0, 1, 2],
    "target": 0.6,
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return carried_out(tmp_path_factory.mktemp("sweep"), **KEYS)


@pytest.fixture(scope="module")
def found(swept: SweepFolder) -> Comparison:
    return read_comparison([swept.path])


def copied(swept: SweepFolder, to: Path) -> SweepFolder:
    shutil.copytree(swept.path, to / "rates")
    return SweepFolder(to / "rates")


def test_cases_have_means_and_differences_of_their_seeds(swept: SweepFolder, found: Comparison) -> None:
    with (swept.path / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    accuracies = {
        case: np.array([float(row["accuracy"]) for row in rows if row["case"] == case]) for case in CASES
    }
    assert [line.case for line in found.lines] == CASES
    for line in found.lines:
        assert line.accuracy is not None
        assert line.n == line.accuracy.n == 3
        assert line.accuracy.mean == pytest.approx(accuracies[line.case].mean())
    first, second = found.lines
    assert first.difference is None
    assert second.difference is not None
    differences = accuracies[CASES[1]] - accuracies[CASES[0]]
    assert second.difference.mean == pytest.approx(differences.mean())
    assert second.difference.half == pytest.approx(4.3027 * differences.std(ddof=1) / 3**0.5, rel=1e-4)


def test_rounds_to_the_target_are_of_those_that_have_reached_it(found: Comparison) -> None:
    assert found.target == 0.6  # the sweep's own
    slow, quick = found.lines
    assert (slow.reached, slow.rounds_to_target) == (0, None)
    assert quick.reached == 3
    assert quick.rounds_to_target is not None
    assert 2 <= quick.rounds_to_target.mean <= 6


def test_a_curve_is_the_mean_where_all_seeds_were_validated(found: Comparison) -> None:
    curve = found.curves("accuracy")[1]
    values = np.array([run.metrics["accuracy"][1::2] for run in found.lines[1].runs.values()])
    assert list(curve.rounds) == [2, 4, 6]
    assert curve.mean == pytest.approx(values.mean(axis=0))
    assert len(found.curves("loss")[0].rounds) == 6
    assert not curve.cut


def test_a_curve_ends_with_the_first_seed_that_ended(tmp_path: Path) -> None:
    folder = carried_out(tmp_path, grid={}, seeds=[0, 1], base=FEDERATION, stop={"target": 0.56})
    ended = sorted(len(record.rounds) for record in folder.records().values())
    (curve,) = read_comparison([folder.path]).curves("accuracy")
    assert ended[0] < ended[1]
    assert curve.rounds[-1] == ended[0]
    assert curve.cut


def test_another_baseline_turns_differences_round(swept: SweepFolder) -> None:
    found = read_comparison([swept.path], CASES[1])
    assert found.baseline == CASES[1]
    assert found.lines[1].difference is None
    assert found.lines[0].difference is not None
    assert found.lines[0].difference.mean < 0
    with pytest.raises(InputError, match="no case 'x'") as caught:
        read_comparison([swept.path], "x")
    assert CASES[1] in caught.value.hint


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed, rate in (("a", 0, 0.05), ("a-again", 1, 0.05), ("b", 1, 0.02)):
        changes = {"name": name, "seed": seed, "training.learning_rate": rate}
        simulate(FEDERATION, changes, stages="training", runs=folder)
    return folder


def test_runs_that_differ_in_name_and_seed_alone_are_one_case(runs: Path) -> None:
    found = read_comparison([runs / name for name in ("a", "a-again", "b")])
    assert [(line.case, list(line.runs)) for line in found.lines] == [("a", [0, 1]), ("b", [1])]
    assert found.lines[1].difference is not None
    assert found.lines[1].difference.n == 1
    words = printed(found)
    assert "n = 1 has no interval" in words
    assert "over the seeds that a case shares" not in words


def test_the_same_case_and_seed_twice_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "a", tmp_path / "a")
    with pytest.raises(InputError, match="the same case with the same seed"):
        read_comparison([runs / "a", tmp_path / "a"])


def test_different_cases_of_one_name_are_told_apart_by_folder(runs: Path, tmp_path: Path) -> None:
    other = simulate(
        FEDERATION, {"name": "a", "training.learning_rate": 0.1}, stages="training", runs=tmp_path
    )
    found = read_comparison([runs / "a", other.folder])
    assert [line.case for line in found.lines] == ["a", str(other.folder)]


def test_sweeps_and_runs_stand_beside_one_another(swept: SweepFolder, runs: Path) -> None:
    found = read_comparison([swept.path, runs / "b"], baseline="b")
    assert [line.case for line in found.lines] == [f"rates: {case}" for case in CASES] + ["b"]


def test_nothing_finished_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run"):
        compare(tmp_path)


def test_what_is_missing_is_said(swept: SweepFolder, tmp_path: Path) -> None:
    folder = copied(swept, tmp_path)
    gone = folder.listing().runs[4]
    (folder.run(gone.run) / "summary.json").unlink()
    found = read_comparison([folder.path])
    assert found.missing == (f"{gone.case}, seed 1 is not finished",)
    assert found.lines[1].n == 2
    assert found.missing[0] in printed(found)
    assert found.missing[0] in comparison_page.render(found, "2026-01-01T00:00")


def printed(found: Comparison) -> str:
    words = io.StringIO()
    comparison_table.show(found, Console(file=words))
    return words.getvalue()


def test_the_table_has_every_case_on_one_line_where_nobody_folds_it(found: Comparison) -> None:
    head, *lines = printed(found).splitlines()
    assert re.search(
        r"Case .*Accuracy .*Against baseline, points .*Rounds to 60 %", head.replace("\u00a0", " ")
    )
    for line, case in zip(lines, CASES, strict=False):
        assert line.startswith(case)
    assert "baseline" in lines[0]
    assert "not reached" in lines[0]
    assert re.search(r"\d\d\.\d\u00a0% ± \d", lines[1])
    assert "Student's t" in lines[2]


def test_a_command_prints_table_csv_or_json_and_writes_pictures(
    swept: SweepFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment_commands.compare([swept.path], as_csv=True, baseline=CASES[1])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["case"] for row in rows] == CASES
    assert rows[1]["difference"] == ""
    page, picture = tmp_path / "more" / "c.html", tmp_path / "c.svg"
    experiment_commands.compare([swept.path], as_json=True, target=0.3, html=page, plot=picture)
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["baseline"], told["target"]) == (CASES[0], 0.3)
    assert [case["n"] for case in told["cases"]] == [3] * 2
    assert said.err.split() == [str(page), str(picture)]
    assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - just written
    experiment_commands.compare([swept.path], plot=tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "c.png") in capsys.readouterr().out
    with pytest.raises(InputError, match=r"end the name in \.svg or \.png"):
        experiment_commands.compare([swept.path], plot=tmp_path / "c.pdf")


def test_a_sweep_has_a_page_by_its_report(swept: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    experiment_commands.report(swept.path)
    assert capsys.readouterr().out.strip() == str(swept.path / "compare.html")
    with pytest.raises(InputError, match="a sweep stands beside nothing"):
        experiment_commands.report(swept.path, beside=swept.path)


def page_of(found: Comparison) -> Page:
    return Page(comparison_page.render(found, "2026-01-01T00:00"))


def test_the_page_is_whole_and_loads_nothing(found: Comparison) -> None:
    page = page_of(found)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    loaded = [value for _, name, value in page.attributes if name in {"src", "href"}]
    assert all(value.startswith("#") for value in loaded)
    assert page.tags["svg"] == 8  # four pictures, each for a page and for a phone
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_page_says_what_the_comparison_says(found: Comparison) -> None:
    words = " ".join(" ".join(page_of(found).words).split())
    best = found.best
    assert best.accuracy is not None
    assert f"The most accurate case is {best.case}" in words
    assert f"{100 * best.accuracy.mean:.1f} %" in words
    assert "6 simulated runs in 2 cases" in words
    for line in found.lines:
        for run in line.runs.values():
            assert str(run.folder) in words


def test_colours_of_a_picture_are_the_pages(found: Comparison) -> None:
    html = comparison_page.render(found, "2026-01-01T00:00")
    assert not re.findall(r"#0a00\d\d", html)
    assert "var(--orange)" in html
    for name in ("green", "purple", "pink", "olive", "teal", "brown"):
        assert html.count(f"--{name}: #") == 2  # for the light scheme and for the dark


def test_a_picture_that_stands_alone_has_colours_of_its_own(found: Comparison) -> None:
    drawn = figures.saved(comparison_page.plot(found), "svg").decode()
    assert not re.findall(r"#0a00\d\d|var\(", drawn)
    assert figures.PLAIN[svg.BLUE] in drawn


def test_names_cannot_do_anything_to_the_page(swept: SweepFolder, tmp_path: Path) -> None:
    folder = copied(swept, tmp_path)
    listing = folder.listing()
    hostile = [msgspec.structs.replace(each, case=each.case + HOSTILE) for each in listing.runs]
    listing = msgspec.structs.replace(listing, runs=tuple(hostile))
    (folder.path / "sweep.json").write_bytes(msgspec.json.encode(listing))
    found = read_comparison([folder.path])
    page = page_of(found)
    assert "script" not in page.tags
    assert "\u202e" not in page.html
    assert HOSTILE not in compare(folder.path)._repr_html_()
    assert "<script>" in printed(found)  # a terminal has nothing that it could do


def test_many_cases_are_drawn_as_far_as_they_can_be_told_apart(swept: SweepFolder, tmp_path: Path) -> None:
    folder = copied(swept, tmp_path)
    listing = folder.listing()
    many = [
        msgspec.structs.replace(each, case=f"case {number} {each.case}")
        for number in range(12)
        for each in listing.runs[3:]
    ]
    (folder.path / "sweep.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(listing, runs=tuple(many)))
    )
    found = read_comparison([folder.path])
    drawn = comparison_page.drawn(found, "accuracy")
    assert len(drawn) == figures.MOST_CURVES
    assert drawn[0].case == found.baseline
    assert "the baseline and the most accurate are drawn" in page_of(found).html


@pytest.mark.parametrize(
    ("name", "most", "short"),
    [("short", 9, "short"), ("fedadam, learning_rate=0.02", 15, "fedad…rate=0.02")],
)
def test_what_tells_names_apart_is_kept(name: str, most: int, short: str) -> None:
    assert figures.squeezed(name, most) == short
    assert len(figures.squeezed(name, most)) <= most
