"""What follows a run's rounds: the baseline, the package, its installation, the report.

Each stage can be cut short and gone on with. Nothing of this is imported before a run has trained.
"""

import json
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.examples import Standardise
from covey.metrics import accuracy
from covey.package.verify import Package
from covey_io import durable
from covey_server.candidate import candidate, trained_of
from covey_server.coordinator import Coordinator, Federated
from covey_server.release import enter_releases, identity, release_keys
from covey_server.summary import Summary
from covey_simulations.central import Watch, train_centrally
from covey_simulations.packaging import install, package, pooled_inputs
from covey_simulations.report import stored
from covey_simulations.report.facts import Beside
from covey_simulations.reporting import Outcome, report_facts
from covey_simulations.watching import Stopwatch
from covey_simulations.world import World


def complete(
    world: World, coordinator: Coordinator, federated: Federated, watch: Stopwatch, beside: Beside | None
) -> tuple[Outcome, Package, Path]:
    """All stages after training; their files are in the run's folder.

    Args:
        world: The run.
        coordinator: Asks what is still to be asked.
        federated: What was trained.
        watch: Times the stages.
        beside: A finished run, to compare with in the report.

    Returns:
        What they came to, the installed package and the archive.

    Raises:
        CoveyError: What went wrong, and the next step. Finished stages stay on disk.
    """
    folder = world.folder
    preprocessing = federated.preprocessing or identity(world.model)
    with watch("central baseline"):
        central = _central(world, preprocessing, watch.progress.step)
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
    return outcome, installed, path


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


def completed(found: Summary, outcome: Outcome, installed: Package, path: Path) -> Summary:
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
