"""Rounds written to TensorBoard or MLflow besides a run's own folder, by their own libraries.

`tensorboard:DIR` makes a folder DIR/<run>; `mlflow:URI` a run in the experiment "covey" of a tracking server
or a store, as `mlflow:sqlite:///mlflow.db`. Neither library is needed otherwise, nor imported.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from covey.errors import InputError
from covey_server.coordinator import RoundEnded
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary
from covey_simulations.experiments.changes import flat
from covey_simulations.experiments.watching import Silent
from covey_simulations.settings import SimulationFile
from covey_simulations.watching import Progress

EXPERIMENT: Final = "covey"
RUN_TAG: Final = "covey.run"
_MOST_PARAMETERS: Final = 100
"""In one request to MLflow."""


class Tracker(Progress, Protocol):
    """Writes a run down as it goes on."""

    def finished(self, summary: Summary) -> None:
        """The run came to this."""

    def close(self) -> None:
        """No more of it, finished or not."""


Opener = Callable[[str, SimulationFile, RunFolder], Tracker]


def check(places: Sequence[str]) -> None:
    """Refuse places that cannot be written to for want of a library, before anything is run.

    Several processes that made one store at once would be in each other's way, so MLflow's is made here.

    Raises:
        InputError: Names the library and the pip command.
    """
    for place in places:
        opener, module, where = _parsed(place)
        _imported(module)
        if opener is MlFlow:
            _experiment(_client(where))


@contextmanager
def opened(places: Sequence[str], file: SimulationFile, folder: RunFolder) -> Iterator[list[Tracker]]:
    """Trackers of a run, closed at the block's end.

    Args:
        places: "tensorboard:DIR" or "mlflow:URI".
        file: The run's configuration.
        folder: The run's.

    Raises:
        InputError: A place is neither, or its library is not installed.
    """
    with ExitStack() as stack:
        trackers = []
        for place in places:
            opener, _, where = _parsed(place)
            tracker = opener(where, file, folder)
            stack.callback(tracker.close)
            trackers.append(tracker)
        yield trackers


class TensorBoard(Silent):
    """Scalars by round, and the configuration among the hyperparameters.

    Args:
        where: The folder above the run's.
        file: The run's configuration.
        folder: The run's.
    """

    def __init__(self, where: str, file: SimulationFile, folder: RunFolder) -> None:
        library = _imported("torch.utils.tensorboard")
        saved = folder.latest()
        self._parameters = _parameters(file)
        self._writer = library.SummaryWriter(
            str(Path(where) / file.name),
            purge_step=saved.round + 1 if saved else None,  # what a crash left of rounds that come again
        )

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""
        for name, value in _scalars(ended).items():
            self._writer.add_scalar(name, value, ended.round)

    def finished(self, summary: Summary) -> None:
        """The run came to this."""
        self._writer.add_hparams(self._parameters, _results(summary), run_name=".")

    def close(self) -> None:
        """No more of it, finished or not."""
        self._writer.close()


class MlFlow(Silent):
    """Metrics by round, and the configuration as parameters, in one run of MLflow's.

    Args:
        where: A tracking URI.
        file: The run's configuration.
        folder: The run's; one that is gone on with goes on in the run that it began.
    """

    def __init__(self, where: str, file: SimulationFile, folder: RunFolder) -> None:
        self._client = _client(where)
        self._run = self._begun(folder.run) or self._begin(file, folder.run)
        self._status = "KILLED"

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""
        for name, value in _scalars(ended).items():
            self._client.log_metric(self._run, name, value, step=ended.round)

    def finished(self, summary: Summary) -> None:
        """The run came to this."""
        for name, value in _results(summary).items():
            self._client.log_metric(self._run, name, value)
        self._status = "FINISHED"

    def close(self) -> None:
        """No more of it, finished or not."""
        self._client.set_terminated(self._run, self._status)

    def _begun(self, run: str) -> str | None:
        found = self._client.search_runs([_experiment(self._client)], f"tags.`{RUN_TAG}` = '{run}'")
        return found[0].info.run_id if found else None

    def _begin(self, file: SimulationFile, run: str) -> str:
        entities = _imported("mlflow.entities")
        made: str = self._client.create_run(
            _experiment(self._client), run_name=file.name, tags={RUN_TAG: run}
        ).info.run_id
        known = [entities.Param(key, str(value)) for key, value in _parameters(file).items()]
        for start in range(0, len(known), _MOST_PARAMETERS):
            self._client.log_batch(made, params=known[start : start + _MOST_PARAMETERS])
        return made


_KINDS: Final[Mapping[str, tuple[Opener, str]]] = {
    "tensorboard": (TensorBoard, "torch.utils.tensorboard"),
    "mlflow": (MlFlow, "mlflow.tracking"),
}


def _parsed(place: str) -> tuple[Opener, str, str]:
    kind, _, where = place.partition(":")
    if kind not in _KINDS or not where:
        raise InputError(
            f"--log-to {place}: not known",
            hint="tensorboard:DIR, or mlflow:URI as mlflow:sqlite:///mlflow.db",
        )
    return *_KINDS[kind], where


def _client(where: str) -> Any:
    return _imported("mlflow.tracking").MlflowClient(tracking_uri=where)


def _experiment(client: Any) -> str:
    """Its identifier; made where it is not there."""
    found = client.get_experiment_by_name(EXPERIMENT)
    made: str = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    return made


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        library = "tensorboard" if "tensorboard" in module else "mlflow"
        raise InputError(f"{library} is not installed", hint=f"pip install {library}") from error


def _parameters(file: SimulationFile) -> dict[str, bool | int | float | str]:
    """The configuration by dotted key; what is no number is a string."""
    known = flat(msgspec.to_builtins(file))
    return {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in known.items()
        if value is not None
    }


def _scalars(ended: RoundEnded) -> dict[str, float]:
    accuracy = {} if ended.accuracy is None else {"accuracy": ended.accuracy}
    return {"loss": ended.loss, **accuracy, "devices": float(ended.devices), "seconds": ended.seconds}


def _results(summary: Summary) -> dict[str, float]:
    """Under other names than the curves'."""
    found = {
        "final/accuracy": summary.accuracy_federated,
        "final/epsilon": summary.privacy.epsilon_server,
        "final/rounds": float(summary.rounds),
        "final/seconds": summary.seconds,
    }
    return {key: value for key, value in found.items() if value is not None}
