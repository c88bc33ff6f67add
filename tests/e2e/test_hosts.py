"""Hosts in namespaces do what the tests of the fleet believe of them."""

import errno
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hosts import Host, Network, network, run, sweep, usage
from slow_link import HEADER, LONGEST, Way
from small_disk import fill, small_disk

PORT = 7001
ECHO = textwrap.dedent(f"""
    import socket, threading
    def serve(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)
    with socket.create_server(("", {PORT})) as server:
        while True:
            threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
""")
ASK = textwrap.dedent(f"""
    import socket, sys, time
    address, times, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with socket.create_connection((address, {PORT}), timeout=float(sys.argv[4])) as connection:
        for _ in range(times):
            began = time.monotonic()
            connection.sendall(b"x" * size)
            got = 0
            while got < size:
                got += len(connection.recv(65536))
            print(time.monotonic() - began)
""")


def ask(host: Host, to: Host, times: int = 1, size: int = 1, seconds: float = 1.0) -> list[float]:
    """Seconds of each round trip over one TCP connection; none if there is no way."""
    words = [sys.executable, "-I", "-c", ASK, to.address, str(times), str(size), str(seconds)]
    done = host.run(words)
    if done.returncode:
        assert re.search("timed out|unreachable|No route|refused", done.stderr), done.stderr
        return []
    return [float(line) for line in done.stdout.split()]


@pytest.fixture
def net() -> Iterator[Network]:
    with network(["server", "one", "two"]) as made:
        for host in made.hosts.values():
            host.start([sys.executable, "-I", "-c", ECHO])
        wait(lambda: all(ask(made.host("one"), host) for host in made.hosts.values()))
        yield made


def wait(happened: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_hosts_reach_one_another_and_nobody_else(net: Network) -> None:
    one, two = net.host("one"), net.host("two")
    assert ask(one, two)
    assert ask(two, net.host("server"))
    outside = Host(one.name, "192.0.2.1", one.link)
    assert not ask(one, outside)
    shown = run("ip", "-o", "address", "show")
    assert one.address not in shown


def test_a_slow_cable_delays_both_ways_and_is_quick_again(net: Network) -> None:
    one, server = net.host("one"), net.host("server")
    before = statistics.median(ask(one, server, times=5))
    net.slow("one", milliseconds=60)
    assert 0.12 <= statistics.median(ask(one, server, times=5)) <= 0.2
    assert statistics.median(ask(net.host("two"), server, times=5)) < 0.1
    net.slow("one", milliseconds=30)
    assert 0.06 <= statistics.median(ask(one, server, times=5)) < 0.12
    net.quick("one")
    assert statistics.median(ask(one, server, times=5)) < max(0.05, 3 * before)


def test_a_cable_has_a_rate(net: Network) -> None:
    net.slow("one", rate=1_000_000)
    (took,) = ask(net.host("one"), net.host("server"), size=60_000, seconds=20)
    assert 60_000 * 8 / 1_000_000 <= took <= 2.0


def test_what_is_lost_is_sent_again(net: Network) -> None:
    net.slow("one", milliseconds=2, loss=5)
    assert len(ask(net.host("one"), net.host("server"), times=3, size=200_000, seconds=30)) == 3


def test_a_part_is_parted_and_healed(net: Network) -> None:
    server, one, two = (net.host(name) for name in ("server", "one", "two"))
    net.partition({"one", "two"})
    assert ask(one, two)
    assert not ask(one, server, seconds=0.3)
    net.heal()
    assert ask(one, server)


def test_what_was_connected_goes_on_when_healed(net: Network) -> None:
    one, server = net.host("one"), net.host("server")
    net.slow("one", milliseconds=20)
    words = [sys.executable, "-I", "-c", ASK, server.address, "40", "1", "30"]
    with subprocess.Popen([*one.wrap, *words], stdout=subprocess.PIPE, text=True) as asking:
        time.sleep(0.5)
        net.partition({"one"})
        time.sleep(0.5)
        assert asking.poll() is None
        net.heal("one")
        assert len(asking.communicate(timeout=30)[0].split()) == 40
    assert 0.04 <= statistics.median(ask(one, server, times=5)) <= 0.12  # as slow as it was


@pytest.mark.parametrize("slow", [False, True])
def test_a_cable_is_pulled_and_plugged_in_again(slow: bool, net: Network) -> None:
    one, server = net.host("one"), net.host("server")
    if slow:
        net.slow("one", milliseconds=5)
    net.cut("one")
    assert not ask(one, server, seconds=0.3)
    assert ask(net.host("two"), server)
    net.heal("one")
    wait(lambda: bool(ask(one, server)))


def test_a_way_loses_what_its_seed_says_and_delays_by_its_rate() -> None:
    frame = b"h" * HEADER + b"f" * 125
    way = Way(seconds=1.0, loss=0.02, rate=1e6, rng=random.Random(1))
    for _ in range(900):
        way.take(frame, 0.0)
    kept = way.due(1e9)
    assert 860 < len(kept) < 900
    way = Way(seconds=1.0, loss=0.0, rate=1e6, rng=random.Random(1))
    for _ in range(LONGEST + 5):
        way.take(frame, 0.0)
    assert not way.due(1.0)
    assert len(way.due(1.0011)) == 1  # the first, after its own millisecond
    assert len(way.due(1e9)) == LONGEST - 1


def test_a_clock_is_wrong_and_time_passes_as_it_does() -> None:
    tell = (
        "import subprocess, sys, time; a = time.monotonic(); time.sleep(0.01);"
        " print(time.time(), time.monotonic() - a)"
    )
    with network(["ahead", "behind", "right"], clocks={"ahead": "+1d", "behind": "-1d"}) as net:
        for name, wrong in {"ahead": 86_400, "behind": -86_400, "right": 0}.items():
            for words in (
                [tell],
                [f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {tell!r}])"],
            ):
                done = net.host(name).run([sys.executable, "-I", "-c", *words])
                told, passed = map(float, done.stdout.split())
                assert abs(told - time.time() - wrong) < 30
                assert 0.01 <= passed < 1


def test_a_small_disk_fills_and_has_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as disk:
        filler = fill(disk)
        with pytest.raises(OSError, match="No space left") as caught:
            (disk / "more").write_bytes(b"x" * 4096)
        assert caught.value.errno == errno.ENOSPC
        filler.unlink()
        (disk / "more").write_bytes(b"x" * 4096)
        fill(disk, free=8192)
        (disk / "still").write_bytes(b"x" * 8192)
        with pytest.raises(OSError, match="No space left"):
            (disk / "no").write_bytes(b"x" * 4096)
    assert not os.path.ismount(tmp_path / "small")
    assert not list((tmp_path / "small").iterdir())


def test_a_process_and_its_children_are_measured(net: Network) -> None:
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', sys.argv[1]])"
    child = "held = bytearray(60_000_000)\nwhile True: pass"
    process = net.host("one").start([sys.executable, "-I", "-c", burn, child])
    wait(lambda: usage(process.pid).cpu > 0.3 and usage(process.pid).rss > 60_000_000)
    assert usage(process.pid).rss < 200_000_000


class BrokenTestError(Exception):
    """What a test may die of."""


def test_all_is_gone_at_the_end_even_of_what_failed(tmp_path: Path) -> None:
    daemon = "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(600)"
    found: list[int] = []
    names: list[str] = []

    def fails() -> None:
        with network(["one", "two"]) as net:
            net.slow("two", milliseconds=1)
            one = net.host("one")
            one.start([sys.executable, "-I", "-c", daemon])
            one.start(["sh", "-c", "sleep 600 & wait"], tmp_path / "log")
            wait(lambda: len(one.pids()) >= 3)
            found.extend([*one.pids(), net.cables["two"].pid])
            names.extend([net.bridge, *(host.name for host in net.hosts.values())])
            raise BrokenTestError

    with pytest.raises(BrokenTestError):
        fails()
    left = run("ip", "netns", "list").split()
    assert not set(names) & set(left)
    wait(lambda: not any(alive(pid) for pid in found))


def alive(pid: int) -> bool:
    """No zombie: here nobody may wait for orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_killed_test_left_behind_is_swept() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    with network(["alive"]) as net:  # skips where there are none
        name = f"cv{dead.pid}xabcdn1"
        run("ip", "netns", "add", name)
        with subprocess.Popen(
            ["ip", "netns", "exec", name, "sleep", "600"], start_new_session=True
        ) as sleeper:
            wait(lambda: bool(run("ip", "netns", "pids", name).split()))
            sweep()
            assert sleeper.wait(10) == -signal.SIGKILL
        assert name not in run("ip", "netns", "list")
        assert net.bridge in run("ip", "netns", "list")
