"""docs/pilot.md, followed literally: each of its blocks, taken from the page, on the machine that it names.

Machines boot systemd, with their own files and their own network. Done in the reader's place:

- scp and rsync copy from one machine's files to another's, without ssh;
- passphrases and yes are typed; fingerprints are compared, of the device's screen and of the owner's;
- each device has data: digits that people wrote;
- names are in /etc/hosts; as nothing reaches the Internet, what is installed is installed beforehand, on one
  machine for people and server and on one for devices, and the others begin as copies of its card.
"""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from sklearn.datasets import load_digits

from at_a_terminal import at_a_terminal
from booted import Machine, booted, card
from covey.package.archive import unpack
from covey.package.verify import verify
from covey_server.summary import read
from hosts import Network, network
from page_blocks import Block, blocks_of

ROOT = Path(__file__).parents[2]
PEOPLE = ("server", "owner", "reviewer", "witness")
DEVICES = tuple(f"pi-{number:02d}" for number in range(1, 11))
HOME = "/root/pilot"
"""Where everybody is when a block does not say `in a clone`."""
FINGERPRINT = re.compile(r"(pi-\d+).*?((?:[0-9a-f]{4}-){7}[0-9a-f]{4})", re.DOTALL)
PASSPHRASES = {"reviewer": "a word of anna's", "owner": "a word of the owner's"}
SAID = "/run/said"
"""On each machine: all that was printed there."""
pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


@dataclass
class Walk:
    """The machines, on their way through the page.

    Attributes:
        machines: By name.
        pool: Where devices wait side by side.
        waiting: Devices that are still at a block.
    """

    machines: dict[str, Machine]
    pool: Executor
    waiting: "list[Future[None]]" = field(default_factory=list)

    def follow(self, block: Block) -> None:
        """Do what a block says, on all machines that it names."""
        where, _, when = block.where.partition(":")
        if block.kind == "toml":
            path, _, name = block.where.rpartition(", on ")
            for each in machines_at(name):
                self.file(each, path).write_text(block.text)
        elif "waits" in when:
            self.waiting += [self.pool.submit(self.commands, each, block) for each in machines_at(where)]
            for each in machines_at(where):
                self.until(lambda: "waiting" in self.said_on(each))  # noqa: B023 - it is called here
        elif where == "a device":
            self.join()
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # they share its processors
                list(pool.map(lambda each: self.commands(each, block), DEVICES))
        elif where.endswith("for each device"):
            for each in DEVICES:
                self.commands("owner", block, each)
        else:
            for each in machines_at(where):
                self.commands(each, block)

    def join(self) -> None:
        """Until no device waits any more."""
        for each in self.waiting:
            each.result(timeout=120)
        self.waiting.clear()

    def commands(self, name: str, block: Block, device: str = "") -> None:
        """All of a block, on one machine."""
        for command in block.commands:
            if command.startswith(("scp ", "rsync ")):
                self.copy(name, command.replace("$NAME", device))
            else:
                place = ROOT if block.where.endswith("in a clone") else HOME
                self.run(name, f"{shell_at(place)} export NAME={device or name} && {command}", command)

    def run(self, name: str, whole: str, command: str) -> None:
        """One command, which must work."""
        words = ("bash", "-o", "pipefail", "-c", f"{{ {whole}\n}} 2>&1 | tee -a {SAID}")
        if name in PASSPHRASES:
            enter = self.machines[name].enter
            done = at_a_terminal([*enter, *words], lambda shown: self.answer(name, shown), 400)
        else:
            done = self.machines[name].try_to(*words, seconds=400)
        said = f"{name}# {command}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, f"{said}\nstatus {done.returncode}\n{self.logs()}"

    def answer(self, name: str, shown: str) -> str:
        """What somebody types: a passphrase, or yes to a fingerprint that the device has printed as well."""
        if not shown.endswith("[y/N]: "):
            return PASSPHRASES[name]
        device, fingerprint = FINGERPRINT.findall(shown)[-1]
        return "y" if fingerprint in self.said_on(device) else "n"

    def said_on(self, name: str) -> str:
        """All that was printed on a machine."""
        path = self.file(name, SAID)
        return path.read_text() if path.exists() else ""

    def until(self, happened: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something."""
        deadline = monotonic() + seconds
        while not happened():
            assert monotonic() < deadline, self.logs()
            sleep(0.2)

    def copy(self, name: str, command: str) -> None:
        """What scp or rsync would."""
        tool, *words = shlex.split(command)
        owner = next((word[8:].rstrip(":") for word in words if word.startswith("--chown=")), "")
        source, target = (self.at(name, word) for word in words if not word.startswith("-"))
        if tool == "scp" and target.is_dir():
            target /= source.name
        machine = words[-1].partition(":")[0] if ":" in words[-1] else name
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            self.place(path, target / path.relative_to(source) if path != source else target)
        if owner:
            self.machines[machine].run("chown", "-R", f"{owner}:", words[-1].partition(":")[2])

    def place(self, path: Path, target: Path) -> None:
        """A file or a folder, as it is, whole or not at all."""
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True, mode=path.stat().st_mode & 0o777)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.copy(path, part)
        part.replace(target)

    def at(self, name: str, word: str) -> Path:
        """A path as scp writes it."""
        host, separator, path = word.partition(":")
        return self.file(host, path) if separator else self.file(name, word)

    def file(self, name: str, path: str) -> Path:
        """A path on a machine, for this machine's root."""
        return self.machines[name].root / (Path(HOME) / path).relative_to("/")

    def logs(self) -> str:
        """What the units said last."""
        units = {"server": ("covey-server", "nginx"), "pi-01": ("covey-agent", "covey-supernode")}
        found = [
            self.machines[name].try_to("journalctl", "-u", unit, "--no-pager", "-n", "30").stdout
            for name, those in units.items()
            for unit in those
        ]
        return "\n".join(found)


def machines_at(where: str) -> tuple[str, ...]:
    """Whom the words of a block's first line name."""
    if where == "a device":
        return DEVICES
    name = re.match(r"(?:the )?(\w+)", where)
    assert name, where
    assert name[1] in PEOPLE, where
    return (name[1],)


def shell_at(place: Path | str) -> str:
    """What root of a Debian has in a shell, in a folder; what comes behind it is done there."""
    return f"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin && cd {place} && "


@contextmanager
def installed(folder: Path, blocks: Sequence[Block]) -> Iterator[tuple[Path, Path]]:
    """The cards of people and of devices: what the page installs is on them."""
    with card(folder / "people") as people, card(folder / "devices") as devices:
        for written, block in zip((people, devices), blocks, strict=True):
            with booted(written.parent) as machine:
                for command in block.commands:
                    machine.run("bash", "-c", shell_at(ROOT) + command, seconds=600)
        yield people, devices


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[tuple[Walk, list[Block]]]:
    """All machines, with what step 1 installs; and the blocks of the other steps."""
    blocks = blocks_of(ROOT / "docs/pilot.md")
    with installed(tmp_path, blocks[:2]) as (people, devices), pilot(tmp_path, people, devices) as walked:
        yield walked, blocks[2:]


@contextmanager
def pilot(folder: Path, people: Path, devices: Path) -> Iterator[Walk]:
    """The machines of a pilot, which begin as copies of two cards."""
    with ExitStack() as stack:
        net = stack.enter_context(network([*PEOPLE, *DEVICES]))
        machines = {}
        for name, host in net.hosts.items():
            written = devices if name in DEVICES else people
            made = booted(folder / name, written=written, network=host.name)
            machines[name] = stack.enter_context(made)
            (machines[name].root / HOME[1:]).mkdir()
            (machines[name].root / "etc/hosts").write_text(addresses(net))
        save_digits(machines)
        pool = stack.enter_context(ThreadPoolExecutor(len(DEVICES)))
        yield Walk(machines, pool)


def addresses(net: Network) -> str:
    """/etc/hosts of everybody."""
    lines = ["127.0.0.1 localhost"]
    lines += [f"{host.address} {name} {name}.example.org" for name, host in net.hosts.items()]
    return "\n".join(lines).replace("server.example.org", "fleet.example.org") + "\n"


def save_digits(machines: dict[str, Machine]) -> None:
    """Each device's data."""
    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    for index, name in enumerate(DEVICES):
        path = machines[name].root / "var/lib/covey-data/digits.npz"
        np.savez(path, x=x[index::20], y=digits.target[index::20])
        machines[name].run("chown", "covey:", "/var/lib/covey-data/digits.npz")


def test_the_page_is_followed_to_a_signed_model(walk: tuple[Walk, list[Block]]) -> None:
    """One test, for each step stands on the one before."""
    walked, blocks = walk
    for block in blocks:
        walked.follow(block)
    run = walked.file("server", "/var/lib/covey-server/runs/pilot")
    summary = read(run / "summary.json")
    assert (summary.rounds, summary.devices) == (2, len(DEVICES))
    package = (run / "pilot.covey").read_bytes()
    assert verify(unpack(package), (run / "keys/release.pub.pem").read_bytes()).files
    assert "Nothing was found against this ledger" in walked.said_on("reviewer")
    for name in DEVICES:
        assert walked.machines[name].shown("covey-agent", "NRestarts") == "0"
        told = walked.machines[name].run("covey", "device", "status")
        assert "2 train, 1 validate in its whole life" in told
