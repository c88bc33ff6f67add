"""The ServerApp that `flwr run` starts: one federation over a real fleet, to a signed package.

The bundle is a manifest only; it names the federation's file and the folder for runs on the server's host:

    [tool.flwr.app.config]
    federation = "/etc/covey/federation.toml"
    runs = "/var/lib/covey/runs"
    operator = "/etc/covey/operator"   (masks need it; see covey_server.operator)
    sessions = "0.0.0.0:9482"          (agents attend here)
    nodes = "/var/lib/…/nodes.json"    (whose SuperNode is which; those that do not attend go by Flower)

All runs in a folder write to one ledger, `ledger/` in it. A run whose folder has no summary yet is gone on
with: after a crash, `flwr run` again.
"""

import errno
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from covey.arrays import digest
from covey.errors import ConfigError, InputError, StateError, TooFewDevices
from covey.package.contents import Draft
from covey.plan import SMALLEST_COHORT, SMALLEST_SUM
from covey_io import durable, settings
from covey_models.card import CardFacts, card
from covey_models.golden import golden
from covey_models.model import Model
from covey_models.registry import find
from covey_server import algorithms, summary
from covey_server.asking_health import ask_health, keep
from covey_server.candidate import Candidate, candidate, trained_of
from covey_server.coordinator import Coordinator, Federated, RoundEnded
from covey_server.flower_way import FlowerWay, registered
from covey_server.gating import parent
from covey_server.ledger_writer import LedgerWriter, Log
from covey_server.ledgers import opened
from covey_server.operator import newest, read_log, read_operator
from covey_server.privacy import protection
from covey_server.release import enter_releases, identity, release_keys, signed_package
from covey_server.run_folder import SHARED_LEDGER, RunFolder, is_finished
from covey_server.session_grid import SessionGrid
from covey_server.session_server import SessionServer, certificates
from covey_server.sessions import Sessions
from covey_server.settings import FederationFile
from covey_server.summary import Summary, privacy_of
from covey_strategies.protection import Operator, Protection

POLL_SECONDS = 1.0
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
LEAST_LARGEST = 2 * SMALLEST_COHORT - 1

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation that the run's configuration names.

    Raises:
        CoveyError: Flower shows it in the run's status and stream; an exit status would be lost on the way.
    """
    try:
        federate(grid, context)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _full(error) from error


def federate(grid: Grid, context: Context) -> None:
    """The same; what the disk does not take is told as the disk tells it.

    Raises:
        CoveyError: As above.
        OSError: A file could not be written; what was to follow from it did not.
    """
    file = settings.load(Path(path_of(context, "federation")), FederationFile)
    path = Path(path_of(context, "runs")) / file.name
    protected = protection_of(file, context)
    with RunFolder(path).locked():
        folder = open_or_create(path, file)
        log = log_of(protected, context)
        with opened(folder.ledger, log) as ledger, reached(grid, protected, context) as devices:
            run(devices, file, folder, ledger, protected, newest=newest_of(protected, context))


def _full(error: OSError) -> StateError:
    """What to do about a disk that takes no more."""
    return StateError(
        f"{error.filename}: {(error.strerror or str(error)).lower()}",
        hint="make room on the disk, and go on with the run",
    )


@contextmanager
def reached(grid: Grid, protected: Protection, context: Context) -> Iterator[Grid]:
    """How devices are reached: by Flower's messages, by the session service, or by both.

    By both only where it is known whose SuperNode is which: else a device could be asked twice, as two.

    Raises:
        InputError: The address is taken, or the operator's folder has no certificates.
    """
    address = context.run_config.get("sessions", "")
    if not isinstance(address, str) or not address:
        yield grid
        return
    folder = Path(path_of(context, "operator"))
    sessions = Sessions(Members(folder, protected.operator or read_operator(folder, policy=False)))
    server = SessionServer(address, certificates(folder), sessions)
    try:
        yield SessionGrid(sessions, grid.run, flower_way(grid, context))
    finally:
        server.close()


def flower_way(grid: Grid, context: Context) -> FlowerWay | None:
    """To devices that do not attend; None where nobody wrote down whose SuperNode is which."""
    book = context.run_config.get("nodes", "")
    return FlowerWay(grid, registered(Path(book))) if isinstance(book, str) and book else None


class Members:
    """Names in the newest roster that the fleet's owner signed; one that is half copied changes nothing.

    Args:
        folder: The operator's.
        operator: As it was read at the start.
    """

    def __init__(self, folder: Path, operator: Operator) -> None:
        self._folder = folder
        self._operator = operator

    def __call__(self) -> frozenset[str]:
        """The names now."""
        self._operator = newest(self._folder, self._operator, _print_line)
        return frozenset(each.device for each in self._operator.roster.certificates)


def newest_of(protected: Protection, context: Context) -> Callable[[Operator], Operator] | None:
    """How a run takes up a roster that the fleet's owner signed meanwhile; None where nobody signs one."""
    if protected.operator is None:
        return None
    folder = Path(path_of(context, "operator"))
    return lambda before: newest(folder, before, _print_line)


def protection_of(file: FederationFile, context: Context, model: Model | None = None) -> Protection:
    """What protects the fleet's sums. Whatever is wrong with it is said before a run is begun.

    Args:
        file: What was decided.
        context: Of the run.
        model: What is trained; None for the one of the zoo that the file names.

    Raises:
        ConfigError: How much noise is not said, cohorts could become too small for masks, or masks are elided
            or something else is asked for that only a simulation may do.
        InputError: No such model, no operator's key, or no noise is enough.
    """
    algorithms.check_fleet(file)
    masks = file.privacy.masks
    if masks == "elided":
        raise ConfigError("[privacy]", "masks", 'a fleet has masks or has none; "elided" is for simulations')
    if file.release.int8 and file.release.calibration == "pooled":
        raise ConfigError("[release]", "calibration", 'no fleet has its examples in one place; use "private"')
    if masks and file.privacy.largest_cohort < LEAST_LARGEST:
        why = f"at least {LEAST_LARGEST}: however many connect, each sum then has {SMALLEST_COHORT}"
        raise ConfigError("[privacy]", "largest_cohort", why)
    where = Path(path_of(context, "operator")) if masks else None
    operator = read_operator(where, policy=file.privacy.noise) if where else None
    return protection(file, model or find(file.model.name), operator, seeded=False)


def log_of(protected: Protection, context: Context) -> Log | None:
    """Who writes the ledger and who watches, as the policy has it; None without a policy."""
    operator = protected.operator
    if operator is None or operator.policy is None:
        return None
    return read_log(Path(path_of(context, "operator")), operator.policy)


def run(  # noqa: PLR0913 - everything a federation stands on
    grid: Grid,
    file: FederationFile,
    folder: RunFolder,
    ledger: LedgerWriter,
    protected: Protection,
    *,
    newest: Callable[[Operator], Operator] | None = None,
) -> None:
    """One federation: wait for the fleet, train, calibrate, compare, package, sum up.

    Or, where the file asks for a rollout's health, that and no more.
    """
    model = find(file.model.name)
    wait_for_fleet(grid, file)
    coordinator = Coordinator(
        grid=grid,
        file=file,
        model=model,
        folder=folder,
        ledger=ledger,
        protection=protected,
        seed=file.seed,
        observe=_print_round,
        newest=newest,
    )
    if file.health is None and file.release.gate:
        parent(file, model)  # one that cannot be compared with is told before anything is asked
    if file.health is not None:
        keep(ask_health(coordinator, file.health), folder)
        return
    federated = coordinator.run()
    offered = candidate(coordinator.ask, file, trained_of(model, federated), folder.path)
    offered.check()
    package = build_package(file, offered, folder)
    enter_releases(coordinator.book, folder, federated, package, protected.operator)
    summary.write(fleet_summary(file, federated, package, folder), folder.path / "summary.json")


def open_or_create(path: Path, file: FederationFile) -> RunFolder:
    """The run's folder; one that was left unfinished is gone on with.

    Raises:
        InputError: A finished run is there.
        StateError: An unfinished one is there that another configuration started.
    """
    if is_finished(path):
        raise InputError(f"{path} holds a finished run", hint="give the federation another name")
    if not (path / "run.json").exists():
        return RunFolder.create(path, msgspec.to_builtins(file), SHARED_LEDGER)
    folder = RunFolder.open(path)
    if settings.load(path / "config.toml", FederationFile) != file:
        raise StateError(
            f"{path} was started with another configuration",
            hint=f"give the federation another name, or put back {path / 'config.toml'}",
        )
    return folder


def wait_for_fleet(grid: Grid, file: FederationFile) -> None:
    """Until enough devices are connected.

    Raises:
        TooFewDevices: Not within the round's time.
    """
    floor = SMALLEST_COHORT if file.privacy.masks is True else SMALLEST_SUM
    minimum = max(file.federation.minimum_devices, floor)
    deadline = time.monotonic() + file.federation.round_timeout
    while (connected := len(list(grid.get_node_ids()))) < minimum:
        if time.monotonic() > deadline:
            waited = f"{file.federation.round_timeout:g} s"
            raise TooFewDevices(
                f"{connected} devices connected within {waited}, the minimum is {minimum}",
                hint="start more SuperNodes, or lower federation.minimum_devices"
                if minimum > floor
                else "start more SuperNodes: fewer do not hide one another",
            )
        time.sleep(POLL_SECONDS)


def build_package(file: FederationFile, offered: Candidate, folder: RunFolder) -> Path:
    """The signed package."""
    model, variants = offered.trained.model, offered.variants
    preprocessing = offered.trained.preprocessing or identity(model)
    draft = Draft(
        name=file.name,
        version=folder.run,
        model=model.name,
        labels=model.labels,
        preprocessing=preprocessing,
        models=variants,
        golden=golden(model, variants, preprocessing, file.seed),
        card=card(_card_facts(file, model, folder, offered.calibration)),
    )
    path = folder.path / f"{file.name}.covey"
    durable.replace(path, signed_package(draft, release_keys(folder.path / "keys")))
    return path


def fleet_summary(file: FederationFile, federated: Federated, package: Path, folder: RunFolder) -> Summary:
    """The outcome; what would need pooled or per-device data is null on a fleet."""
    rows = folder.rows()
    return Summary(
        name=file.name,
        simulation=False,
        model=file.model.name,
        rounds=len(rows),
        devices=max(row["devices"] for row in rows),
        privacy=privacy_of(folder.sum_rows(), file.privacy.delta),
        accuracy_federated=federated.validation.accuracy,
        accuracy_central=None,
        accuracy_fp32=None,
        accuracy_int8=None,
        model_sha256=digest(federated.parameters),
        package=str(package),
        package_bytes=package.stat().st_size,
        latency_p50_us=None,
        seconds=round(sum(row["seconds"] for row in rows), 3),
    )


def _card_facts(file: FederationFile, model: Model, folder: RunFolder, calibration: str) -> CardFacts:
    protected = privacy_of(folder.sum_rows(), file.privacy.delta)
    return CardFacts(
        name=file.name,
        summary=model.summary,
        licence=model.licence,
        task="classification",
        architecture=model.source,
        parameters=sum(weight.numel() for weight in model.build().parameters()),
        input_shape=model.input_shape,
        input_units=model.input_units,
        labels=model.labels,
        data_name="examples that never left the devices",
        rounds=file.federation.rounds,
        strategy=file.strategy.name,
        masks=protected.masks,
        noise=protected.noise,
        privacy=protected.statement,
        calibration=calibration or None,
    )


def _print_round(ended: RoundEnded) -> None:
    accuracy = "" if ended.accuracy is None else f", accuracy {ended.accuracy:.3f}"
    line = (
        f"covey: round {ended.round}/{ended.rounds}: loss {ended.loss:.3f}{accuracy}, {ended.devices} devices"
    )
    sys.stdout.write("\n".join([line, *(f"covey: not counted: {each}" for each in ended.refused)]) + "\n")
    sys.stdout.flush()


def _print_line(line: str) -> None:
    sys.stdout.write(f"covey: {line}\n")
    sys.stdout.flush()


def path_of(context: Context, key: str) -> str:
    """What the run's configuration says of a place on the server's host.

    Raises:
        ConfigError: Nothing.
    """
    value = context.run_config.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError("[tool.flwr.app.config]", key, "expected a path on the server's host")
    return value
