"""An application on a device that asks its model again and again while it is updated."""

import threading
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from covey_client.trial_serving import Serving


class Application:
    """Asks and asks, and notes who answered.

    Args:
        device: The device's folder, with the slots.
        x: What it asks about, raw inputs of the package's shape.
        every: Seconds between two requests.
    """

    def __init__(self, device: Path, x: NDArray[np.generic], every: float = 0.002) -> None:
        self.serving = Serving(device, look_seconds=0.05, log=lambda _: None)
        self.served: set[str] = set()
        self.requests = 0
        self.failed: list[str] = []
        self._x = x
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._done.wait(self._every):
            try:
                self.serving.predict(self._x)
            except Exception as error:  # noqa: BLE001 - whatever it is, the test fails of it
                self.failed.append(repr(error))
            self.served.add(self.serving.version)
            self.requests += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.serving.close()
