"""Keys for a pilot's fleet, made in one place and carried to where they belong.

DIR/enrolment/enrolment.key   certifies devices; keep it away from the server and from devices
DIR/operator/                 for the server's host: operator.key, enrolment.pub, roster
DIR/devices/NAME/             for one device each; see `covey_io.device_keys`
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from covey.errors import InputError
from covey.identity import Certificate, Roster, public_of, sign_roster
from covey.secagg.states import Me
from covey_io import durable
from covey_io.device_keys import Keys, write_keys

DAY = 24 * 3600


def make_fleet(folder: Path, name: str, devices: Sequence[str], days: int) -> None:
    """Make all keys of a fleet.

    Args:
        folder: Must not exist.
        name: The fleet's.
        devices: Names, 1 to 64 characters each.
        days: The roster and its certificates hold so long.

    Raises:
        InputError: The folder is there, or a name is unusable or given twice.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already", hint="keys are never overwritten: name another folder")
    if unusable := [device for device in devices if Path(device).name != device or not device.isprintable()]:
        raise InputError(f"{unusable[0]!r} cannot name a device's folder", hint="use letters, digits and -")
    if len(set(devices)) != len(devices):
        raise InputError("a device is named twice", hint="give each a name of its own")
    enrolment, operator = os.urandom(32), os.urandom(32)
    identities = {device: os.urandom(32) for device in sorted(devices)}
    roster = _roster(name, identities, int(time.time()) + days * DAY)
    signed = sign_roster(roster, enrolment)
    durable.make_folder(folder, mode=0o700)
    _private(folder / "enrolment" / "enrolment.key", enrolment)
    _private(folder / "operator" / "operator.key", operator)
    _public(folder / "operator" / "enrolment.pub", enrolment)
    durable.replace(folder / "operator" / "roster", signed)
    for device, identity in identities.items():
        me = Me(device, identity, public_of(enrolment))
        write_keys(folder / "devices" / device, Keys(me, public_of(operator)))


def _roster(name: str, identities: dict[str, bytes], until: int) -> Roster:
    certificates = tuple(
        Certificate(device, public_of(identity), until) for device, identity in identities.items()
    )
    return Roster(name, 1, until, False, certificates)


def _private(path: Path, key: bytes) -> None:
    durable.make_folder(path.parent, mode=0o700)
    durable.replace(path, key.hex().encode() + b"\n", mode=0o600)


def _public(path: Path, private: bytes) -> None:
    durable.replace(path, public_of(private).hex().encode() + b"\n")
