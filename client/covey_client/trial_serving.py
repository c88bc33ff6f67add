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
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from covey.errors import CoveyError, PackageError
from covey_client.inference import Prediction
from covey_client.owner_log import to_log
from covey_client.shadow_feed import Feed
from covey_client.trial_counts import clock
from covey_client.trial_loading import Loaded, Loader, answer

LOOK_SECONDS: Final = 0.25
RETRY_SECONDS: Final = 2.0


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
        self._log = log
        self._told = ""
        self._began: dict[int, int] = {}
        self._guard = threading.Lock()
        self._seen: tuple[object, ...] = ()
        self._loader = Loader(device_folder)
        self._retries = 0.0
        try:
            self._pair, fault = self._loader.first()
            self._feed = Feed(device_folder)
        except BaseException:
            self._loader.forget()
            raise
        if fault:
            self._say(fault)
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
            said = answer(pair.serves.classifier, x)
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
        self._loader.forget()
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

    def _take(self) -> None:
        seen = self._loader.in_use()
        if not seen or seen == self._seen:
            return
        self._pair = self._loader.next(self._pair)
        self._seen = seen
        self._loader.forget(but=self._pair)

    def _say(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self._log(line)
