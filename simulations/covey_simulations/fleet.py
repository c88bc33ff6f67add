"""Simulated devices: the real device code over data in memory."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context

from covey.errors import InputError
from covey.identity import Certificate, Roster, public_of, read_roster, sign_roster
from covey.secagg.states import Me
from covey.seeds import derive
from covey_client.app import build
from covey_client.claims import MemoryClaims
from covey_client.participant import Participant
from covey_client.seeds import SimulatedSeeds
from covey_io import durable
from covey_io.device_keys import Keys
from covey_models.model import Model
from covey_simulations.data.federated import FederatedData
from covey_simulations.grid import SERVER, InProcessGrid
from covey_strategies.protection import Operator
from covey_strategies.queries.device import Device, Log

VALID_SECONDS = 10 * 365 * 24 * 3600  # a simulation may be stopped and gone on with much later


@dataclass(frozen=True)
class Fleet:
    """Devices by node id, in order of their names, and the operator whom they believe."""

    devices: dict[int, Participant]
    operator: Operator

    def grid(self) -> InProcessGrid:
        """A grid on which they all are."""

        def participant_of(context: Context) -> Participant:
            return self.devices[context.node_id]

        return InProcessGrid(build(participant_of), self.devices)


def fleet(data: FederatedData, model: Model, seed: int, logs: Path) -> Fleet:
    """One device for each in `data`. One without training examples answers with nothing but noise.

    Keys are made anew each time: a simulation has nobody to protect, and what is masked comes out the same.

    Args:
        data: What each holds; `check_fit` has passed it.
        model: What they train.
        seed: The run's seed; each device derives its own.
        logs: Folder for the devices' own logs, a file each, made when there is something to say.
    """
    enrolment, operator = os.urandom(32), os.urandom(32)
    identities = {name: os.urandom(32) for name in data.devices}
    devices = {}
    for node, (name, local) in enumerate(data.devices.items(), start=SERVER + 1):
        own = derive(seed, "device", name)
        device = Device(name, model, local, own, _log(logs / f"{name}.log"))
        keys = Keys(Me(_id(node), identities[name], public_of(enrolment)), public_of(operator))
        devices[node] = Participant(device, SimulatedSeeds(own), MemoryClaims(), keys, unprotected=True)
    return Fleet(devices, _operator(enrolment, operator, list(identities.values())))


def _operator(enrolment: bytes, operator: bytes, identities: list[bytes]) -> Operator:
    now = int(time.time())
    certificates = tuple(
        Certificate(_id(node), public_of(identity), now + VALID_SECONDS)
        for node, identity in enumerate(identities, start=SERVER + 1)
    )
    sent = sign_roster(Roster("simulation", 1, now + VALID_SECONDS, True, certificates), enrolment)
    return Operator(operator, read_roster(sent, public_of(enrolment), now=now, least_serial=0), sent)


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


def _log(path: Path) -> Log:
    def log(line: str) -> None:
        durable.make_folder(path.parent)
        durable.append(path, f"{line}\n".encode())

    return log
