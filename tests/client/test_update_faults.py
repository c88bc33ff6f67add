"""What befalls a device while it is updated: clocks, disks, networks, its owner, and other people's hands."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from covey.errors import CoveyError, StateError
from covey.package.keys import new_signing_key
from covey.rollout.plan import Image, Window
from covey_client import slots, update_store
from covey_client.slots import install
from covey_client.source import SourceExpired, SourceRefused, SourceUnreachable
from covey_client.trial_serving import Serving
from covey_client.update_outcome import read_outcome
from covey_client.update_store import STATE, read_state
from covey_client.updater import Updater
from packages_fixture import inputs, keys, package
from small_disk import fill, small_disk
from update_world import NOW, InProcess, World, instruction_of, plan_of

X = inputs(1)[0]
YEAR_2106 = 2.0**32 - 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, bench=InProcess())


def told(world: World, serial: int = 1) -> tuple[Image, Image]:
    """It runs 1.0.0 and is told to run 2.0.0."""
    old, new = world.installed(), world.publish()
    world.source.tell(instruction_of(plan_of(new, old), serial))
    return old, new


def finished(world: World, updater: Updater) -> None:
    """The trial goes well."""
    assert updater.state.on_trial, updater.state.why
    with Serving(world.device, look_seconds=0) as serving:
        for _ in range(5):
            serving.predict(X)
        world.to_the_end(updater)


def version(world: World) -> str:
    with Serving(world.device, look_seconds=0, log=world.log.append) as serving:
        serving.predict(X)
        return serving.version


def test_a_device_is_updated_and_goes_back_when_it_is_told_to(world: World) -> None:
    old, new = told(world)
    updater = world.updater()
    updater.round()
    finished(world, updater)
    assert version(world) == "2.0.0"
    world.source.tell(instruction_of(plan_of(new, old), 2, state="rolled-back"))
    updater.round()
    finished(world, updater)
    assert version(world) == "1.0.0"
    assert not updater.state.quarantine
    outcome = read_outcome(world.state)
    assert outcome is not None
    assert (outcome.rollout, outcome.result, outcome.served) == ("r1", "succeeded", 5)


def test_a_device_that_has_nothing_gets_its_first(world: World) -> None:
    world.with_key()
    world.source.tell(instruction_of(plan_of(world.publish())))
    updater = world.updater()
    updater.round()
    finished(world, updater)
    assert version(world) == "2.0.0"


def test_a_first_release_that_is_given_up_leaves_nothing_in_use(world: World) -> None:
    world.with_key()
    new = world.publish()
    world.source.tell(instruction_of(plan_of(new)))
    updater = world.updater()
    updater.round()
    world.source.tell(instruction_of(plan_of(world.publish("3.0.0", 3), new), 2))
    updater.round()
    assert updater.state.on_trial
    assert updater.state.attempt is not None
    assert updater.state.attempt.image.version == "3.0.0"


class TestClocks:
    @pytest.mark.parametrize("wrong", [0.0, YEAR_2106])
    def test_a_wrong_clock_stops_no_inference_and_is_got_over(self, world: World, wrong: float) -> None:
        old, new = told(world)
        updater = world.updater()
        updater.round()
        finished(world, updater)
        world.clock = wrong
        world.source.tell(instruction_of(plan_of(new, old), 2, state="rolled-back"))
        if wrong > NOW:  # then all that is signed has expired
            world.source.fails = SourceExpired("expired in 2027")
        updater.round()
        assert version(world) == "2.0.0" if wrong > NOW else updater.state.on_trial
        assert NOW <= updater.state.clock < NOW + 3600
        world.clock, world.source.fails = NOW + 60, None
        updater.round()
        finished(world, updater)
        assert version(world) == "1.0.0"

    def test_a_trial_is_not_over_because_the_clock_was_set(self, world: World) -> None:
        told(world)
        world.clock = 0.0
        updater = world.updater()
        updater.round()
        with Serving(world.device, look_seconds=0) as serving:
            for _ in range(5):
                serving.predict(X)
            world.clock = NOW
            world.elapsed += 1_000_000_000
            updater.watch()
            assert updater.state.on_trial


class TestSources:
    def test_expired_metadata_stops_updates_and_no_inference(self, world: World) -> None:
        told(world)
        world.source.fails = SourceExpired("its time is over")
        updater = world.updater()
        updater.round()
        assert updater.state.phase == "idle"
        assert updater.state.why == "its time is over"
        assert version(world) == "1.0.0"
        world.source.fails = None
        updater.round()
        assert updater.state.phase == "idle"  # it waits a little
        updater.round(urgent=True)
        assert updater.state.on_trial

    @pytest.mark.parametrize(
        "error", [SourceRefused("not signed"), SourceUnreachable("nobody"), OSError("x")]
    )
    def test_what_cannot_be_asked_is_asked_later_and_later(self, world: World, error: Exception) -> None:
        told(world)
        world.source.fails = error
        updater, waits = world.updater(), []
        for _ in range(12):
            updater.round()
            waits.append(updater.state.not_before - world.clock)
            world.clock = float(updater.state.not_before)
        assert waits[0] <= 60
        assert waits[-1] > 40_000
        assert version(world) == "1.0.0"

    def test_a_download_that_is_cut_goes_on_where_it_was(self, world: World) -> None:
        _, new = told(world)
        world.source.cut_after = new.bytes // 3
        updater = world.updater()
        for _ in range(2):
            updater.round(urgent=True)
            assert updater.state.phase == "download"
            assert updater.state.why == "the connection was cut"
        updater.round(urgent=True)
        updater.round(urgent=True)
        assert updater.state.on_trial
        assert world.source.fetched == new.bytes

    def test_an_older_instruction_is_refused(self, world: World) -> None:
        old, new = told(world, serial=7)
        updater = world.updater()
        updater.round()
        finished(world, updater)
        world.source.tell(instruction_of(plan_of(new, old), 6, state="rolled-back"))
        updater.round()
        assert "older than 7" in updater.state.why
        assert version(world) == "2.0.0"

    def test_an_archive_by_another_publisher_is_quarantined(self, world: World) -> None:
        told(world)
        (world.device / "trusted.pub.pem").write_bytes(new_signing_key()[1])
        updater = world.updater()
        updater.round()
        assert updater.state.phase == "idle"
        assert "made with the key" in updater.state.quarantine[0].why

    def test_an_archive_that_calls_itself_otherwise_is_quarantined(self, world: World) -> None:
        world.installed()
        lied = world.publish("2.0.0", archive=package("2.0.1"))
        world.source.tell(instruction_of(plan_of(lied)))
        updater = world.updater()
        updater.round()
        assert "it calls itself motion 2.0.1" in updater.state.quarantine[0].why

    def test_switching_waits_for_its_window(self, world: World) -> None:
        old, new = world.installed(), world.publish()
        night = Window(days=("fri", "sat"), begins=22 * 60, ends=4 * 60)
        world.source.tell(instruction_of(plan_of(new, old, windows=(night,))))
        updater = world.updater()
        updater.round()
        assert updater.state.phase == "trial"
        assert version(world) == "1.0.0"
        world.clock += 15 * 3600  # Friday, 23:00
        updater.round()
        finished(world, updater)
        assert version(world) == "2.0.0"


class TestDisks:
    def test_a_full_disk_is_said_and_nothing_is_left_on_it(self, world: World) -> None:
        with small_disk(world.folder / "disk", "4m") as disk:
            here = World(disk, bench=InProcess())
            told(here)
            updater = here.updater()
            filler = fill(disk, free=200_000)
            updater.round()
            assert updater.state.phase == "download"
            assert "No space left on device" in updater.state.why
            assert not list((here.device / "download").iterdir())
            assert version(here) == "1.0.0"
            filler.unlink()
            updater.round(urgent=True)
            finished(here, updater)
            assert version(here) == "2.0.0"

    def test_a_disk_without_a_byte_says_so_and_serves(self, world: World) -> None:
        with small_disk(world.folder / "disk", "4m") as disk:
            here = World(disk, bench=InProcess())
            told(here)
            here.state.mkdir()
            filler = fill(disk)
            with pytest.raises(OSError, match="No space left"):
                here.updater().round()
            assert version(here) == "1.0.0"
            filler.unlink()
            updater = here.updater()
            updater.round()
            assert updater.state.on_trial

    def test_a_disk_that_fills_up_meanwhile_is_got_over(self, world: World) -> None:
        told(world)
        updater = world.updater()
        fetch = world.source.fetch

        def full(_image: Image, part: Path, _watch: object) -> None:
            part.write_bytes(b"half")
            raise OSError(28, os.strerror(28), str(part))

        world.source.fetch = full  # type: ignore[method-assign, assignment]
        updater.round()
        assert "No space left on device" in updater.state.why
        assert not list((world.device / "download").iterdir())
        world.source.fetch = fetch  # type: ignore[method-assign]
        updater.round(urgent=True)
        assert updater.state.on_trial

    def test_a_disk_that_cannot_be_written_says_so_and_serves(self, world: World) -> None:
        with small_disk(world.folder / "disk", "4m") as disk:
            here = World(disk, bench=InProcess())
            told(here)
            here.state.mkdir()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            with pytest.raises(OSError, match="Read-only file system"):
                here.updater().round()
            assert version(here) == "1.0.0"
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            updater = here.updater()
            updater.round()
            assert updater.state.on_trial

    def test_a_damaged_memory_stops_updates_and_no_inference(self, world: World) -> None:
        told(world)
        world.updater().round()
        data = (world.state / STATE).read_bytes()
        (world.state / STATE).write_bytes(data[: len(data) // 2])
        with pytest.raises(StateError, match="damaged"):
            world.updater()
        assert (world.state / STATE).read_bytes() == data[: len(data) // 2]
        assert version(world) == "2.0.0"


class TestHands:
    def test_a_hold_keeps_the_device_as_it_is(self, world: World) -> None:
        told(world)
        updater = world.updater()
        update_store.hold(world.state)
        updater.round()
        assert updater.state.why == "its owner keeps it as it is"
        update_store.resume(world.state)
        updater.round()
        assert updater.state.on_trial

    def test_a_package_installed_by_hand_on_trial_ends_the_trial(self, world: World) -> None:
        told(world)
        updater = world.updater()
        updater.round()
        install(package("9.0.0"), world.device, keys()[1])
        updater.round()
        state = updater.state
        assert state.quarantine == ()
        assert state.on_trial  # it was told to run 2.0.0, and begins anew
        finished(world, updater)
        assert version(world) == "2.0.0"

    def test_an_installation_by_hand_that_runs_is_waited_for(self, world: World) -> None:
        told(world)
        updater = world.updater()
        descriptor = os.open(world.device, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        updater.round()
        assert updater.state.phase == "stage"
        assert "another installation is running" in updater.state.why
        os.close(descriptor)
        updater.round(urgent=True)
        assert updater.state.on_trial

    def test_two_updaters_do_not_meet(self, world: World) -> None:
        told(world)
        updater = world.updater()
        updater.round()
        descriptor = os.open(world.state / update_store.LOCK, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(CoveyError, match="another updater"):
            updater.round()
        os.close(descriptor)

    def test_a_device_without_its_publishers_key_says_which_file(self, world: World) -> None:
        told(world)
        (world.device / slots.TRUSTED).unlink()
        updater = world.updater()
        updater.round()
        assert "trusted.pub.pem" in updater.state.why
        assert not updater.state.quarantine

    def test_a_slot_in_use_that_was_damaged_is_installed_again(self, world: World) -> None:
        old, _ = told(world)
        world.source.tell(instruction_of(plan_of(old), 2))
        (world.device / "slots/A/labels.json").write_bytes(b"[]")
        updater = world.updater()
        updater.round()
        finished(world, updater)
        assert version(world) == "1.0.0"
        assert read_state(world.state).runs is not None


def test_a_link_in_the_place_of_downloads_is_not_followed(tmp_path: Path) -> None:
    """Another user who is let into the device's folder must not have the agent delete its own keys."""
    world = World(tmp_path / "device").with_key()
    other = tmp_path / "elsewhere"
    (other / "keys").mkdir(parents=True)
    (other / "journal").write_text("what the agent must never lose")
    (world.device / "download").symlink_to(other)
    world.source.tell(instruction_of(plan_of(world.publish(), None)))
    with pytest.raises(StateError, match="download is a link"):
        world.updater().round()
    assert sorted(path.name for path in other.iterdir()) == ["journal", "keys"]
