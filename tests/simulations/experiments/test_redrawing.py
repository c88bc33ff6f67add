"""Reports drawn again from a finished run's folder."""

from pathlib import Path

import pytest

from covey.errors import InputError, StateError
from covey_simulations.api import simulate
from covey_simulations.experiments.redrawing import redraw
from covey_simulations.experiments.run_result import Run
from html_page import Page
from small_sweep import FEDERATION


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = {"federation.rounds": 2, "central": {"enabled": True, "epochs": 1}}
    return simulate(FEDERATION, changes, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def trained(tmp_path: Path) -> Run:
    return simulate(FEDERATION, {"name": "trained"}, stages="training", runs=tmp_path)


def test_a_report_drawn_again_is_the_report(whole: Run) -> None:
    assert whole.report is not None
    before = whole.report.read_text("utf-8")
    whole.report.unlink()
    assert redraw(whole.folder) == whole.report
    assert whole.report.read_text("utf-8") == before


def test_a_report_can_get_another_run_beside_it_and_keeps_it(whole: Run, trained: Run) -> None:
    page = redraw(whole.folder, trained.folder).read_text("utf-8")
    assert "Beside the run without noise: trained" in " ".join(Page(page).html.split())
    assert redraw(whole.folder).read_text("utf-8") == page


def test_a_run_that_ended_with_its_training_gets_a_report_without_a_package(trained: Run) -> None:
    page = Page(redraw(trained.folder).read_text("utf-8"))
    words = " ".join(" ".join(page.words).split())
    assert f"The model gets {100 * trained.accuracy:.1f} %" in words
    assert "No package was built." in words
    assert "3 simulated devices trained" in words
    assert trained.summary.model_sha256 in page.html
    assert "the model trained on pooled data" not in words
    assert f"covey simulate {trained.folder / 'config.toml'}" in words


def test_what_cannot_be_drawn_is_said(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run"):
        redraw(tmp_path)
    (trained.folder / "validation.json").write_text("{")
    with pytest.raises(StateError, match=r"validation.json is damaged"):
        redraw(trained.folder)
    (trained.folder / "validation.json").unlink()
    with pytest.raises(InputError, match="keeps nothing to draw a report from"):
        redraw(trained.folder)
    (trained.folder / "report.msgpack").write_bytes(b"\xc1")
    with pytest.raises(StateError, match="not what this version writes"):
        redraw(trained.folder)
    (trained.folder / "summary.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        redraw(trained.folder)
