"""Keys: a ceremony of several people, exchanges of every role, and what must not get through."""

import shutil
from pathlib import Path

import pytest

from covey.errors import CoveyError, InputError, StateError
from covey_client.source import SourceExpired, SourceRefused
from covey_io.tuf_metadata import Metadata, Root, Signer
from covey_server import tuf_ceremony, tuf_repository, tuf_status
from covey_server.fleet_keys import make_fleet
from covey_server.tuf_dry_run import dry_run
from covey_server.tuf_roles import DAYS, DELEGATED, ONLINE, TOP, holders_of, signers_in
from tuf_world import DAY, World, copied, made_world, new_signer


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = made_world(tmp_path_factory.mktemp("once"))
    made.instruct(1, made.publish("1.0", 1))
    return made


@pytest.fixture
def world(once: World, tmp_path: Path) -> World:
    return copied(once, tmp_path)


def unasked() -> str:
    raise AssertionError("a passphrase was asked for")


def files(world: World) -> dict[str, bytes]:
    """All that a web server would serve."""
    return {
        str(path.relative_to(world.repo)): path.read_bytes()
        for part in ("metadata", "targets")
        for path in (world.repo / part).rglob("*")
        if path.is_file()
    }


class TestInit:
    def test_the_keys_of_a_fleet(self, tmp_path: Path) -> None:
        make_fleet(tmp_path / "fleet", "lab", [], 30)
        folders = [tmp_path / "fleet" / each for each in ("tuf", "enrolment", "reviewer")]
        signers = signers_in(folders, unasked)
        repo = tmp_path / "repo"
        assert tuf_ceremony.init(repo, holders_of(tmp_path / "fleet"), signers).published
        for publish in (tuf_repository.publish_policy, tuf_repository.publish_roster):
            assert publish(repo, b"x", signers).published
            with pytest.raises(InputError, match="no private keys"):
                signers_in([repo], unasked)
        with pytest.raises(InputError, match="there already"):
            tuf_ceremony.init(repo, holders_of(tmp_path / "fleet"), signers)

    def test_each_person_with_their_own_key(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        everything = made_world(tmp_path / "other")
        world.keys = everything.keys
        found = tuf_ceremony.init(world.repo, world.holders())
        assert [each.partition(":")[0] for each in found.waiting] == ["root", "targets", "rollout"]
        assert not (world.repo / "metadata/1.root.json").exists()
        for names, still in (
            (["root-3"], ["root", "targets", "rollout"]),
            (["root-3"], ["root", "targets", "rollout"]),  # twice the same is once
            (["targets"], ["root", "rollout"]),
            (["root-1"], ["rollout"]),
            (["rollout"], ["snapshot", "timestamp"]),
        ):
            found = tuf_ceremony.sign(world.repo, world.signers(*names))
            assert {each.partition(":")[0] for each in found.waiting} == set(still)
        assert tuf_ceremony.sign(world.repo, world.online).published
        assert not tuf_status.waiting(world.repo)
        assert world.device().check() is None

    def test_one_of_two_is_not_enough(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.keys = made_world(tmp_path / "other").keys
        signers = [key for name, key in world.keys.items() if name not in {"root-2", "root-3"}]
        found = tuf_ceremony.init(world.repo, world.holders(), signers)
        assert not found.published
        assert found.waiting[0].startswith("root: 1 more of root-2")
        assert "root-3" in found.waiting[0]
        stranger = new_signer("root-2")
        assert not tuf_ceremony.sign(world.repo, [stranger]).published
        assert tuf_ceremony.sign(world.repo, [world.keys["root-2"], *world.online]).published

    def test_periods_may_be_others_and_stay(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.keys = made_world(tmp_path / "other").keys
        days = {"timestamp": 0.5}
        tuf_ceremony.init(world.repo, world.holders(), world.signers(), days=days, now=world.now)
        found = {row.role: row.days for row in tuf_status.rows(world.repo, world.at)}
        assert found["root"] == pytest.approx(DAYS["root"], abs=0.01)


class TestRotate:
    @pytest.mark.parametrize("without_old", [False, True])
    @pytest.mark.parametrize("role", [*DELEGATED, "targets", "snapshot", "timestamp"])
    def test_any_role(self, world: World, role: str, *, without_old: bool) -> None:
        device = world.device()
        assert device.check()
        old = world.keys[role]
        assert world.rotate(role, without_old=without_old).published
        assert device.check()
        assert world.device(cache="new").check()
        world.instruct(2, world.publish("2.0", 2))
        found = device.check()
        assert found
        assert found == world.device(cache="new").check()
        world.keys[role] = old  # no longer theirs
        if role in {"models", "rollout", "snapshot", "timestamp"}:
            with pytest.raises(AssertionError):
                world.instruct(3, world.publish("3.0", 3))
            assert device.check() == found

    def test_a_root_of_three_over_several_versions(self, world: World) -> None:
        stale = world.device(cache="stale")
        assert stale.check()
        for name in ("root-1", "root-2", "root-3", "root-1", "root-2"):
            new = new_signer(name)
            signers = [*world.signers(), new]
            public = {"root": new.public_key}
            old = world.keys[name].public_key
            assert tuf_ceremony.rotate(world.repo, public, signers, old=old, now=world.now).published
            world.keys[name] = new
        data = world.instruct(2, world.publish("2.0", 2))
        for device in (stale, world.device(cache="new")):
            found = device.check()
            assert found
            assert found.instruction == data
            assert device.versions()["root"] == 6

    def test_a_root_needs_the_old_and_the_new(self, world: World) -> None:
        thief = new_signer("root-1")
        before = files(world)
        old = world.keys["root-1"].public_key
        found = tuf_ceremony.rotate(
            world.repo, {"root": thief.public_key}, [thief, world.keys["root-1"], *world.online], old=old
        )
        assert not found.published  # one of the old, and one of the new
        assert files(world) == before
        assert tuf_ceremony.sign(world.repo, world.signers("root-2", *ONLINE)).published
        assert world.device().check()

    def test_a_root_needs_two_of_the_old_even_if_the_new_suffice(self, world: World) -> None:
        new = new_signer("root-1")
        old = world.keys["root-1"].public_key
        signers = [new, world.keys["root-2"], *world.online]
        found = tuf_ceremony.rotate(world.repo, {"root": new.public_key}, signers, old=old, now=world.now)
        (waiting,) = found.waiting
        assert waiting.startswith("root: 1 more of root-1")
        assert not (world.repo / "metadata/2.root.json").exists()
        assert tuf_ceremony.sign(world.repo, world.signers("root-3", *ONLINE), now=world.now).published

    def test_which_key_goes(self, world: World) -> None:
        new = new_signer("root-1")
        for old in (None, new.public_key):
            with pytest.raises(InputError, match="which of the keys"):
                tuf_ceremony.rotate(world.repo, {"root": new.public_key}, world.signers(), old=old)
        with pytest.raises(InputError, match="no role"):
            tuf_ceremony.rotate(world.repo, {"model": new.public_key}, world.signers())

    def test_devices_follow_at_every_moment(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """With old and new keys at hand a device may ask between any two files."""
        from covey_server.tuf_files import Files  # noqa: PLC0415 - here alone

        device, seen = world.device(), []
        assert device.check()
        write = Files.write

        def watched(self: Files, name: str, content: bytes) -> None:
            write(self, name, content)
            seen.append(name)
            assert device.check()
            assert world.device(cache=f"at-{len(seen)}").check()

        monkeypatch.setattr(Files, "write", watched)
        for role in ("snapshot", "timestamp", "targets"):
            assert world.rotate(role).published
        world.instruct(2, world.publish("2.0", 2))
        assert len(seen) > 12

    def test_a_stopped_exchange_is_finished(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        from covey_server.tuf_files import Files  # noqa: PLC0415 - here alone

        write = Files.write
        new = {"targets": new_signer("targets-new"), "timestamp": new_signer("timestamp-new")}
        public = {role: each.public_key for role, each in new.items()}
        signers: list[Signer] = [*new.values()]
        signers += [each for name, each in world.keys.items() if name not in new]
        for stop in range(1, 9):
            here = World(world.folder / f"stop-{stop}", world.at, {**world.keys, **new})
            shutil.copytree(world.repo, here.repo)
            left = [stop]

            def stopping(self: Files, name: str, content: bytes, left: list[int] = left) -> None:
                left[0] -= 1
                if not left[0]:
                    raise KeyboardInterrupt
                write(self, name, content)

            monkeypatch.setattr(Files, "write", stopping)
            try:
                tuf_ceremony.rotate(here.repo, public, signers, now=here.now)
            except KeyboardInterrupt:
                monkeypatch.setattr(Files, "write", write)
                assert tuf_ceremony.sign(here.repo, signers, now=here.now).published
            monkeypatch.setattr(Files, "write", write)
            assert here.device().check()
            here.refresh()
            assert here.device().check()
        assert left[0] > 0  # the last was not stopped


class TestDryRun:
    """Nothing is published that a device could not follow."""

    def root(self, world: World, version: int, *signers: str) -> bytes:
        metadata = Metadata[Root].from_bytes(world.root)
        metadata.signed.version = version
        metadata.signatures.clear()
        for name in signers:
            metadata.sign(world.keys[name], append=True)
        return metadata.to_bytes()

    def test_a_good_root(self, world: World) -> None:
        dry_run(world.repo, {"metadata/2.root.json": self.root(world, 2, "root-1", "root-2")}, world.at)

    @pytest.mark.parametrize("kind", ["cut", "text", "version", "one signer", "another role's"])
    def test_a_malformed_root(self, world: World, kind: str) -> None:
        content = {
            "cut": self.root(world, 2, "root-1", "root-2")[:-20],
            "text": b"hello",
            "version": self.root(world, 3, "root-1", "root-2"),
            "one signer": self.root(world, 2, "root-1"),
            "another role's": (world.repo / "metadata/timestamp.json").read_bytes(),
        }[kind]
        with pytest.raises(CoveyError, match="could not follow"):
            dry_run(world.repo, {"metadata/2.root.json": content}, world.at)

    def test_a_malformed_root_that_is_there_already(self, world: World) -> None:
        device = world.device()
        before = files(world)
        for content in (b"hello", self.root(world, 3, "root-1", "root-2"), self.root(world, 2, "root-1")):
            (world.repo / "metadata/2.root.json").write_bytes(content)
            with pytest.raises(SourceRefused):
                device.check()
            with pytest.raises((CoveyError, StateError)):
                world.refresh()
            (world.repo / "metadata/2.root.json").unlink()
            assert files(world) == before
        world.refresh()

    def test_a_target_that_is_not_the_signed_one(self, world: World) -> None:
        name = next(iter(p for p in (world.repo / "targets/models").rglob("*") if p.is_file()))
        new = str(name.relative_to(world.repo))
        dry_run(world.repo, {new: name.read_bytes()}, world.at)
        with pytest.raises(CoveyError, match="could not follow"):
            dry_run(world.repo, {new: name.read_bytes()[:-1]}, world.at)

    def test_nobody_waits_for_who_let_theirs_expire(self, world: World) -> None:
        world.at += (DAYS["root"] + 1) * DAY
        for role in ("models", "root", "targets"):
            with pytest.raises(SourceExpired):
                world.device().check()
            signers = world.signers("root-1", "root-2", role, *ONLINE) if role != "root" else world.signers()
            assert tuf_ceremony.renew(world.repo, role, signers, now=world.now).published
        with pytest.raises(SourceExpired, match="rollout"):
            world.device().check()
        world.refresh()
        assert world.device().check()

    def test_a_server_that_was_off_for_a_month(self, world: World) -> None:
        device = world.device()
        assert device.check()
        world.at += 30 * DAY
        world.refresh()
        assert device.check()


def test_status_says_who_must_act(world: World) -> None:
    assert not [row for row in tuf_status.rows(world.repo, world.at) if row.due]
    found = tuf_status.rows(world.repo, world.at + (DAYS["models"] - 13) * DAY)
    assert {row.role for row in found if row.due} == {"models", *ONLINE}
    assert [row.role for row in found] == [*TOP, *DELEGATED]
    text = "\n".join(tuf_status.lines(found))
    assert "2 of root-1 (" in text
    assert "covey keys renew REPO models" in text
    assert "covey release refresh" in text
    for role in ("root", "targets", "models", "rollout", "snapshot", "timestamp"):
        assert tuf_ceremony.renew(world.repo, role, world.signers(), now=world.now).published
    assert world.device().check()
