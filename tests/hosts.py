"""Hosts on one machine: network namespaces on a bridge that is in a namespace itself, gone at the end.

with network(["server", "pi"]) as net:
    net.host("server").start(["python3", "-m", "http.server"])
    net.slow("pi", milliseconds=200, loss=2, rate=1_000_000)
    net.host("pi").run(["curl", net.host("server").address])
    net.partition({"pi"})
    net.heal()
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

NETWORK = "10.77.0"
CABLE = Path(__file__).with_name("slow_link.py")
TOGETHER, APART = "br0", "br1"
"""Two bridges with no way between them: all hosts are at the first; a part that is parted, at the other."""
SLEEPER = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, wanted, left) ? errno : 0;
}
"""
"""Python's time.sleep: faketime 0.9.10 adds the clock's error to it, though the monotonic clock is right."""


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        name: Of its namespace.
        address: Its own.
        link: The bridge's end of its cable.
        clock: By how much its clock is wrong, as faketime(1) has it (`+1d`, `-2h`); empty for a right one.
        sleeper: A library that is loaded where the clock is wrong; see `SLEEPER`.
        processes: What `start` started there.
    """

    name: str
    address: str
    link: str
    clock: str = ""
    sleeper: Path | None = None
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list, repr=False, compare=False)

    @property
    def wrap(self) -> list[str]:
        """What a command is started by, so that it runs there."""
        loaded = f"LD_PRELOAD={self.sleeper}"
        wrong = ["env", loaded, "faketime", "-m", "--exclude-monotonic", "-f", self.clock]
        return ["ip", "netns", "exec", self.name, *(wrong if self.clock else ())]

    def run(self, words: Sequence[str], seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """A command there, to its end."""
        return subprocess.run(
            [*self.wrap, *words], capture_output=True, text=True, timeout=seconds, check=False
        )

    def start(self, words: Sequence[str], log: Path | None = None) -> "subprocess.Popen[bytes]":
        """A process there, in a group of its own; killed with all that it has started at the end."""
        with (log or Path(os.devnull)).open("ab") as out:
            made = subprocess.Popen(
                [*self.wrap, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self.processes.append(made)
        return made

    def pids(self) -> list[int]:
        """Every process there, whoever started it."""
        return _pids(self.name)


@dataclass
class Network:
    """Hosts that reach one another by a bridge.

    Attributes:
        bridge: The namespace of the bridge.
        hosts: By what a test calls them.
        cables: Slow ones, by the same names.
    """

    bridge: str
    hosts: dict[str, Host] = field(default_factory=dict)
    cables: "dict[str, subprocess.Popen[str]]" = field(default_factory=dict)

    def host(self, name: str) -> Host:
        """One of them."""
        return self.hosts[name]

    def slow(
        self, name: str, *, milliseconds: float = 0, loss: float = 0, rate: float = 0, seed: int = 1
    ) -> None:
        """Give a host a slow cable, in both directions; connections stay.

        Args:
            name: Of the host.
            milliseconds: That a frame takes, each way.
            loss: Percent of frames that are lost, each way.
            rate: Bits a second, each way; 0 for no limit.
            seed: Of what is lost.
        """
        self.quick(name)
        link = self.hosts[name].link
        near, far = f"{link}a", f"{link}b"
        at = self._bridge_of(name)
        run("ip", "-n", self.bridge, "link", "add", near, "type", "veth", "peer", "name", far)
        for device in (near, far):
            run("ip", "-n", self.bridge, "link", "set", device, "addrgenmode", "none", "up")
        run("ip", "-n", self.bridge, "link", "set", link, "nomaster")
        words = [sys.executable, "-I", str(CABLE), link, near, milliseconds, loss, rate, seed]
        process = subprocess.Popen(
            [*_within(self.bridge), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.cables[name] = process
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        run("ip", "-n", self.bridge, "link", "set", far, "master", at)

    def quick(self, name: str) -> None:
        """Give it an ordinary cable again."""
        cable = self.cables.pop(name, None)
        if cable is None:
            return
        at = self._bridge_of(name)
        _end(cable)
        run("ip", "-n", self.bridge, "link", "del", f"{self.hosts[name].link}a")
        run("ip", "-n", self.bridge, "link", "set", self.hosts[name].link, "master", at)

    def cut(self, name: str) -> None:
        """Pull a host's cable: it sees that there is none."""
        run("ip", "-n", self.bridge, "link", "set", self.hosts[name].link, "down")

    def partition(self, names: Collection[str]) -> None:
        """Part some hosts from the others. Nobody sees it: what is sent to the other side is lost."""
        for name in names:
            run("ip", "-n", self.bridge, "link", "set", self._port(name), "master", APART)

    def heal(self, *names: str) -> None:
        """Undo `cut` and `partition`, for all hosts if none is named."""
        for name in names or self.hosts:
            run("ip", "-n", self.bridge, "link", "set", self._port(name), "master", TOGETHER)
            run("ip", "-n", self.bridge, "link", "set", self.hosts[name].link, "up")

    def _port(self, name: str) -> str:
        """The interface by which it is on a bridge."""
        link = self.hosts[name].link
        return f"{link}b" if name in self.cables else link

    def _bridge_of(self, name: str) -> str:
        shown = run("ip", "-n", self.bridge, "-o", "link", "show", self._port(name))
        found = re.search(r" master (\S+)", shown)
        return found[1] if found else TOGETHER


@dataclass(frozen=True)
class Usage:
    """What a process and all that it has started use.

    Attributes:
        cpu: Seconds, of user and system, those that ended and were waited for included.
        rss: Bytes that are resident.
    """

    cpu: float
    rss: int


def usage(pid: int) -> Usage:
    """Of a process now."""
    top = psutil.Process(pid)
    cpu, rss = 0.0, 0
    for each in (top, *top.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            rss += each.memory_info().rss
    return Usage(cpu, rss)


def run(*words: str) -> str:
    """What a command says that must work."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


@contextmanager
def network(names: Sequence[str], *, clocks: Mapping[str, str] | None = None) -> Iterator[Network]:
    """A network of new hosts; skips the test where that is not permitted.

    Args:
        names: What the test calls them.
        clocks: Those that are wrong, and by how much.
    """
    why = forbidden()
    if why:
        pytest.skip(f"no network namespaces: {why}")
    if clocks and not shutil.which("faketime"):
        pytest.skip("no wrong clocks: Debian's faketime is not installed")
    sweep()
    made = Network(f"{_prefix()}br")
    folder = Path(tempfile.mkdtemp(prefix="cvsleep")) if clocks else None
    try:
        sleeper = None if folder is None else _sleeper(folder)
        run("ip", "netns", "add", made.bridge)
        for bridge in (TOGETHER, APART):
            run("ip", "-n", made.bridge, "link", "add", bridge, "type", "bridge")
            run("ip", "-n", made.bridge, "link", "set", bridge, "up")
        for number, name in enumerate(names, start=1):
            host = Host(
                f"{made.bridge[:-2]}n{number}",
                f"{NETWORK}.{number}",
                f"l{number}",
                (clocks or {}).get(name, ""),
                sleeper,
            )
            made.hosts[name] = host  # before it is made, so that a half made one goes as well
            _connect(made.bridge, host)
        yield made
    finally:
        _remove(made)
        if folder is not None:
            shutil.rmtree(folder)


def _sleeper(folder: Path) -> Path:
    """The library of `SLEEPER`, compiled; skips the test where there is no compiler."""
    if not shutil.which("cc"):
        pytest.skip("no wrong clocks: no C compiler, for a sleep that faketime gets wrong")
    source, library = folder / "sleeper.c", folder / "sleeper.so"
    source.write_text(SLEEPER)
    run("cc", "-shared", "-fPIC", "-o", str(library), str(source))
    return library


def _prefix() -> str:
    """Two networks of one process are two; whose they are can be seen."""
    return f"cv{os.getpid()}x{secrets.token_hex(2)}"


def _connect(bridge: str, host: Host) -> None:
    run("ip", "netns", "add", host.name)
    ends = (host.link, "netns", bridge), ("eth0", "netns", host.name)
    run("ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
    run("ip", "-n", bridge, "link", "set", host.link, "addrgenmode", "none", "master", TOGETHER, "up")
    # no frames of many segments: a slow cable loses and delays what a real one would
    run("ip", "-n", host.name, "link", "set", "eth0", "gso_max_segs", "1")
    run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        run("ip", "-n", host.name, "link", "set", device, "up")


def _remove(made: Network) -> None:
    for host in made.hosts.values():
        for process in host.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
    for cable in made.cables.values():
        _end(cable)
    for name in (made.bridge, *(host.name for host in made.hosts.values())):
        _delete(name)


def _end(cable: "subprocess.Popen[str]") -> None:
    cable.kill()
    cable.wait(10)
    if cable.stdout:
        cable.stdout.close()


def _delete(name: str) -> None:
    """A namespace and whoever is still in it; it would live on with them."""
    deadline = time.monotonic() + 10
    while (left := _pids(name)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    with suppress(AssertionError):
        run("ip", "netns", "del", name)


def _pids(name: str) -> list[int]:
    done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def _within(name: str) -> list[str]:
    return ["ip", "netns", "exec", name]


def sweep() -> None:
    """Remove what tests have left behind that were killed themselves."""
    for line in run("ip", "netns", "list").splitlines():
        found = re.match(r"cv(\d+)(?:x[0-9a-f]{4})?(?:br|n\d+|try)\b", line)
        if found and not Path(f"/proc/{found[1]}").exists():
            _delete(line.split()[0])


def forbidden() -> str:
    """Why it cannot be done here; empty if it can."""
    if os.geteuid() != 0:
        return "only root may make them"
    if not shutil.which("ip"):
        return "Debian's iproute2 is not installed"
    name = f"{_prefix()}try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip()
    subprocess.run(["ip", "netns", "del", name], check=False)
    return ""
