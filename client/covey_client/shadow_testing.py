"""A new model beside the one that serves, on the inputs of real requests, in a process of its own.

`python -m covey_client.shadow_testing DEVICE SLOT VARIANT BASELINE LIMITS SLOWER SLOWER_MS`: LIMITS is
`[update.shadow]` as JSON. It prints a `Verdict`. Whoever serves hands inputs over in memory (`shadow_feed`);
where too few come, the golden inputs of the new package are compared.
"""

import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from covey.errors import CoveyError, PackageError
from covey.examples import Floats
from covey.package.contents import Variant
from covey.package.verify import Package, verify
from covey_client.inference import Classifier
from covey_client.self_test_verdict import Verdict, say
from covey_client.self_testing import opened
from covey_client.shadow_feed import MOST_BYTES, SOCKET, Sample, decode
from covey_client.slots import trusted_key
from covey_client.update_table import ShadowTable
from covey_io.packages import read_package

LEAST: Final = 10
"""Live requests; with fewer, the golden inputs are compared as well."""
LEAST_DISAGREED: Final = 2


@dataclass(frozen=True)
class Slower:
    """How much slower the new one may be than the old one: so many times, and milliseconds more."""

    times: float
    ms: float


@dataclass
class Compared:
    """What came of it so far; times in nanoseconds."""

    requests: int = 0
    disagreed: int = 0
    fault: str = ""
    old_ns: list[int] = field(default_factory=list)
    new_ns: list[int] = field(default_factory=list)


def compare(old: Classifier, new: Classifier, samples: Iterable[Floats], limits: ShadowTable) -> Compared:
    """Give both the same inputs, until they are enough or the new one fails.

    Args:
        old: What serves.
        new: What does not yet.
        samples: Raw inputs, shape (1, *input_shape).
        limits: When it ends.
    """
    found = Compared()
    for x in samples:
        before, took = _timed(old, x)
        found.old_ns.append(took)
        try:
            after, took = _timed(new, x)
        except PackageError as error:
            found.fault = f"it fails on what the old one answers: {error.message}"
            return found
        found.new_ns.append(took)
        found.requests += 1
        found.disagreed += before != after
        if found.requests >= limits.requests:
            break
    return found


def _timed(classifier: Classifier, x: Floats) -> tuple[str, int]:
    began = time.perf_counter_ns()
    said = classifier.predict(x)
    took = time.perf_counter_ns() - began
    if not np.isfinite(said.logits).all():
        raise PackageError("logits that are no numbers")
    return said.labels[0], took


def judged(found: Compared, limits: ShadowTable, slower: Slower) -> Verdict:
    """Whether what was compared is good enough."""
    figures = {"requests": float(found.requests), "disagreed": float(found.disagreed)}
    if found.fault:
        return Verdict(kind="rejected", why=found.fault, figures=figures)
    share = 100 * found.disagreed / max(found.requests, 1)
    if found.disagreed >= LEAST_DISAGREED and share > limits.most_disagreement:
        why = f"{found.disagreed} of {found.requests} answers differ, at most {limits.most_disagreement} %"
        return Verdict(kind="rejected", why=why, figures=figures)
    old, new = (float(np.median(each)) / 1e3 if each else 0.0 for each in (found.old_ns, found.new_ns))
    figures |= {"old_p50_us": old, "new_p50_us": new}
    if found.requests >= LEAST and new > slower.times * old + 1e3 * slower.ms:
        why = f"it takes {new:.0f} µs a request, the old one {old:.0f}"
        return Verdict(kind="rejected", why=why, figures=figures)
    return Verdict(kind="passed", why=f"{found.disagreed} of {found.requests} differ", figures=figures)


@contextmanager
def listening(device_folder: Path) -> Iterator[socket.socket]:
    """Where whoever serves sends inputs, within the block."""
    path = device_folder / SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(path))
        try:
            yield bound
        finally:
            path.unlink(missing_ok=True)


def live(bound: socket.socket, shape: tuple[int, ...], seconds: float) -> Iterator[Floats]:
    """Inputs as they come, for so long; what is no input is left out."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        bound.settimeout(left)
        try:
            data = bound.recv(MOST_BYTES)
        except TimeoutError:
            return
        with suppress(msgspec.DecodeError, ValueError):
            sample: Sample = decode(data)
            if sample.shape == shape and np.isfinite(x := sample.array()).all():
                yield x


def shadowed(
    device_folder: Path, old: Classifier, new: Classifier, package: Package, limits: ShadowTable
) -> Compared:
    """Compare on live inputs, and on golden ones where those were too few."""
    shape = package.manifest.input_shape
    with listening(device_folder) as bound:
        found = compare(old, new, live(bound, shape, limits.seconds), limits)
    if found.fault or found.requests >= min(LEAST, limits.requests):
        return found
    golden = [x[np.newaxis] for x in package.golden.inputs]
    rest = compare(old, new, golden, limits)
    return Compared(
        found.requests + rest.requests,
        found.disagreed + rest.disagreed,
        rest.fault,
        found.old_ns + rest.old_ns,
        found.new_ns + rest.new_ns,
    )


def main() -> None:
    """Of the process."""
    device_folder, slot, baseline = Path(sys.argv[1]), sys.argv[2], sys.argv[4]
    variant: Variant = "int8" if sys.argv[3] == "int8" else "fp32"
    limits = msgspec.json.decode(sys.argv[5], type=ShadowTable)
    os.chdir(device_folder)  # a socket's address has room for 108 bytes
    device_folder = Path()
    try:
        package = verify(read_package(device_folder / slot), trusted_key(device_folder))
        _, old = opened(device_folder, baseline)
        new = Classifier(package, variant)
        found = shadowed(device_folder, old, new, package, limits)
    except CoveyError as error:
        say(Verdict(kind="spoiled", why=str(error)))
    except OSError as error:
        say(Verdict(kind="trouble", why=f"the shadow cannot listen: {error}"))
    else:
        say(judged(found, limits, Slower(float(sys.argv[6]), float(sys.argv[7]))))


if __name__ == "__main__":
    main()
