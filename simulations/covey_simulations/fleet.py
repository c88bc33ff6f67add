"""Simulated devices: the real device code over data in memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from flwr.app import Context

from covey.budget import Budget
from covey.errors import InputError, ProtocolError, StateError
from covey.identity import Certificate, Roster, public_of, read_roster, sign_roster
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Ed25519Signer, signed
from covey.policy.signed import Reviewers, open_policy
from covey.secagg.states import Me
from covey.seeds import derive
from covey_client.app import build
from covey_client.budget import MemoryJournal
from covey_client.claims import MemoryClaims
from covey_client.participant import Participant
from covey_client.seeds import SimulatedSeeds
from covey_io import durable
from covey_io.device_keys import Keys
from covey_io.witness_client import LocalWitness
from covey_models.model import Model
from covey_server.ledger_writer import Log
from covey_server.policy_draft import Frame, draft
from covey_simulations.data.federated import FederatedData
from covey_simulations.grid import SERVER, InProcessGrid
from covey_simulations.roles import ROSTER, SECRET_BYTES, RunKeys, publish, run_keys, run_witness
from covey_simulations.settings import SimulationFile
from covey_strategies.protection import Operator, Protection
from covey_strategies.queries.device import Device
from covey_strategies.queries.device import Log as DeviceLog

VALID_DAYS: Final = 3650  # a simulation may be stopped and gone on with much later
DAY: Final = 24 * 3600


@dataclass(frozen=True)
class Setting:
    """What a simulated fleet is made of.

    Attributes:
        data: What each device holds; `check_fit` has passed it.
        model: What they train.
        file: The federation.
        protected: What protects its sums; its operator is not used.
        folder: The run's.
        asked: Sums that its ledger has from before it was stopped.
        logs: Folder for the devices' own logs, a file each, made when there is something to say.
    """

    data: FederatedData
    model: Model
    file: SimulationFile
    protected: Protection
    folder: Path
    asked: int
    logs: Path


@dataclass(frozen=True)
class Fleet:
    """Devices by node id in order of names, the operator whom they believe, the writer of the ledger."""

    devices: dict[int, Participant]
    operator: Operator
    log: Log

    def grid(self) -> InProcessGrid:
        """A grid on which they all are."""

        def participant_of(context: Context) -> Participant:
            return self.devices[context.node_id]

        return InProcessGrid(build(participant_of), self.devices)


def fleet(setting: Setting) -> Fleet:
    """One device for each in the data. One without training examples answers with nothing but noise.

    A simulated device keeps its claims and its budget as long as its process: of a run that was stopped and
    gone on with, it does not remember what it answered before. The ledger does.
    """
    keys = run_keys(setting.folder)
    names = list(setting.data.devices)
    operator, log, reviewers = _operator(setting, keys, names)
    devices = {}
    for node, (name, local) in enumerate(setting.data.devices.items(), start=SERVER + 1):
        own = derive(setting.file.seed, "device", name)
        device = Device(name, setting.model, local, own, _log(setting.logs / f"{name}.log"))
        me = Me(_id(node), keys.of("identity", name), public_of(keys.of("enrolment")))
        held = Keys(me, public_of(operator.private), keys.of("salt", name), reviewers)
        devices[node] = Participant(
            device, SimulatedSeeds(own), MemoryClaims(), _Journal(setting.asked), held, unprotected=True
        )
    return Fleet(devices, operator, log)


class _Journal(MemoryJournal):
    """A budget that begins with a count of answers."""

    def __init__(self, counter: int) -> None:
        super().__init__()
        self._budget = Budget(counter=counter)


def _operator(setting: Setting, keys: RunKeys, names: list[str]) -> tuple[Operator, Log, Reviewers]:
    """All roles of a fleet, played by one process; each has a key of its own all the same."""
    log_key = _log_key(setting.file, keys)
    reviewer = Ed25519Signer("covey/simulation/reviewer", keys.of("reviewer"))
    witness = run_witness(setting.folder, log_key.verifier)
    trust = LogTrust(log_key.verifier.name, log_key.verifier, (witness.key.verifier,), 1)
    roster, sent = _roster(setting, keys, names)
    bare = Operator(keys.of("operator"), roster, sent)
    log = Log(log_key, trust, (LocalWitness(witness.folder),))
    reviewers = Reviewers((reviewer.verifier,), 1)
    if not _has_policy(setting.protected):
        return bare, log, reviewers
    path = setting.folder / "policy"
    if not path.exists():
        text = _policy(setting.file, setting.model, setting.protected, len(names), _Trusted(keys, trust))
        publish(setting.folder, reviewer.verifier, public_of(keys.of("enrolment")))
        durable.replace(path, signed(text, reviewer))
    note = path.read_bytes()
    with _own(path):
        opened = open_policy(note, reviewers, blame="local")
    return replace(bare, policy=opened, policy_sent=note), log, reviewers


def check_policy(file: SimulationFile, model: Model, protected: Protection, devices: int) -> None:
    """Refuse a federation that no policy could allow, before anything is written.

    Raises:
        InputError: Says which number cannot be.
    """
    if _has_policy(protected):
        nobody = RunKeys(bytes(SECRET_BYTES))
        log = _log_key(file, nobody).verifier
        _policy(file, model, protected, devices, _Trusted(nobody, LogTrust(log.name, log, (), 0)))


def _has_policy(protected: Protection) -> bool:
    """Without masks or without noise there is nothing that a policy could promise."""
    return protected.masks == "on" and bool(protected.multipliers)


def _log_key(file: SimulationFile, keys: RunKeys) -> Ed25519Signer:
    return Ed25519Signer(f"covey/simulation/{file.name}", keys.of("log"))


@dataclass(frozen=True)
class _Trusted:
    """Whom a simulated fleet believes."""

    keys: RunKeys
    log: LogTrust


def _policy(
    file: SimulationFile, model: Model, protected: Protection, devices: int, trusted: _Trusted
) -> str:
    """What the federation asks, signed by a reviewer who is the same process: it protects nobody."""
    today = datetime.now(UTC).date()
    frame = Frame(
        fleet=file.name,
        purpose=f"A simulation of the federation {file.name}, on data that one machine holds.",
        operator=public_of(trusted.keys.of("operator")).hex(),
        enrolment=public_of(trusted.keys.of("enrolment")).hex(),
        log=trusted.log,
        valid_from=(today - timedelta(days=1)).isoformat(),
        valid_until=(today + timedelta(days=VALID_DAYS)).isoformat(),
        simulation=True,
    )
    return draft(file, model, protected, devices, frame)


def _roster(setting: Setting, keys: RunKeys, names: list[str]) -> tuple[Roster, bytes]:
    """The fleet's devices, as signed when the run began."""
    path, enrolment = setting.folder / ROSTER, keys.of("enrolment")
    if not path.exists():
        until = int(time.time()) + VALID_DAYS * DAY
        certificates = tuple(
            Certificate(_id(node), public_of(keys.of("identity", name)), until)
            for node, name in enumerate(names, start=SERVER + 1)
        )
        roster = Roster(setting.file.name, 1, until, True, certificates)
        durable.replace(path, sign_roster(roster, enrolment))
    sent = path.read_bytes()
    with _own(path):
        return read_roster(sent, public_of(enrolment), now=int(time.time()), least_serial=0), sent


@contextmanager
def _own(path: Path) -> Iterator[None]:
    """Of what the run itself has signed only damage can be wrong."""
    try:
        yield
    except ProtocolError as error:
        raise StateError(
            f"{path} is not what the run has signed: {error.message}",
            hint="put it back as it was, or start a new run",
        ) from error


def _id(node: int) -> str:
    """A name that sorts as nodes do and fits a roster, whatever a data set calls its devices."""
    return f"device-{node:07d}"


def check_fit(data: FederatedData, model: Model) -> None:
    """Refuse a model that cannot take this data.

    Raises:
        InputError: Names both shapes, or both numbers of classes.
    """
    if data.input_shape != model.input_shape:
        raise InputError(
            f"inputs of shape {data.input_shape} in {data.name}, {model.name} takes {model.input_shape}",
            hint="choose another model.name, or reshape the data",
        )
    if len(data.labels) > model.classes:
        raise InputError(
            f"model {model.name} tells {model.classes} classes apart, {data.name} has {len(data.labels)}",
            hint="choose another model.name, or give the model more classes",
        )
    if set(data.labels) == set(model.labels) and data.labels != model.labels:
        raise InputError(
            f"model {model.name} and {data.name} name the same classes in different orders",
            hint="put labels.txt, or the model's labels, into the other's order",
        )


def _log(path: Path) -> DeviceLog:
    def log(line: str) -> None:
        durable.make_folder(path.parent)
        durable.append(path, f"{line}\n".encode())

    return log
