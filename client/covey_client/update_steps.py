"""What the updater's machine asks for, done: one function an effect, each answers with an event.

Every step may be cut anywhere and done again. What is on the disk is believed only after it was verified
again: the archive at VERIFY, the slot at STAGE, and the slot once more before `current` is swapped to it.
"""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import CoveyError, InputError, PackageError, StateError
from covey.package.archive import unpack
from covey.package.verify import Package, verify
from covey.rollout import update_events as events
from covey.rollout.plan import Image
from covey.rollout.update_events import Effect, Event
from covey.rollout.update_state import Release, Slot
from covey_client import slots
from covey_client.self_test_record import Record, archive_sha256, write_record
from covey_client.self_test_verdict import Verdict
from covey_client.shadow_feed import SOCKET
from covey_client.source import Source, SourceExpired, SourceRefused
from covey_client.trial_counts import prune_counts
from covey_client.trial_mark import Mark, remove_mark, write_mark
from covey_client.update_children import Bench
from covey_io import durable
from covey_io.lock import held
from covey_io.packages import read_package

DOWNLOADS: Final = "download"
ROOM: Final = 1 << 20
"""Bytes that stay free beside a download and its slot: for the updater's own memory and the device's."""


@dataclass(frozen=True)
class Steps:
    """Does what the machine asks for, on one device.

    Attributes:
        folder: The device's folder.
        source: Where releases come from.
        bench: Where they are tried.
        hang_ms: For the trial's mark.
        now: The device's clock, unix seconds.
        watch: Told bytes there are, and bytes in all, while a release is fetched.
        log: Takes one line for the device's owner.
        proof: Refuses a verified package that does not show what paid for it; None to ask for nothing.
    """

    folder: Path
    source: Source
    bench: Bench
    hang_ms: int
    now: Callable[[], float]
    watch: Callable[[int, int], None]
    log: Callable[[str], None]
    proof: Callable[[Package], None] | None = None

    def do(self, effect: Effect) -> Event:
        """Do it; what goes wrong is an event as well.

        Raises:
            StateError: `current` or `slots` is not ours: nothing is touched.
        """
        try:
            return self._do(effect)
        except InputError as error:
            return events.Trouble(self.now(), str(error))
        except OSError as error:
            return events.Trouble(self.now(), f"the disk does not take it: {error}")

    def _do(self, effect: Effect) -> Event:  # noqa: PLR0911 - a table of effects
        match effect:
            case events.Fetch():
                return self._fetch(effect.image)
            case events.Verify():
                return self._verify(effect.image)
            case events.Stage():
                return self._stage(effect.image)
            case events.SelfTest():
                return self._self_test(effect)
            case events.Shadow():
                return self._shadow(effect)
            case events.Switch():
                return self._switch(effect)
            case events.Return():
                return self._return(effect)
            case events.Settle():
                return self._settle(effect.image)
        raise CoveyError(f"{type(effect).__name__} is no step")

    def _fetch(self, image: Image) -> Event:
        part = self._part(image)
        durable.make_folder(part.parent)
        self._forget_downloads(but=part)
        self._make_room(image, part)
        try:
            self.source.fetch(image, part, self.watch)
        except (SourceRefused, SourceExpired) as error:
            return events.Stale(self.now(), str(error))
        except CoveyError as error:
            return events.Trouble(self.now(), str(error))
        except OSError:
            part.unlink(missing_ok=True)  # half a download must not keep a disk full
            raise
        return events.Fetched(self.now())

    def _make_room(self, image: Image, part: Path) -> None:
        """Room for the archive and the slot that it is unpacked into, or nothing is begun.

        Raises:
            OSError: There is not enough.
        """
        there = part.stat().st_size if part.exists() else 0
        needed = max(image.bytes - there, 0) + image.bytes + ROOM
        try:
            durable.check_room(self.folder, needed)
        except OSError:
            with self._alone():
                slots.clear(self.folder / slots.spare(self.folder))
            durable.check_room(self.folder, needed)

    def _verify(self, image: Image) -> Event:
        part = self._part(image)
        data = part.read_bytes() if part.exists() and part.stat().st_size == image.bytes else b""
        if hashlib.sha256(data).hexdigest() != image.sha256:
            part.unlink(missing_ok=True)
            return events.Spoiled(self.now(), "the download is not there whole any more")
        key = slots.trusted_key(self.folder)
        try:
            package = verify(unpack(data), key)
            _check_is(package, image)
            if self.proof is not None:
                self.proof(package)
        except PackageError as error:
            return events.Rejected(self.now(), str(error))
        return events.Verified(self.now())

    def _stage(self, image: Image) -> Event:
        part, key = self._part(image), slots.trusted_key(self.folder)
        try:
            files = verify(unpack(part.read_bytes()), key).files
            with self._alone():
                slot = slots.spare(self.folder)
                written = slots.write(self.folder / slot, files, key)
        except FileNotFoundError as error:
            return events.Spoiled(self.now(), str(error))
        except PackageError as error:
            return events.Spoiled(self.now(), f"what the disk gives back is not what was written: {error}")
        if archive_sha256(written.files) != image.sha256:
            return events.Spoiled(self.now(), "the disk gives back another package")
        self._forget_downloads()
        return events.Staged(self.now(), slot)

    def _self_test(self, effect: events.SelfTest) -> Event:
        if (lost := self._lost(effect.image, effect.slot)) is not None:
            return lost
        verdict = self.bench.self_test(effect.slot, self._baseline(effect.slot))
        if verdict.kind != "passed" or verdict.variant is None:
            return self._not_passed(verdict)
        self.log(f"{effect.image.version} passed its self-test: {verdict.why}")
        write_record(self.folder / effect.slot, Record(sha256=effect.image.sha256, variant=verdict.variant))
        return events.Tested(self.now(), verdict.variant)

    def _shadow(self, effect: events.Shadow) -> Event:
        if (lost := self._lost(effect.image, effect.slot)) is not None:
            return lost
        baseline = self._baseline(effect.slot)
        if baseline is None:
            return events.Shadowed(self.now())
        verdict = self.bench.shadow(effect.slot, effect.variant, baseline)
        return events.Shadowed(self.now()) if verdict.kind == "passed" else self._not_passed(verdict)

    def _not_passed(self, verdict: Verdict) -> Event:
        match verdict.kind:
            case "rejected":
                return events.Rejected(self.now(), verdict.why)
            case "spoiled":
                return events.Spoiled(self.now(), verdict.why)
            case _:
                return events.Trouble(self.now(), verdict.why)

    def _switch(self, effect: events.Switch) -> Event:
        with self._alone():
            if not self._holds(effect.image, effect.slot):
                return self._spoiled(effect.image, effect.slot)
            record = Record(sha256=effect.image.sha256, variant=effect.variant)
            write_record(self.folder / effect.slot, record)
            mark = Mark(image=effect.image.sha256, slot=effect.slot, hang_ms=self.hang_ms)
            write_mark(self.folder, mark)
            durable.swap_link(self.folder / slots.CURRENT, effect.slot)
        return events.Switched(self.now())

    def _return(self, effect: events.Return) -> Event:
        with self._alone():
            if effect.slot is not None:
                self._leave(effect.slot, effect.onto)
            remove_mark(self.folder)
        self._forget_downloads()
        (self.folder / SOCKET).unlink(missing_ok=True)
        prune_counts(self.folder, effect.onto.sha256 if effect.onto else "")
        return events.Returned(self.now())

    def _leave(self, slot: Slot, onto: Release | None) -> None:
        """Lead `current` to what ran before, if it leads to a slot that is given up; then clear that slot."""
        link = self.folder / slots.CURRENT
        if slots.current_slot(self.folder) == slot:
            if onto is None:
                link.unlink()
            else:
                durable.swap_link(link, slots.other(slot))
        durable.sync_folder(self.folder)
        slots.clear(self.folder / slot)

    def _settle(self, image: Image) -> Event:
        remove_mark(self.folder)
        self._forget_downloads()
        (self.folder / SOCKET).unlink(missing_ok=True)
        prune_counts(self.folder, image.sha256)
        return events.Settled(self.now())

    def _lost(self, image: Image, slot: Slot) -> Event | None:
        """That a slot which is not in use does not hold the image; None if it does."""
        if self._holds(image, slot) and slots.current_slot(self.folder) != slot:
            return None
        return self._spoiled(image, slot)

    def _holds(self, image: Image, slot: Slot) -> bool:
        """Whether it is there whole, and signed."""
        found = release_in(self.folder, slot)
        return found is not None and found.sha256 == image.sha256

    def _spoiled(self, image: Image, slot: Slot) -> Event:
        return events.Spoiled(self.now(), f"{slot} does not hold {image.version} any more")

    def _baseline(self, slot: Slot) -> Slot | None:
        """The slot of what serves, if something verified does."""
        serves = slots.current_slot(self.folder)
        return None if serves in {None, slot} or release_in(self.folder, serves) is None else serves

    def _alone(self) -> AbstractContextManager[None]:
        busy = InputError(f"{self.folder}: another installation is running", hint="wait for it")
        return held(self.folder, busy)

    def _part(self, image: Image) -> Path:
        return self._downloads() / f"{image.sha256}.part"

    def _downloads(self) -> Path:
        """Where an archive comes to lie.

        Raises:
            StateError: It is a link: what it leads to is not ours to write or to clear. Another user may be
                let into the device's folder.
        """
        folder = self.folder / DOWNLOADS
        if folder.is_symlink():
            raise StateError(
                f"{folder} is a link", hint="remove it; nothing is updated, and what runs goes on"
            )
        return folder

    def _forget_downloads(self, but: Path | None = None) -> None:
        folder = self._downloads()
        left = [path for path in folder.iterdir() if path != but] if folder.is_dir() else []
        for path in left:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if left:
            durable.sync_folder(folder)


def release_in(device_folder: Path, slot: Slot | None) -> Release | None:
    """What a slot holds, if it is whole and the trusted key signed it; None if not, or nobody can tell.

    Raises:
        OSError: It cannot be read.
    """
    if slot is None or not (device_folder / slot).is_dir():
        return None
    try:
        package = verify(read_package(device_folder / slot), slots.trusted_key(device_folder))
    except CoveyError:
        return None
    manifest = package.manifest
    return Release(name=manifest.name, version=manifest.version, sha256=archive_sha256(package.files))


def _check_is(package: Package, image: Image) -> None:
    found = (package.manifest.name, package.manifest.version)
    if found != (image.name, image.version):
        raise PackageError(f"it calls itself {' '.join(found)}, its target {image.name} {image.version}")
