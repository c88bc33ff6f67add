"""Serving while it is updated: every request is answered, by the old model or the new, and none waits."""

import fcntl
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from covey.errors import InputError, PackageError
from covey.package.keys import new_signing_key
from covey_client import trial_counts
from covey_client.self_test_record import read_record
from covey_client.shadow_feed import MOST_BYTES, Feed, decode
from covey_client.shadow_testing import listening
from covey_client.slots import SLOTS, choice, install
from covey_client.trial_counts import Counts, prune_counts, read_counts
from covey_client.trial_mark import Mark, read_mark, remove_mark, write_mark
from covey_client.trial_serving import Serving
from covey_io import durable
from packages_fixture import INPUT_SHAPE, inputs, keys, package
from update_world import InProcess, World, instruction_of, plan_of

X = inputs(1)[0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, bench=InProcess())
    old, new = made.installed(), made.publish()
    made.source.tell(instruction_of(plan_of(new, old)))
    return made


def test_every_request_is_answered_while_it_switches_and_goes_back(world: World) -> None:
    updater, answered, done = world.updater(), [], threading.Event()
    with Serving(world.device, look_seconds=0.02) as serving:

        def ask() -> None:
            while not done.is_set():
                began = time.perf_counter()
                serving.predict(X)
                answered.append((serving.version, time.perf_counter() - began))

        thread = threading.Thread(target=ask)
        thread.start()
        updater.round()
        deadline = time.monotonic() + 20
        while serving.version != "2.0.0" and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        done.set()
        thread.join()
    assert {version for version, _ in answered} == {"1.0.0", "2.0.0"}
    assert [version for version, _ in answered] == sorted(version for version, _ in answered)
    assert max(took for _, took in answered) < 1.0  # a busy machine's moment, not a load of a model


def test_the_measured_model_is_the_one_that_runs(world: World) -> None:
    world.updater().round()
    record = read_record(world.device / SLOTS[1])
    assert record is not None
    assert record.variant == choice(world.device) == "int8"
    durable.replace(
        world.device / "slots/B.tested", b'{"sha256":"%s","variant":"fp32"}' % record.sha256.encode()
    )
    assert choice(world.device) == "fp32"
    with Serving(world.device, look_seconds=0) as serving:
        assert serving.variant == "fp32"
    durable.replace(world.device / "slots/B.tested", b"{")
    assert choice(world.device) == "auto"


def test_what_is_not_signed_by_the_devices_key_is_never_served(world: World) -> None:
    (world.device / "trusted.pub.pem").write_bytes(new_signing_key()[1])
    with pytest.raises(PackageError, match="made with the key"):
        Serving(world.device)
    (world.device / "trusted.pub.pem").unlink()
    with pytest.raises(InputError, match=r"trusted\.pub\.pem"):
        Serving(world.device)


def test_a_damaged_slot_is_not_served_and_the_other_is_if_it_was_tested(world: World) -> None:
    install(package("3.0.0"), world.device, keys()[1])
    (world.device / "slots/B/labels.json").write_bytes(b"[]")
    said: list[str] = []
    with Serving(world.device, look_seconds=0, log=said.append) as serving:
        assert serving.version == "1.0.0"
        serving.predict(X)
    assert "slots/B cannot be served, slots/A is" in said[0]
    (world.device / "slots/A.tested").unlink()
    with pytest.raises(PackageError, match=r"labels\.json has changed"):
        Serving(world.device)


def test_what_a_caller_gets_wrong_is_no_fault_of_the_model(world: World) -> None:
    with Serving(world.device, look_seconds=0) as serving:
        for bad in (np.zeros((9, 9)), np.full(INPUT_SHAPE, np.nan)):
            with pytest.raises(InputError):
                serving.predict(bad)
        serving.predict(X)
        (count,) = read_counts(world.device)
        assert (count.served, count.errors, count.busy_seconds) == (1, 0, 0)


class TestCounts:
    image = "ab" * 32

    def test_they_are_read_while_they_are_written_and_after(self, tmp_path: Path) -> None:
        counts = Counts(tmp_path, self.image)
        counts.busy(trial_counts.clock())
        counts.count(failed=False)
        counts.count(failed=True)
        (found,) = read_counts(tmp_path)
        assert (found.image, found.served, found.errors, found.alive) == (self.image, 2, 1, True)
        assert found.busy_seconds > 0
        assert not found.died_busy
        counts.close()
        counts.busy(1)  # a request that ends after its model was let go
        counts.count(failed=True)
        counts.close()
        (found,) = read_counts(tmp_path)
        assert (found.served, found.alive, found.died_busy) == (2, False, False)

    def test_nobody_waits_for_a_lock_that_somebody_else_took(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever may read the folder may lock a file in it, before who made it does."""
        taken, opened = list[int](), os.open

        def watched(path: Path, flags: int, mode: int = 0o777) -> int:
            made = opened(path, flags, mode)
            taken.append(opened(path, os.O_RDONLY))
            fcntl.flock(taken[-1], fcntl.LOCK_EX)
            return made

        monkeypatch.setattr(os, "open", watched)
        with pytest.raises(BlockingIOError):
            Counts(tmp_path, self.image)
        assert not list((tmp_path / "serving").iterdir())
        os.close(taken[0])

    def test_what_was_lost_to_a_power_cut_is_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "serving").mkdir()
        for name, data in (("1-1", b""), ("2-2", bytes(96)), ("3-3", b"covey-c1"), ("4-4", b"x" * 5000)):
            (tmp_path / "serving" / name).write_bytes(data)
        assert read_counts(tmp_path) == ()

    def test_only_the_dead_are_removed_and_one_image_stays(self, tmp_path: Path) -> None:
        alive, kept, gone = (Counts(tmp_path, digit * 64) for digit in "abc")
        kept.close()
        gone.close()
        prune_counts(tmp_path, "b" * 64)
        assert {each.image[0] for each in read_counts(tmp_path)} == {"a", "b"}
        alive.close()


class TestFeeding:
    def test_inputs_reach_whoever_wants_them_and_nobody_waits(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100) / ("e" * 100)  # a path that no socket's address has room for
        deep.mkdir(parents=True)
        feed = Feed(deep)
        feed.look()
        feed.offer(X, INPUT_SHAPE, ("resting",))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(deep)
            with listening(Path()) as bound:
                feed.look()
                bound.settimeout(5)
                feed.offer(inputs(3), INPUT_SHAPE, ("a", "b", "c"))
                sample = decode(bound.recv(MOST_BYTES))
                np.testing.assert_array_equal(sample.array()[0], inputs(3)[0])
                assert (sample.label, sample.shape) == ("a", INPUT_SHAPE)
                began = time.monotonic()
                for _ in range(2000):  # far more than fits, and nobody reads
                    feed.offer(X, INPUT_SHAPE, ("a",))
                assert time.monotonic() - began < 5
        feed.offer(X, INPUT_SHAPE, ("a",))  # it is gone
        feed.close()


def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    mark = Mark(image="ab" * 32, slot="slots/B", hang_ms=5)
    write_mark(tmp_path, mark)
    assert read_mark(tmp_path) == mark
    (tmp_path / "trial.json").write_bytes(b"{")
    assert read_mark(tmp_path) is None
    remove_mark(tmp_path)
    assert not (tmp_path / "trial.json").exists()
