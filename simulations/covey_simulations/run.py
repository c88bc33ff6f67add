"""A simulated federation from data to report, in stages; each can be cut short and gone on with.

runs/<name>/ holds, beside what `covey_server.run_folder` lists:

origin.json       versions and files that the result depends on
central.json      confusion counts of the central baseline
validation.json   the last validation's sums, of a run that ends with its training
keys/             the key pair that signs the package
<name>.covey      the signed package
device/           one device's folder: trusted key, slots, the package in use
report.html       for people; report.msgpack has what it shows, for `covey report`
summary.json      for scripts; written last: a run that has it is finished
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from flwr.serverapp import Grid
from numpy.typing import NDArray

from covey.arrays import digest
from covey.examples import Standardise
from covey.metrics import accuracy
from covey.package.verify import Package
from covey_io import durable
from covey_server import summary
from covey_server.algorithms import has_no_package
from covey_server.candidate import candidate, trained_of
from covey_server.coordinator import Coordinator, Enough, Federated, RoundEnded
from covey_server.ledger_writer import LedgerWriter
from covey_server.ledgers import opened
from covey_server.release import enter_releases, identity, release_keys
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import Row
from covey_server.summary import Summary, privacy_of
from covey_simulations.availability.run import clock_of, clocked, columns_of
from covey_simulations.central import Watch, train_centrally
from covey_simulations.engines.choosing import engine_for, running
from covey_simulations.engines.settings import Stages
from covey_simulations.fedbuff import BufferedCoordinator
from covey_simulations.origin import hold_to_origin
from covey_simulations.packaging import install, package, pooled_inputs
from covey_simulations.report import stored
from covey_simulations.report.facts import Beside
from covey_simulations.reporting import Outcome, report_facts
from covey_simulations.world import Scenario, World, populate

VALIDATION = "validation.json"


class Progress(Protocol):
    """Told how a run goes on."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def note(self, line: str) -> None:
        """Something worth a line of its own."""

    def step(self, done: int, total: int) -> None:
        """So many steps of the stage are done."""

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""


@dataclass
class Stopwatch:
    """Wall time by stage; tells the progress display as it goes."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        self.progress.stage(stage)
        started = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - started


@dataclass
class Watcher:
    """Tells a round with its sums that were given up among what was not counted.

    Attributes:
        progress: Is told.
        rows: Gives the run's sums so far.
        known: How many of them are known.
    """

    progress: Progress
    rows: Callable[[], list[Row]] = list
    known: int = 0

    def round_ended(self, ended: RoundEnded) -> None:
        """A round is over and its checkpoint written."""
        aborted = [row for row in self._new() if row["event"] == "abort" and row["round"] == ended.round]
        lines = tuple(f"a whole sum ({row['kind']}): {row['reason']}" for row in aborted)
        self.progress.round_ended(replace(ended, refused=(*ended.refused, *lines)))

    def _new(self) -> list[Row]:
        rows = self.rows()
        new, self.known = rows[self.known :], len(rows)
        return new


def simulate(  # noqa: PLR0913 - what is run, where, how far, and who watches
    scenario: Scenario,
    folder: RunFolder,
    progress: Progress,
    beside: Beside | None = None,
    *,
    stages: Stages | None = None,
    enough: Enough | None = None,
) -> Summary:
    """Run, or go on with, a simulation whose folder the caller holds.

    Args:
        scenario: What is run.
        folder: Where.
        progress: Told how it goes on.
        beside: A finished run, to compare with in the report.
        stages: How far it goes; None for what its configuration says.
        enough: Ends training before its last round.

    Raises:
        CoveyError: What went wrong, and the next step. Finished stages stay on disk.
    """
    torch.set_num_threads(1)  # floats are added in one order, whatever the machine's cores
    hold_to_origin(scenario.file, folder.path)
    world = populate(scenario, folder)
    engine = engine_for(scenario.file, scenario.protection, scenario.model)
    progress.note(engine.told)
    with (
        opened(folder.ledger, world.fleet.log) as ledger,
        running(engine, world.fleet, scenario.file.simulation) as grid,
    ):
        coordinator = _coordinator(world, clocked(world, grid, progress.note), ledger, progress, enough)
        if why := has_no_package(scenario.file):
            progress.note(f"it ends with its training: {why}")
        if why or (stages or scenario.file.simulation.stages) == "training":
            return _training(world, coordinator, progress)
        return _stages(world, coordinator, progress, beside)


def _training(world: World, coordinator: Coordinator, progress: Progress) -> Summary:
    """Rounds and the last validation, and nothing after them."""
    folder, watch = world.folder, Stopwatch(progress)
    federated = _trained(folder, coordinator, watch)
    told = federated.validation
    counts = {"confusion": told.confusion.tolist(), "examples": told.examples, "right": told.right}
    durable.replace(folder.path / VALIDATION, json.dumps(counts).encode())
    found = _summary(world, federated, watch)
    summary.write(found, folder.path / "summary.json")
    return found


def _trained(folder: RunFolder, coordinator: Coordinator, watch: Stopwatch) -> Federated:
    with watch("training"):
        federated = coordinator.run()
    watch.seconds["training"] = sum(row["seconds"] for row in folder.rows())  # also from before a resume
    return federated


def _stages(world: World, coordinator: Coordinator, progress: Progress, beside: Beside | None) -> Summary:
    folder, watch = world.folder, Stopwatch(progress)
    federated = _trained(folder, coordinator, watch)
    preprocessing = federated.preprocessing or identity(world.model)
    with watch("central baseline"):
        central = _central(world, preprocessing, progress.step)
    with watch("package"):
        offered = candidate(
            coordinator.ask,
            world.file,
            trained_of(world.model, federated),
            folder.path,
            lambda: pooled_inputs(world, preprocessing),
        )
        offered.check()
        keys = release_keys(folder.path / "keys")
        path = package(world, offered, preprocessing, keys)
    enter_releases(coordinator.book, folder, federated, path, world.fleet.operator)
    with watch("install"):
        installed, variants = install(world, path, keys)
    with watch("report"):
        outcome = Outcome(
            federated, preprocessing, central, offered, installed, path, variants, watch.seconds
        )
        stored.write(report_facts(world.scenario, folder, outcome, beside), folder.path)
    found = _completed(_summary(world, federated, watch), outcome, installed, path)
    summary.write(found, folder.path / "summary.json")
    return found


def _coordinator(
    world: World, grid: Grid, ledger: LedgerWriter, progress: Progress, enough: Enough | None
) -> Coordinator:
    watcher = Watcher(progress)
    kind = BufferedCoordinator if world.file.strategy.name == "fedbuff" else Coordinator
    coordinator = kind(
        grid=grid,
        file=world.file,
        model=world.model,
        folder=world.folder,
        ledger=ledger,
        protection=replace(world.scenario.protection, operator=world.fleet.operator),
        seed=world.file.seed,
        observe=watcher.round_ended,
        enough=enough,
        columns=columns_of(grid),
    )
    watcher.rows = coordinator.book.rows
    return coordinator


def _central(world: World, preprocessing: Standardise, watch: Watch) -> NDArray[np.int64] | None:
    """The baseline's confusion counts; kept, since they take as long as all later stages together."""
    if not world.file.central.enabled:
        return None
    path = world.folder.path / "central.json"
    if not path.exists():
        settings, seed = world.file.central, world.file.seed
        found = train_centrally(world.data, world.model, preprocessing, settings, seed, watch=watch)
        durable.replace(path, json.dumps({"confusion": found.tolist()}).encode())
    return np.array(json.loads(path.read_bytes())["confusion"], np.int64)


def _summary(world: World, federated: Federated, watch: Stopwatch) -> Summary:
    """Of what was trained; null where nothing was packaged."""
    rows = world.folder.rows()
    return Summary(
        name=world.file.name,
        simulation=True,
        model=world.model.name,
        rounds=len(rows),
        devices=max(row["devices"] for row in rows),
        privacy=privacy_of(world.folder.sum_rows(), world.file.privacy.delta),
        accuracy_federated=federated.validation.accuracy,
        accuracy_central=None,
        accuracy_fp32=None,
        accuracy_int8=None,
        model_sha256=digest(federated.parameters),
        package=None,
        package_bytes=None,
        latency_p50_us=None,
        seconds=round(sum(watch.seconds.values()), 3),
        clock=clock_of(world.folder),
    )


def _completed(found: Summary, outcome: Outcome, installed: Package, path: Path) -> Summary:
    """With what the later stages came to."""
    served = outcome.variants[installed.variants[-1]]
    int8 = outcome.variants.get("int8")
    return msgspec.structs.replace(
        found,
        accuracy_central=None if outcome.central is None else accuracy(outcome.central).value,
        accuracy_fp32=outcome.variants["fp32"].accuracy,
        accuracy_int8=None if int8 is None else int8.accuracy,
        package=str(path),
        package_bytes=path.stat().st_size,
        latency_p50_us=served.p50_us,
    )
