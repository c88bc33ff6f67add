"""A pilot on one machine: a fleet's keys, its signed policy, and real agents as processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.app import Error, Message
from sklearn.datasets import load_digits

from covey.budget import Budget
from covey.delivery import Refusal, answer, to_bytes
from covey.ledger.note import Ed25519Signer, read_vkey, signed
from covey_client import frames
from covey_client.budget import FileJournal
from covey_server.fleet_keys import make_fleet
from covey_server.fleet_policy import drafted
from covey_simulations.grid import InProcessGrid
from covey_strategies.wire import REFUSED, read, reply_message

MASKED = """
name = "pilot"
[model]
name = "digits"
[federation]
rounds = {rounds}
minimum_devices = {minimum}
validate_every = 1
standardise = false
examples_cap = 64
update_clip = 1.0
round_timeout = {timeout}
[privacy]
train_multiplier = 0.3
validate_multiplier = 0.3
calibrate_multiplier = 0.3
[training]
learning_rate = 0.1
"""
NO_RANGES = "[release]\nint8 = false\n"
"""After it: rounds and no more, for tests that count their sums."""


def save_digits(folder: Path, devices: int) -> None:
    """A file of digits for each device."""
    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    for index in range(devices):
        np.savez(folder / f"pi{index}.npz", x=x[index::20], y=digits.target[index::20])


def agree(folder: Path, *, spare: int = 0) -> None:
    """The policy that the federation asks for: drafted by the operator, signed by the reviewer."""
    text = drafted(
        folder / "federation.toml",
        folder / "keys/operator",
        purpose="Read digits that people wrote by hand.",
        days=2,
        spare=spare,
        rate_limit="none",
        after=None,
    )
    key = load_pem_private_key((folder / "keys/reviewer/reviewer.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    name = read_vkey((folder / "keys/reviewer/reviewer.vkey").read_text()).name
    (folder / "keys/operator/policy").write_bytes(signed(text, Ed25519Signer(name, key.private_bytes_raw())))


@dataclass
class Device:
    """A device's folder and its agent.

    Attributes:
        name: In the roster.
        folder: Of the pilot.
        wrap: What its processes are started by: nothing, or a namespace's command.
        process: Its agent; None while there is none.
    """

    name: str
    folder: Path
    wrap: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def state(self) -> Path:
        """Of what it never forgets."""
        return self.folder / "keys/devices" / self.name

    @property
    def socket(self) -> Path:
        """Where its agent listens."""
        return self.folder / f"{self.name}.sock"

    @property
    def log(self) -> str:
        """What its owner was told."""
        return (self.folder / f"{self.name}.log").read_text()

    @property
    def budget(self) -> Budget:
        """What stands on its disk."""
        return FileJournal(self.state / "budget.jsonl").budget

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / f"{self.name}.toml"

    def configure(self, more: str = "", tables: str = "") -> None:
        """Write its configuration."""
        self.config.write_text(
            f'state = "{self.state}"\n{more}\n[data]\npath = "{self.folder}/{self.name}.npz"\n'
            f'[model]\nname = "digits"\n'
            f'[socket]\npath = "{self.socket}"\nowner = "{self.folder}/{self.name}.own"\n{tables}\n'
        )

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Its agent, in a process group of its own."""
        self.socket.unlink(missing_ok=True)
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, sys.executable, "-m", "covey_client.running", str(self.config)],
                stderr=log,
                stdout=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            )

    def wait(self, seconds: float = 60) -> None:
        """Until its agent listens."""
        deadline = time.monotonic() + seconds
        while not self.socket.exists():
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def send(self, sent: int) -> None:
        """A signal to the agent and all that it has started."""
        assert self.process is not None
        os.killpg(self.process.pid, sent)

    def kill(self) -> None:
        """As a power cut would."""
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)
        self.process = None

    def stop(self) -> None:
        """At the end of a test."""
        if self.process is not None:
            self.send(signal.SIGCONT)
            self.kill()


@dataclass(frozen=True)
class Pilot:
    """A fleet on one machine.

    Attributes:
        folder: Everything of it.
        devices: By node id, from 2 on.
    """

    folder: Path
    devices: dict[int, Device]

    def device(self, index: int) -> Device:
        """In order of names."""
        return self.devices[index + 2]

    def start(self) -> None:
        """All agents."""
        for each in self.devices.values():
            each.start()
        for each in self.devices.values():
            each.wait()


@contextmanager
def pilot(
    folder: Path, devices: int, federation: str, *, spare: int = 0, hosts: Sequence[str] = ("localhost",)
) -> Iterator[Pilot]:
    """Keys, data, a policy and configurations; agents are not started, and are gone at the end.

    Args:
        folder: Of everything.
        devices: How many.
        federation: Its file.
        spare: Sums to spare in the policy.
        hosts: Names and addresses in the server's certificate.
    """
    names = [f"pi{index:02d}" for index in range(devices)]
    save_digits(folder, devices)
    for index, name in enumerate(names):
        (folder / f"pi{index}.npz").rename(folder / f"{name}.npz")
    make_fleet(folder / "keys", "pilot", names, 2, hosts=hosts)
    (folder / "federation.toml").write_text(federation)
    agree(folder, spare=spare)
    made = Pilot(folder, {node: Device(name, folder) for node, name in enumerate(names, start=2)})
    with ExitStack() as stack:
        for each in made.devices.values():
            each.configure()
            stack.callback(each.stop)
        yield made


Fault = Callable[[str, list[Message]], None]
"""What happens before the messages of a stage are sent."""


class SocketGrid(InProcessGrid):
    """Delivers to real agents by their sockets, all at once, and waits no longer than it is told.

    Args:
        devices: By node id.
        before: What happens before the messages of a stage are sent.
        after: What happens when its replies have come.
    """

    def __init__(
        self, devices: Mapping[int, Device], before: Fault | None = None, after: Fault | None = None
    ) -> None:
        super().__init__(lambda message, _: message, devices)  # type: ignore[arg-type]
        self.seconds: list[tuple[str, float]] = []
        self._devices = devices
        self._before = before
        self._after = after

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """The replies that came in time."""
        sent = list(messages)
        if not sent:
            return []
        stage = sent[0].metadata.message_type.rpartition(".")[2]
        if self._before is not None:
            self._before(stage, sent)
        started = time.monotonic()
        with ThreadPoolExecutor(len(sent)) as pool:
            replies = [
                each for each in pool.map(lambda each: self._ask(each, timeout), sent) if each is not None
            ]
        self.seconds.append((stage, time.monotonic() - started))
        if self._after is not None:
            self._after(stage, replies)
        return replies

    def _ask(self, message: Message, timeout: float | None) -> Message | None:
        device = self._devices[message.metadata.dst_node_id]
        message.metadata.__dict__["_message_id"] = "m"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(str(device.socket))
                frames.send(connection, to_bytes(read(message)))
                data = frames.receive(connection, blame=device.name)
        except OSError:
            return None
        if data is None:
            return None
        said = answer(data, blame=device.name)
        if isinstance(said, Refusal):
            return Message(Error(REFUSED, said.reason), reply_to=message)
        return reply_message(said.data, message)
