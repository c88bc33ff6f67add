"""Installation: verified, tested on the device, and safe against a power cut at every step."""

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from covey.errors import CoveyError, InputError, PackageError, StateError
from covey.package import manifest as manifests
from covey.package import npy
from covey.package.archive import pack
from covey.package.keys import new_signing_key
from covey.package.verify import sign_package, verify
from covey_client import slots
from covey_client.slots import install, installed
from covey_io import durable
from covey_io.packages import read_package
from packages_fixture import files, keys, model, package, unsigned

KEY = keys()[1]
OLD, NEW = package("1.0.0"), package("2.0.0")


class PowerCut(BaseException):
    """The device loses power."""


class Supply:
    """Counts the steps of an installation that touch the disk, and cuts the power at one of them.

    Args:
        cut_at: The step, from 1; 0 never cuts.
        moment: "before" the step, "after" it, or "torn": a file with half of its bytes.
    """

    def __init__(self, cut_at: int, moment: str) -> None:
        self.cut_at = cut_at
        self.moment = moment
        self.steps = 0

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count the durable writes, and inside them every rename and flush."""
        monkeypatch.setattr(durable, "replace", self.torn(durable.replace))
        monkeypatch.setattr(os, "fsync", self.counted(os.fsync))
        monkeypatch.setattr(Path, "replace", self.counted(Path.replace))
        monkeypatch.setattr(Path, "mkdir", self.counted(Path.mkdir))
        monkeypatch.setattr(shutil, "rmtree", self.counted(shutil.rmtree))

    def counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """`step`, with the power cut before or after it."""

        def act(*arguments: Any, **options: Any) -> Any:
            self.steps += 1
            if self.steps == self.cut_at and self.moment == "before":
                raise PowerCut
            result = step(*arguments, **options)
            if self.steps == self.cut_at and self.moment == "after":
                raise PowerCut
            return result

        return act

    def torn(self, write: Callable[[Path, bytes], None]) -> Callable[[Path, bytes], None]:
        """A write of a file that may stop half way, and leaves the half under the file's own name."""

        def act(path: Path, data: bytes) -> None:
            self.steps += 1
            if self.steps == self.cut_at and self.moment == "torn":
                path.write_bytes(data[: len(data) // 2])
                raise PowerCut
            write(path, data)

        return act


def version(device: Path) -> str:
    """The version in use, through the whole verification; "" when nothing is."""
    if not os.path.lexists(device / "current"):
        return ""
    return verify(read_package(slots.current(device)), KEY).manifest.version


def test_the_first_package_goes_to_a_and_the_next_to_b_and_so_on(tmp_path: Path) -> None:
    taken = [install(data, tmp_path / "device", KEY).slot for data in (OLD, NEW, OLD)]
    assert taken == ["slots/A", "slots/B", "slots/A"]
    assert version(tmp_path / "device") == "1.0.0"


def test_current_is_a_relative_link(tmp_path: Path) -> None:
    install(OLD, tmp_path / "device", KEY)
    (tmp_path / "device").rename(tmp_path / "moved")
    assert version(tmp_path / "moved") == "1.0.0"


def test_a_slot_holds_exactly_the_package(tmp_path: Path) -> None:
    (tmp_path / "slots/A/.git").mkdir(parents=True)
    (tmp_path / "slots/A/.git/x").write_bytes(b"left over")
    done = install(OLD, tmp_path, KEY)
    assert read_package(done.folder) == files("1.0.0")
    assert done.package.manifest.version == "1.0.0"


def test_a_package_by_another_key_changes_nothing(tmp_path: Path) -> None:
    install(OLD, tmp_path, KEY)
    with pytest.raises(PackageError):
        install(NEW, tmp_path, new_signing_key()[1])
    assert version(tmp_path) == "1.0.0"
    assert not (tmp_path / "slots/B").exists()


def test_a_disk_that_changes_a_byte_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(OLD, tmp_path, KEY)
    write = durable.replace

    def bad_sector(path: Path, data: bytes) -> None:
        write(path, data[:-1] + b"?" if path.name == "inputs.npy" else data)

    monkeypatch.setattr(durable, "replace", bad_sector)
    with pytest.raises(PackageError, match=r"golden/inputs\.npy has changed"):
        install(NEW, tmp_path, KEY)
    assert version(tmp_path) == "1.0.0"


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_model_that_computes_something_else_here_is_not_put_in_use(tmp_path: Path, variant: str) -> None:
    """A signed package whose golden outputs this device does not reproduce."""
    install(OLD, tmp_path, KEY)
    wrong = dict(unsigned("2.0.0"))
    name = f"golden/outputs.{variant}.npy"
    wrong[name] = npy.encode((npy.decode(name, wrong[name]) * np.float32(1.2)).astype(np.float32))
    with pytest.raises(PackageError, match=name):
        install(resigned(wrong), tmp_path, KEY)
    assert version(tmp_path) == "1.0.0"


def test_a_model_that_does_not_run_here_is_not_put_in_use(tmp_path: Path) -> None:
    broken = {**unsigned(), "model.int8.onnx": model().replace(b"Relu", b"Nope")}
    with pytest.raises(PackageError, match=r"model\.int8\.onnx: ONNX Runtime cannot run it"):
        install(resigned(broken), tmp_path, KEY)
    assert not os.path.lexists(tmp_path / "current")


def test_slots_that_are_a_link_are_refused_and_what_they_lead_to_is_left_alone(tmp_path: Path) -> None:
    elsewhere, device = tmp_path / "elsewhere", tmp_path / "device"
    (elsewhere / "A").mkdir(parents=True)
    (elsewhere / "A" / "thesis.txt").write_text("mine")
    device.mkdir()
    (device / "slots").symlink_to(elsewhere)
    with pytest.raises(StateError, match="slots is a link"):
        install(NEW, device, KEY)
    assert (elsewhere / "A" / "thesis.txt").read_text() == "mine"


def resigned(changed: dict[str, bytes]) -> bytes:
    """A package file of changed contents, correctly listed and signed."""
    manifest = manifests.decode(changed["manifest.json"])
    listed = msgspec.structs.replace(manifest, files=manifests.listing(changed))
    return pack(sign_package({**changed, "manifest.json": manifests.encode(listed)}, keys()[0]))


def test_a_package_without_int8_installs(tmp_path: Path) -> None:
    assert install(package(int8=False), tmp_path, KEY).package.variants == ("fp32",)


def test_installed_verifies_with_the_devices_own_key(tmp_path: Path) -> None:
    install(OLD, tmp_path, KEY)
    with pytest.raises(InputError, match=r"trusted\.pub\.pem"):
        installed(tmp_path)
    (tmp_path / "trusted.pub.pem").write_bytes(KEY)
    assert installed(tmp_path).manifest.version == "1.0.0"
    (tmp_path / "slots/A/labels.json").write_bytes(b"[]")
    with pytest.raises(PackageError, match=r"labels\.json has changed"):
        installed(tmp_path)


def test_current_of_an_empty_device_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no package is installed"):
        slots.current(tmp_path)


@pytest.mark.parametrize("target", ["/etc", "slots/C", "../device/slots/A"])
def test_a_link_to_elsewhere_is_never_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "current").symlink_to(target)
    for act in (slots.current, lambda device: install(OLD, device, KEY)):
        with pytest.raises(StateError, match="not a link to a slot"):
            act(tmp_path)


def test_only_one_installation_at_a_time(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(CoveyError, match="another installation"):
        install(OLD, tmp_path, KEY)
    os.close(descriptor)
    assert install(OLD, tmp_path, KEY).slot == "slots/A"


@pytest.fixture
def untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the self-test out where an installation is repeated at every step: it touches no disk."""
    monkeypatch.setattr(slots, "self_test", lambda _: None)


def steps_of_an_installation(device: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with monkeypatch.context() as patch:
        supply = Supply(0, "")
        supply.attach(patch)
        install(NEW, device, KEY)
    return supply.steps


@pytest.mark.usefixtures("untested")
@pytest.mark.parametrize("moment", ["before", "after", "torn"])
@pytest.mark.parametrize("before", ["", "1.0.0"])
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, moment: str
) -> None:
    def device_at(name: str) -> Path:
        if before:
            install(package(before), tmp_path / name, KEY)
            install(package(before), tmp_path / name, KEY)  # so that the spare slot has something to clear
        return tmp_path / name

    steps = steps_of_an_installation(device_at("counted"), monkeypatch)
    assert steps > 40
    seen = set()
    for step in range(1, steps + 1):
        device = device_at(f"device-{step}")
        with monkeypatch.context() as patch:
            Supply(step, moment).attach(patch)
            with suppress(PowerCut):
                install(NEW, device, KEY)
        seen.add(version(device))
        assert install(NEW, device, KEY).package.manifest.version == "2.0.0"
        assert version(device) == "2.0.0"
        shutil.rmtree(device)
    assert seen == {before, "2.0.0"}


def test_a_link_that_was_swapped_but_not_flushed_is_flushed_before_a_slot_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash inside the swap, memory may say B while the disk says A: A must not be cleared yet."""
    install(OLD, tmp_path, KEY)
    order: list[str] = []
    sync, clear = durable.sync_folder, shutil.rmtree

    def noted_sync(path: Path) -> None:
        order.append(f"sync {path.relative_to(tmp_path)}")
        sync(path)

    def noted_clear(path: Path) -> None:
        order.append(f"clear {path.relative_to(tmp_path)}")
        clear(path)

    install(NEW, tmp_path, KEY)
    monkeypatch.setattr(durable, "sync_folder", noted_sync)
    monkeypatch.setattr(shutil, "rmtree", noted_clear)
    install(OLD, tmp_path, KEY)
    assert order.index("sync .") < order.index("clear slots/A")
