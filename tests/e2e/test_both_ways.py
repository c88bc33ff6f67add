"""`covey serve` with a session service: one run over streams and over a real SuperLink at once."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from covey_server.fleet_keys import make_fleet
from flower_programs import free_port, running, wait_for_port
from serving_host import DEVICE, FEDERATION, ServingHost, serving, supernode

NAMES = ("pi0", "pi1", "pi2")
FLOWER_ONLY, BOTH, STREAM_ONLY = range(3)


@contextmanager
def device(host: ServingHost, index: int, port: int) -> Iterator[None]:
    """An agent, with a stream, a SuperNode or both."""
    digits, folder = load_digits(), host.folder
    x = (digits.images[:, None] / 16).astype(np.float32)
    np.savez(folder / f"pi{index}.npz", x=x[index::20], y=digits.target[index::20])
    text = DEVICE.format(folder=folder, index=index).replace(
        f"{folder}/state{index}", f"{folder}/keys/devices/{NAMES[index]}"
    )
    attends = f'[session]\nserver = "localhost:{port}"\n' if index != FLOWER_ONLY else ""
    (folder / f"device{index}.toml").write_text(text + attends)
    agent = ("-m", "covey_client.running", str(folder / f"device{index}.toml"))
    with ExitStack() as stack:
        stack.enter_context(running(f"python@{index}", *agent, folder=folder))
        if index != STREAM_ONLY:
            key = folder / "keys/devices" / NAMES[index] / "node.key"
            stack.enter_context(supernode(host, str(index), key, folder / f"agent{index}.sock"))
        yield


def brought(host: ServingHost, index: int) -> int:
    """Messages that a device's SuperNode was sent."""
    return log(host, f"flower-supernode@{index}").count("Receiving: ")


def log(host: ServingHost, name: str) -> str:
    path = host.folder / f"{name}.log"
    return path.read_text(errors="replace") if path.exists() else ""


@pytest.mark.long
@pytest.mark.timeout(280)
def test_each_device_is_asked_once_by_the_way_that_reaches_it(tmp_path: Path) -> None:
    """Streams where they are, the SuperLink elsewhere; who has both is one device, and its SuperNode idle."""
    port = free_port()
    make_fleet(tmp_path / "keys", "pilot", NAMES, 1)
    with serving(tmp_path, fleet=True, sessions=port) as host, ExitStack() as stack:
        path = host.folder / "federation.toml"
        path.write_text(FEDERATION.format(rounds=2).replace("minimum_devices = 2", "minimum_devices = 3"))
        assert host.covey("fleet", "run", str(path), "--detach").returncode == 0
        wait_for_port(port)
        for index in (BOTH, STREAM_ONLY):
            stack.enter_context(device(host, index, port))
        host.wait(
            lambda: all("connected to" in log(host, f"python@{index}") for index in (BOTH, STREAM_ONLY))
        )
        host.wait(lambda: "SuperNode ID" in log(host, f"flower-supernode@{BOTH}"))
        stack.enter_context(device(host, FLOWER_ONLY, port))
        host.wait(host.is_done, 200)
        rows = (host.state / "runs/pilot/metrics.jsonl").read_text().splitlines()
        assert [json.loads(row)["devices"] for row in rows] == [3, 3]
        assert (brought(host, BOTH), brought(host, FLOWER_ONLY)) == (0, 4)  # two rounds, validation, ranges
