"""Certificates that do not hold, over the network, each shown by an agent of its own; the fleet goes on."""

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from covey.ledger.entries import Settle
from covey_server.fleet_ca import Authority, new_authority
from covey_server.fleet_owner import OwnedFleet, OwnerKeys
from covey_server.key_files import new_p256
from covey_server.session_grid import node_of
from fleet_world import DEVICES, World, check, status, world
from pilot import Device

EXPIRED, UNKNOWN, REVOKED, DISGUISED, STOLEN = range(DEVICES, DEVICES + 5)

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def owner(made: World) -> tuple[OwnedFleet, OwnerKeys]:
    fleet = OwnedFleet.open(made.fleet.folder / "keys")
    return fleet, fleet.keys(str)


def show(device: Device, by: Authority, days: int) -> None:
    """A certificate for the device's own key, in its place."""
    key = load_pem_private_key((device.state / "tls.key").read_bytes(), None)
    until = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device.name)]))
        .issuer_name(by.certificate.subject)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=30))
        .not_valid_after(until)
        .sign(by.key, SHA256())
    )
    (device.state / "tls.crt").write_bytes(made.public_bytes(Encoding.PEM))


def take(device: Device, victim: Device, names: Sequence[str]) -> None:
    """Files of another device, in place of its own."""
    for name in names:
        shutil.copy2(victim.state / name, device.state / name)


def test_who_shows_what_does_not_hold_is_refused_and_the_fleet_goes_on() -> None:
    """Expired; of an unknown authority; revoked in the run; another's name; another's keys."""
    with world(devices=DEVICES + 5, others=["elsewhere"], timeout=90) as made:
        fleet, keys = owner(made)
        device = made.fleet.device
        show(device(EXPIRED), keys.authority, -1)
        show(device(UNKNOWN), new_authority("pilot", new_p256(), int(time.time())), 30)
        take(device(DISGUISED), device(0), ["device.json"])
        take(device(STOLEN), device(1), ["device.json", "identity.key", "salt"])
        wrong = [device(index) for index in range(DEVICES, DEVICES + 5)]
        for each in wrong:
            made.place(each, "elsewhere")
        made.start(wrong)
        made.serve()
        made.until(lambda: made.count("round.settle") == 1, 240)
        fleet.revoke(keys, [device(REVOKED).name], int(time.time()))
        assert made.ends(300) == 0, made.log[-3000:]
        check(made, 4)
        for each in (device(EXPIRED), device(UNKNOWN)):
            assert status(each).deliveries == 0
            assert status(each).session.startswith("not connected")
            assert not each.budget.reserved
        assert "permission denied: 'pi14' is not in the roster" in device(REVOKED).log
        assert status(device(REVOKED)).roster <= 1  # asked nothing since
        stolen = [line for line in made.log.splitlines() if f"node {node_of(device(STOLEN).name)}: " in line]
        assert any("shares a name or a key with another" in line for line in stolen)
        opened = [each.members.survivors for each in made.entries() if isinstance(each, Settle)]
        assert all(9 <= each <= DEVICES + 1 for each in opened)  # whoever is not revoked yet included
