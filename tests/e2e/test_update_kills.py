"""The real updater, killed at random times while an application asks: it always serves, and it converges."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asking_application import Application
from covey.rollout.plan import Image
from covey_client.trial_serving import Serving
from covey_client.update_store import read_state
from packages_fixture import inputs, package
from update_world import World, instruction_of, plan_of

PROGRAM = Path(__file__).parents[1] / "updater_process.py"
KILLS = 24
AIMS = ("download", "selftest", "shadow", "trial", "", "")
X = inputs(1)[0]


def publish(world: World, serial: int, image: Image, fallback: Image | None) -> None:
    folder = world.folder / "published"
    folder.mkdir(exist_ok=True)
    for sha256, archive in world.source.archives.items():
        (folder / sha256).write_bytes(archive)
    part = folder / ".instruction"
    part.write_bytes(instruction_of(plan_of(image, fallback, rollout=f"r{serial}"), serial))
    part.replace(folder / "instruction.json")


def wait_for(world: World, phase: str, seconds: float) -> None:
    """Until the updater is in a phase, or for so long: a busy machine would meet it in one phase only."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (not phase or read_state(world.state).phase != phase):
        time.sleep(0.01)


@contextmanager
def running(world: World) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(world.folder)], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def fresh(device: Path) -> str:
    """What an application that starts now is served."""
    with Serving(device, look_seconds=0, log=lambda _: None) as serving:
        serving.predict(X)
        return serving.version


@pytest.mark.long
@pytest.mark.timeout(600)
def test_it_serves_whenever_the_updater_is_killed_and_converges(tmp_path: Path) -> None:
    chance = random.Random(6)
    world = World(tmp_path)
    old = world.installed()
    new = world.source.add(package("2.0.0"), "2.0.0", 2)
    publish(world, 1, new, old)
    seen, phases, serial, wanted = set(), set(), 1, new
    with Application(world.device, X) as application:
        for _ in range(KILLS):
            with running(world) as process:
                wait_for(world, chance.choice(AIMS), chance.uniform(0.5, 4))
                time.sleep(chance.uniform(0, 0.3))
                process.send_signal(signal.SIGKILL)
                process.wait()
            state = read_state(world.state)
            phases.add(state.phase)
            seen.add(fresh(world.device))
            assert not state.quarantine
            if state.phase == "idle" and state.runs and state.runs.sha256 == wanted.sha256:
                serial += 1
                wanted = old if wanted is new else new  # told the other way round, it goes back
                publish(world, serial, wanted, None)
        with running(world) as process:
            process.wait(120)
            assert process.returncode == 0
        time.sleep(0.5)
    assert application.failed == []
    assert application.served <= {"1.0.0", "2.0.0"}
    assert seen <= {"1.0.0", "2.0.0"}
    assert len(phases) >= 3, phases  # the kills met it at its work
    state = read_state(world.state)
    assert state.phase == "idle"
    assert state.serial == serial
    assert state.runs is not None
    assert state.runs.sha256 == wanted.sha256
    assert fresh(world.device) == wanted.version
    assert not list((world.device / "download").iterdir())
    shutil.rmtree(tmp_path / "published")
