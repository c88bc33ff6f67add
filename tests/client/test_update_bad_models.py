"""Releases that are signed and bad: the device gives them up by itself, and the old one serves."""

import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bad_models import (
    ENDLESS,
    TRIGGER,
    bad_package,
    crashing,
    failing_on_trigger,
    hanging_on_trigger,
    huge,
    plain,
    repeating,
)
from covey.package.archive import unpack
from covey.package.verify import verify
from covey.rollout.plan import Image
from covey_client.inference import Classifier, Prediction
from covey_client.self_testing import judged
from covey_client.slots import SLOTS, current, install
from covey_client.trial_serving import Serving
from covey_client.update_table import ShadowTable, TestTable, UpdateTable
from covey_client.updater import Updater
from packages_fixture import INPUT_SHAPE, inputs, keys, model
from update_world import QUICK, World, instruction_of, plan_of

X = inputs(1)[0]
BAD = np.full(INPUT_SHAPE, 100 * TRIGGER, np.float32)
TABLE = UpdateTable(
    trial=QUICK,
    test=TestTable(memory_mb=300, seconds=4.0, repeats=50),
    shadow=ShadowTable(requests=15, seconds=0.3),
    hang_seconds=0.4,
)
needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 traps a division")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, table=TABLE).with_key()
    archive = bad_package(plain(), "1.0.0")
    install(archive, made.device, keys()[1])
    made.source.add(archive, "1.0.0")
    return made


def told(world: World, archive: bytes) -> Image:
    """The device is told to run it."""
    image = world.publish("2.0.0", archive=archive)
    world.source.tell(instruction_of(plan_of(image)))
    return image


def check_rolled_back(world: World, updater: Updater, image: Image, why: str) -> None:
    state = updater.state
    assert state.phase == "idle"
    assert why in state.quarantine[0].why
    assert state.quarantined(image.sha256)
    assert state.outcome is not None
    assert state.outcome.result == "failed"
    assert current(world.device) == world.device / SLOTS[0]
    assert not (world.device / SLOTS[1]).exists()
    with Serving(world.device, look_seconds=0) as serving:
        assert serving.version == "1.0.0"
        serving.predict(X)
    updater.round(urgent=True)  # and it is not installed again
    assert updater.state.phase == "idle"
    assert "quarantined on this device" in updater.state.why


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (lambda: bad_package(plain(), wrong=True), "logits here are off by"),
        (lambda: bad_package(repeating(3000)), "fp32 takes"),
        (lambda: bad_package(huge(450), runs=False), "it used more than 300 MB"),
        (lambda: bad_package(repeating(ENDLESS), runs=False), "it did not end within 4 s"),
        (lambda: bad_package(model(5)), "answers differ, at most 20 %"),
        pytest.param(lambda: bad_package(crashing(-1e30), runs=False), "SIGFPE", marks=needs_x86),
    ],
    ids=["wrong", "slower", "memory", "hangs", "disagrees", "crashes"],
)
def test_one_that_shows_itself_bad_before_it_serves(world: World, archive: object, why: str) -> None:
    image = told(world, archive())  # type: ignore[operator]
    updater = world.updater()
    updater.round()
    check_rolled_back(world, updater, image, why)


class Leaking(Classifier):
    """A model that keeps a mebibyte of every run."""

    def predict(self, x: NDArray[np.generic]) -> Prediction:
        self.kept = [*getattr(self, "kept", []), np.ones(1 << 17)]
        return super().predict(x)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_one_that_leaks_is_seen_to_grow() -> None:
    package = verify(unpack(bad_package(plain())), keys()[1])
    limits = TestTable(growth_mb=10, repeats=20)
    assert judged(package, Classifier(package), limits).kind == "passed"
    found = judged(package, Leaking(package), limits)
    assert found.kind == "rejected"
    assert "it grew by" in found.why


@contextmanager
def asked(serving: Serving, x: NDArray[np.float32]) -> Iterator[None]:
    """Somebody asks it again and again, within the block."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.005):
            serving.predict(x)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_one_that_fails_on_live_inputs_is_found_out_in_shadow(world: World) -> None:
    image = told(world, bad_package(failing_on_trigger()))
    updater = world.updater()
    with Serving(world.device, look_seconds=0.05) as serving, asked(serving, BAD):
        updater.round()
    check_rolled_back(world, updater, image, "it fails on what the old one answers")


def test_live_inputs_are_compared_and_golden_ones_only_where_they_are_too_few(world: World) -> None:
    told(world, bad_package(plain()))
    patient = msgspec.structs.replace(TABLE, shadow=ShadowTable(requests=15, seconds=30.0))
    world.table = patient
    updater, began = world.updater(), time.monotonic()
    with Serving(world.device, look_seconds=0.05) as serving, asked(serving, X):
        updater.round()
    assert updater.state.on_trial
    assert time.monotonic() - began < 20  # it did not wait for its time to be over


def on_trial(world: World, archive: bytes) -> tuple[Updater, Image]:
    image = told(world, archive)
    updater = world.updater()
    updater.round()
    assert updater.state.on_trial, world.log
    return updater, image


def test_requests_that_fail_on_trial_are_answered_by_the_old_one(world: World) -> None:
    updater, image = on_trial(world, bad_package(failing_on_trigger()))
    with Serving(world.device, look_seconds=0) as serving:
        assert serving.version == "2.0.0"
        expected = Classifier.open(world.device / SLOTS[0]).predict(BAD).labels
        for _ in range(4):
            assert serving.predict(BAD).labels == expected
        assert serving.predict(X).labels
        world.to_the_end(updater)
        serving.look()
        assert serving.version == "1.0.0"
    check_rolled_back(world, updater, image, "4 of 5 requests failed on trial")


def test_requests_that_hang_on_trial_are_ended_and_answered_by_the_old_one(world: World) -> None:
    updater, image = on_trial(world, bad_package(hanging_on_trigger()))
    with Serving(world.device, look_seconds=0.05, log=world.log.append) as serving:
        assert serving.version == "2.0.0"
        began = time.monotonic()
        assert serving.predict(BAD).labels
        assert time.monotonic() - began < 5
        for _ in range(3):
            began = time.monotonic()
            serving.predict(BAD)
            assert time.monotonic() - began < 0.5  # what was stopped once is not waited for again
        world.to_the_end(updater)
    check_rolled_back(world, updater, image, "requests failed on trial")


CHILD = """
import sys
import numpy as np
from pathlib import Path
from covey_client.trial_serving import Serving
with Serving(Path(sys.argv[1]), look_seconds=0) as serving:
    print(serving.version, flush=True)
    serving.predict(np.full((2, 8), 1e5, np.float32))
"""


@needs_x86
def test_processes_that_die_of_it_on_trial_end_the_trial(world: World) -> None:
    updater, image = on_trial(world, bad_package(crashing()))
    for died in range(1, 4):
        done = subprocess.run([sys.executable, "-c", CHILD, world.device], capture_output=True, check=False)
        assert done.returncode < 0
        assert done.stdout == b"2.0.0\n"
        world.watched(updater)
        assert updater.state.on_trial == (died < 3)
    check_rolled_back(world, updater, image, "3 processes died serving it")


def test_a_process_that_is_stopped_between_requests_is_no_crash(world: World) -> None:
    updater, _ = on_trial(world, bad_package(plain()))
    quiet = CHILD.replace(
        "serving.predict(np.full((2, 8), 1e5, np.float32))", "import os; os.kill(os.getpid(), 9)"
    )
    for _ in range(4):
        subprocess.run([sys.executable, "-c", quiet, world.device], capture_output=True, check=False)
    world.watched(updater)
    assert updater.state.on_trial


def test_a_slot_that_is_damaged_on_trial_is_never_served(world: World) -> None:
    updater, _ = on_trial(world, bad_package(plain()))
    (world.device / SLOTS[1] / "labels.json").write_bytes(b"[]")
    with Serving(world.device, look_seconds=0, log=world.log.append, retry_seconds=0) as serving:
        assert serving.version == "1.0.0"
        for _ in range(3):
            serving.look()
        assert serving.version == "1.0.0"
        world.watched(updater)
        assert not updater.state.on_trial
