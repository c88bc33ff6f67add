"""Covey's own engines: a federation as `covey simulate` runs it, ended after its last round.

Every round's ledger entries and checkpoint are written, as always; packaging and report come after the rounds
and are not run. With noise the sum is the one that a fleet would open: each device adds its part of it, in
integers (Skellam).
"""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from simulation_peers import local, networks, workload
from simulation_peers.job import Job

from covey.examples import Examples, LocalData
from covey_models.model import Model
from covey_server.coordinator import RoundEnded
from covey_server.privacy import protection
from covey_server.run_folder import RunFolder
from covey_simulations import runs
from covey_simulations.data.devices import LazyDevices, Sizes
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.names import Alone, Numbered
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import Scenario

WORKERS = 2


class Over(Exception):  # noqa: N818 - nothing went wrong
    """The last round is over."""


class Clock:
    """Tells when a round is over, and ends the run after the last."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def stage(self, name: str) -> None:
        """Not measured by itself."""

    def note(self, line: str) -> None:
        """How the engine works this out goes with what the program writes."""
        print(line, flush=True)

    def step(self, done: int, total: int) -> None:
        """Likewise."""

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over."""
        self._job.round_ended(ended.round)
        if ended.round == ended.rounds:
            raise Over


def main(job: Job) -> None:
    """Run the federation."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    file = federation(job.clients.workload, job.rounds, job.engine)
    folder, _ = runs.start(file, Path(job.address).parent / "runs")
    with folder.locked():
        reached(job, file, folder)


def reached(job: Job, file: SimulationFile, folder: RunFolder) -> None:
    """Train, and score what came of it."""
    model = network(job.clients.workload)
    scenario = Scenario(file, devices(job.clients), model, protection(file, model, None, seeded=True))
    try:
        simulate(scenario, folder, Clock(job))
    except Over:
        saved = folder.latest()
        if saved is None:
            raise
        job.finished(*local.score_of(saved.parameters, job.clients), ["torch", "covey"])


def federation(asked: workload.Workload, rounds: int, engine: str) -> SimulationFile:
    """A workload as a federation's file; the engine is a name in it."""
    tables: dict[str, Any] = {
        "name": asked.name.lower(),
        "seed": asked.seed,
        "model": {"name": asked.network},
        "data": {"source": "folder", "path": "."},
        "federation": {
            "rounds": rounds,
            "devices_per_round": asked.cohort,
            "validate_every": rounds + 1,
            "standardise": False,
            "weighting": "devices" if asked.clip else "examples",
            "update_clip": asked.clip or 100.0,
        },
        "privacy": {"masks": "elided", "noise": False},
        "training": {"batch_size": asked.batch, "learning_rate": asked.rate},
        "release": {"int8": False},
        "central": {"enabled": False},
        "simulation": {"engine": engine, "workers": WORKERS},
    }
    if asked.noise:
        tables["privacy"] = {
            "masks": "elided",
            "train_multiplier": asked.noise,
            "validate_multiplier": asked.noise,
        }
    return msgspec.convert(tables, SimulationFile)


def network(asked: workload.Workload) -> Model:
    """The workload's network, as Covey describes one."""
    return Model(
        name=asked.network,
        summary="a benchmark's",
        input_shape=networks.INPUTS[asked.network],
        input_units="grey level",
        input_bound=8.0,
        labels=tuple(map(str, range(networks.CLASSES))),
        build=lambda: networks.build(asked.network),
        licence="Apache-2.0",
        source="docs/performance.md",
    )


class Windows(LazyDevices):
    """A device for each client; none holds anything out."""

    def __init__(self, clients: workload.Clients) -> None:
        self.names = Numbered(clients.workload.clients)
        self._clients = clients

    @property
    def sizes(self) -> Sizes:
        """How many examples each holds."""
        train = self._clients.end - self._clients.start
        return Sizes(train, np.zeros_like(train))

    def at(self, position: int) -> LocalData:
        """A view of the client's examples."""
        return LocalData(Examples(*self._clients.of(position)), self.all_held_out())

    def all_train(self) -> Examples:
        """What clients draw from."""
        return Examples(self._clients.x, self._clients.y)

    def all_held_out(self) -> Examples:
        """None."""
        return Examples(self._clients.x[:0], self._clients.y[:0])


def devices(clients: workload.Clients) -> FederatedData:
    """The clients as Covey's data."""
    held = Windows(clients)
    return FederatedData(
        name=clients.workload.name,
        licence="not stated",
        citation="",
        labels=tuple(map(str, range(networks.CLASSES))),
        input_shape=clients.x.shape[1:],
        devices=held,
        groups=Alone(held.names),
        synthetic=True,
    )


if __name__ == "__main__":
    local.alone()
    main(Job.given())
