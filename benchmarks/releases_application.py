"""An application on a device that is updated: asks without a pause, and notes each request's begin and time.

    releases_application.py DEVICE-FOLDER OUT.npz [PAUSE]

Its first line says that it serves; it ends when its input is closed. OUT has, (requests,) each, `begin` and
`took`, nanoseconds by the clock that all processes share; `waited`, nanoseconds of `took` in which the thread
could have run and the machine had no processor for it (0 for a request that was not slow); and `image`, an
index of who answered.
"""

import os
import sys
import threading
import time
from array import array
from pathlib import Path

import numpy as np

from covey_client import slots
from covey_client.trial_serving import Serving

SLOW_NS = 200_000


def _delay(stat: int) -> int:
    """Nanoseconds that this thread has waited for a processor, as the kernel counts them."""
    return int(os.pread(stat, 64, 0).split()[1])


def _wait(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    """Of the process."""
    folder, pause = Path(sys.argv[1]), float(sys.argv[3]) if len(sys.argv) > len("123") else 0.0
    x = slots.installed(folder).golden.inputs[0]
    ended = threading.Event()
    threading.Thread(target=_wait, args=(ended,), daemon=True).start()
    begin, took, waited, image = array("q"), array("q"), array("q"), array("q")
    stat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    images: dict[str, int] = {}
    with Serving(folder) as serving:
        for _ in range(100):
            serving.predict(x)
        print("serves", flush=True)
        delay = _delay(stat)
        while not ended.is_set():
            began = time.monotonic_ns()
            serving.predict(x)
            lasted = time.monotonic_ns() - began
            before = delay
            if lasted > SLOW_NS:
                delay = _delay(stat)
            begin.append(began)
            took.append(lasted)
            waited.append(min(delay - before, lasted))
            image.append(images.setdefault(serving.image, len(images)))
            if pause:
                time.sleep(pause)
                delay = _delay(stat)
    np.savez(Path(sys.argv[2]), begin=begin, took=took, waited=waited, image=image)


if __name__ == "__main__":
    main()
