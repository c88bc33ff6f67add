"""A server host as `covey serve` runs it, with devices beside it: real processes, on loopback."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sklearn.datasets import load_digits

from covey_server.fleet_keys import make_fleet
from covey_server.marked import mark_of, marked
from flower_programs import BIN, environment, free_port, running

FEDERATION = """
name = "pilot"

[model]
name = "digits"

[federation]
rounds = {rounds}
minimum_devices = 2
validate_every = {rounds}
standardise = false
round_timeout = 120.0

[privacy]
masks = false
noise = false

[training]
learning_rate = 0.1
"""

DEVICE = """
unprotected = true
state = "{folder}/state{index}"
[data]
path = "{folder}/pi{index}.npz"
[model]
name = "digits"
[socket]
path = "{folder}/agent{index}.sock"
owner = "{folder}/owner{index}.sock"
"""

SERVER = """
state = "{folder}/server"
operator = "{operator}"
[superlink]
port = {port}
[enrolment]
port = {enrolment}
[runs]
attempts = {attempts}
[sessions]
address = "{sessions}"
"""


class ServingHost:
    """Folders, ports and processes of one server.

    Args:
        folder: Of the test.
        attempts: As in server.toml.
        fleet: Whether the operator's folder is that of a whole fleet, in `folder`/keys, which is made if
            it is not there; else it has SuperNodes' keys only.
        sessions: The port of a session service; None for none.
    """

    def __init__(
        self, folder: Path, attempts: int = 5, *, fleet: bool = False, sessions: int | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.enrolment = free_port()
        self.operator = folder / "keys/operator" if fleet else folder / "operator"
        self.state = folder / "server"
        self.config = folder / "server.toml"
        self.config.write_text(
            SERVER.format(
                folder=folder,
                operator=self.operator,
                port=self.port,
                enrolment=self.enrolment,
                attempts=attempts,
                sessions="" if sessions is None else f"127.0.0.1:{sessions}",
            )
        )
        (folder / "home").mkdir()
        if fleet and not (folder / "keys").exists():
            make_fleet(folder / "keys", "pilot", (), 1)
        (self.operator / "nodes").mkdir(parents=True, exist_ok=True)
        self.serving: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "serve.log").open("ab") as log:
            self.serving = subprocess.Popen(
                [str(BIN / "covey"), "serve", str(self.config)],
                env=environment(self.folder / "home"),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.serving
        self.serving.terminate()
        return self.serving.wait(timeout=60)

    def kill(self) -> None:
        assert self.serving
        self.serving.kill()
        self.serving.wait(timeout=10)

    def covey(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "covey"), *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "COVEY_SERVER": str(self.config)},
        )

    def order(self, rounds: int) -> subprocess.CompletedProcess[str]:
        path = self.folder / "federation.toml"
        path.write_text(FEDERATION.format(rounds=rounds))
        return self.covey("fleet", "run", str(path), "--detach")

    def processes(self, part: str = "", named: str = "") -> list[int]:
        return marked(mark_of(self.state, part), named=named)

    def rounds(self) -> list[int]:
        path = self.state / "runs/pilot/metrics.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line)["round"] for line in lines]

    def said(self) -> str:
        logs = [self.folder / "serve.log", self.state / "orders/pilot/log"]
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in logs if path.exists())

    def wait(self, what: Callable[[], bool], seconds: float = 60) -> float:
        """Until something holds; the seconds it took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if what():
                return time.monotonic() - began
            time.sleep(0.1)
        pytest.fail(f"not within {seconds} s\n{self.said()}")

    def is_healthy(self) -> bool:
        """Whether every part was healthy when the server said something last."""
        path = self.state / "status.json"
        if not path.exists():
            return False
        parts = json.loads(path.read_bytes())["parts"]
        return all(part["state"] == "healthy" for part in parts)

    def is_done(self) -> bool:
        return (self.state / "runs/pilot/summary.json").exists()


@contextmanager
def serving(
    folder: Path, attempts: int = 5, *, fleet: bool = False, sessions: int | None = None
) -> Iterator[ServingHost]:
    """A server that is healthy; nothing of it is left at the end. See `ServingHost`."""
    host = ServingHost(folder, attempts, fleet=fleet, sessions=sessions)
    host.start()
    try:
        host.wait(host.is_healthy)
        yield host
    finally:
        if host.serving and host.serving.poll() is None:
            host.stop()
        left = host.processes("")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left


def node_key(host: ServingHost, name: str) -> Path:
    """A SuperNode's key; the server learns the public half."""
    key = generate_private_key(SECP384R1())
    path = host.folder / f"{name}.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (host.operator / "nodes" / f"{name}.pub").write_bytes(line + b"\n")
    return path


@contextmanager
def devices(host: ServingHost, count: int, *, address: str = "", ca: Path | None = None) -> Iterator[None]:
    """Agents and their SuperNodes.

    Args:
        host: Their server.
        count: So many.
        address: Where the SuperNodes connect; empty for the SuperLink itself.
        ca: Whom they believe there.
    """
    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    keys = [node_key(host, f"pi{index}") for index in range(count)]
    book = host.state / "superlink/nodes.json"
    host.wait(lambda: book.exists() and len(json.loads(book.read_bytes())) == count)
    with ExitStack() as stack:
        for index, key in enumerate(keys):
            np.savez(host.folder / f"pi{index}.npz", x=x[index::20], y=digits.target[index::20])
            path = host.folder / f"device{index}.toml"
            path.write_text(DEVICE.format(folder=host.folder, index=index))
            agent = ("-m", "covey_client.running", str(path))
            stack.enter_context(running(f"python@{index}", *agent, folder=host.folder))
            socket = host.folder / f"agent{index}.sock"
            stack.enter_context(supernode(host, str(index), key, socket, address=address, ca=ca))
        yield


@contextmanager
def supernode(  # noqa: PLR0913 - each named at the call
    host: ServingHost, name: str, key: Path, agent: Path, *, address: str = "", ca: Path | None = None
) -> Iterator[None]:
    """The SuperNode of a device; its log is `flower-supernode@NAME.log`.

    Args:
        host: Its server.
        name: Of its log and its home.
        key: Its own.
        agent: The agent's socket.
        address: Where it connects; empty for the SuperLink itself.
        ca: Whom it believes there.
    """
    words = (
        *("--superlink", address or f"127.0.0.1:{host.port}"),
        *("--root-certificates", str(ca or host.state / "superlink/ca.crt")),
        *("--auth-supernode-private-key", str(key)),
        *("--node-config", f'agent="{agent}"'),
        *("--port", str(free_port())),
    )
    home = host.folder / f"home{name}"
    home.mkdir()
    with running(f"flower-supernode@{name}", *words, folder=host.folder, home=home):
        yield
