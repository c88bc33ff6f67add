"""Power cuts at any step of an update, on a disk that loses what was not flushed."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from covey.rollout.plan import Image
from covey_client.self_test_verdict import Verdict
from covey_client.slots import SLOTS
from covey_client.trial_serving import Serving
from covey_client.update_store import read_state
from covey_io import durable
from lossy_disk import LossyDisk, PowerCut
from packages_fixture import inputs
from update_world import InProcess, World, instruction_of, plan_of

MEMORY = Path("/dev/shm")  # noqa: S108 - a disk that is quick to flush; folders there have random names
X = inputs(1)[0]


class Refusing(InProcess):
    """A bench that finds a release bad."""

    def __init__(self, where: str) -> None:
        self.where = where

    def self_test(self, slot: object, baseline: object) -> Verdict:
        return self._said("selftest") or super().self_test(slot, baseline)

    def shadow(self, slot: object, variant: object, baseline: object) -> Verdict:
        return self._said("shadow") or super().shadow(slot, variant, baseline)

    def _said(self, where: str) -> Verdict | None:
        return Verdict(kind="rejected", why="it is bad") if self.where == where else None


@dataclass
class Case:
    """A device with 1.0.0, told to run 2.0.0.

    Attributes:
        world: The device.
        old: What it runs.
        new: What it is told to run.
        good: Whether that is any good.
    """

    world: World
    old: Image
    new: Image
    good: bool

    def live(self) -> None:
        """One life of the device: it serves, updates and watches until it is at rest, or the power is cut."""
        world = self.world
        with Serving(world.device, look_seconds=0, log=world.log.append) as serving:
            updater = world.updater()
            for _ in range(12):  # of an interrupted download, as many as it takes
                updater.round(urgent=True)
                serving.look()
                for _ in range(3):
                    serving.predict(X)
                world.to_the_end(updater)
                if updater.state.phase == "idle":
                    return

    def check_serves(self) -> str:
        """What it serves, verified by its own key: the old or the new, and nothing that was found bad."""
        with Serving(self.world.device, look_seconds=0, log=self.world.log.append) as serving:
            serving.predict(X)
            assert serving.image in {self.old.sha256, self.new.sha256}
            if not self.good:
                assert serving.image == self.old.sha256
            return serving.image


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="covey-cut-", dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)


def case(folder: Path, chance: random.Random) -> Case:
    world = World(folder / "0")
    old, new = world.installed(), world.publish()
    if chance.random() < 0.5:
        world.installed()  # so that there is something to clear in the other slot
    world.state.mkdir(mode=0o700)
    world.source.tell(instruction_of(plan_of(new, old)))
    where = chance.choice(["", "", "selftest", "shadow"])
    world.bench = Refusing(where)
    world.source.cut_after = chance.choice([-1, -1, 3000])
    return Case(world, old, new, good=not where)


def cut(case: Case, step: int, chance: random.Random, where: Path) -> int:
    """A life that ends at a step, and what the disk holds then; gives the steps that were taken."""
    disk = LossyDisk(case.world.folder, step, after=chance.random() < 0.5)
    try:
        with pytest.MonkeyPatch.context() as patch:
            disk.attach(patch)
            with suppress(PowerCut):
                case.live()
        disk.after_cut(where, chance)
    finally:
        disk.close()
    shutil.rmtree(case.world.folder)
    case.world.folder = where
    case.world.boot = f"boot-{where.name}"
    return disk.steps


def steps_of(folder: Path, seed: int) -> int:
    """How many steps a life has that nobody cuts."""
    chance = random.Random(seed)
    made = case(folder, chance)
    steps = cut(made, 0, chance, folder / "1")
    shutil.rmtree(folder / "1")
    return steps


def schedule(folder: Path, seed: int) -> set[str]:
    """One to three cuts at random steps; gives what was served after each."""
    steps, chance, served = steps_of(folder, seed), random.Random(seed), set()
    made = case(folder, chance)
    for number in range(1, 1 + chance.randint(1, 3)):
        cut(made, chance.randint(1, steps), chance, folder / f"{number}")
        served.add(made.check_serves())
    made.live()
    state = read_state(made.world.state)
    assert state.phase == "idle"
    assert state.runs is not None
    assert state.runs.sha256 == (made.new if made.good else made.old).sha256 == made.check_serves()
    assert bool(state.quarantined(made.new.sha256)) is not made.good
    check_no_debris(made.world.device)
    shutil.rmtree(made.world.folder)
    return served


def check_no_debris(device: Path) -> None:
    assert not list((device / "download").iterdir())
    allowed = {*SLOTS, *(f"{slot}.tested" for slot in SLOTS), "current", "download", "serving", "slots"}
    found = {str(path.relative_to(device)) for path in [*device.iterdir(), *(device / "slots").iterdir()]}
    assert not {name for name in found - allowed if ".tmp" not in name} - {"trusted.pub.pem"}


def test_a_device_serves_the_old_or_the_new_whenever_the_power_goes(folder: Path) -> None:
    served = set()
    for seed in range(16):
        served |= schedule(folder, seed)
    assert len(served) == 2  # both were seen


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_five_hundred_schedules_of_power_cuts(folder: Path) -> None:
    for seed in range(1000, 1500):
        schedule(folder, seed)


def test_the_disk_loses_what_was_not_flushed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without flushes, something is lost sooner or later: the layer is worth its name."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    lost = 0
    for seed in range(30):
        chance = random.Random(seed)
        root, where = folder / f"a{seed}", folder / f"b{seed}"
        root.mkdir()
        disk = LossyDisk(root)
        with pytest.MonkeyPatch.context() as patch:
            disk.attach(patch)
            patch.setattr(os, "fsync", lambda _: None)
            durable.replace(root / "file", b"content")
        disk.after_cut(where, chance)
        disk.close()
        lost += not (where / "file").exists() or (where / "file").read_bytes() != b"content"
    assert 5 < lost < 30
