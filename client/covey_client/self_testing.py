"""The self-test of a staged package, in a process that may crash, hang or grow as it likes.

`python -m covey_client.self_testing DEVICE SLOT BASELINE LIMITS`: BASELINE is the slot of what runs now, or
"-"; LIMITS is `[update.test]` as JSON. It prints a `Verdict`.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.errors import CoveyError, PackageError
from covey.package.contents import Variant
from covey.package.verify import Package, verify
from covey_client.inference import Classifier
from covey_client.self_test_record import read_record
from covey_client.self_test_verdict import Verdict, say
from covey_client.slots import check_golden, trusted_key
from covey_client.update_table import TestTable
from covey_io.packages import read_package

WARM_UP: Final = 20
BASELINE: Final = "what runs now"


@dataclass(frozen=True)
class Times:
    """Of one model, in microseconds."""

    p50: float
    p95: float


def judged(package: Package, baseline: Classifier | None, limits: TestTable) -> Verdict:
    """Run every model of a package on its golden inputs, measure it, and choose.

    Args:
        package: Verified.
        baseline: What runs now; None if nothing does.
        limits: What a model must hold.

    Returns:
        "passed" with the fastest model that passed, or "rejected" with why none did. The fp32 model must give
        its golden outputs in any case: the other one is made from it.
    """
    try:
        fitting, faults = _fitting(package)
    except PackageError as error:
        return Verdict(kind="rejected", why=error.message)
    if fault := _unlike(package, baseline):
        return Verdict(kind="rejected", why=fault)
    runs: dict[str, Classifier] = {str(variant): each for variant, each in fitting.items()}
    if baseline is not None:
        runs[BASELINE] = baseline
    times, grown = _measured(runs, package, limits)
    slow = _slow(times, limits)
    if slow:  # once more: a busy moment is no fault of the model
        times, _ = _measured(runs, package, limits)
        slow = {name: why for name, why in _slow(times, limits).items() if name in slow}
    figures = _figures(times, grown)
    if grown > limits.growth_mb:
        why = f"it grew by {grown:.1f} MiB over {limits.repeats} runs, at most {limits.growth_mb}"
        return Verdict(kind="rejected", why=why, figures=figures)
    passed = [variant for variant in fitting if variant not in slow]
    if not passed:
        return Verdict(kind="rejected", why="; ".join(slow.values()), figures=figures)
    best = min(passed, key=lambda variant: times[variant].p50)
    left = "; ".join((*faults, *slow.values()))
    why = f"{best} took {times[best].p50:.0f} µs{f'; {left}' if left else ''}"
    return Verdict(kind="passed", why=why, variant=best, figures=figures)


def _fitting(package: Package) -> tuple[dict[Variant, Classifier], list[str]]:
    fitting: dict[Variant, Classifier] = {}
    faults = []
    for variant in package.variants:
        try:
            classifier = Classifier(package, variant)
            check_golden(package, classifier)
            fitting[variant] = classifier
        except PackageError as error:
            if variant == "fp32":
                raise
            faults.append(error.message)
    return fitting, faults


def _unlike(package: Package, baseline: Classifier | None) -> str:
    if baseline is None or baseline.contents.manifest.input_shape == package.manifest.input_shape:
        return ""
    now = baseline.contents.manifest.input_shape
    return f"it takes inputs of shape {package.manifest.input_shape}, what runs now of {now}"


def _measured(
    runs: Mapping[str, Classifier], package: Package, limits: TestTable
) -> tuple[dict[str, Times], float]:
    """Times by name, in turn so that a busy moment hits all; and by how much the process grew, MiB."""
    inputs = package.golden.inputs
    times: dict[str, list[int]] = {name: [] for name in runs}
    _rounds(runs, inputs, WARM_UP)
    before = resident()
    for name, took in _rounds(runs, inputs, limits.repeats):
        times[name].append(took)
    percentiles = {name: np.percentile(took, (50, 95)) / 1e3 for name, took in times.items()}
    grown = (resident() - before) / (1 << 20)
    return {name: Times(float(p50), float(p95)) for name, (p50, p95) in percentiles.items()}, grown


def _rounds(
    runs: Mapping[str, Classifier], inputs: NDArray[np.float32], count: int
) -> Sequence[tuple[str, int]]:
    took = []
    for each in range(count):
        x = inputs[each % len(inputs)]
        for name, classifier in runs.items():
            began = time.perf_counter_ns()
            classifier.predict(x)
            took.append((name, time.perf_counter_ns() - began))
    return took


def _slow(times: Mapping[str, Times], limits: TestTable) -> dict[str, str]:
    """Why a model is too slow, by its name."""
    now = times.get(BASELINE)
    if now is None:
        return {}
    more = 1e3 * limits.slower_ms
    p50, p95 = (limits.slower * each + more for each in (now.p50, now.p95))
    return {
        name: f"{name} takes {each.p50:.0f} µs (95 %: {each.p95:.0f}), at most {p50:.0f} ({p95:.0f})"
        for name, each in times.items()
        if name != BASELINE and (each.p50 > p50 or each.p95 > p95)
    }


def _figures(times: Mapping[str, Times], grown: float) -> dict[str, float]:
    figures = {
        f"{name.replace(' ', '_')}_{part}_us": getattr(each, part)
        for name, each in times.items()
        for part in ("p50", "p95")
    }
    return {**figures, "growth_mb": grown, "resident_mb": resident() / (1 << 20)}


def resident() -> int:
    """Bytes of this process in memory, as proc(5) has it; 0 where there is none."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * 4096


def opened(device_folder: Path, slot: str) -> tuple[Package, Classifier]:
    """A slot's package, verified, and its model as inference takes it.

    Raises:
        CoveyError: It does not verify or run.
    """
    folder = device_folder / slot
    package = verify(read_package(folder), trusted_key(device_folder))
    record = read_record(folder)
    return package, Classifier(package, record.variant if record else "auto")


def main() -> None:
    """Of the process."""
    device_folder, slot, baseline = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    limits = msgspec.json.decode(sys.argv[4], type=TestTable)
    try:
        package = verify(read_package(device_folder / slot), trusted_key(device_folder))
        runs = None if baseline == "-" else opened(device_folder, baseline)[1]
    except (CoveyError, OSError) as error:
        say(Verdict(kind="spoiled", why=str(error)))
        return
    say(judged(package, runs, limits))


if __name__ == "__main__":
    main()
