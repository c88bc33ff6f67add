"""From training to a rollout that takes itself back: a server, ten agents and their updaters as processes.

One test, for each step stands on the one before: they share the fleet, its ledger and its budget.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from asking_application import Application
from covey.package import manifest as manifests
from covey.package import npy
from covey.package.archive import pack, unpack
from covey.package.names import GOLDEN_OUTPUTS, MANIFEST
from covey.rollout.rolling import health_due
from covey.rollout.rolling_state import Rollout
from covey_server.rollout_store import RolloutFolder
from pilot import Device
from releasing_fleet import (
    DEVICES,
    ReleasingFleet,
    device_folder,
    outcome,
    releasing_fleet,
    updating,
    version,
)

FIRST: Final = 5
"""Devices in the first ring."""
LOOKS: Final = 4
"""Sums of health that one rollout may take; a policy allows as many as both need."""
PLAN: Final = """
rollout = "{name}"
unproven = "advance"
[image]
archive = "{archive}"
generation = {generation}
{fallback}
[[rings]]
name = "first"
devices = {first}
soak_hours = 0.005
minimum_reports = 3
[[rings]]
name = "all"
percent = 100
soak_hours = 0.005
minimum_reports = 3
[limits]
most_failed_percent = 40
least_devices = 3
confidence = 80
report_hours = 0.02
"""


def plan(name: str, archive: Path, generation: int, fallback: Path | None = None) -> str:
    """PLAN.toml: half of the fleet first."""
    older = f'[fallback]\narchive = "{fallback}"\ngeneration = {generation - 1}' if fallback else ""
    first = json.dumps([f"pi{index:02d}" for index in range(FIRST)])
    return PLAN.format(name=name, archive=archive, generation=generation, fallback=older, first=first)


def spoil(archive: Path) -> None:
    """Mix up what an unsigned release's models should answer, as a slip of whoever builds it might."""
    files = dict(unpack(archive.read_bytes()))
    for name in GOLDEN_OUTPUTS.values():
        files[name] = npy.encode(npy.decode(name, files[name])[::-1].copy())
    said = manifests.decode(files[MANIFEST])
    files[MANIFEST] = manifests.encode(msgspec.structs.replace(said, files=manifests.listing(files)))
    archive.write_bytes(pack(files))


def digest(archive: Path) -> str:
    """As targets and devices call it."""
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def first_input(device: Device) -> NDArray[np.float32]:
    """What the device's application asks about."""
    with np.load(device.folder / f"{device.name}.npz") as data:
        found: NDArray[np.float32] = data["x"][0]
    return found


def ticked(fleet: ReleasingFleet, has_come: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Tick until the rollout stands where it should; what noise leaves open is asked once more."""
    for _ in range(LOOKS):
        fleet.until(lambda: health_due(state_of(fleet), int(time.time())))
        told = fleet.tick()
        if has_come(told):
            return told
    raise AssertionError(json.dumps(told, indent=1) + fleet.told())


def state_of(fleet: ReleasingFleet) -> Rollout:
    """The server's own."""
    found = RolloutFolder(fleet.host.state / "rollouts").read().rollout
    assert found
    return found


def all_run(devices: Sequence[Device], wanted: str) -> bool:
    """Whether all of them have committed it."""
    return all(version(each) == wanted and updating(each).phase == "idle" for each in devices)


def interrupt(device: Device) -> None:
    """Its agent and its updater die in the middle of an update, as of a power cut, and start again."""
    device.kill()
    assert updating(device).phase != "idle"
    device.start()
    device.wait()


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_release_reaches_the_fleet_and_a_bad_one_comes_back() -> None:
    """See the module."""
    with releasing_fleet() as fleet:
        fleet.train()
        assert json.loads((fleet.run / "gate.json").read_bytes())["verdict"] == "passed"
        factory, good = fleet.built("0.9.0"), fleet.built("1.0.0")
        fleet.published(good, 1)
        fleet.signed(factory)
        first, others = fleet.devices[:FIRST], fleet.devices[FIRST:]
        with ExitStack() as stack:
            for each in (first[0], others[0]):  # these two serve from the beginning
                fleet.installed(factory, each)
            ask = [
                Application(device_folder(each), first_input(each), 0.05) for each in (first[0], others[0])
            ]
            applications = [stack.enter_context(each) for each in ask]
            good_one(fleet, good)
            bad_one(fleet, good)
        for application in applications:
            assert application.failed == []
            assert application.served == {"0.9.0", "1.0.0"}
            assert application.requests > 1000
        audit(fleet)


def good_one(fleet: ReleasingFleet, good: Path) -> None:
    """It reaches everybody, though a device loses power on the way and the repository is away for a while."""
    first, others = fleet.devices[:FIRST], fleet.devices[FIRST:]
    fleet.rollout("start", fleet.approved(plan("pilot-1", good, 1), "pilot-1"))
    fleet.until(lambda: updating(first[1]).phase != "idle")
    interrupt(first[1])
    fleet.until(lambda: all_run(first, "1.0.0"))
    assert not any(version(each) == "1.0.0" for each in others)
    fleet.site.missing = digest(good)  # so that nobody is quicker than the test
    assert ticked(fleet, lambda told: told["opened"] == 2)["state"] == "running"
    fleet.site.missing = "/"
    fleet.until(lambda: all(updating(each).failures for each in others))
    assert not any(version(each) == "1.0.0" for each in others)
    fleet.site.missing = None
    fleet.until(lambda: all_run(fleet.devices, "1.0.0"))
    told = ticked(fleet, lambda told: told["state"] != "running")
    assert (told["state"], told["expected"]) == ("complete", [FIRST, DEVICES - FIRST])
    assert [outcome(each) for each in fleet.devices] == ["succeeded"] * DEVICES
    asked = [each for each in fleet.json("fleet", "status")["runs"] if each["name"].startswith("health-")]
    assert {(each["state"], each["rounds"], each["sums"]) for each in asked} == {("finished", 0, 1)}
    assert "ServerApp finished" in fleet.covey("fleet", "logs", asked[0]["name"])


def bad_one(fleet: ReleasingFleet, good: Path) -> None:
    """The first ring refuses it, and nobody else ever sees it."""
    first, others = fleet.devices[:FIRST], fleet.devices[FIRST:]
    bad = fleet.built("1.1.0", "--parent", str(good))
    spoil(bad)
    fleet.published(bad, 2)
    fleet.rollout("start", fleet.approved(plan("pilot-2", bad, 2, good), "pilot-2"))
    fleet.until(lambda: all(updating(each).quarantine for each in first))
    told = ticked(fleet, lambda told: told["state"] != "running")
    assert (told["state"], told["opened"]) == ("rolled-back", 1)
    assert "above the limit" in told["decisions"][-1]["reason"]
    (heard,) = told["health"]
    counts = (heard["succeeded"], heard["failed"])
    assert counts == pytest.approx((0, FIRST), abs=6 * heard["deviation"])  # noise is real
    serial = told["serial"]
    fleet.until(lambda: all(updating(each).serial == serial for each in fleet.devices))
    assert all_run(fleet.devices, "1.0.0")
    assert fleet.site.archives(digest(bad)) == FIRST
    assert not any(updating(each).quarantine for each in others)
    said = fleet.covey("device", "update", "status", "--config", first[0].config)
    assert "runs      pilot 1.0.0" in said
    assert f"refused   {digest(bad)[:12]}" in said
    assert "pilot 1.0.0" in fleet.rollout("explain", "pi07")


def audit(fleet: ReleasingFleet) -> None:
    """A reviewer finds nothing in what paid for all that, and the rollouts' decisions in the ledger."""
    done = fleet.audited()
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["findings"]
    assert found["ledger"]["entries"]["rollout.decision"] == 5
    shown = fleet.covey("ledger", "show", fleet.run)
    for said in ("rollout pilot-1 of fleet pilot: complete", "rollout pilot-2 of fleet pilot: stop"):
        assert said in shown
    for device in fleet.devices:
        assert not device.budget.locked
