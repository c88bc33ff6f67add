"""The policy of a simulated fleet: what its federation asks, signed by a reviewer who is the same process.

It shows how, and protects nobody. A run that was stopped asks some sums again; devices answer no more than
was agreed, so the reviewers of a fleet would have to agree to more: a simulation's signs a next policy, with
as many sums to spare, and the ledger shows both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from covey.errors import ProtocolError, StateError
from covey.identity import public_of
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Ed25519Signer, signed
from covey.policy.signed import Opened, Reviewers, open_policy
from covey_io import durable
from covey_models.model import Model
from covey_server.policy_draft import Frame, draft
from covey_simulations.roles import SECRET_BYTES, RunKeys, publish
from covey_simulations.settings import SimulationFile
from covey_strategies.protection import Protection

VALID_DAYS: Final = 3650  # a simulation may be stopped and gone on with much later


@dataclass(frozen=True)
class Federation:
    """What a policy is drafted from.

    Attributes:
        file: The federation.
        model: What it trains.
        protected: What protects its sums.
        devices: How many there are.
    """

    file: SimulationFile
    model: Model
    protected: Protection
    devices: int

    @property
    def has_policy(self) -> bool:
        """Without masks or without noise there is nothing that a policy could promise."""
        return self.protected.masks == "on" and bool(self.protected.multipliers)

    def check(self) -> None:
        """Refuse what no policy could allow, before anything is written.

        Raises:
            InputError: Says which number cannot be.
        """
        if self.has_policy:
            nobody = RunKeys(bytes(SECRET_BYTES))
            log = log_key(self.file, nobody).verifier
            self.draft(nobody, LogTrust(log.name, log, (), 0))

    def draft(self, keys: RunKeys, log: LogTrust, serial: int = 1, previous: str = "", spare: int = 0) -> str:
        """The text of a policy.

        Args:
            keys: Of the fleet.
            log: Whose heads devices believe.
            serial: Of the policy.
            previous: SHA-256 of the one before.
            spare: Sums of each kind beyond those of a run that nothing stops.
        """
        today, name = datetime.now(UTC).date(), self.file.name
        frame = Frame(
            fleet=name,
            purpose=f"A simulation of the federation {name}, on data that one machine holds.",
            operator=public_of(keys.of("operator")).hex(),
            enrolment=public_of(keys.of("enrolment")).hex(),
            log=log,
            valid_from=(today - timedelta(days=1)).isoformat(),
            valid_until=(today + timedelta(days=VALID_DAYS)).isoformat(),
            simulation=True,
            serial=serial,
            previous=previous,
            spare=spare,
        )
        return draft(self.file, self.model, self.protected, self.devices, frame)


def log_key(file: SimulationFile, keys: RunKeys) -> Ed25519Signer:
    """Who signs the ledger's heads."""
    return Ed25519Signer(f"covey/simulation/{file.name}", keys.of("log"))


def reviewer_key(keys: RunKeys) -> Ed25519Signer:
    """Who signs the policy."""
    return Ed25519Signer("covey/simulation/reviewer", keys.of("reviewer"))


def in_force(
    federation: Federation, folder: Path, keys: RunKeys, log: LogTrust, again: int
) -> tuple[Opened, bytes]:
    """The run's policy, signed when it begins, and anew when more has to be asked than it allows.

    Args:
        federation: What asks.
        folder: The run's.
        keys: Of all roles.
        log: Whose heads devices believe.
        again: Sums that a stop made be asked again, in the run's whole life.

    Raises:
        StateError: The policy is damaged.
    """
    path, reviewer = folder / "policy", reviewer_key(keys)
    if not path.exists():
        publish(folder, reviewer.verifier, public_of(keys.of("enrolment")))
        durable.replace(path, signed(federation.draft(keys, log), reviewer))
    opened, note = _read(path, reviewer)
    spare = opened.policy.queries["train"].answers - federation.file.federation.rounds
    if again > max(spare, 0):
        text = federation.draft(keys, log, opened.policy.serial + 1, opened.sha256, again)
        durable.replace(path, signed(text, reviewer))
        opened, note = _read(path, reviewer)
    return opened, note


def _read(path: Path, reviewer: Ed25519Signer) -> tuple[Opened, bytes]:
    note = path.read_bytes()
    with signed_by_the_run(path):
        return open_policy(note, Reviewers((reviewer.verifier,), 1), blame="local"), note


@contextmanager
def signed_by_the_run(path: Path) -> Iterator[None]:
    """Only damage can be wrong with what the run itself has signed.

    Raises:
        StateError: Something is.
    """
    try:
        yield
    except ProtocolError as error:
        raise StateError(
            f"{path} is not what the run has signed: {error.message}",
            hint="put it back as it was, or start a new run",
        ) from error
