"""A fleet on its owner's disk, for tests that admit devices to it."""

from pathlib import Path

from covey.enrolment import Asked
from covey.identity import Roster, read_roster
from covey.invitation import Submission, Token, proof
from covey_io.device_enrolment import make_request
from covey_server.enrolment_desk import EnrolmentDesk
from covey_server.fleet_keys import make_fleet
from covey_server.fleet_owner import OwnedFleet, OwnerKeys
from enrolment_papers import NOW

HOUR = 3600


def unasked() -> str:
    """A passphrase that nobody should need."""
    raise AssertionError("a passphrase was asked for")


def made(folder: Path, *devices: str, **options: str) -> OwnedFleet:
    """A fleet; its server is here."""
    make_fleet(folder, "lab", devices, 30, **options)  # type: ignore[arg-type]
    return OwnedFleet.open(folder)


def keys_of(fleet: OwnedFleet) -> OwnerKeys:
    return fleet.keys(unasked)


def desk_of(fleet: OwnedFleet) -> EnrolmentDesk:
    """The server's, where fleet and server are on one machine."""
    return EnrolmentDesk(fleet.operator)


def roster_of(fleet: OwnedFleet) -> Roster:
    sent = (fleet.operator / "roster").read_bytes()
    return read_roster(sent, fleet.enrolment_key(), now=NOW, least_serial=0)


def device(folder: Path, name: str) -> Asked:
    """A device that made its keys in `folder / name`."""
    return make_request(folder / name, name)


def submission(asked: Asked, token: Token, **changes: str) -> Submission:
    """What the device sends."""
    fields = {
        "request": asked.data.decode(),
        "gate": token.gate.hex(),
        "proof": proof(token.proof_key, asked.data),
    }
    return Submission(**(fields | changes))
