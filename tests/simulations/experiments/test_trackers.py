"""What is said where a library is missing; where TensorBoard or MLflow is installed, what it holds."""

import sys
from pathlib import Path

import pytest

from covey.errors import InputError
from covey_simulations.api import simulate
from covey_simulations.experiments import trackers
from small_sweep import FEDERATION

LIBRARIES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow.tracking"}


@pytest.mark.parametrize("place", ["wandb:here", "tensorboard", "mlflow:", ":x"])
def test_a_place_that_is_not_known_is_refused_with_those_that_are(place: str) -> None:
    with pytest.raises(InputError, match="tensorboard:DIR, or mlflow:URI"):
        trackers.check([place])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_is_named_before_anything_is_run(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[library], None)
    with pytest.raises(InputError, match=f"pip install {library}"):
        simulate(FEDERATION, runs=tmp_path, log_to=[f"{library}:{tmp_path}"])
    assert not (tmp_path / "small").exists()


def test_none_of_them_is_imported_unless_asked(tmp_path: Path) -> None:
    simulate(FEDERATION, {"federation.rounds": 2}, stages="training", runs=tmp_path)
    assert not {"tensorboard", "mlflow"} & sys.modules.keys()


@pytest.mark.filterwarnings("ignore")  # the libraries' own
def test_tensorboard_has_every_round(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = simulate(FEDERATION, stages="training", runs=tmp_path, log_to=[f"tensorboard:{tmp_path / 'board'}"])
    found = event_accumulator.EventAccumulator(str(tmp_path / "board" / "small"))
    found.Reload()
    assert [each.step for each in found.Scalars("loss")] == list(run.metrics["round"])
    assert [each.step for each in found.Scalars("accuracy")] == [2, 4, 6]
    assert found.Scalars("final/accuracy")[0].value == pytest.approx(run.accuracy)


@pytest.mark.filterwarnings("ignore")  # the libraries' own
def test_mlflow_has_every_round_and_the_configuration(tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = simulate(FEDERATION, stages="training", runs=tmp_path, log_to=[f"mlflow:{place}"])
    client = tracking.MlflowClient(tracking_uri=place)
    (found,) = client.search_runs([client.get_experiment_by_name("covey").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["federation.rounds"] == "6"
    assert found.data.metrics["final/accuracy"] == pytest.approx(run.accuracy)
    history = client.get_metric_history(found.info.run_id, "accuracy")
    assert [each.step for each in history] == [2, 4, 6]
