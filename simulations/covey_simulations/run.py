"""A simulated federation from data to report, in stages; each can be cut short and gone on with.

runs/<name>/ holds, beside what `covey_server.run_folder` lists:

origin.json       versions and files that the result depends on
central.json      confusion counts of the central baseline
validation.json   the last validation's sums, of a run that ends with its training
memories/         what simulated devices keep between rounds, where an algorithm makes them
keys/             the key pair that signs the package
<name>.covey      the signed package
device/           one device's folder: trusted key, slots, the package in use
report.html       for people; report.msgpack has what it shows, for `covey report`
summary.json      for scripts; written last: a run that has it is finished
"""

import json
from dataclasses import replace

import torch
from flwr.serverapp import Grid

from covey.arrays import digest
from covey_io import durable
from covey_server import summary
from covey_server.algorithms import has_no_package
from covey_server.coordinator import Coordinator, Enough, Federated
from covey_server.ledger_writer import LedgerWriter
from covey_server.ledgers import opened
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary, privacy_of
from covey_simulations.availability.run import clock_of, clocked, columns_of
from covey_simulations.engines.choosing import engine_for, running
from covey_simulations.engines.settings import Stages
from covey_simulations.fedbuff import BufferedCoordinator
from covey_simulations.origin import hold_to_origin
from covey_simulations.report.facts import Beside
from covey_simulations.watching import Progress, Stopwatch, Watcher
from covey_simulations.world import Scenario, World, populate

VALIDATION = "validation.json"


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
    for line in (engine.told, *remarks_on(scenario)):
        progress.note(line)
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


def remarks_on(scenario: Scenario) -> tuple[str, ...]:
    """What a person who wrote the configuration may not have meant."""
    asked, there = scenario.file.federation.devices_per_round, len(scenario.data.devices)
    if asked > there:
        return (f"federation.devices_per_round is {asked}, and there are {there} devices: all are asked",)
    return ()


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
    """Rounds, and everything that follows them."""
    watch = Stopwatch(progress)
    federated = _trained(world.folder, coordinator, watch)
    from covey_simulations.completing import complete, completed  # noqa: PLC0415 - ONNX and drawing: 60 MB

    outcome, installed, path = complete(world, coordinator, federated, watch, beside)
    found = completed(_summary(world, federated, watch), outcome, installed, path)
    summary.write(found, world.folder.path / "summary.json")
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
