"""Install a package on a device so that a power cut at any instruction leaves a complete, verified model.

    DEVICE/trusted.pub.pem    who may publish to this device; put there by whoever sets it up
    DEVICE/slots/A, slots/B   two unpacked packages; one of them is in use
    DEVICE/current            symbolic link to the one in use

Verify the archive, write the slot that is not in use, read it back from disk and verify again, run the
golden inputs, and only then swap `current` (rename(2): a reader sees the old slot or the new). The slot in
use is never touched.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from covey.errors import CoveyError, InputError, PackageError, StateError
from covey.package.archive import unpack
from covey.package.contents import Contents, Variant
from covey.package.names import GOLDEN_OUTPUTS
from covey.package.verify import Package, verify
from covey_client.self_test_record import Record, archive_sha256, read_record, remove_record, write_record
from covey_io import durable
from covey_io.lock import held
from covey_io.packages import read_key, read_package

if TYPE_CHECKING:
    from covey_client.inference import Choice, Classifier

CURRENT = "current"
TRUSTED = "trusted.pub.pem"
Slot = Literal["slots/A", "slots/B"]
SLOTS: tuple[Slot, Slot] = ("slots/A", "slots/B")

# How far a logit may lie from its golden value, as a share of the largest golden logit. Single precision
# differs between processors by the order of additions; int8 kernels also by how they round and saturate.
TOLERANCE: Mapping[Variant, float] = {"fp32": 1e-3, "int8": 5e-2}


@dataclass(frozen=True)
class Installed:
    """A package that is now in use.

    Attributes:
        slot: "slots/A" or "slots/B".
        folder: Its full path.
        package: What was verified, as read back from disk.
    """

    slot: str
    folder: Path
    package: Package


def install(package: bytes, device_folder: Path, public_key_pem: bytes) -> Installed:
    """Verify a package, unpack it into the slot that is not in use, test it and put it in use.

    Args:
        package: The `.covey` archive.
        device_folder: The device's folder; made when it is not there.
        public_key_pem: Who may publish to this device; see `trusted_key`.

    Returns:
        What is now in use. On any error, what was in use before still is.

    Raises:
        PackageError: Not signed by that key, damaged on the way to the disk, or fails its self-test.
        InputError: The key cannot be used.
        StateError: `current` is not a link to a slot.
        CoveyError: Another installation is running on this device.
        OSError: The disk is full or cannot be written.
    """
    files = verify(unpack(package), public_key_pem).files
    durable.make_folder(device_folder)
    busy = CoveyError(f"{device_folder}: another installation is running", hint="wait for it and try again")
    with held(device_folder, busy):
        slot = spare(device_folder)
        folder = device_folder / slot
        written = write(folder, files, public_key_pem)
        self_test(written)
        write_record(folder, Record(sha256=archive_sha256(files), variant=written.variants[-1]))
        durable.swap_link(device_folder / CURRENT, slot)
    return Installed(slot, folder, written)


def current(device_folder: Path) -> Path:
    """The folder of the package in use.

    Raises:
        InputError: Nothing is installed there.
        StateError: `current` is not a link to a slot.
    """
    slot = current_slot(device_folder)
    if slot is None:
        raise InputError(f"{device_folder}: no package is installed", hint="install one first")
    return device_folder / slot


def installed(device_folder: Path) -> Package:
    """The package in use, verified again with the device's own trusted key.

    Raises:
        InputError: Nothing is installed, or the device has no trusted key.
        PackageError: The slot was changed since; names the file.
        StateError: `current` is not a link to a slot.
    """
    return verify(read_package(current(device_folder)), trusted_key(device_folder))


def trusted_key(device_folder: Path) -> bytes:
    """The public key (PEM) of who may publish to this device.

    Raises:
        InputError: The device's folder has none.
    """
    path = device_folder / TRUSTED
    if not path.exists():
        raise InputError(f"{path}: no such file", hint="copy the publisher's public key there")
    return read_key(path)


def choice(device_folder: Path) -> "Choice":
    """Which model of the package in use its self-test has chosen; "auto" if nobody has measured.

    Raises:
        InputError: Nothing is installed.
        StateError: `current` is not a link to a slot.
    """
    folder = current(device_folder)
    record = read_record(folder)
    fits = record is not None and record.sha256 == archive_sha256(read_package(folder))
    return record.variant if record is not None and fits else "auto"


def self_test(package: Contents) -> None:
    """Run the golden inputs through every variant, on this device's processor.

    Raises:
        PackageError: A model does not run, or a logit is further from its golden value than `TOLERANCE`.
    """
    from covey_client.inference import Classifier  # noqa: PLC0415 - the updater has no memory for it

    for variant in package.variants:
        check_golden(package, Classifier(package, variant))


def check_golden(package: Contents, classifier: "Classifier") -> None:
    """Run the golden inputs through one model.

    Raises:
        PackageError: It does not run, or a logit is further from its golden value than `TOLERANCE`.
    """
    variant = classifier.variant
    logits = classifier.predict(package.golden.inputs).logits
    golden = package.golden.outputs[variant]
    allowed = TOLERANCE[variant] * float(np.abs(golden).max())
    worst = float(np.abs(logits - golden).max())
    # Written so that a difference that is not a number fails.
    if not worst <= allowed:
        raise PackageError(
            f"{GOLDEN_OUTPUTS[variant]}: logits here are off by {worst:.3g}, allowed {allowed:.3g}",
            hint="not put in use; the model in use before still is",
        )


def current_slot(device_folder: Path) -> Slot | None:
    """The slot in use; None before the first.

    Raises:
        StateError: `current` is not a link to a slot.
    """
    link = device_folder / CURRENT
    if not os.path.lexists(link):
        return None
    target = str(link.readlink()) if link.is_symlink() else ""
    for slot in SLOTS:
        if target == slot:
            return slot
    raise StateError(f"{link} is not a link to a slot", hint="remove it and install the package again")


def other(slot: Slot) -> Slot:
    """The other one of the two."""
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]


def spare(device_folder: Path) -> Slot:
    """The slot that is not in use, and may be overwritten."""
    # A process that died inside swap_link may have renamed the link without flushing it: then memory says
    # one slot and the disk another. Flush first, so that the slot we clear is not the one on disk.
    durable.sync_folder(device_folder)
    slot = current_slot(device_folder)
    return SLOTS[0] if slot is None else other(slot)


def write(folder: Path, files: Mapping[str, bytes], public_key_pem: bytes) -> Package:
    """Make a slot hold exactly `files`, on disk, read them back and verify them. Nothing is tested yet.

    Raises:
        StateError: `slots` is a link: what it leads to is not ours to clear.
        PackageError: The disk gives back something else.
        OSError: The disk does not take it.
    """
    clear(folder)
    for name, content in files.items():
        path = folder / name
        durable.make_folder(path.parent)
        durable.replace(path, content)
    return verify(read_package(folder), public_key_pem)


def clear(folder: Path) -> None:
    """Empty a slot, its record first; whoever calls knows that it is not in use.

    Raises:
        StateError: `slots` is a link: what it leads to is not ours to clear.
        OSError: The disk does not take it.
    """
    if folder.parent.is_symlink():
        raise StateError(f"{folder.parent} is a link", hint="remove it and install the package again")
    remove_record(folder)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
        durable.sync_folder(folder.parent)
