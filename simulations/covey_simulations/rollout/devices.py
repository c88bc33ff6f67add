"""Simulated devices that are updated: the real updater, the real children that try a model, real slots.

rollout/devices/NAME/          what the updater keeps in mind, and its outcome
rollout/devices/NAME/device    trusted key, slots, the package in use
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np

from covey.errors import CoveyError
from covey.examples import Floats
from covey.policy.signed import Reviewers
from covey.rollout.plan import token
from covey.rollout.update_rules import Rules, Trial
from covey.rollout.update_state import State
from covey_client import slots
from covey_client.own_policy import remember_policy
from covey_client.trial_serving import Serving
from covey_client.update_children import Processes
from covey_client.update_proof import check_proof
from covey_client.update_source import open_source
from covey_client.update_steps import Steps
from covey_client.update_table import ShadowTable, TestTable, UpdateTable
from covey_client.updater import Place, Updater
from covey_io import durable
from covey_io.device_keys import reviewers_json

REQUESTS: Final = 8
"""A trial ends after so many answers, or the first that fails."""
TABLE: Final = UpdateTable(
    test=TestTable(repeats=50),
    shadow=ShadowTable(requests=1, seconds=0.2),
    trial=Trial(seconds=0, requests=REQUESTS),
)


@dataclass(frozen=True)
class Trusts:
    """Whom a device believes.

    Attributes:
        publisher: Public key that signs packages, PEM.
        reviewers: Who sign policies.
        policy: The one that it has taken up, as they signed it.
    """

    publisher: bytes
    reviewers: Reviewers
    policy: bytes


@dataclass(frozen=True)
class Updated:
    """One device.

    Attributes:
        name: As its fleet's roster has it.
        state: Its folder.
        fleet: The fleet's name.
        inputs: What its application asks the model about, (n, *input_shape).
    """

    name: str
    state: Path
    fleet: str
    inputs: Floats

    @classmethod
    def made(cls, state: Path, name: str, fleet: str, inputs: Floats, trusts: Trusts) -> "Updated":
        """A device that trains and has no model yet."""
        found = cls(name, state, fleet, inputs)
        durable.make_folder(found.folder)
        durable.replace(found.folder / slots.TRUSTED, trusts.publisher)
        durable.replace(state / "reviewers.json", reviewers_json(trusts.reviewers))
        remember_policy(state, trusts.policy)
        return found

    @property
    def folder(self) -> Path:
        """With its slots."""
        return self.state / "device"

    @cached_property
    def token(self) -> str:
        """What static files call it."""
        return token(self.fleet, self.name)

    @property
    def version(self) -> str:
        """Of the package in use; empty for none."""
        try:
            return slots.installed(self.folder).manifest.version
        except CoveyError:
            return ""

    def follow(self, address: str, root: Path) -> State:
        """Ask once, and go as far as it leads: to the end of a trial, in which the application asks.

        Args:
            address: Of the repository.
            root: Its root metadata.
        """
        updater = Updater(self._place(address, root))
        updater.round(urgent=True)
        if updater.state.on_trial:
            self._serve()
            updater.watch()
        return updater.state

    def _serve(self) -> None:
        with Serving(self.folder, log=self._log, look_seconds=0) as model:
            for row in np.resize(self.inputs, (REQUESTS, *self.inputs.shape[1:])):
                model.predict(row)

    def _place(self, address: str, root: Path) -> Place:
        steps = Steps(
            folder=self.folder,
            source=open_source(address, root, self.state / "metadata", time.time),
            bench=Processes(self.folder, TABLE),
            hang_ms=int(TABLE.hang_seconds * 1000),
            now=time.time,
            watch=lambda _, __: None,
            log=self._log,
            proof=partial(check_proof, self.state),
        )
        rules = Rules(self.fleet, self.token, None, TABLE.trial)
        return Place(self.state, self.folder, rules, steps, time.time)

    def _log(self, line: str) -> None:
        durable.append(self.state / "updates.log", f"{line}\n".encode())


def running(devices: Sequence[Updated], version: str) -> int:
    """How many run a version."""
    return sum(each.version == version for each in devices)
