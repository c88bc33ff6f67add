"""Loads what a device has in use, verified with its own key; on trial, the model before as well."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covey.errors import CoveyError, InputError, PackageError
from covey.package.verify import verify
from covey.rollout.update_state import Slot
from covey_client.inference import Classifier, Prediction
from covey_client.self_test_record import archive_sha256, read_record
from covey_client.slots import current_slot, other, trusted_key
from covey_client.trial_counts import Counts, clock
from covey_client.trial_mark import Mark, read_mark
from covey_io.packages import read_package


@dataclass(frozen=True)
class Loaded:
    """A model in memory, and where it is counted."""

    image: str
    classifier: Classifier
    counts: Counts | None


@dataclass(frozen=True)
class Pair:
    """What answers now: swapped as one.

    Attributes:
        serves: Answers.
        before: Answers what `serves` fails at; None outside a trial.
        hang_ns: A request that lasts longer is given up; 0 for never.
    """

    serves: Loaded
    before: Loaded | None = None
    hang_ns: int = 0


class Loader:
    """Loads, and remembers where each model is counted.

    Args:
        device_folder: The device's folder.
    """

    def __init__(self, device_folder: Path) -> None:
        self._folder = device_folder
        self._counted: dict[str, Counts] = {}

    def in_use(self) -> tuple[object, ...]:
        """Tells when there is something else to load: compared for equality only; empty if nothing is in use.

        Raises:
            StateError: `current` is not a link to a slot.
        """
        slot = current_slot(self._folder)
        return () if slot is None else (slot, read_record(self._folder / slot), read_mark(self._folder))

    def first(self) -> tuple["Pair", str]:
        """What is to answer after a start, and what is wrong with it; "" if nothing is.

        Raises:
            InputError: Nothing is installed, or the device has no trusted key.
            PackageError: Neither slot holds a package that verifies and runs.
        """
        slot = current_slot(self._folder)
        if slot is None:
            raise InputError(f"{self._folder}: no package is installed", hint="install one first")
        try:
            return self.pair_of(slot), ""
        except (CoveyError, OSError) as error:
            spare = other(slot)
            if read_record(self._folder / spare) is None:
                raise
            return Pair(self._load(spare)), f"{slot} cannot be served, {spare} is: {error}"

    def next(self, known: Pair) -> Pair:
        """What is to answer from now on.

        Args:
            known: What does until now; what it has in memory is not loaded again.

        Raises:
            CoveyError: What is in use cannot be verified, or does not run.
            OSError: It cannot be read.
        """
        slot = current_slot(self._folder)
        return known if slot is None else self.pair_of(slot, known)

    def forget(self, *, but: Pair | None = None) -> None:
        """End counting what answers no more."""
        kept = {each.image for each in (but.serves, but.before) if each} if but else set()
        for image in self._counted.keys() - kept:
            self._counted.pop(image).close()

    def pair_of(self, slot: Slot, known: Pair | None = None) -> Pair:
        """A slot's model, and on trial the one before.

        Raises:
            CoveyError: It cannot be verified, or does not run.
            OSError: It cannot be read.
        """
        mark = read_mark(self._folder)
        if mark is None or mark.slot != slot:
            return Pair(self._load(slot, known))
        return Pair(self._on_trial(mark, known), self._before(slot, known), mark.hang_ms * 1_000_000)

    def _on_trial(self, mark: Mark, known: Pair | None) -> Loaded:
        """The slot on trial; that it cannot be loaded counts against it."""
        try:
            loaded = self._load(mark.slot, known)
            _check_image(loaded, mark)
        except (CoveyError, OSError):
            if (counts := self._counts(mark.image)) is not None:
                counts.count(failed=True)
                counts.busy(0)
            raise
        return loaded

    def _before(self, slot: Slot, known: Pair | None) -> Loaded | None:
        """What ran before the trial; None if nothing did."""
        try:
            return self._load(other(slot), known)
        except (CoveyError, OSError):
            return None

    def _load(self, slot: Slot, known: Pair | None = None) -> Loaded:
        """A slot's model: the one in memory if it is that, else verified and loaded."""
        folder = self._folder / slot
        record = read_record(folder)
        for each in (known.serves, known.before) if known else ():
            if each is not None and record is not None and each.image == record.sha256:
                return each
        package = verify(read_package(folder), trusted_key(self._folder))
        image = archive_sha256(package.files)
        counts = self._counts(image)
        if counts is not None:
            counts.busy(clock())  # a process that dies while it loads the model has died of it
        try:
            classifier = Classifier(package, record.variant if record and record.sha256 == image else "auto")
            answer(classifier, package.golden.inputs[:1])  # the first run is slower, and a request may not be
        finally:
            if counts is not None:
                counts.busy(0)
        return Loaded(image, classifier, counts)

    def _counts(self, image: str) -> Counts | None:
        """Where a model is counted; it is served without that as well, on a disk that takes no more."""
        if image not in self._counted:
            try:
                self._counted[image] = Counts(self._folder, image)
            except OSError:
                return None
        return self._counted[image]


def answer(classifier: Classifier, x: NDArray[np.generic]) -> Prediction:
    """What a model says; logits that are no numbers are no answer.

    Raises:
        InputError: Not inputs of this model.
        PackageError: It cannot run them, or says what is no number.
    """
    said = classifier.predict(x)
    if not np.isfinite(said.logits).all():
        raise PackageError(f"{classifier.contents.manifest.version}: logits that are no numbers")
    return said


def _check_image(loaded: Loaded, mark: Mark) -> None:
    if loaded.image != mark.image:
        raise PackageError(f"{mark.slot} does not hold what is on trial")
