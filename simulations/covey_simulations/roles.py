"""All roles of a simulated fleet in one process: keys that follow from one secret of the run, and a witness.

Operator, enrolment, log, reviewer, witness and devices each have a key, as on a fleet; that one process has
them all is what makes it a simulation. The secret is kept with the run, so that a run that is gone on with is
the same fleet.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from covey.errors import StateError
from covey.fields import fields
from covey.ledger.note import Verifier
from covey.secagg.keys import derive
from covey_io import durable
from covey_io.witness_store import WitnessFolder

SECRET_BYTES = 32
ROSTER = "roster"
WITNESS_KEY = "witness.key"
REVIEWER = "reviewer.vkey"
ENROLMENT = "enrolment.pub"


@dataclass(frozen=True)
class RunKeys:
    """Private keys of a simulated fleet.

    Attributes:
        secret: 32 bytes that they all follow from. Not shown when printed.
    """

    secret: bytes = field(repr=False)

    def of(self, role: str, name: str = "") -> bytes:
        """32 bytes for a role, and for one of many who have it."""
        return derive(self.secret, fields("covey/v1/simulation"), role, name)


def run_keys(folder: Path) -> RunKeys:
    """The keys of a run, made when it begins.

    Raises:
        StateError: They are damaged or gone.
    """
    path = folder / "keys" / "simulation.key"
    if not path.exists():
        _check_new(folder, path)
        durable.make_folder(path.parent, mode=0o700)
        durable.replace(path, os.urandom(SECRET_BYTES).hex().encode() + b"\n", mode=0o600)
    try:
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise StateError(f"{path} is damaged", hint="start a new run")
    return RunKeys(secret)


def publish(folder: Path, reviewer: Verifier, enrolment: bytes) -> None:
    """The public keys that somebody who audits the run starts from."""
    durable.replace(folder / "keys" / REVIEWER, reviewer.vkey.encode() + b"\n")
    durable.replace(folder / "keys" / ENROLMENT, enrolment.hex().encode() + b"\n")


def run_witness(folder: Path, log: Verifier) -> WitnessFolder:
    """The run's witness: a real one, in a folder of its own, made when the run begins.

    Raises:
        StateError: It is gone.
        InputError: It is damaged.
    """
    where = folder / "witness"
    if not (where / WITNESS_KEY).exists():
        _check_new(folder, where / WITNESS_KEY)
        if where.exists():
            shutil.rmtree(where)  # what a crash left: its key comes last
        WitnessFolder.make(where, "covey/simulation/witness", (log,))
    return WitnessFolder.open(where)


def _check_new(folder: Path, path: Path) -> None:
    """What all else rests on is made before the roster, and never a second time."""
    if (folder / ROSTER).exists():
        raise StateError(f"{path} is missing", hint="put it back, or start a new run")
