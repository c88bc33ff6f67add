"""A device that wants to be shown what paid for a release."""

from functools import partial
from pathlib import Path

import pytest

import finished_run
import made_ledger
from covey.errors import InputError, PackageError
from covey.package.archive import pack, unpack
from covey.package.contents import read
from covey.package.names import PROVENANCE, SIGNATURE
from covey.package.verify import Package, sign_package, verify
from covey.rollout import update_events as events
from covey.rollout.plan import Image
from covey_client import slots
from covey_client.own_policy import POLICY, remember_policy
from covey_client.update_children import Processes
from covey_client.update_proof import check_proof
from covey_client.update_steps import Steps
from covey_client.update_table import UpdateTable
from covey_io.device_keys import reviewers_json
from covey_server.release_building import build
from covey_server.release_run import Wanted
from finished_run import Finished
from memory_ledger import REVIEWERS
from packages_fixture import package
from update_world import MemorySource, image_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run.finished(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def archive(made: Finished) -> bytes:
    """A release of the run, signed."""
    return pack(sign_package(unpack(build(made.path, Wanted())), made.private.read_bytes()))


@pytest.fixture
def state(tmp_path: Path, made: Finished) -> Path:
    """A device that took up the run's policy."""
    (tmp_path / "reviewers.json").write_bytes(reviewers_json(REVIEWERS))
    remember_policy(tmp_path, made.policy.read_bytes())
    return tmp_path


def opened(archive: bytes, made: Finished) -> Package:
    return verify(unpack(archive), made.public.read_bytes())


def test_a_release_that_shows_what_paid_for_it_is_taken(state: Path, archive: bytes, made: Finished) -> None:
    check_proof(state, opened(archive, made))


def test_one_that_spent_more_than_the_policy_is_refused(state: Path, archive: bytes, made: Finished) -> None:
    (state / POLICY).write_bytes(made_ledger.policy_note(budget__epsilon="0.01"))
    with pytest.raises(PackageError, match="policy"):
        check_proof(state, opened(archive, made))


def test_one_that_says_nothing_is_refused(state: Path, archive: bytes, made: Finished) -> None:
    del archive
    bare = {name: data for name, data in unpack(package()).items() if name not in {PROVENANCE, SIGNATURE}}
    with pytest.raises(PackageError, match="what paid for it"):
        check_proof(state, opened(pack(sign_package(bare, made.private.read_bytes())), made))


@pytest.mark.parametrize("gone", [POLICY, "reviewers.json"])
def test_a_device_that_knows_no_policy_says_what_to_do(
    state: Path, archive: bytes, made: Finished, gone: str
) -> None:
    (state / gone).unlink()
    with pytest.raises(InputError) as told:
        check_proof(state, opened(archive, made))
    assert gone in told.value.message
    assert told.value.hint


def test_a_policy_that_nobody_known_has_signed_is_none(state: Path, archive: bytes, made: Finished) -> None:
    note = (state / POLICY).read_bytes()
    (state / POLICY).write_bytes(note.replace(b"epsilon", b"epsilom"))
    with pytest.raises(InputError, match="policy"):
        check_proof(state, opened(archive, made))


class TestInTheUpdater:
    """What becomes of it there: one that does not show it is quarantined, an unknown policy waited for."""

    def verified(self, state: Path, archive: bytes, made: Finished) -> events.Event:
        device, source = state / "device", MemorySource()
        device.mkdir()
        (device / slots.TRUSTED).write_bytes(made.public.read_bytes())
        image = self.image(archive)
        source.archives[image.sha256] = archive
        bench = Processes(device, UpdateTable())
        proof = partial(check_proof, state)
        steps = Steps(device, source, bench, 1000, lambda: 0.0, lambda _, __: None, lambda _: None, proof)
        assert isinstance(steps.do(events.Fetch(image)), events.Fetched)
        return steps.do(events.Verify(image))

    def image(self, archive: bytes) -> Image:
        manifest = read(unpack(archive)).manifest
        return image_of(archive, manifest.version, name=manifest.name)

    def test_it_is_verified(self, state: Path, archive: bytes, made: Finished) -> None:
        assert isinstance(self.verified(state, archive, made), events.Verified)

    def test_it_is_rejected(self, state: Path, archive: bytes, made: Finished) -> None:
        (state / POLICY).write_bytes(made_ledger.policy_note(budget__epsilon="0.01"))
        assert isinstance(self.verified(state, archive, made), events.Rejected)

    def test_it_waits_for_a_policy(self, state: Path, archive: bytes, made: Finished) -> None:
        (state / POLICY).unlink()
        assert isinstance(self.verified(state, archive, made), events.Trouble)


def test_a_policy_is_written_once_and_replaced_by_the_next(tmp_path: Path) -> None:
    remember_policy(tmp_path, b"one\n")
    before = (tmp_path / POLICY).stat().st_ino
    remember_policy(tmp_path, b"one\n")
    assert (tmp_path / POLICY).stat().st_ino == before
    remember_policy(tmp_path, b"two\n")
    assert (tmp_path / POLICY).read_bytes() == b"two\n"
