"""`flwr run .` with a manifest-only bundle: a real SuperLink and two real SuperNodes, on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from sklearn.datasets import load_digits

from covey.package.archive import unpack
from covey.package.verify import verify
from covey_server.summary import Summary, read

BUNDLE = Path(__file__).parents[2] / "server" / "flower"
BIN = Path(sys.executable).parent

FEDERATION = """
name = "pilot"

[model]
name = "digits"

[federation]
rounds = 1
minimum_devices = 2
validate_every = 1
round_timeout = 120.0

[training]
learning_rate = 0.1
"""

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
def running(name: str, *arguments: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Flower program in a process group of its own; the whole group is gone at the end."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / name.partition("@")[0]), *arguments],
            env=environment(folder / "home"),
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


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A folder with two devices' data and the federation's file."""
    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    for index in range(2):
        np.savez(tmp_path / f"pi{index}.npz", x=x[index::8], y=digits.target[index::8])
    (tmp_path / "federation.toml").write_text(FEDERATION)
    (tmp_path / "home").mkdir()
    return tmp_path


@contextmanager
def connected(folder: Path) -> Iterator[list[int]]:
    """A SuperLink and two SuperNodes; gives their process groups."""
    port = free_port()
    (folder / "home" / "config.toml").write_text(CONNECTION.format(port=port))
    link = (
        "--insecure",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--disable-runtime-dependency-installation",
    )
    node = ("--insecure", "--superlink", f"127.0.0.1:{port}", "--node-config")
    configs = [f'data="{folder}/pi{index}.npz" model="digits"' for index in range(2)]
    with (
        running("flower-superlink", *link, folder=folder) as superlink,
        running("flower-supernode@0", *node, configs[0], "--port", str(free_port()), folder=folder) as first,
        running("flower-supernode@1", *node, configs[1], "--port", str(free_port()), folder=folder) as second,
    ):
        wait_for_port(port)
        yield [superlink.pid, first.pid, second.pid]


def flwr_run(folder: Path) -> str:
    config = f'federation="{folder}/federation.toml" runs="{folder}/runs"'
    done = subprocess.run(
        [str(BIN / "flwr"), "run", ".", "here", "--stream", "-c", config],
        cwd=BUNDLE,
        env=environment(folder / "home"),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(280)
def test_flwr_run_trains_over_a_real_superlink_and_leaves_no_process(fleet: Path) -> None:
    with connected(fleet) as groups:
        output = flwr_run(fleet)
    assert "round 1/1" in output, output
    summary = read(fleet / "runs" / "pilot" / "summary.json")
    check_summary(summary)
    key = (fleet / "runs" / "pilot" / "keys" / "release.pub.pem").read_bytes()
    package = verify(unpack(Path(summary.package).read_bytes()), key)
    assert package.variants == ("fp32",)
    sums = [json.loads(line) for line in (fleet / "runs" / "pilot" / "sums.jsonl").read_text().splitlines()]
    assert [(row["kind"], row["devices"]) for row in sums] == [
        ("statistics", 2),
        ("train", 2),
        ("validate", 2),
    ]
    assert not any(group_members(group) for group in groups)


def check_summary(summary: Summary) -> None:
    assert summary.devices == 2
    assert not summary.simulation
    assert 0 <= summary.accuracy_federated <= 1
    # what would need pooled or per-device data
    assert summary.accuracy_central is None
    assert summary.accuracy_fp32 is None
    assert summary.accuracy_int8 is None


def test_the_bundle_holds_a_manifest_and_no_code(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "pyproject.toml").write_bytes((BUNDLE / "pyproject.toml").read_bytes())
    assert [path.name for path in BUNDLE.iterdir()] == ["pyproject.toml"]
    subprocess.run(
        [str(BIN / "flwr"), "build"],
        cwd=bundle,
        env=environment(tmp_path / "home"),
        check=True,
        capture_output=True,
    )
    (fab,) = bundle.glob("*.fab")
    with zipfile.ZipFile(fab) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".py")]
        assert "pyproject.toml" in archive.namelist()
