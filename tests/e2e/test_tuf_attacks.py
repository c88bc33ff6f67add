"""Attacks on the way a release comes, with real files over real HTTP; each beside what must get through.

The thief here has the server: its keys (snapshot, timestamp, rollout), its files and its network. What must
hold without them is what the release key, targets and two roots sign. Endless, cut off and slow answers are
in tests/client/test_repository_http.py; malformed roots and thresholds in tests/server/test_tuf_ceremony.py.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from covey.errors import CoveyError
from covey.rollout import instruction as instructions
from covey.rollout.published import Published, to_custom
from covey_client.repository import Repository
from covey_client.source import SourceExpired, SourceRefused
from covey_io.tuf_client import remote_name
from covey_io.tuf_metadata import Metadata, MetaFile, TargetFile
from covey_server import tuf_repository
from covey_server.tuf_dry_run import dry_run
from covey_server.tuf_files import Files
from covey_server.tuf_roles import ONLINE
from tuf_world import ARCHIVE, DAY, World, copied, instruction, made_world, new_signer, served

EVIL = b"evil" * 1000
FAR = 1 << 31


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = made_world(tmp_path_factory.mktemp("once"))
    made.publish("1.0", 1)
    made.instruct(1, made.publish("2.0", 2, floor=2))
    return made


@pytest.fixture
def world(once: World, tmp_path: Path) -> World:
    return copied(once, tmp_path)


@contextmanager
def asking(world: World, folder: Path | None = None, **options: Any) -> Iterator[Repository]:
    with served(folder or world.repo) as (address, _):
        yield world.device(address, **options)


class Thief:
    """Writes what the server's keys can sign, into the repository that devices ask.

    Args:
        world: Whose keys were stolen.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.files = Files(world.repo)
        self.changed: dict[str, MetaFile] = {}

    def put(self, role: str, change: Any, *signers: str, version: int | None = None) -> None:
        """A new version of a role, changed at will and signed by whom the thief has."""
        metadata = self.files.needed(role)
        change(metadata.signed)
        metadata.signed.version = version or metadata.signed.version + 1
        self.write(role, metadata, *signers)

    def write(self, role: str, metadata: Metadata[Any], *signers: str) -> None:
        metadata.signatures.clear()
        for name in signers:
            metadata.sign(self.world.keys[name], append=True)
        name = "timestamp" if role == "timestamp" else f"{metadata.signed.version}.{role}"
        (self.world.repo / f"metadata/{name}.json").write_bytes(metadata.to_bytes())
        if role != "timestamp":
            self.changed[role] = MetaFile(metadata.signed.version)

    def announce(self, *, version: int | None = None) -> None:
        """A snapshot and a timestamp over all of it, by the stolen keys."""
        snapshot = self.files.needed("snapshot")
        for role, meta in self.changed.items():
            snapshot.signed.meta[f"{role}.json"] = meta
        snapshot.signed.version = version or snapshot.signed.version + 1
        timestamp = self.files.needed("timestamp")
        self.write("snapshot", snapshot, "snapshot")
        timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
        timestamp.signed.version = version or timestamp.signed.version + 1
        self.write("timestamp", timestamp, "timestamp")

    def place(self, target: TargetFile, content: bytes) -> None:
        path = self.world.repo / "targets" / remote_name(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def target(path: str, content: bytes, custom: Published | None = None) -> TargetFile:
    made = TargetFile.from_data(path, content, ["sha256"])
    if custom is not None:
        made.unrecognized_fields["custom"] = to_custom(custom)
    return made


def evil_release(world: World) -> tuple[TargetFile, Any]:
    image = world.image("6.6", 66, EVIL)
    custom = Published(name="motion", version="6.6", generation=66, floor=1)
    return target(image.target, EVIL, custom), image


class TestReplay:
    """An older state of the same fleet, every signature of it good."""

    def test_to_a_device_that_has_seen_a_newer_one(self, world: World) -> None:
        old = world.folder / "old"
        shutil.copytree(world.repo, old)
        world.instruct(2, world.image("2.0", 2))
        with asking(world) as device:
            assert device.check()
        with asking(world, old) as device, pytest.raises(SourceRefused):
            device.check()
        with asking(world) as device:
            assert device.check()

    @pytest.mark.parametrize("name", ["timestamp.json", "snapshot"])
    def test_of_one_file(self, world: World, name: str) -> None:
        kept = (world.repo / "metadata/timestamp.json").read_bytes()
        with asking(world) as device:
            assert device.check()
            old = Files(world.repo).needed("snapshot").to_bytes()
            world.instruct(2, world.image("2.0", 2))
            assert device.check()
            if name == "timestamp.json":
                (world.repo / "metadata/timestamp.json").write_bytes(kept)
            else:
                version = Files(world.repo).needed("snapshot").signed.version
                (world.repo / f"metadata/{version}.snapshot.json").write_bytes(old)
                shutil.rmtree(world.folder / "device")
            with pytest.raises(SourceRefused):
                device.check()

    def test_to_a_device_that_has_lost_its_cache(self, world: World) -> None:
        old = world.folder / "old"
        shutil.copytree(world.repo, old)
        world.instruct(2, world.image("2.0", 2))
        with asking(world) as device:
            assert device.check()
            floors = device.versions()
        for role, version in floors.items():
            with asking(world, old, cache=f"empty-{role}", floors={role: version}) as device:
                if role in {"timestamp", "snapshot"}:
                    with pytest.raises(SourceRefused, match=f"{role} of version"):
                        device.check()
                else:
                    assert device.check()  # these have not grown


class TestFreeze:
    def test_whoever_stops_time_is_noticed(self, world: World) -> None:
        with asking(world) as device:
            assert device.check()
            world.at += 0.9 * DAY
            assert device.check()
            world.at += 0.2 * DAY
            with pytest.raises(SourceExpired):
                device.check()
            world.refresh()
            assert device.check()


class TestFastForward:
    """A thief counts so far that nothing of the fleet's would be newer; the fleet starts anew."""

    @pytest.mark.parametrize("keep_cache", [True, False])
    def test_and_its_recovery(self, world: World, *, keep_cache: bool) -> None:
        good = world.folder / "good"
        shutil.copytree(world.repo, good)
        thief = Thief(world)
        thief.put("rollout", lambda _: None, "rollout", version=FAR)
        thief.announce(version=FAR)
        with asking(world) as device:
            assert device.check()
            floors = device.versions()
            assert floors["timestamp"] == floors["snapshot"] == FAR
        shutil.rmtree(world.repo)
        good.rename(world.repo)
        world.refresh()
        if not keep_cache:
            shutil.rmtree(world.folder / "device")
        with asking(world, floors=floors) as device, pytest.raises(SourceRefused):
            device.check()
        assert world.rotate("snapshot", "timestamp", "rollout", without_old=True).published
        with asking(world, floors=floors) as device:
            assert device.check()
            assert device.versions()["snapshot"] < 100
        data = world.instruct(2, world.image("2.0", 2))
        with asking(world, floors=floors) as device:
            found = device.check()
            assert found
            assert found.instruction == data
            floors = device.versions()
        newer = floors | {"timestamp": 99}  # seen under the new keys: a new start was once
        with asking(world, cache="other", floors=newer) as device, pytest.raises(SourceRefused):
            device.check()


class TestMixAndMatch:
    def test_files_of_different_states(self, world: World) -> None:
        files = Files(world.repo)
        before = {role: files.needed(role) for role in ("rollout", "models", "targets")}
        world.publish("3.0", 3, floor=2)
        world.instruct(2, world.image("3.0", 3))
        for role in ("rollout", "models"):
            path = world.repo / f"metadata/{files.needed(role).signed.version}.{role}.json"
            newest = path.read_bytes()
            path.write_bytes(before[role].to_bytes())
            with asking(world, cache=f"c-{role}") as device, pytest.raises(SourceRefused):
                device.check()
            path.write_bytes(newest)
            with asking(world, cache=f"c-{role}") as device:
                assert device.check()

    def test_one_who_signed_two_of_one_version(self, world: World) -> None:
        """The snapshot has digests: not even the role's own key can give two devices different files."""
        metadata = Files(world.repo).needed("rollout")
        metadata.signed.unrecognized_fields["x"] = "another"
        version = metadata.signed.version
        metadata.signatures.clear()
        metadata.sign(world.keys["rollout"])
        (world.repo / f"metadata/{version}.rollout.json").write_bytes(metadata.to_bytes())
        with asking(world) as device, pytest.raises(SourceRefused):
            device.check()

    def test_an_archive_that_was_changed(self, world: World) -> None:
        image = world.image("2.0", 2)
        part = world.folder / "part"
        (path,) = [p for p in (world.repo / "targets/models").rglob("*2.0.covey") if p.is_file()]
        for content in (ARCHIVE[:-1], ARCHIVE[:-1] + b"!", EVIL, b""):
            path.write_bytes(content)
            for beginning in (None, ARCHIVE[:100], b"other", content):
                if beginning is not None:
                    part.write_bytes(beginning)
                with asking(world) as device, pytest.raises(SourceRefused):
                    device.fetch(image, part, lambda *_: None)
                assert not part.exists()
        path.write_bytes(ARCHIVE)
        with asking(world) as device:
            device.fetch(image, part, lambda *_: None)


class TestStolenServer:
    """With the server's keys a thief can stop a fleet and steer it among its own releases; no more."""

    def test_what_can_be_done(self, world: World) -> None:
        """The positive control of what follows: these keys do sign an instruction."""
        thief, data = Thief(world), instruction(7, world.image("2.0", 2))
        made = target(instructions.TARGET, data)
        thief.place(made, data)
        thief.put("rollout", lambda signed: signed.targets.update({made.path: made}), "rollout")
        thief.announce()
        with asking(world) as device:
            found = device.check()
            assert found
            assert found.instruction == data
            assert found.floor == {"motion": 2}

    @pytest.mark.parametrize("role", ["models", "rollout", "targets"])
    @pytest.mark.parametrize("signers", [("rollout", "snapshot", "timestamp"), ()])
    def test_no_model(self, world: World, role: str, signers: tuple[str, ...]) -> None:
        thief = Thief(world)
        made, image = evil_release(world)
        thief.place(made, EVIL)
        thief.put(role, lambda signed: signed.targets.update({made.path: made}), *signers)
        thief.announce()
        with asking(world) as device, pytest.raises(SourceRefused):
            device.fetch(image, world.folder / "part", lambda *_: None)
        assert not (world.folder / "part").exists()

    def test_the_release_key_could(self, world: World) -> None:
        thief = Thief(world)
        made, image = evil_release(world)
        thief.place(made, EVIL)
        thief.put("models", lambda signed: signed.targets.update({made.path: made}), "models")
        thief.announce()
        with asking(world) as device:
            device.fetch(image, world.folder / "part", lambda *_: None)

    def test_no_delegation(self, world: World) -> None:
        """Nobody but targets says who may sign models."""

        def delegate(signed: Any) -> None:
            signed.add_key(world.keys["rollout"].public_key, "models")

        thief = Thief(world)
        thief.put("targets", delegate, "rollout", "snapshot", "timestamp")
        thief.announce()
        with asking(world) as device, pytest.raises(SourceRefused):
            device.check()

    @pytest.mark.parametrize("changed", [{"floor": 1}, {"generation": 9}])
    def test_no_floor_and_no_generation(self, world: World, changed: dict[str, int]) -> None:
        def change(signed: Any) -> None:
            each = signed.targets["models/motion/2.0.covey"]
            each.unrecognized_fields["custom"]["covey"].update(changed)

        for signers, accepted in ((ONLINE, False), (("models",), True)):
            here = copied(world, world.folder / f"by-{signers[0]}")
            thief = Thief(here)
            thief.put("models", change, *signers)
            thief.announce()
            with asking(here) as device:
                if accepted:
                    assert device.check()
                else:
                    with pytest.raises(SourceRefused):
                        device.check()

    def test_no_floor_by_an_instruction(self, world: World) -> None:
        """An instruction that calls an old release by a newer generation is not followed."""
        image = world.image("1.0", 99)
        with asking(world) as device, pytest.raises(SourceRefused, match="not the release"):
            device.fetch(image, world.folder / "part", lambda *_: None)

    def test_no_older_models_even_for_an_empty_cache(self, world: World) -> None:
        """The release key's own metadata of before, with a lower floor, under a new snapshot."""
        with asking(world) as device:
            assert device.check()
            floors = device.versions()
        thief = Thief(world)
        thief.changed["models"] = MetaFile(floors["models"] - 1)
        thief.announce()
        with asking(world) as device, pytest.raises(SourceRefused):
            device.check()
        with (
            asking(world, cache="empty", floors=floors) as device,
            pytest.raises(SourceRefused, match="models of version"),
        ):
            device.check()

    def test_no_roots(self, world: World) -> None:
        thief = Thief(world)
        for signers in (ONLINE, ("root-1",), ("root-1", "root-1", *ONLINE)):
            root = Metadata.from_bytes(world.root)
            thief_key = new_signer("thief")
            root.signed.add_key(thief_key.public_key, "targets")
            root.signed.version = 2
            thief.write("root", root, *signers)
            with asking(world) as device, pytest.raises(SourceRefused):
                device.check()
        thief.write("root", root, "root-1", "root-3")  # two people could
        del thief.changed["root"]
        with asking(world) as device:
            assert device.check()

    def test_the_rest_goes_on_once_it_is_put_right(self, world: World) -> None:
        good = world.folder / "good"
        shutil.copytree(world.repo, good)
        thief = Thief(world)
        thief.put("models", lambda signed: signed.targets.clear(), *ONLINE)
        thief.announce()
        with asking(world) as device, pytest.raises(SourceRefused):
            device.check()
        shutil.rmtree(world.repo)
        good.rename(world.repo)
        assert world.rotate(*ONLINE, without_old=True).published
        with asking(world) as device:
            assert device.check()


class TestWrongDelegation:
    """A key signs what is not its own."""

    @pytest.mark.parametrize(
        ("role", "path"),
        [
            ("models", instructions.TARGET),
            ("policy", instructions.TARGET),
            ("roster", instructions.TARGET),
            ("models", "rollout/deep/instruction.json"),
        ],
    )
    def test_no_instruction_but_by_rollout(self, world: World, role: str, path: str) -> None:
        data = instruction(9, world.image("2.0", 2))
        made = target(path, data)
        if Files(world.repo).current(role) is None:
            publish = {"policy": tuf_repository.publish_policy, "roster": tuf_repository.publish_roster}[role]
            publish(world.repo, b"x", world.signers(role, *ONLINE), now=world.now)
        thief = Thief(world)
        thief.place(made, data)
        if role == "models":
            made.unrecognized_fields["custom"] = to_custom(
                Published(name="motion", version="2.0", generation=9, floor=9)
            )
        thief.put(role, lambda signed: signed.targets.update({made.path: made}), role)
        thief.announce()
        with asking(world) as device:
            found = device.check()
            assert found
            assert found.instruction != data
            assert found.floor == {"motion": 2}  # nor does a path that is not a model's count

    @pytest.mark.parametrize("path", ["models/6.6.covey", "models/a/b/6.6.covey", "evil/motion/6.6.covey"])
    def test_no_path_outside(self, world: World, path: str) -> None:
        made = target(path, EVIL, Published(name="motion", version="6.6", generation=66, floor=66))
        thief = Thief(world)
        thief.put("models", lambda signed: signed.targets.update({path: made}), "models")
        thief.announce()
        with asking(world) as device:
            found = device.check()
            assert found
            assert found.floor == {"motion": 2}

    def test_our_own_tools_refuse(self, world: World) -> None:
        data = instruction(9, world.image("2.0", 2))
        found = tuf_repository.publish_instruction(
            world.repo, data, world.signers("models", "snapshot", "timestamp"), now=world.now
        )
        assert not found.published
        metadata = Files(world.repo).needed("models")
        metadata.signed.version += 1
        metadata.signatures.clear()
        metadata.sign(world.keys["rollout"])
        snapshot, timestamp = Files(world.repo).needed("snapshot"), Files(world.repo).needed("timestamp")
        snapshot.signed.version += 1
        snapshot.signed.meta["models.json"] = MetaFile(metadata.signed.version)
        snapshot.sign(world.keys["snapshot"])
        timestamp.signed.version += 1
        timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
        timestamp.sign(world.keys["timestamp"])
        new = {
            f"metadata/{metadata.signed.version}.models.json": metadata.to_bytes(),
            f"metadata/{snapshot.signed.version}.snapshot.json": snapshot.to_bytes(),
            "metadata/timestamp.json": timestamp.to_bytes(),
        }
        with pytest.raises(CoveyError, match="models was signed by 0/1 keys"):
            dry_run(world.repo, new, world.at)
        metadata.sign(world.keys["models"])
        new[f"metadata/{metadata.signed.version}.models.json"] = metadata.to_bytes()
        dry_run(world.repo, new, world.at)
