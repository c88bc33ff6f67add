"""Simulated devices: the real device code over data in memory."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from flwr.app import Context
from flwr.clientapp import ClientApp

from covey.budget import Budget
from covey.errors import InputError
from covey.examples import LocalData
from covey.identity import Certificate, Roster, public_of, read_roster, sign_roster
from covey.ledger.checkpoint import LogTrust
from covey.plan import LARGEST_GRAPH
from covey.policy.signed import Reviewers
from covey.rollout.outcome import Outcome
from covey.secagg.states import Me
from covey.seeds import derive
from covey_client.budget import MemoryJournal
from covey_client.claims import MemoryClaims
from covey_client.in_process import InProcess
from covey_client.participant import Participant
from covey_client.seeds import SimulatedSeeds
from covey_client.simulated import simulated_app
from covey_client.update_outcome import read_outcome
from covey_io import durable
from covey_io.device_keys import Keys
from covey_io.witness_client import LocalWitness
from covey_models.model import Model
from covey_server.algorithms import is_stateful
from covey_server.ledger_writer import Log
from covey_simulations.data.devices import readable
from covey_simulations.data.federated import FederatedData
from covey_simulations.engines.crowd import Crowd
from covey_simulations.grid import SERVER, InProcessGrid
from covey_simulations.memory import MEMORIES, FolderMemory
from covey_simulations.policing import (
    VALID_DAYS,
    Federation,
    in_force,
    log_key,
    reviewer_key,
    signed_by_the_run,
)
from covey_simulations.roles import ROSTER, RunKeys, run_keys, run_witness
from covey_simulations.settings import SimulationFile
from covey_strategies.protection import Operator, Protection
from covey_strategies.queries.device import Device

DAY: Final = 24 * 3600
DEVICE_LOGS: Final = "devices"
"""In a run's folder: the devices' own logs, a file each, made when there is something to say."""
ROLLED_OUT: Final = "rollout/devices"
"""In a run's folder: what each device's updater keeps in mind; see `covey_simulations.rollout`."""


@dataclass(frozen=True)
class Past:
    """What a run has asked before it was stopped.

    Attributes:
        asked: Sums, counting each cohort's.
        again: Those of them that are asked again.
    """

    asked: int = 0
    again: int = 0


@dataclass(frozen=True)
class Setting:
    """What a simulated fleet is made of.

    Attributes:
        data: What each device holds; `check_fit` has passed it.
        model: What they train.
        file: The federation.
        protected: What protects its sums; its operator is not used.
        folder: The run's.
        past: What its ledger has from before it was stopped.
    """

    data: FederatedData
    model: Model
    file: SimulationFile
    protected: Protection
    folder: Path
    past: Past


@dataclass(frozen=True)
class Fleet:
    """A simulated fleet.

    Attributes:
        crowd: The devices, by node id in order of names.
        participants: The same as they take part in sums through messages.
        operator: Whom they believe; None for a fleet without masks that is too large for a roster.
        log: The writer of the ledger.
    """

    crowd: Crowd
    participants: Mapping[int, Participant]
    operator: Operator | None
    log: Log

    def grid(self) -> InProcessGrid:
        """A grid on which they all are, and answer by messages."""
        return InProcessGrid(self.app(), self.crowd.nodes)

    def app(self) -> ClientApp:
        """What answers messages to any of them."""

        def participant_of(context: Context) -> Participant:
            return self.participants[context.node_id]

        return simulated_app(participant_of)


class _Participants(Mapping[int, Participant]):
    """Devices as they take part in sums; each is made when it is first asked, and remembers from then on.

    Args:
        crowd: The devices.
        make: Makes a participant from a node id.
    """

    def __init__(self, crowd: Crowd, make: Callable[[int], Participant]) -> None:
        self._crowd = crowd
        self._make = make
        self._made: dict[int, Participant] = {}

    def __getitem__(self, node: int) -> Participant:
        if node not in self._made:
            self._made[node] = self._make(node)
        return self._made[node]

    def __iter__(self) -> Iterator[int]:
        return iter(self._crowd.nodes)

    def __len__(self) -> int:
        return len(self._crowd.nodes)


def fleet(setting: Setting) -> Fleet:
    """One device for each in the data. One without training examples answers with nothing but noise.

    A simulated device keeps its claims and its budget as long as its process: of a run that was stopped and
    gone on with, it does not remember what it answered before. The ledger does.
    """
    keys, everyone = run_keys(setting.folder), crowd(setting)
    log, trust = _log_of(setting, keys)
    operator, reviewers = None, Reviewers((reviewer_key(keys).verifier,), 1)
    if setting.protected.masks == "on" or len(everyone.names) <= LARGEST_GRAPH:
        operator = _operator(setting, keys, trust, everyone.names)

    def participant(node: int) -> Participant:
        device = replace(everyone[node], data=readable(setting.data.devices, everyone[node].name))
        me = Me(_id(node), keys.of("identity", device.name), public_of(keys.of("enrolment")))
        return Participant(
            trainer=InProcess(device),
            log=device.log,
            seeds=SimulatedSeeds(device.seed),
            claims=MemoryClaims(),
            journal=_Journal(setting.past.asked),
            keys=Keys(me, public_of(keys.of("operator")), keys.of("salt", device.name), reviewers),
            unprotected=True,
        )

    return Fleet(everyone, _Participants(everyone, participant), operator, log)


def crowd(setting: Setting) -> Crowd:
    """The devices alone."""
    memories = setting.folder.resolve() / MEMORIES if is_stateful(setting.file) else None

    def make(name: str, local: LocalData) -> Device:
        return Device(
            name,
            setting.model,
            local,
            derive(setting.file.seed, "device", name),
            partial(_log, setting.folder, name),
            outcome=partial(_outcome, setting.folder, name),
            group=_group(name, setting.file.release.groups),
            memory=FolderMemory(memories / f"{name}.memory") if memories else None,
        )

    return Crowd(setting.data.devices, make)


def _group(name: str, groups: Sequence[str]) -> str:
    """The group that a simulated device's name ends in, as in "person-3-left"; empty for none."""
    return next((each for each in groups if name.endswith(f"-{each}")), "")


class _Journal(MemoryJournal):
    """A budget that begins with a count of answers."""

    def __init__(self, counter: int) -> None:
        super().__init__()
        self._budget = Budget(counter=counter)


def _log_of(setting: Setting, keys: RunKeys) -> tuple[Log, LogTrust]:
    """The ledger's writer and its witness; one process plays them, each with a key of its own."""
    signer = log_key(setting.file, keys)
    witness = run_witness(setting.folder, signer.verifier)
    trust = LogTrust(signer.verifier.name, signer.verifier, (witness.key.verifier,), 1)
    return Log(signer, trust, (LocalWitness(witness.folder),)), trust


def _operator(setting: Setting, keys: RunKeys, trust: LogTrust, names: Sequence[str]) -> Operator:
    """Who signs plans, with a roster and, where there is one, a policy."""
    roster, sent = _roster(setting, keys, names)
    operator = Operator(keys.of("operator"), roster, sent)
    federation = Federation(setting.file, setting.model, setting.protected, len(names))
    if federation.has_policy:
        policy, note = in_force(federation, setting.folder, keys, trust, setting.past.again)
        operator = replace(operator, policy=policy, policy_sent=note)
    return operator


def _roster(setting: Setting, keys: RunKeys, names: Sequence[str]) -> tuple[Roster, bytes]:
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
    with signed_by_the_run(path):
        return read_roster(sent, public_of(enrolment), now=int(time.time()), least_serial=0), sent


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


def _log(folder: Path, name: str, line: str) -> None:
    """A device's own log, in the run's folder."""
    path = folder / DEVICE_LOGS / f"{name}.log"
    durable.make_folder(path.parent)
    durable.append(path, f"{line}\n".encode())


def _outcome(folder: Path, name: str) -> Outcome | None:
    """What a device's updater keeps in mind of the newest rollout."""
    return read_outcome(folder / ROLLED_OUT / name)
