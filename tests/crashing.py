"""A program for tests/e2e/test_crash.py: imports everything once, then forks a process for every run.

Reads one JSON object a line, runs `covey` with its `arguments` in a fork, answers with one JSON object: the
fork's `status` (negative: the signal that ended it) and the `steps` it made, durable ones only, by kind and
path below `root`. The fork kills itself with SIGKILL at step number `fatal`, at the `moment` "before" it,
"within" it (half of what it writes is written) or "after" it.

With `memory`, a folder, the export of a network is remembered by the network's exact parameters: a resumed
run that arrives at the same model skips the slow export, one that does not pays for it and fails later.
Without `draw`, the report is a page without charts.
"""

import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

LIMIT = 120
"""Seconds after which a fork is stuck, and ends."""

IMPORTED = (
    "torch",
    "torch._dynamo",  # by the first Adam
    "sklearn.datasets",
    "matplotlib.backends.backend_svg",
    "covey_cli.main",
    "covey_simulations.commands",
    "covey_simulations.closing",
    "covey_simulations.progress",
    "covey_simulations.run",
    "covey_simulations.runs",
)
"""What no fork should have to import."""


@dataclass
class Steps:
    """Counts durable steps below a folder and dies at one of them."""

    root: Path
    fatal: int | None
    moment: str
    seen: list[str] = field(default_factory=list)

    def watch(
        self, kind: str, path: Path, act: Callable[[], Result], part: Callable[[], object] | None = None
    ) -> Result:
        """Make a step."""
        if not path.is_relative_to(self.root):
            return act()
        here = len(self.seen) == self.fatal
        self.seen.append(f"{kind} {path.relative_to(self.root)}")
        if here and self.moment == "before":
            _die()
        if here and self.moment == "within":
            assert part, f"{kind} has no middle"
            part()
            _die()
        result = act()
        if here:
            _die()
        return result


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(owner: Any, name: str) -> None:
    """Die where something is called: the code under test runs up to there."""

    def die(*_: object, **__: object) -> None:
        _die()

    setattr(owner, name, die)


def _remove_one(folder: Path) -> None:
    os.unlink(next(path for path in sorted(folder.rglob("*")) if path.is_file()))  # noqa: PTH108 - not watched


def watch_durable(steps: Steps) -> None:
    """Watch the functions of `covey_io.durable`."""
    from covey_io import durable  # noqa: PLC0415 - imported by main, before the first fork

    replace, append, swap_link = durable.replace, durable.append, durable.swap_link

    def watched_replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        def half() -> None:
            _die_at(os, "fsync")
            replace(path, data[: len(data) // 2], mode=mode)

        steps.watch("replace", path, lambda: replace(path, data, mode=mode), half)

    def watched_append(path: Path, line: bytes) -> None:
        def half() -> None:
            _die_at(os, "fsync")
            append(path, line[: len(line) // 2])

        steps.watch("append", path, lambda: append(path, line), half)

    def watched_swap(link: Path, target: str) -> None:
        def half() -> None:
            _die_at(Path, "replace")
            swap_link(link, target)

        steps.watch("swap", link, lambda: swap_link(link, target), half)

    durable.replace, durable.append, durable.swap_link = watched_replace, watched_append, watched_swap


def watch_folders(steps: Steps) -> None:
    """Watch what makes, moves and removes names."""
    mkdir, unlink, rename, rmtree = Path.mkdir, Path.unlink, Path.rename, shutil.rmtree

    def watched_mkdir(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        steps.watch("mkdir", self, lambda: mkdir(self, mode, parents, exist_ok))

    def watched_unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name.endswith(".tmp"):  # part of a replace
            unlink(self, missing_ok)
        else:
            steps.watch("unlink", self, lambda: unlink(self, missing_ok))

    def watched_rename(self: Path, target: Path) -> Path:
        return steps.watch("rename", self, lambda: rename(self, target))

    def watched_rmtree(path: str | Path, *arguments: Any, **named: Any) -> None:
        steps.watch(
            "rmtree", Path(path), lambda: rmtree(path, *arguments, **named), lambda: _remove_one(Path(path))
        )

    for name, watched in (("mkdir", watched_mkdir), ("unlink", watched_unlink), ("rename", watched_rename)):
        setattr(Path, name, watched)
    shutil.rmtree = watched_rmtree  # type: ignore[assignment]


def remember_exports(memory: Path) -> None:
    """Keep exported networks in a folder, named by what they were exported from."""
    made: Any = importlib.import_module("covey_server.candidate")
    to_onnx, to_int8_with = made.to_onnx, made.to_int8_with

    def kept(key: "hashlib._Hash", make: Callable[[], bytes]) -> bytes:
        path = memory / key.hexdigest()
        if not path.exists():
            path.write_bytes(make())
        return path.read_bytes()

    def remembered_onnx(network: Any, shape: tuple[int, ...]) -> bytes:
        key = hashlib.sha256(repr(shape).encode())
        for name, weight in network.state_dict().items():
            key.update(name.encode() + weight.numpy().tobytes())
        return kept(key, lambda: to_onnx(network, shape))

    def remembered_int8(fp32: bytes, ranges: Any) -> bytes:
        key = hashlib.sha256(fp32 + repr(sorted(ranges.items())).encode())
        return kept(key, lambda: to_int8_with(fp32, ranges))

    made.to_onnx, made.to_int8_with = remembered_onnx, remembered_int8


def leave_out_charts() -> None:
    """Write a report that only names the model."""
    stored: Any = importlib.import_module("covey_simulations.report.stored")

    def page(facts: Any) -> str:
        return f"<!doctype html><html>{facts.model_sha256}</html>"

    stored.render = page


def child(request: dict[str, Any], answer: int) -> int:
    """What a fork does; returns covey's exit status."""
    from covey_cli.main import run  # noqa: PLC0415 - imported by main, before the first fork

    signal.alarm(LIMIT)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    steps = Steps(Path(request["root"]), request["fatal"], request["moment"])
    if request["memory"]:
        remember_exports(Path(request["memory"]))
    if not request["draw"]:
        leave_out_charts()
    watch_durable(steps)
    watch_folders(steps)
    status = run(request["arguments"])
    with os.fdopen(answer, "w") as file:
        json.dump(steps.seen, file)
    return status


def forked(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request in a fork and wait for its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            os.close(reading)
            status = child(request, writing)
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as file:
        steps = json.loads(file.read() or "[]")
    _, code = os.waitpid(pid, 0)
    return {"status": os.waitstatus_to_exitcode(code), "steps": steps}


def main() -> None:
    """Answer until standard input ends."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    for module in IMPORTED:
        importlib.import_module(module)
    importlib.import_module("torch").set_num_threads(1)  # no thread pool that a fork would not have
    for line in sys.stdin:
        sys.stdout.write(json.dumps(forked(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
