#!/usr/bin/env python3
"""What a release costs a device: bytes, time, memory, and what an application notices of an update.

    PYTHONPATH=tests .venv/bin/python benchmarks/releases.py
    PYTHONPATH=tests .venv/bin/python benchmarks/releases.py --part switch --model wrist-motion --switches 40

One JSON object a line, in this order (--part: only some of them):

  package   package_bytes of each model of the registry: the archive, both ONNX files, provenance, bill of
            materials and card; verify_ms from the archive's bytes to a verified package, provenance_ms for
            its proof of budget (three private sums) with empty caches, p50 and p95 each
  poll      update_check_ms, of a poll without news, in a process that has its libraries loaded: p50, p95 by
            the clock, update_check_cpu_ms of the processor; update_check_requests and bytes of each, as the
            server counts them. cold: without a cache
  process   the same poll by `covey_client.update_running`, from the start of its process to the end
  update    whole updates by the real updater over HTTP, real children, real slots, while an application asks
            without a pause: update_s from the question to the commit (a trial of 100 requests; the usual one
            also lasts ten minutes), steps_ms, update_peak_rss_mb of the updater's process and
            children_peak_rss_mb of those that try the model, selftest_ms, bytes_per_update with metadata and
            heads, and the application's longest request around the switch
  switch    switch_pause_ms: the longest `predict` while the model under it is switched and committed, the
            median over --switches; without_switch_ms: the same in as many seconds without a switch. …_own_ms:
            without what the thread waited because other processes had all processors. slow_during,
            slow_between: requests in such a span that by themselves took ten times the median
  latency   of `predict`, raw input to label, int8 against fp32: p50 and p95 in microseconds, in turn
  accuracy  of int8 against fp32, per cent, from benchmarks/calibration.py: trained for some seconds on real
            data where there is some; `trained` is false where there is none
  rollout   to --devices, with failure injected, from benchmarks/rollout.py: hours to detect, devices affected

Every server, updater, child and application is a process of its own, and all share this machine's cores.
"""

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import _lru_cache_wrapper, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import releases_switching as switching
import rollout
from releases_packages import SUMS, Packaged, keys, packaged
from releases_site import HERE, Site, site

import made_provenance
from covey.package.archive import unpack
from covey.package.provenance import check_provenance, read_provenance
from covey.package.verify import Package, verify
from covey_client.inference import Classifier
from covey_models.registry import names

Row = dict[str, Any]
AROUND: Final = 0.6
"""Seconds after a switch in which an application has certainly followed."""


def packages(asked: argparse.Namespace) -> Iterator[Row]:
    """A line for each model."""
    for name in asked.model or names():
        made = packaged(name)
        whole = times(partial(verified, made), asked.repeat)
        proof = times(partial(proved, verified(made)), asked.repeat, before=forget)
        yield {
            "model": name,
            "package_bytes": made.sizes,
            **spread("verify_ms", whole),
            **spread("provenance_ms", proof),
            "sums": SUMS,
        }


def verified(made: Packaged) -> Package:
    """From an archive's bytes."""
    return verify(unpack(made.archive), keys()[1])


def proved(package: Package) -> None:
    """Its provenance, read and checked."""
    stated = read_provenance(package)
    if stated is None:
        raise RuntimeError("a release without provenance")
    check_provenance(package, stated, made_provenance.policy(), made_provenance.trust())


def polls(asked: argparse.Namespace) -> Iterator[Row]:
    """A poll without news, with a cache and without."""
    with tempfile.TemporaryDirectory() as folder, site(Path(folder), packaged(first(asked))) as there:
        there.updater()
        for cold in (False, True):
            before = there.traffic()
            options = ("--polls", str(asked.repeat), *(("--cold",) if cold else ()))
            found, _ = there.updater(*options)
            traffic = there.traffic(before.requests)
            yield {
                "cache": "cold" if cold else "warm",
                **spread("update_check_ms", found["polls_ms"]),
                **spread("update_check_cpu_ms", found["polls_cpu_ms"]),
                "update_check_requests": traffic.requests / asked.repeat,
                "bytes_received": round(traffic.sent / asked.repeat),
                "bytes_sent": round(traffic.received / asked.repeat),
                "loaded_rss_mb": found["loaded_rss_mb"],
                "peak_rss_mb": found["peak_rss_mb"],
            }


def process(asked: argparse.Namespace) -> Iterator[Row]:
    """The updater's own process, as the agent starts it."""
    with tempfile.TemporaryDirectory() as folder, site(Path(folder), packaged(first(asked))) as there:
        there.updater()
        command = [sys.executable, "-m", "covey_client.update_running", str(there.config)]
        count, before = max(2, asked.repeat // 10), cpu()
        took = times(lambda: subprocess.run(command, check=True), count)
        spent = 1e3 * (cpu() - before) / (count + 1)
        yield spread("update_check_process_ms", took) | {"cpu_ms": round(spent, 1)}


def cpu() -> float:
    """Seconds of processor of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def updates(asked: argparse.Namespace) -> Iterator[Row]:
    """A line for each update."""
    name = first(asked)
    with (
        tempfile.TemporaryDirectory() as folder,
        site(Path(folder), packaged(name)) as there,
    ):
        there.updater()
        for generation in range(2, 2 + asked.updates):
            yield update(there, name, generation)


def update(there: Site, name: str, generation: int) -> Row:
    """One, while an application asks."""
    release = packaged(name, generation)
    there.release(release)
    before = there.traffic()
    with switching.application(there.device) as asking:
        time.sleep(2 * AROUND)
        found, seconds = there.updater()
        time.sleep(AROUND)
    traffic = there.traffic(before.requests)
    if found["runs"] != release.image.version:
        raise RuntimeError(f"it runs {found['runs']}: {found['why']}")
    requests, began = asking.noted(), found["began"]
    quiet = requests.within((began["fetch"] - AROUND, began["fetch"]))
    children = found["children"]
    return {
        "model": name,
        "update_s": round(found["seconds"], 2),
        "process_s": round(seconds, 2),
        "steps_ms": found["steps_ms"],
        "selftest_ms": found["steps_ms"]["selftest"],
        "variant_p50_us": {k: round(v, 1) for k, v in children["self_test"].items() if k.endswith("p50_us")},
        "update_loaded_rss_mb": found["loaded_rss_mb"],
        "update_peak_rss_mb": found["peak_rss_mb"],
        "children_peak_rss_mb": {kind: round(said["peak_mb"], 1) for kind, said in children.items()},
        "bytes_per_update": traffic.sent,
        "archive_bytes": len(release.archive),
        "bytes_sent": traffic.received,
        "requests": traffic.requests,
        "longest_predict_at_switch_ms": longest(requests, began["switch"], began["settle"] + AROUND),
        "longest_predict_before_ms": round(float(quiet.max()), 3),
        "predict_p50_before_ms": round(float(np.median(quiet)), 4),
    }


def longest(requests: switching.Requests, begins: float, ends: float) -> float:
    """Milliseconds."""
    return round(float(requests.within((begins, ends)).max()), 3)


def switches(asked: argparse.Namespace) -> Iterator[Row]:
    """A line for each model, without and with a pause between two requests."""
    for name in asked.model or names():
        one, two = packaged(name), packaged(name, 2)
        for pause in (0.0, 0.005):
            with tempfile.TemporaryDirectory() as folder, site(Path(folder), one) as there:
                with switching.application(there.device, pause) as asking:
                    during, between = switching.switches(there.device, two, one, asked.switches)
                found = switching.figures(asking.noted(), during, between)
                yield {"model": name, "pause_between_requests_ms": 1e3 * pause, **found}


def latencies(asked: argparse.Namespace) -> Iterator[Row]:
    """A line for each model."""
    for name in asked.model or names():
        package = verified(packaged(name))
        both = {variant: Classifier(package, variant) for variant in package.variants}
        x, found = package.golden.inputs[0], {variant: list[tuple[float, float]]() for variant in both}
        for _ in range(asked.rounds):
            for variant, classifier in both.items():
                told = classifier.latency(x)
                found[variant].append((told.p50, told.p95))
        medians = {variant: np.median(each, axis=0) for variant, each in found.items()}
        yield {
            "model": name,
            "p50_us": {variant: round(float(each[0]), 1) for variant, each in medians.items()},
            "p95_us": {variant: round(float(each[1]), 1) for variant, each in medians.items()},
            "int8_over_fp32": round(float(medians["int8"][0] / medians["fp32"][0]), 2),
        }


def accuracies(asked: argparse.Namespace) -> Iterator[Row]:
    """A line for each model."""
    for name in asked.model or names():
        command = [sys.executable, str(HERE / "calibration.py"), "--model", name, "--repeat", "1"]
        command += ["--epochs", str(asked.epochs)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        rows = [row for row in map(json.loads, said.splitlines()) if "method" in row]
        percent = {called(row): row["accuracy"] for row in rows}
        yield {"model": name, "trained": bool(rows), "accuracy": percent} | (
            {"held_out": rows[0]["held_out"], "data": rows[0]["data"]} if rows else {}
        )


def called(row: Row) -> str:
    """A way to make the file, in a word."""
    return f"{row['method']} z={row['z']:g}" if "z" in row else str(row["method"])


def rollouts(asked: argparse.Namespace) -> Iterator[Row]:
    """A line for each scenario."""
    yield from rollout.lines(asked.devices, None, 1)


PARTS: Final[dict[str, Callable[[argparse.Namespace], Iterator[Row]]]] = {
    "package": packages,
    "poll": polls,
    "process": process,
    "update": updates,
    "switch": switches,
    "latency": latencies,
    "accuracy": accuracies,
    "rollout": rollouts,
}


def forget() -> None:
    """Empty the accounting's caches: who verifies a release does it once."""
    for each in gc.get_objects():
        if type(each) is _lru_cache_wrapper and each.__module__.startswith("covey."):
            each.cache_clear()


def nothing() -> None:
    """Before a call, usually."""


def times(work: Callable[[], object], repeat: int, before: Callable[[], None] = nothing) -> list[float]:
    """Milliseconds of each, after one that is not counted."""
    work()
    took = []
    for _ in range(repeat):
        before()
        began = time.perf_counter()
        work()
        took.append(1e3 * (time.perf_counter() - began))
    return took


def spread(name: str, took: Sequence[float]) -> Row:
    """Median and 95th percentile."""
    p50, p95 = np.percentile(took, (50, 95))
    return {name: round(float(p50), 2), name.replace("_ms", "_p95_ms"): round(float(p95), 2)}


def first(asked: argparse.Namespace) -> str:
    """The model of what is measured with one."""
    return str(asked.model[0]) if asked.model else "wrist-motion"


def main() -> None:
    """Print the lines."""
    asked = parser().parse_args()
    for part in asked.part or PARTS:
        for row in PARTS[part](asked):
            print(json.dumps({"part": part, **row}), flush=True)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    made.add_argument(
        "--model", action="append", choices=names(), help="all; wrist-motion for poll and update"
    )
    made.add_argument("--repeat", type=int, default=100, help="timed calls and polls (100)")
    made.add_argument("--updates", type=int, default=3, help="whole updates (3)")
    made.add_argument("--switches", type=int, default=20, help="for each model (20)")
    made.add_argument("--rounds", type=int, default=5, help="of 200 requests to each variant (5)")
    made.add_argument("--epochs", type=int, default=20, help="of training, for the accuracy (20)")
    made.add_argument("--devices", type=int, default=100_000, help="of the simulated rollout (100000)")
    return made


if __name__ == "__main__":
    main()
