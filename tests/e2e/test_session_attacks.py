"""A federation's session service under attack from a host of its own, while the fleet is in a round.

The attacker holds what is most: the keys of one device of the fleet, which takes part in nothing.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from covey.ledger.entries import Settle
from fleet_world import DEVICES, PORT, World, check, world

ATTACKS = Path(__file__).parents[1] / "session_attacks.py"
MORE_MB = 150
"""By how much the server may grow, with what it needs for the round itself."""
MOST_THREADS = 300
SOON = 40
"""Seconds within which whoever does not go on is closed."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@contextmanager
def attacked(*kinds: str) -> Iterator[World]:
    """A fleet whose sums have settled under all of these at once."""
    with world(devices=DEVICES + 1, rounds=1, others=["attacker"]) as made:
        made.serve()
        made.until(lambda: listens(made))
        before = peak_mb(made)
        for kind in kinds:
            attack(made, kind)
        made.until(lambda: made.count("round.settle") >= 1, 240)
        assert made.process
        assert psutil.Process(made.process.pid).num_threads() < MOST_THREADS
        assert peak_mb(made) < before + MORE_MB
        settles(made)
        yield made


def attack(made: World, kind: str) -> None:
    """Begun, and going on."""
    server, attacker = made.network.hosts["server"], made.network.hosts["attacker"]
    words = [sys.executable, str(ATTACKS), kind, server.address, str(PORT)]
    attacker.start([*words, str(made.fleet.device(DEVICES).state)], made.fleet.folder / f"{kind}.log")
    made.until(lambda: "at it" in said(made, kind), 60)


def said(made: World, kind: str) -> str:
    path = made.fleet.folder / f"{kind}.log"
    return path.read_text() if path.exists() else ""


def closed_after(made: World, kind: str) -> int:
    """Seconds until the server had closed all connections of an attack."""
    found = re.search(r"closed \d+ after (\d+) s", said(made, kind))
    assert found, said(made, kind)[-2000:]
    return int(found[1])


def listens(made: World) -> bool:
    done = made.network.hosts["server"].run(["ss", "-Hltn", f"sport = :{PORT}"])
    return bool(done.stdout.strip())


def peak_mb(made: World) -> float:
    """The server's memory at its highest so far (proc(5), VmHWM)."""
    assert made.process
    status = Path(f"/proc/{made.process.pid}/status").read_text()
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kib) / 1024


def settles(made: World) -> None:
    """Whole sums of the honest devices, and of nobody else."""
    assert made.ends(300) == 0, made.log[-3000:]
    check(made, 2, rounds=1)
    opened = [each.members.survivors for each in made.entries() if isinstance(each, Settle)]
    assert all(10 <= each <= DEVICES for each in opened), opened
    assert not (made.fleet.device(DEVICES).state / "budget.jsonl").exists()


def test_who_says_nothing_or_says_it_slowly_is_closed_and_the_fleet_goes_on() -> None:
    with attacked("silent", "half", "idle", "slow_head") as made:
        assert closed_after(made, "silent") <= SOON
        assert closed_after(made, "half") <= SOON
        assert closed_after(made, "idle") <= SOON
        assert closed_after(made, "slow_head") <= SOON


def test_long_messages_and_many_streams_of_one_device_hold_nobody_up() -> None:
    with attacked("oversized", "streams", "pings") as made:
        for each in ("message: RESOURCE_EXHAUSTED", "head: RESOURCE_EXHAUSTED"):
            assert each in said(made, "oversized")
        for each in ("message", "head", "unasked"):
            assert f"{each}: DEADLINE_EXCEEDED" not in said(made, "oversized")
        assert "cut" in said(made, "pings")
