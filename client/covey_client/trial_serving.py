"""Inference for an application on a device that is updated under it.

    with Serving(Path("/var/lib/covey/device")) as model:
        model.predict(x).labels

`predict` waits for nobody: a thread looks for another package in use, verifies it with the device's own key,
loads it beside the one that serves, and then swaps the two between two requests. While a package is on trial,
the one before stays loaded: what the new one fails at, or takes too long for, the old one answers. So a
switch costs memory for two models, and no request.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from covey.errors import CoveyError, InputError, PackageError
from covey.package.verify import verify
from covey.rollout.update_state import Slot
from covey_client.inference import Classifier, Prediction
from covey_client.owner_log import to_log
from covey_client.self_test_record import archive_sha256, read_record
from covey_client.shadow_feed import Feed
from covey_client.slots import current_slot, other, trusted_key
from covey_client.trial_counts import Counts, clock
from covey_client.trial_mark import Mark, read_mark
from covey_io.packages import read_package

LOOK_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 2.0


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


class Serving:
    """See the module. May be used by several threads.

    Args:
        device_folder: The device's folder: `current`, `slots`, `trusted.pub.pem`.
        log: Takes one line for the device's owner.
        look_seconds: How often to look for another package; 0 for never by itself: call `look`.
        retry_seconds: Until one that could not be loaded is tried again.

    Raises:
        InputError: Nothing is installed, or the device has no trusted key.
        PackageError: Neither slot holds a package that verifies and runs.
    """

    def __init__(
        self,
        device_folder: Path,
        *,
        log: Callable[[str], None] = to_log,
        look_seconds: float = LOOK_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._retry_seconds = retry_seconds
        self._folder = device_folder
        self._log = log
        self._told = ""
        self._began: dict[int, int] = {}
        self._guard = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._counted: dict[str, Counts] = {}
        self._retries = 0.0
        try:
            self._pair = self._first()
            self._feed = Feed(device_folder)
        except BaseException:
            self._forget()
            raise
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._looks, args=(look_seconds,), name="look", daemon=True)
        if look_seconds:
            self._thread.start()

    @property
    def image(self) -> str:
        """SHA-256 of the archive of what answers."""
        return self._pair.serves.image

    @property
    def variant(self) -> str:
        """Which of its models."""
        return self._pair.serves.classifier.variant

    @property
    def version(self) -> str:
        """The version of what answers."""
        return self._pair.serves.classifier.contents.manifest.version

    def predict(self, x: NDArray[np.generic]) -> Prediction:
        """Classify raw inputs; see `covey_client.inference.Classifier.predict`.

        Raises:
            InputError: Another shape or type, or a value that is not finite. Nobody counts it as an error.
            PackageError: The model cannot run it, and there is none before it.
        """
        pair = self._pair
        self._begins(pair.serves)
        try:
            said = _answer(pair.serves.classifier, x)
        except PackageError:
            self._count(pair.serves, failed=True)
            if pair.before is None:
                raise
            return pair.before.classifier.predict(x)
        finally:
            self._ends(pair.serves)
        self._count(pair.serves, failed=False)
        self._feed.offer(x, pair.serves.classifier.contents.manifest.input_shape, said.labels)
        return said

    def look(self) -> None:
        """Take what is in use now, if it is another package; never raises for what is wrong with that one."""
        self._feed.look()
        self._give_up_what_hangs()
        if time.monotonic() < self._retries:
            return
        try:
            self._take()
        except (CoveyError, OSError) as error:
            self._retries = time.monotonic() + self._retry_seconds
            self._say(f"what is in use now cannot be served, {self.version} still is: {error}")

    def close(self) -> None:
        """End it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._forget()
        self._feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _looks(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            self.look()

    def _begins(self, loaded: Loaded) -> None:
        with self._guard:
            self._began[threading.get_ident()] = clock()
            if loaded.counts is not None:
                loaded.counts.busy(min(self._began.values()))

    def _ends(self, loaded: Loaded) -> None:
        with self._guard:
            self._began.pop(threading.get_ident(), None)
            if loaded.counts is not None:
                loaded.counts.busy(min(self._began.values(), default=0))

    def _forget(self) -> None:
        while self._counted:
            self._counted.popitem()[1].close()

    def _count(self, loaded: Loaded, *, failed: bool) -> None:
        if loaded.counts is not None:
            with self._guard:
                loaded.counts.count(failed=failed)

    def _give_up_what_hangs(self) -> None:
        pair = self._pair
        with self._guard:
            oldest = min(self._began.values(), default=0)
        if pair.hang_ns and oldest and clock() - oldest > pair.hang_ns:
            self._say(f"a request took too long for {self.version}: what ran before answers")
            pair.serves.classifier.stop()

    def _first(self) -> Pair:
        slot = current_slot(self._folder)
        if slot is None:
            raise InputError(f"{self._folder}: no package is installed", hint="install one first")
        try:
            return self._pair_of(slot, None)
        except (CoveyError, OSError) as error:
            spare = other(slot)
            if read_record(self._folder / spare) is None:
                raise
            loaded = self._load(spare)
            self._log(f"{slot} cannot be served, {spare} is: {error}")
            return Pair(loaded)

    def _take(self) -> None:
        slot = current_slot(self._folder)
        if slot is None:
            return
        seen = (slot, read_record(self._folder / slot), read_mark(self._folder))
        if seen == self._seen:
            return
        self._pair = self._pair_of(slot, self._pair)
        self._seen = seen
        kept = {self._pair.serves.image, self._pair.before.image if self._pair.before else ""}
        for image in self._counted.keys() - kept:
            self._counted.pop(image).close()

    def _pair_of(self, slot: Slot, known: Pair | None) -> Pair:
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
            _answer(
                classifier, package.golden.inputs[:1]
            )  # the first run is slower, and a request may not be
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

    def _say(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._log(line)


def _answer(classifier: Classifier, x: NDArray[np.generic]) -> Prediction:
    said = classifier.predict(x)
    if not np.isfinite(said.logits).all():
        raise PackageError(f"{classifier.contents.manifest.version}: logits that are no numbers")
    return said


def _check_image(loaded: Loaded, mark: Mark) -> None:
    if loaded.image != mark.image:
        raise PackageError(f"{mark.slot} does not hold what is on trial")
