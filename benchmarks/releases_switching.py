"""What an application notices while the model under it is switched.

The application is a process of its own that asks without a pause. `switched` does what the updater does at a
switch and at a commit, and nothing else, many times; between two switches lie as many seconds without one,
for comparison: on a machine that others use as well, the longest of a few thousand requests is seldom short.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from releases_packages import Packaged, keys

from covey.package.archive import unpack
from covey.rollout.plan import Image
from covey.rollout.update_events import Event, Settle, Settled, Switch, Switched
from covey_client import slots
from covey_client.source import Offered
from covey_client.update_children import Processes
from covey_client.update_steps import Steps
from covey_client.update_table import UpdateTable

HERE: Final = Path(__file__).parent
SETTLE: Final = 0.6
"""Seconds in which an application that looks four times a second has certainly switched."""
MS: Final = 1e6
Span = tuple[float, float]
"""Seconds by the monotonic clock, from and to."""


@dataclass(frozen=True)
class Requests:
    """What an application noted; (requests,) each.

    Attributes:
        begin: Nanoseconds by the monotonic clock.
        took: Nanoseconds.
        waited: Of these, in which the machine had no processor for it.
        image: Who answered, an index.
    """

    begin: NDArray[np.int64]
    took: NDArray[np.int64]
    waited: NDArray[np.int64]
    image: NDArray[np.int64]

    def within(self, span: Span) -> NDArray[np.float64]:
        """Milliseconds of each request that was under way in a span."""
        return self.took[self._chosen(span)] / MS

    def own(self, span: Span) -> NDArray[np.float64]:
        """The same without what other processes on the machine took."""
        chosen = self._chosen(span)
        return (self.took[chosen] - self.waited[chosen]) / MS

    def _chosen(self, span: Span) -> NDArray[np.bool_]:
        first, last = (1e9 * each for each in span)
        return (self.begin + self.took >= first) & (self.begin <= last)

    def changes(self, span: Span) -> int:
        """How often another model answered than before."""
        first, last = (1e9 * each for each in span)
        answered = self.image[(self.begin >= first) & (self.begin <= last)]
        return int((np.diff(answered) != 0).sum())


@dataclass
class Application:
    """It asks until the block ends; then `requests` are there."""

    requests: Requests | None = None

    def noted(self) -> Requests:
        """What it noted.

        Raises:
            RuntimeError: It has not ended well.
        """
        if self.requests is None:
            raise RuntimeError("the application has not ended")
        return self.requests


@contextmanager
def application(device: Path, pause: float = 0.0) -> Iterator[Application]:
    """An application on a device's folder, in a process of its own."""
    out, found = device.parent / "requests.npz", Application()
    command = [sys.executable, str(HERE / "releases_application.py"), str(device), str(out), str(pause)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            if not process.stdout or not process.stdout.readline():
                raise RuntimeError("the application does not start")
            yield found
            process.communicate(timeout=60)
        finally:
            process.kill()
    with np.load(out) as read:
        found.requests = Requests(*(read[name] for name in ("begin", "took", "waited", "image")))


def switches(device: Path, two: Packaged, one: Packaged, count: int) -> tuple[list[Span], list[Span]]:
    """Switch a device back and forth.

    Args:
        device: Its folder; it runs `one`, from its first slot.
        two: The other release.
        one: What it runs.
        count: How often.

    Returns:
        When a switch and its commit were under way, and spans as long without one.
    """
    steps, during, between = _steps(device), list[Span](), list[Span]()
    slots.write(device / slots.SLOTS[1], unpack(two.archive), keys()[1])
    for number in range(count):
        to, slot = ((two, slots.SLOTS[1]), (one, slots.SLOTS[0]))[number % 2]
        quiet = time.monotonic()
        time.sleep(2 * SETTLE)
        began = time.monotonic()
        _done(steps.do(Switch(to.image, slot, "int8")), Switched)
        time.sleep(SETTLE)
        _done(steps.do(Settle(to.image)), Settled)
        time.sleep(SETTLE)
        between.append((quiet, began))
        during.append((began, time.monotonic()))
    return during, between


def figures(requests: Requests, during: list[Span], between: list[Span]) -> dict[str, object]:
    """The longest request of each span, and what is usual in this process."""
    quiet = np.concatenate([requests.within(span) for span in between])
    p50, p99 = np.percentile(quiet, (50, 99))
    longest, own = _longest(requests, during)
    usual, usual_own = _longest(requests, between)
    return {
        "switches": len(during),
        "noticed": sum(requests.changes(span) == 1 for span in during),
        "switch_pause_ms": _ms(np.median(longest)),
        "switch_pause_own_ms": _ms(np.median(own)),
        "switch_pause_own_worst_ms": _ms(max(own)),
        "without_switch_ms": _ms(np.median(usual)),
        "without_switch_own_ms": _ms(np.median(usual_own)),
        "without_switch_own_worst_ms": _ms(max(usual_own)),
        "p50_ms": _ms(p50),
        "p99_ms": _ms(p99),
        "requests_a_switch": round(float(np.mean([len(requests.within(span)) for span in during]))),
        "slow_during": round(float(np.mean([_slow(requests, span, p50) for span in during])), 1),
        "slow_between": round(float(np.mean([_slow(requests, span, p50) for span in between])), 1),
    }


def _longest(requests: Requests, spans: list[Span]) -> tuple[list[float], list[float]]:
    """The longest request of each span, by the clock and without what other processes took."""
    return (
        [float(requests.within(span).max()) for span in spans],
        [float(requests.own(span).max()) for span in spans],
    )


def _slow(requests: Requests, span: Span, p50: float) -> int:
    """Requests that waited for longer than ten others take."""
    return int((requests.own(span) > 10 * p50).sum())


def _ms(value: float) -> float:
    return round(float(value), 3)


def _steps(device: Path) -> Steps:
    bench = Processes(device, UpdateTable())
    return Steps(device, _Nowhere(), bench, 10_000, time.time, lambda _, __: None, lambda _: None)


class _Nowhere:
    """Nothing is fetched for a switch."""

    def check(self) -> Offered | None:
        """See `covey_client.source.Source`."""
        return None

    def fetch(self, image: Image, part: Path, watch: Callable[[int, int], None]) -> None:
        """See `covey_client.source.Source`."""
        raise NotImplementedError(image, part, watch)


def _done(event: Event, kind: type[Event]) -> None:
    if not isinstance(event, kind):
        raise TypeError(f"{kind.__name__} was expected: {event}")
