"""Hosts on one machine: network namespaces on a bridge that is in a namespace itself, gone at the end."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

NETWORK = "10.77.0"


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        name: Of its namespace.
        address: Its own.
        link: The bridge's end of its cable.
    """

    name: str
    address: str
    link: str

    @property
    def wrap(self) -> list[str]:
        """What a command is started by, so that it runs there."""
        return ["ip", "netns", "exec", self.name]


@dataclass
class Network:
    """Hosts that reach one another by a bridge.

    Attributes:
        bridge: The namespace of the bridge.
        hosts: By what a test calls them.
    """

    bridge: str
    hosts: dict[str, Host] = field(default_factory=dict)

    def slow(self, name: str, *words: str) -> None:
        """What leaves a host, or comes to it, goes through netem (tc-netem(8)); skips where there is none."""
        host = self.hosts[name]
        for wrap, device in ((host.wrap, "eth0"), (["ip", "netns", "exec", self.bridge], host.link)):
            tc = [*wrap, "tc", "qdisc", "replace", "dev", device, "root", "netem", *words]
            done = subprocess.run(tc, capture_output=True, text=True, timeout=20, check=False)
            if "qdisc kind is unknown" in done.stderr:
                pytest.skip("this kernel has no netem")
            assert done.returncode == 0, done.stderr

    def cut(self, name: str) -> None:
        """Pull a host's cable."""
        run("ip", "-n", self.bridge, "link", "set", self.hosts[name].link, "down")

    def heal(self, name: str) -> None:
        """Plug it in again."""
        run("ip", "-n", self.bridge, "link", "set", self.hosts[name].link, "up")


def run(*words: str) -> None:
    """A command that must work."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """A network of new hosts; skips the test where that is not permitted."""
    why = forbidden()
    if why:
        pytest.skip(f"no network namespaces: {why}")
    made = Network(f"cv{os.getpid()}br")
    try:
        run("ip", "netns", "add", made.bridge)
        run("ip", "-n", made.bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", made.bridge, "link", "set", "br0", "up")
        for number, name in enumerate(names, start=1):
            made.hosts[name] = _host(made.bridge, number)
        yield made
    finally:
        for each in (made.bridge, *(host.name for host in made.hosts.values())):
            with suppress(AssertionError):
                run("ip", "netns", "del", each)


def _host(bridge: str, number: int) -> Host:
    host = Host(f"cv{os.getpid()}n{number}", f"{NETWORK}.{number}", f"l{number}")
    run("ip", "netns", "add", host.name)
    ends = (host.link, "netns", bridge), ("eth0", "netns", host.name)
    run("ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
    run("ip", "-n", bridge, "link", "set", host.link, "master", "br0", "up")
    run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        run("ip", "-n", host.name, "link", "set", device, "up")
    return host


def forbidden() -> str:
    """Why it cannot be done here; empty if it can."""
    if os.geteuid() != 0:
        return "only root may make them"
    if not (shutil.which("ip") and shutil.which("tc")):
        return "Debian's iproute2 is not installed"
    name = f"cv{os.getpid()}try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip()
    subprocess.run(["ip", "netns", "del", name], check=False)
    return ""
