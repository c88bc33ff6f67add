"""A pilot on hosts of its own: a server, two sites with devices that attend over mutual TLS, and others."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents import short_folder
from covey import plan as plans
from covey.errors import CoveyError
from covey.ledger.entries import AnyEntry, Reserve, Settle, kind_of
from covey_client.status import Status, ask
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from hosts import Network, network
from pilot import MASKED, NO_RANGES, Device, Pilot, pilot
from pilot_run import audited

DEVICES, PORT, TIMEOUT = 12, 9482, 40
SERVER = Path(__file__).with_name("pilot_server.py")
SITES = ("east", "west")


@dataclass
class World:
    """A fleet on its hosts.

    Attributes:
        fleet: The fleet.
        network: Its hosts.
        process: The server's; None before there was one.
    """

    fleet: Pilot
    network: Network
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> str:
        """What the server said."""
        return (self.fleet.folder / "server.log").read_text()

    @property
    def address(self) -> str:
        """Of the session service."""
        return f"{self.network.hosts['server'].address}:{PORT}"

    def serve(self, *until: str) -> None:
        """The ServerApp, on the server's host; until a moment of `pilot_server`, if one is named."""
        server = self.network.hosts["server"]
        words = [sys.executable, str(SERVER), str(self.fleet.folder), self.address, *until]
        with (self.fleet.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*server.wrap, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def ends(self, seconds: float) -> int:
        """Its exit status."""
        assert self.process
        return self.process.wait(seconds)

    def kill(self) -> None:
        """The server, as a power cut would."""
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def entries(self) -> list[AnyEntry]:
        """Of the ledger; none before it is there."""
        try:
            return read_entries(RunFolder.open(self.fleet.folder / "runs/pilot").ledger)
        except CoveyError:
            return []

    def until(self, happened: Callable[[], bool], seconds: float = 120) -> None:
        """Wait."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.1)

    def count(self, kind: str) -> int:
        """Entries of a kind."""
        return Counter(kind_of(each) for each in self.entries())[kind]

    def place(self, device: Device, host: str) -> None:
        """Put a device on a host."""
        device.wrap = self.network.hosts[host].wrap

    def start(self, devices: Sequence[Device]) -> None:
        """Some agents."""
        for each in devices:
            each.start()
        for each in devices:
            each.wait()


def status(device: Device) -> Status:
    """What its owner is told."""
    return ask(device.folder / f"{device.name}.own")


def doctors(made: World, device: Device, host: str) -> str:
    """What the doctor says to a device's owner."""
    covey = Path(sys.executable).with_name("covey")
    words = [str(covey), "device", "doctor", "--config", str(device.config), "--no-worker"]
    return made.network.hosts[host].run([*words, "--address", made.address]).stdout


@contextmanager
def world(  # noqa: PLR0913 - each named at the call
    *,
    spare: int = 3,
    rounds: int = 2,
    devices: int = DEVICES,
    others: Sequence[str] = (),
    clocks: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[World]:
    """A fleet whose devices are started, except those that a test has beyond `DEVICES`.

    Args:
        spare: Sums to spare in the policy.
        rounds: Of the federation.
        devices: In the roster; the first `DEVICES` of them are at the two sites.
        others: More hosts.
        clocks: Hosts whose clock is wrong.
        timeout: Of a stage, seconds.
    """
    with network(["server", *SITES, *others], clocks=clocks) as hosts, short_folder() as folder:
        address = hosts.hosts["server"].address
        federation = MASKED.format(rounds=rounds, minimum=9, timeout=float(timeout)) + NO_RANGES
        with pilot(folder, devices, federation, spare=spare, hosts=[address]) as fleet:
            made = World(fleet, hosts)
            for index, each in enumerate(fleet.devices.values()):
                each.configure(tables=f'[session]\nserver = "{made.address}"')
                made.place(each, SITES[index % 2])
            made.start([fleet.device(index) for index in range(DEVICES)])
            try:
                yield made
            finally:
                if made.process is not None and made.process.poll() is None:
                    made.kill()


def check(made: World, sums: int, *, rounds: int = 2) -> None:
    """It ended; no round counts twice, no budget is spent that the ledger does not know; an audit agrees."""
    folder = RunFolder.open(made.fleet.folder / "runs/pilot")
    assert [row["round"] for row in folder.rows()] == list(range(1, rounds + 1))
    assert sum(isinstance(each, Settle) for each in made.entries()) == sums
    asked = {(each.run, each.sum) for each in reserved(made)}
    for device in made.fleet.devices.values():
        spent = [(each.asked.run, each.asked.sum) for each in device.budget.reserved.values()]
        assert len(set(spent)) == len(spent)
        assert set(spent) <= asked
        assert not device.budget.locked
    done = audited(made.fleet)
    assert done.stdout.startswith(("Certified", "Nothing was found")), done.stdout + done.stderr


def reserved(made: World) -> list[plans.Plan]:
    """Plans that were asked."""
    return [plans.from_bytes(each.plan) for each in made.entries() if isinstance(each, Reserve)]
