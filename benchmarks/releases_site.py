"""A fleet's repository behind a web server in a process of its own, and an enrolled device."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from releases_packages import Packaged, keys

import made_fleet
from covey.enrolment import read_admission
from covey_client import slots
from covey_io.device_enrolment import accept
from covey_server import tuf_repository
from covey_server.tuf_roles import ONLINE
from tuf_world import World, made_world

HERE: Final = Path(__file__).parent
DEVICE: Final = "pi-07"
CONFIG: Final = """state = "{folder}/pi-07"
[data]
path = "{folder}"
[model]
name = "digits"
[socket]
path = "{folder}/a"
owner = "{folder}/o"
[update]
source = "{source}"
root = "{folder}/root.json"
every_seconds = 3600.0
[update.trial]
seconds = 0
requests = 100
"""
"""Everything as it is usual, but that a trial lasts for a hundred requests and no ten minutes."""


@dataclass(frozen=True)
class Traffic:
    """What a server was asked, and answered.

    Attributes:
        requests: How often.
        received: Bytes of requests.
        sent: Bytes of answers, heads and bodies.
        targets: Of them, those under `targets/models/`: archives.
    """

    requests: int
    received: int
    sent: int
    targets: int


@dataclass(frozen=True)
class Site:
    """See the module.

    Attributes:
        folder: Everything is in it.
        world: The repository with all its keys.
        address: Of the web server.
    """

    folder: Path
    world: World
    address: str

    @property
    def config(self) -> Path:
        """The device's configuration."""
        return self.folder / "device.toml"

    @property
    def device(self) -> Path:
        """The device's folder, with its slots."""
        return self.folder / DEVICE / "device"

    def release(self, packaged: Packaged) -> None:
        """Publish a release, and tell the fleet to run it."""
        image, world = packaged.image, self.world
        signers = world.signers("models", *ONLINE)
        tuf_repository.publish_model(world.repo, packaged.archive, image, 1, signers, now=world.now)
        world.instruct(image.generation, image)

    def traffic(self, since: int = 0) -> Traffic:
        """What was asked after the first `since` requests."""
        time.sleep(0.1)  # the server notes a request after it has answered it
        log = self.folder / "requests.log"
        lines = log.read_text("ascii").splitlines()[since:] if log.exists() else []
        asked = [json.loads(line) for line in lines]
        return Traffic(
            len(asked),
            sum(each["received"] for each in asked),
            sum(each["sent"] for each in asked),
            sum(each["sent"] for each in asked if "/targets/models/" in each["path"]),
        )

    def updater(self, *options: str) -> tuple[dict[str, Any], float]:
        """What an updater's process found, and seconds from its start to its end."""
        began = time.monotonic()
        found = json.loads(_said(["releases_updater.py", str(self.config), *options]))
        return found, time.monotonic() - began


@contextmanager
def site(folder: Path, first: Packaged) -> Iterator[Site]:
    """A repository with one release, which the device runs already."""
    world = made_world(folder)
    with _served(world.repo, folder / "requests.log") as address:
        made = Site(folder, world, address)
        made.config.write_text(CONFIG.format(folder=folder, source=address), "utf-8")
        (folder / "root.json").write_bytes(world.root)
        _enrol(folder)
        slots.install(first.archive, made.device, keys()[1])
        (made.device / slots.TRUSTED).write_bytes(keys()[1])
        made.release(first)
        yield made


def _enrol(folder: Path) -> None:
    fleet, asked = made_fleet.made(folder / "fleet"), made_fleet.device(folder, DEVICE)
    (answer,) = fleet.admit(made_fleet.keys_of(fleet), [asked], int(time.time()))
    accept(folder / DEVICE, read_admission(answer))


@contextmanager
def _served(folder: Path, log: Path) -> Iterator[str]:
    command = [sys.executable, str(HERE / "releases_server.py"), str(folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int((server.stdout or sys.stdin).readline())}"
        finally:
            server.kill()


def _said(command: Sequence[str]) -> str:
    line = [sys.executable, str(HERE / command[0]), *command[1:]]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")
    return done.stdout
