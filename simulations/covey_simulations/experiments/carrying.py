"""One run of a sweep, carried out in this process."""

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from covey.errors import CoveyError
from covey_io import settings
from covey_models.model import Model
from covey_server.run_folder import RunFolder, is_finished
from covey_server.sum_rows import Row
from covey_simulations import runs
from covey_simulations.data.devices import LazyDevices
from covey_simulations.data.federated import FederatedData
from covey_simulations.experiments import resources, trackers
from covey_simulations.experiments.jobs import Began, Ended, Failed, Job, Tell
from covey_simulations.experiments.stopping import is_enough
from covey_simulations.experiments.watching import Paused, Several, Telling
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read


@dataclass(frozen=True)
class Given:
    """What is not read from a configuration but handed over as an object; None where it is read."""

    data: FederatedData | None = None
    model: Model | None = None

    def digests(self) -> dict[str, str]:
        """What tells other objects apart from these; a sweep's runs are named after it."""
        found = {}
        if self.data is not None:
            found["data"] = _digest_of_data(self.data)
        if self.model is not None:
            network = f"{self.model.name} {self.model.labels} {self.model.build()}"
            found["model"] = hashlib.sha256(network.encode()).hexdigest()
        return found


READ = Given()


def carry_out(job: Job, tell: Tell, given: Given = READ) -> None:
    """Carry a run out, or go on with it, and tell what becomes of it: at last that it ended, or failed."""
    try:
        with resources.counted(Path(job.folder)):
            _run(job, tell, given)
    except Paused:
        tell(Ended(finished=False))
    except CoveyError as error:
        tell(Failed(message=error.message, hint=error.hint))
    except Exception as error:  # noqa: BLE001 - one run's fault ends one run, whatever it is
        line = " ".join(str(error).split())
        tell(Failed(message=f"{type(error).__name__}: {line}", trace=traceback.format_exc()))
    else:
        tell(Ended(finished=True))


def _run(job: Job, tell: Tell, given: Given) -> None:
    path = Path(job.folder)
    with RunFolder(path).locked():
        if is_finished(path):
            return
        file = _begun_with(path) or job.file
        scenario = read(file, data=given.data, model=given.model)
        folder = RunFolder.open(path) if _has_begun(path) else runs.start(file, path.parent)[0]
        saved = folder.latest()
        tell(Began(round=saved.round if saved else 0))
        with trackers.opened(job.log_to, file, folder) as tracking:
            watcher = Several([*tracking, Telling(tell, job.until)])
            found = simulate(
                scenario, folder, watcher, stages=job.stages, enough=lambda rows: _ends(job, rows)
            )
            for tracker in tracking:
                tracker.finished(found)


def _digest_of_data(data: FederatedData) -> str:
    """Over all arrays of devices that hold them; over some of those that make them when they are asked."""
    digest = hashlib.sha256(f"{data.name} {data.labels} {len(data.devices)}".encode())
    names = list(islice(data.devices, 10)) if isinstance(data.devices, LazyDevices) else data.devices
    for name in names:
        local = data.devices[name]
        for part in (local.train, local.held_out):
            digest.update(np.ascontiguousarray(part.x).tobytes() + np.ascontiguousarray(part.y).tobytes())
    return digest.hexdigest()


def _has_begun(path: Path) -> bool:
    return (path / "run.json").is_file()


def _begun_with(path: Path) -> SimulationFile | None:
    """The configuration that a run began with, defaults of then included."""
    return settings.load(path / runs.CONFIG, SimulationFile) if _has_begun(path) else None


def _ends(job: Job, rows: Sequence[Row]) -> bool:
    if job.last is not None and rows[-1]["round"] >= job.last:
        return True
    return job.stop is not None and is_enough(rows, job.stop)
