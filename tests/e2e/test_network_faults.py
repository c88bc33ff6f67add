"""A federation over a real network that is slow, loses, is cut and heals; and a server that is killed.

Hosts are network namespaces: the server, and two sites with six devices each. Every device is an agent of its
own that attends over mutual TLS; the server is the ServerApp's own code, with policy, witness and ledger.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents import short_folder
from covey import plan as plans
from covey.errors import CoveyError
from covey.ledger.entries import AnyEntry, Reserve, Settle, kind_of
from covey_client.status import ask
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from hosts import Network, network
from pilot import MASKED, Pilot, pilot

DEVICES, PORT, TIMEOUT = 12, 9482, 40
FEDERATION = MASKED.format(rounds=2, minimum=9, timeout=float(TIMEOUT))
SERVER = Path(__file__).parents[1] / "pilot_server.py"

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@dataclass
class World:
    """A fleet on its hosts."""

    fleet: Pilot
    network: Network
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> str:
        return (self.fleet.folder / "server.log").read_text()

    def serve(self) -> None:
        """The ServerApp, on the server's host."""
        server = self.network.hosts["server"]
        words = [sys.executable, str(SERVER), str(self.fleet.folder), f"{server.address}:{PORT}"]
        with (self.fleet.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*server.wrap, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def ends(self, seconds: float) -> int:
        assert self.process
        return self.process.wait(seconds)

    def kill(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def entries(self) -> list[AnyEntry]:
        """Of the ledger; none before it is there."""
        try:
            return read_entries(RunFolder.open(self.fleet.folder / "runs/pilot").ledger)
        except CoveyError:
            return []

    def until(self, happened: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.1)

    def count(self, kind: str) -> int:
        return Counter(kind_of(each) for each in self.entries())[kind]


@contextmanager
def world(*, spare: int = 3) -> Iterator[World]:
    with network(["server", "east", "west"]) as hosts, short_folder() as folder:
        address = hosts.hosts["server"].address
        with pilot(folder, DEVICES, FEDERATION, spare=spare, hosts=[address]) as fleet:
            for index, each in enumerate(fleet.devices.values()):
                each.configure(tables=f'[session]\nserver = "{address}:{PORT}"')
                each.wrap = hosts.hosts["east" if index % 2 else "west"].wrap
            fleet.start()
            made = World(fleet, hosts)
            try:
                yield made
            finally:
                if made.process is not None and made.process.poll() is None:
                    made.kill()


def check(made: World, sums: int) -> None:
    """It ended; no round counts twice, no budget is spent that the ledger does not know; an audit agrees."""
    folder = RunFolder.open(made.fleet.folder / "runs/pilot")
    assert [row["round"] for row in folder.rows()] == [1, 2]
    assert sum(isinstance(each, Settle) for each in made.entries()) == sums
    asked = {(each.run, each.sum) for each in reserved(made)}
    for device in made.fleet.devices.values():
        spent = [(each.asked.run, each.asked.sum) for each in device.budget.reserved.values()]
        assert len(set(spent)) == len(spent)
        assert set(spent) <= asked
        assert not device.budget.locked
    keys = made.fleet.folder / "keys"
    covey = Path(sys.executable).with_name("covey")
    audit = [str(covey), "audit", str(folder.path), "--reviewer", f"{keys}/reviewer/reviewer.vkey"]
    audit += ["--enrolment", f"{keys}/operator/enrolment.pub", "--witnessed", f"{keys}/witness"]
    done = subprocess.run(audit, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith(("Certified", "Nothing was found")), done.stdout + done.stderr


def reserved(made: World) -> list[plans.Plan]:
    return [plans.from_bytes(each.plan) for each in made.entries() if isinstance(each, Reserve)]


def test_a_slow_and_lossy_network_only_takes_longer() -> None:
    """200 ms each way, 2 % lost, 1 Mbit/s to each site."""
    with world() as made:
        for site in ("east", "west"):
            made.network.slow(site, milliseconds=200, loss=2, rate=1_000_000)
        made.serve()
        assert made.ends(280) == 0, made.log[-3000:]
        check(made, 4)


def test_half_the_fleet_is_cut_off_in_a_round_and_comes_back() -> None:
    """Six of twelve are too few: the round is aborted and stays spent; healed, the run is gone on with."""
    with world() as made:
        made.serve()
        made.until(lambda: made.count("round.reserve") == 1)
        made.network.cut("east")
        assert made.ends(200) != 0
        assert made.count("round.settle") == 0
        made.network.heal("east")
        made.until(lambda: all(agent_waits(each) for each in made.fleet.devices.values()))
        made.serve()
        assert made.ends(200) == 0, made.log[-3000:]
        check(made, 4)


def agent_waits(device: object) -> bool:
    return ask(device.folder / f"{device.name}.own").does == "waits"  # type: ignore[attr-defined]


@pytest.mark.parametrize("after", [1, 2])
def test_a_server_that_is_killed_is_gone_on_with_by_the_next_one(after: int) -> None:
    """In a round, and between two: agents come back by themselves."""
    with world() as made:
        made.serve()
        made.until(lambda: made.count("round.reserve") == after)
        made.kill()
        settled = made.count("round.settle")
        made.serve()
        assert made.ends(250) == 0, made.log[-3000:]
        check(made, 4 + settled)  # of the round that had not ended everything is asked again, and stays spent
