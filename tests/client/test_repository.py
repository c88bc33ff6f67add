"""Releases over TUF as a device sees them: news, no news, a lost cache, an older past, resumed downloads."""

import shutil
from pathlib import Path

import pytest

from covey.errors import InputError
from covey_client.repository import Repository
from covey_client.source import SourceExpired, SourceRefused, SourceUnreachable
from covey_io.tuf_client import ClockedUpdater, FolderFetcher
from tuf_world import ARCHIVE, DAY, World, copied, made_world, served


def unwatched(_there: int, _all: int) -> None:
    pass


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made_world(tmp_path_factory.mktemp("once"))


@pytest.fixture
def world(once: World, tmp_path: Path) -> World:
    return copied(once, tmp_path)


def test_nothing_is_offered_before_an_instruction(world: World) -> None:
    device = world.device()
    assert device.check() is None
    world.publish("1.0", 1)
    assert device.check() is None
    assert device.versions() == {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 1, "models": 1}


def test_an_instruction_its_floors_and_its_archive(world: World) -> None:
    one = world.publish("1.0", 1)
    two = world.publish("2.0", 5, floor=3)
    data = world.instruct(1, two)
    with served(world.repo) as (address, _):
        device = world.device(address)
        offered = device.check()
        assert offered
        assert offered.instruction == data
        assert offered.floor == {"motion": 3}
        seen: list[tuple[int, int]] = []
        device.fetch(two, world.folder / "part", lambda there, whole: seen.append((there, whole)))
        assert (world.folder / "part").read_bytes() == ARCHIVE
        assert seen[-1] == (len(ARCHIVE), len(ARCHIVE))
        device.fetch(one, world.folder / "part", unwatched)  # the floor is the updater's to apply


def written(device: Repository) -> dict[str, int]:
    """Every file of its cache, and which one it is."""
    return {str(path): path.stat().st_ino for path in device._folder.rglob("*") if path.is_file()}


def test_without_news_two_requests(world: World) -> None:
    world.instruct(1, world.publish("1.0", 1))
    with served(world.repo) as (address, asked):
        device = world.device(address)
        assert device.check()
        asked.clear()
        before, files = device.requests, written(device)
        assert device.check()
        assert written(device) == files  # a poll without news wears out no flash
        assert [path for path, _ in asked] == ["/metadata/2.root.json", "/metadata/timestamp.json"]
        assert device.requests - before == 2
        world.at += 1
        world.refresh()
        asked.clear()
        assert device.check()
        assert len(asked) == 2  # a timestamp that was only renewed brings nothing else


def test_a_new_instruction_is_seen(world: World) -> None:
    image = world.publish("1.0", 1)
    device = world.device()
    for serial in (1, 2):
        data = world.instruct(serial, image)
        offered = device.check()
        assert offered
        assert offered.instruction == data


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/"])
def test_a_folder_is_an_address(world: World, form: str) -> None:
    image = world.publish("1.0", 1)
    world.instruct(1, image)
    device = world.device(form.format(world.repo))
    assert device.check()
    device.fetch(image, world.folder / "part", unwatched)
    assert (world.folder / "part").read_bytes() == ARCHIVE


@pytest.mark.parametrize("address", ["ftp://x", "http://", "https://user@host", "http://h:port"])
def test_no_address(world: World, address: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        world.device(address)


def test_no_factory_root(world: World) -> None:
    timestamp = (world.repo / "metadata/timestamp.json").read_bytes()
    for bad in (b"", b"{}", timestamp, world.root.replace(b"x-covey-seconds", b"x-covey-second")):
        with pytest.raises(InputError, match="factory's root"):
            world.device(root=bad)


def test_nobody_there(world: World) -> None:
    with served(world.repo) as (address, _):
        device = world.device(address)
    with pytest.raises(SourceUnreachable):
        device.check()
    with pytest.raises(SourceUnreachable):
        world.device(str(world.folder / "no stick")).check()


class TestTime:
    """By the device's clock alone, which has a floor."""

    @pytest.mark.parametrize("days", [1, 7, 91, 182, 366, 80 * 365])
    def test_metadata_expires(self, world: World, days: int) -> None:
        world.instruct(1, world.publish("1.0", 1))
        device = world.device()
        assert device.check()
        world.at += days * DAY + 1
        with pytest.raises(SourceExpired):
            device.check()
        with pytest.raises(SourceExpired):
            world.device(cache="other").check()

    def test_the_reference_time_is_ours(self, world: World) -> None:
        """tuf takes the time of day when it is constructed, and there is no public way to give it another."""
        base = f"{FolderFetcher.BASE}metadata/"
        updater = ClockedUpdater(
            world.root, world.folder / "x", base, FolderFetcher([world.repo]), world.at + 2 * DAY
        )
        assert updater._trusted_set.reference_time.timestamp() == pytest.approx(world.at + 2 * DAY, abs=1)
        with pytest.raises(Exception, match="expired"):
            updater.refresh()

    @pytest.mark.parametrize("at", [-1e12, 0, 1e18])
    def test_no_clock_is_too_wrong(self, world: World, at: float) -> None:
        device = world.device(now=lambda: at)
        if at > 0:
            with pytest.raises(SourceExpired):
                device.check()
        else:
            assert device.check() is None


class TestCache:
    """May be lost or damaged; what was seen is kept elsewhere."""

    def test_lost(self, world: World) -> None:
        data = world.instruct(1, world.publish("1.0", 1))
        device = world.device()
        assert device.check()
        shutil.rmtree(world.folder / "device")
        offered = device.check()
        assert offered
        assert offered.instruction == data

    def test_damaged(self, world: World) -> None:
        world.instruct(1, world.publish("1.0", 1))
        expected = world.device().check()
        names = [path for path in (world.folder / "device").rglob("*.json") if path.is_file()]
        assert len(names) >= 7
        for name in names:
            for content in (b"", b"\xff", b"{" * 10_000):
                target = world.folder / "device" / name
                target.write_bytes(content)
                assert world.device().check() == expected

    def test_a_folder_where_a_file_should_be(self, world: World) -> None:
        world.instruct(1, world.publish("1.0", 1))
        expected = world.device().check()
        path = world.folder / "device/metadata/timestamp.json"
        path.unlink()
        path.mkdir()
        assert world.device().check() == expected

    def test_an_older_state_is_refused_by_the_floors_alone(self, world: World) -> None:
        image = world.publish("1.0", 1)
        world.instruct(1, image)
        old = world.folder / "old"
        shutil.copytree(world.repo, old)
        world.instruct(2, image)
        device = world.device()
        assert device.check()
        floors = device.versions()
        with pytest.raises(SourceRefused, match="seen before"):
            world.device(str(old), cache="empty", floors=floors).check()
        assert world.device(str(old), cache="empty-too").check()  # nothing else would tell
        assert world.device(cache="empty", floors=floors).check()

    def test_the_floors_hold_within_a_process(self, world: World) -> None:
        image = world.publish("1.0", 1)
        world.instruct(1, image)
        old = world.folder / "old"
        shutil.copytree(world.repo, old)
        world.instruct(2, image)
        moved = world.folder / "served"
        moved.symlink_to(world.repo)
        device = world.device(str(moved))
        assert device.check()
        moved.unlink()
        moved.symlink_to(old)
        shutil.rmtree(world.folder / "device")
        with pytest.raises(SourceRefused, match="seen before"):
            device.check()

    def test_a_root_that_is_withheld_is_missed(self, world: World) -> None:
        world.instruct(1, world.publish("1.0", 1))
        assert world.rotate("targets").published
        device = world.device()
        assert device.check()
        (world.repo / "metadata/2.root.json").unlink()
        assert world.device().check()  # the cache knows it
        with pytest.raises(SourceRefused, match="root"):
            world.device(cache="empty", floors=device.versions()).check()


class TestFetch:
    """What the instruction names must be what the release key signed."""

    @pytest.mark.parametrize(
        "changed",
        [{"generation": 2}, {"version": "1.1"}, {"sha256": "0" * 64}, {"bytes": 5}, {"name": "other"}],
    )
    def test_another_name_for_a_release(self, world: World, changed: dict[str, object]) -> None:
        import msgspec  # noqa: PLC0415 - here alone

        image = world.publish("1.0", 1)
        part = world.folder / "part"
        part.write_bytes(b"x")
        with pytest.raises(SourceRefused):
            world.device().fetch(msgspec.structs.replace(image, **changed), part, unwatched)
        assert not part.exists()
        world.device().fetch(image, part, unwatched)
        assert part.read_bytes() == ARCHIVE

    def test_what_was_never_published(self, world: World) -> None:
        world.publish("1.0", 1)
        with pytest.raises(SourceRefused, match="never published"):
            world.device().fetch(world.image("2.0", 2), world.folder / "part", unwatched)

    @pytest.mark.parametrize("where", [1, 17, 65_536, len(ARCHIVE) - 1, len(ARCHIVE)])
    def test_goes_on_where_it_stopped(self, world: World, where: int) -> None:
        image = world.publish("1.0", 1)
        part = world.folder / "part"
        part.write_bytes(ARCHIVE[:where])
        seen: list[int] = []
        world.device().fetch(image, part, lambda there, _all: seen.append(there))
        assert part.read_bytes() == ARCHIVE
        assert all(there > where for there in seen)

    @pytest.mark.parametrize("beginning", [b"other", bytes(len(ARCHIVE)), bytes(len(ARCHIVE) + 5)])
    def test_a_beginning_of_something_else(self, world: World, beginning: bytes) -> None:
        image = world.publish("1.0", 1)
        part = world.folder / "part"
        part.write_bytes(beginning)
        world.device().fetch(image, part, unwatched)
        assert part.read_bytes() == ARCHIVE

    def test_no_link_is_followed(self, world: World) -> None:
        image = world.publish("1.0", 1)
        victim = world.folder / "victim"
        victim.write_bytes(b"mine")
        (world.folder / "part").symlink_to(victim)
        with pytest.raises(OSError, match="symbolic links"):
            world.device().fetch(image, world.folder / "part", unwatched)
        assert victim.read_bytes() == b"mine"
