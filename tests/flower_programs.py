"""Flower's programs as a test runs them: on loopback, each in a process group that is gone at the end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

BIN = Path(sys.executable).parent

CONNECTION = """
[superlink]
default = "here"
[superlink.here]
address = "127.0.0.1:{port}"
insecure = true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """Flower starts its own parts by bare name, and would report use and look for updates."""
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }


def group_members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@contextmanager
def running(  # noqa: PLR0913 - each named at the call
    name: str,
    *arguments: str,
    folder: Path,
    wrap: Sequence[str] = (),
    home: Path | None = None,
    more: Mapping[str, str] | None = None,
    programs: Path = BIN,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own; the whole group is gone at the end.

    Args:
        name: Of the program, and of its log; what follows an @ is for the log only.
        arguments: Of the program.
        folder: Where its log is.
        wrap: What it is started by: another user, a namespace.
        home: Flower's; `folder`/home if none is given.
        more: In its environment.
        programs: Where it is installed.
    """
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*wrap, str(programs / name.partition("@")[0]), *arguments],
            env={**environment(home or folder / "home"), **(more or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if members := group_members(process.pid):
            os.killpg(process.pid, sent)
            psutil.wait_procs(members, timeout=10)
    process.wait(timeout=10)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"nothing listens on {port}")
