"""The updater's process with a stopwatch: one update, or polls; prints one JSON object at its end.

    releases_updater.py DEVICE.toml              one round and its trial, as `covey_client.update_running`
    releases_updater.py DEVICE.toml --polls 50   so many questions, one after another (--cold: no cache)

It imports what the real process imports and nothing more, so its memory is that process's.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from covey.package.contents import Variant
from covey.rollout.update_events import Effect, Event
from covey.rollout.update_state import Slot
from covey_client.configuration import read
from covey_client.owner_log import to_log
from covey_client.self_test_verdict import Verdict
from covey_client.update_children import Processes
from covey_client.update_place import place_of
from covey_client.update_running import run
from covey_client.update_steps import Steps
from covey_client.updater import Place, Updater

METADATA = "update-metadata"


class Tried(Processes):
    """The real children, and what they said.

    Attributes:
        said: Their verdicts.
    """

    said: dict[str, Verdict]

    def self_test(self, slot: Slot, baseline: Slot | None) -> Verdict:
        """See `covey_client.update_children.Bench`."""
        self.said["self_test"] = super().self_test(slot, baseline)
        return self.said["self_test"]

    def shadow(self, slot: Slot, variant: Variant, baseline: Slot) -> Verdict:
        """See `covey_client.update_children.Bench`."""
        self.said["shadow"] = super().shadow(slot, variant, baseline)
        return self.said["shadow"]


@dataclass(frozen=True)
class Timed(Steps):
    """The real steps.

    Attributes:
        took: Milliseconds by step.
        began: When each began, seconds by the clock that all processes share.
    """

    took: dict[str, float] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)

    def do(self, effect: Effect) -> Event:
        """See `covey_client.update_steps.Steps`."""
        name = type(effect).__name__.lower()
        began = self.began[name] = time.monotonic()
        event = super().do(effect)
        self.took[name] = round(1e3 * (time.monotonic() - began), 2)
        return event


def memory(name: str) -> float:
    """MiB of this process, as proc(5) has it."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024, 1)


def update(place: Place, bench: Tried, every: float) -> dict[str, object]:
    """One update, from the question to its end."""
    steps = Timed(**{each.name: getattr(place.steps, each.name) for each in fields(Steps)})
    steps = replace(steps, bench=bench)
    began = time.monotonic()
    state = run(Updater(replace(place, steps=steps)), every)
    return {
        "seconds": time.monotonic() - began,
        "steps_ms": steps.took,
        "began": steps.began,
        "children": {name: {"kind": each.kind, **each.figures} for name, each in bench.said.items()},
        "runs": state.runs.version if state.runs else "",
        "why": state.why,
    }


def polls(place: Place, count: int, before: Callable[[], None]) -> dict[str, object]:
    """Milliseconds of every question, by the clock and of the processor."""
    took, spent = [], []
    for _ in range(count):
        before()
        began, used = time.perf_counter(), time.process_time()
        place.source.check()
        took.append(1e3 * (time.perf_counter() - began))
        spent.append(1e3 * (time.process_time() - used))
    return {"polls_ms": took, "polls_cpu_ms": spent}


def main() -> None:
    """Of the process."""
    file = read(Path(sys.argv[1]))
    place = place_of(file, watch=lambda _, __: None, log=to_log)
    bench = Tried(place.folder, file.update)
    bench.said = {}
    loaded = memory("VmRSS")
    if "--polls" in sys.argv:
        cold = "--cold" in sys.argv
        cache = Path(file.state) / METADATA
        found = polls(
            place, int(sys.argv[3]), lambda: shutil.rmtree(cache, ignore_errors=True) if cold else None
        )
    else:
        found = update(place, bench, file.update.every_seconds)
    print(json.dumps(found | {"loaded_rss_mb": loaded, "peak_rss_mb": memory("VmHWM")}))


if __name__ == "__main__":
    main()
