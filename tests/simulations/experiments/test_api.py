"""The Python API: runs, sweeps and comparisons as somebody in a notebook has them."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from covey.errors import ConfigError, InputError
from covey.seeds import generator
from covey_models.registry import find
from covey_server.release_run import finished_run
from covey_simulations.api import compare, load, simulate, sweep
from covey_simulations.data.federation import load as load_data
from covey_simulations.data.settings import DataSettings
from covey_simulations.experiments.run_result import Run
from covey_simulations.experiments.sweep_result import Sweep
from small_sweep import FEDERATION

DATA = DataSettings(source="digits", partition="iid", devices=3, examples=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return simulate(FEDERATION, stages="training", runs=tmp_path_factory.mktemp("runs"))


def test_a_run_has_its_metrics_as_columns(run: Run) -> None:
    assert list(run.metrics) == ["round", "loss", "accuracy", "devices", "refused", "seconds"]
    assert list(run.metrics["round"]) == [1, 2, 3, 4, 5, 6]
    assert run.metrics["round"].dtype == np.int64
    assert list(np.isnan(run.metrics["accuracy"])) == [True, False] * 3
    assert run.metrics["accuracy"][-1] == pytest.approx(run.accuracy) == run.summary.accuracy_federated


def test_a_run_that_ended_with_its_training_has_what_it_came_to_and_no_package(run: Run) -> None:
    assert run.report is None
    assert (run.summary.package, run.summary.package_bytes, run.summary.accuracy_fp32) == (None, None, None)
    assert run.summary.privacy.sums == {"train": 6, "validate": 3}
    shapes = {name: weight.shape for name, weight in run.parameters.items()}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == sum(
        weight.numel() for weight in find("digits").build().parameters()
    )


def test_a_run_shows_itself(run: Run) -> None:
    assert repr(run) == f"Run(small: accuracy {run.accuracy:.1%}, 6 rounds, {run.folder})"
    assert "<caption>small, digits</caption>" in run._repr_html_()
    figure = run.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "training loss, nats"]
    (line,) = figure.axes[1].lines
    assert list(np.asarray(line.get_ydata())) == pytest.approx(list(run.metrics["loss"]))
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_run_is_loaded_from_its_folder(run: Run) -> None:
    loaded = load(run.folder)
    assert isinstance(loaded, Run)
    assert loaded.summary == run.summary


def test_keywords_say_what_a_file_says(run: Run, tmp_path: Path) -> None:
    tables: dict[str, Any] = {key: value for key, value in FEDERATION.items() if key not in {"model", "data"}}
    said = simulate(model="digits", data=FEDERATION["data"], **tables, stages="training", runs=tmp_path)
    assert said.summary.model_sha256 == run.summary.model_sha256
    assert said.config == run.config


def test_a_file_and_changes_are_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text(
        'name = "f"\n[model]\nname = "digits"\n[data]\nsource = "digits"\npartition = "iid"\ndevices = 3\n'
        'examples = 120\n[federation]\nrounds = 50\n[privacy]\nnoise = false\nmasks = "elided"\n'
    )
    changes = {"federation.rounds": np.int64(1), "training": {"momentum": 0.5}, "strategy.name": "fedavgm"}
    run = simulate(tmp_path / "f.toml", changes, seed=3, stages="training", runs=tmp_path)
    file = run.config
    assert (file.federation.rounds, file.training.momentum, file.seed) == (1, 0.5, 3)
    assert file.strategy.name == "fedavgm"


def test_the_configuration_can_say_that_a_run_ends_with_its_training(tmp_path: Path) -> None:
    run = simulate(FEDERATION, {"simulation.stages": "training", "federation.rounds": 1}, runs=tmp_path)
    assert run.summary.package is None


def test_data_and_model_can_be_objects(run: Run, tmp_path: Path) -> None:
    data = load_data(DATA, generator(0, "data"))
    given = simulate(FEDERATION, data=data, model=find("digits"), stages="training", runs=tmp_path)
    assert given.summary.model_sha256 == run.summary.model_sha256
    assert "handed over in Python" in (given.folder / "config.toml").read_text()
    with pytest.raises(InputError, match="cannot be gone on with"):
        simulate(FEDERATION, data=data, resume=True, runs=tmp_path)


def test_a_run_that_was_stopped_is_gone_on_with(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = importlib.import_module("covey_simulations.experiments.watching")

    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(watching.Silent, "round_ended", pressed)
        with pytest.raises(KeyboardInterrupt):
            simulate(FEDERATION, stages="training", runs=tmp_path)
    for _ in range(2):  # to its end, and then read
        again = simulate(FEDERATION, stages="training", runs=tmp_path, resume=True)
        assert again.summary.model_sha256 == run.summary.model_sha256
    with pytest.raises(ConfigError, match="another configuration"):
        simulate(FEDERATION, {"training.epochs": 1}, runs=tmp_path, resume=True)
    assert len(list(tmp_path.glob("small*"))) == 1


def test_nothing_is_printed_where_there_is_no_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    simulate(FEDERATION, {"federation.rounds": 1}, stages="training", runs=tmp_path)
    assert capfd.readouterr().out == ""
    simulate(FEDERATION, {"federation.rounds": 1}, stages="training", runs=tmp_path, progress=True)
    assert "training" in capfd.readouterr().out


def test_a_callers_threads_are_left_as_they_were(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        simulate(FEDERATION, {"federation.rounds": 1}, stages="training", runs=tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"config": {"name": "x"}}, "configuration: object missing required field"),
        ({"federation": {"rounds": 1}}, "keywords"),
        ({"config": "gone.toml"}, "gone.toml: no such file"),
        ({"config": FEDERATION, "changes": {"federation.round": 1}}, "did you mean rounds?"),
        ({"config": FEDERATION, "changes": {"privacy.epsilon": None}}, "leave the key out"),
        ({"config": FEDERATION, "changes": {"privacy.epsilon": object()}}, "cannot be written in TOML"),
    ],
)
def test_what_is_wrong_is_said(call: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        simulate(**call, runs=tmp_path)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_over_objects_runs_in_this_process(tmp_path: Path) -> None:
    data = load_data(DATA, generator(0, "data"))
    keys: dict[str, Any] = {
        "name": "rates",
        "base": {key: value for key, value in FEDERATION.items() if key not in {"data", "model"}},
        "grid": {"training.learning_rate": (0.002, np.float64(0.05))},
        "seeds": range(2),
    }
    found = sweep(**keys, data=data, model=find("digits"), runs=tmp_path)
    assert isinstance(found, Sweep)
    assert repr(found) == f"Sweep({tmp_path / 'rates'}: 4 of 4 runs finished)"
    assert list(found.results["training.learning_rate"]) == [0.002, 0.002, 0.05, 0.05]
    assert found.results["accuracy"][2:].min() > found.results["accuracy"][:2].max()
    assert len(found.rounds["loss"]) == 24
    assert list(found.runs) == list(found.results["run"])
    assert "learning_rate=0.05" in found._repr_html_()
    compared = compare(found, target=0.5)
    assert list(compared.columns["n"]) == [2, 2]
    assert "learning_rate=0.05" in repr(compared)
    assert compared.html(tmp_path / "c.html").read_text().startswith("<!DOCTYPE html>")
    loaded = load(tmp_path / "rates")
    assert isinstance(loaded, Sweep)
    other = load_data(DATA, generator(1, "data"))  # the same call on other data is other runs
    more = sweep(**keys, data=other, model=find("digits"), runs=tmp_path)
    assert not set(more.runs) & set(found.runs)


def test_failures_are_results(tmp_path: Path) -> None:
    found = sweep(
        {"name": "bad", "base": FEDERATION, "grid": {"data.source": ["folder"]}},
        data=None,
        model=find("digits"),
        runs=tmp_path,
    )
    assert list(found.failures.values()) == ["data.path: empty"]
    assert "1 failed" in repr(found)
    assert "no run is finished" in found._repr_html_()


def test_importing_the_api_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'flwr', 'numpy', 'scipy', 'matplotlib', 'pyarrow', 'pandas'}"
    code = f"import sys, covey_simulations.api; print({heavy} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_no_release_is_made_of_a_run_without_a_package(run: Run) -> None:
    with pytest.raises(InputError, match="ended with its training") as caught:
        finished_run(run.folder)
    assert "simulation.stages=all" in caught.value.hint
