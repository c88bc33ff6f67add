"""What may be published, by whom, and what a device then sees."""

from pathlib import Path

import msgspec
import pytest

from covey.errors import CoveyError, InputError, ProtocolError
from covey_client.source import Offered
from covey_server import tuf_ceremony, tuf_repository
from covey_server.key_files import write_private
from covey_server.tuf_bundle import bundle
from covey_server.tuf_roles import ONLINE
from tuf_world import ARCHIVE, DAY, World, copied, instruction, made_world


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made_world(tmp_path_factory.mktemp("once"))


@pytest.fixture
def world(once: World, tmp_path: Path) -> World:
    return copied(once, tmp_path)


def offered(world: World) -> Offered:
    found = world.device().check()
    assert found
    return found


class TestModels:
    @pytest.mark.parametrize(
        ("version", "generation", "floor", "said"),
        [
            ("1.0", 9, 2, "published already"),
            ("2.0", 3, 2, "generation 3, and 3 is published"),
            ("2.0", 2, 2, "at least 4"),
            ("2.0", 4, 1, "never falls"),
            ("2.0", 4, 5, "floor of 5"),
        ],
    )
    def test_generations_grow_and_floors_never_fall(
        self, world: World, version: str, generation: int, floor: int, said: str
    ) -> None:
        world.publish("1.0", 3, floor=2)
        with pytest.raises(InputError, match=said):
            world.publish(version, generation, floor)
        world.publish("2.0", 4, 2)

    def test_the_image_is_the_archive_s(self, world: World) -> None:
        image = world.image("1.0", 1)
        for changed in ({"bytes": 3}, {"sha256": "0" * 64}, {"target": "models/motion/2.0.covey"}):
            with pytest.raises(InputError):
                tuf_repository.publish_model(
                    world.repo, ARCHIVE, msgspec.structs.replace(image, **changed), 1, world.signers()
                )

    def test_another_name_counts_for_itself(self, world: World) -> None:
        world.publish("1.0", 7, floor=5)
        image = world.image("1.0", 1, name="falls")
        found = tuf_repository.publish_model(world.repo, ARCHIVE, image, 1, world.signers(), now=world.now)
        assert found.published
        world.instruct(1, image)
        assert offered(world).floor == {"motion": 5, "falls": 1}


class TestInstructions:
    def test_serials_grow(self, world: World) -> None:
        image = world.publish("1.0", 1)
        world.instruct(2, image)
        for serial in (1, 2):
            with pytest.raises(InputError, match="serial"):
                world.instruct(serial, image)
        world.instruct(3, image)

    @pytest.mark.parametrize("changed", [{"generation": 2}, {"sha256": "0" * 64}, {"bytes": 5}])
    def test_images_are_named_as_published(self, world: World, changed: dict[str, object]) -> None:
        image = world.publish("1.0", 1)
        with pytest.raises(InputError, match="something else"):
            world.instruct(1, msgspec.structs.replace(image, **changed))
        with pytest.raises(InputError, match="not published"):
            world.instruct(1, world.image("2.0", 2))

    def test_none_below_the_floor(self, world: World) -> None:
        old = world.publish("1.0", 1)
        world.publish("2.0", 2, floor=2)
        with pytest.raises(InputError, match="below the floor"):
            world.instruct(1, old)

    def test_no_nonsense(self, world: World) -> None:
        with pytest.raises(ProtocolError):
            tuf_repository.publish_instruction(world.repo, b"{}", world.signers())

    def test_a_server_does_it_with_its_own_keys_alone(self, world: World) -> None:
        image = world.publish("1.0", 1)
        for role in ONLINE:
            write_private(world.folder / "keys" / f"{role}.key", world.keys[role]._private_key, None)  # type: ignore[arg-type]
        publisher = tuf_repository.OnlinePublisher(world.repo, world.folder / "keys", now=world.now)
        publisher.instruction(instruction(1, image))
        assert offered(world).instruction == instruction(1, image)
        world.at += 6 * DAY
        publisher.refresh()
        world.at += DAY / 2
        assert offered(world).instruction == instruction(1, image)
        write_private(world.folder / "keys/rollout.key", world.keys["rollout"]._private_key, "a passphrase")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="encrypted"):
            tuf_repository.OnlinePublisher(world.repo, world.folder / "keys")


def test_policy_and_roster(world: World) -> None:
    for publish, role in (
        (tuf_repository.publish_policy, "policy"),
        (tuf_repository.publish_roster, "roster"),
    ):
        assert publish(world.repo, b"text", world.signers(role, *ONLINE), now=world.now).published
    files = [path.name.partition(".")[2] for path in (world.repo / "targets").rglob("*") if path.is_file()]
    assert sorted(files) == ["policy", "roster"]


def test_refresh_renews_only_what_must_be(world: World) -> None:
    world.instruct(1, world.publish("1.0", 1))
    before = world.device()
    assert before.check()
    world.at += DAY / 2
    world.refresh()
    assert before.check()
    first = before.versions()
    world.at += 4 * DAY
    world.refresh()
    assert before.check()
    assert before.versions()["snapshot"] == first["snapshot"] + 1


def test_a_release_waits_for_the_server_s_keys(world: World) -> None:
    image = world.image("1.0", 1)
    models = world.signers("models")
    found = tuf_repository.publish_model(world.repo, ARCHIVE, image, 1, models, now=world.now)
    assert not found.published
    assert [each.partition(":")[0] for each in found.waiting] == ["snapshot", "timestamp"]
    assert not tuf_repository.releases(world.repo)
    with pytest.raises(InputError, match="waits"):
        tuf_repository.publish_model(world.repo, ARCHIVE, image, 1, models, now=world.now)
    world.refresh()  # the server goes on meanwhile
    assert tuf_ceremony.sign(world.repo, world.online, now=world.now).published
    world.instruct(1, image)
    world.device().fetch(image, world.folder / "part", lambda *_: None)
    with pytest.raises(InputError, match="nothing in"):
        tuf_ceremony.sign(world.repo, world.online)


def test_what_was_overtaken_is_not_published(world: World) -> None:
    models = world.signers("models")
    tuf_repository.publish_model(world.repo, ARCHIVE, world.image("1.0", 1), 1, models, now=world.now)
    world.publish("2.0", 2)
    with pytest.raises(InputError, match="prepared as version 1, and 1 is published"):
        tuf_ceremony.sign(world.repo, world.online, now=world.now)


class TestBundle:
    def test_a_device_without_a_network(self, world: World) -> None:
        old = world.publish("1.0", 1)
        image = world.publish("2.0", 2)
        data = world.instruct(1, image)
        found = bundle(world.repo, world.folder / "stick")
        assert len(found) == 2
        device = world.device(str(world.folder / "stick"), cache="offline")
        found_there = device.check()
        assert found_there
        assert found_there.instruction == data
        device.fetch(image, world.folder / "part", lambda *_: None)
        assert (world.folder / "part").read_bytes() == ARCHIVE
        with pytest.raises(CoveyError):
            device.fetch(old, world.folder / "other", lambda *_: None)  # not on the stick

    def test_may_hold_longer(self, world: World) -> None:
        world.instruct(1, world.publish("1.0", 1))
        assert tuf_repository.refresh(world.repo, world.online, days=30, now=world.now).published
        bundle(world.repo, world.folder / "stick")
        world.at += 29 * DAY
        assert world.device(str(world.folder / "stick"), cache="offline").check()
        world.refresh()
        world.at += 2 * DAY
        with pytest.raises(CoveyError, match="expired"):  # once only
            world.device().check()

    def test_nothing_to_carry(self, world: World) -> None:
        with pytest.raises(InputError, match="no instruction"):
            bundle(world.repo, world.folder / "stick")
        world.instruct(1, world.publish("1.0", 1))
        (world.folder / "stick").mkdir()
        with pytest.raises(InputError, match="there already"):
            bundle(world.repo, world.folder / "stick")
