"""A fleet on this machine that trains, releases and is updated: every part of it a process, by its commands.

keys/        as `covey fleet init` makes them; the server's repository keys are in keys/operator/tuf
repository/  static files, over HTTPS on loopback
server/      of `covey serve`, with runs, ledger and rollouts
piNN.toml    a device: its agent starts its updater
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents import short_folder
from covey.errors import CoveyError
from covey.policy.signed import Reviewers
from covey.rollout.update_state import State
from covey_audit.reviewer_keys import make_key
from covey_client import slots
from covey_client.update_outcome import read_outcome
from covey_client.update_store import read_state
from covey_io.device_keys import reviewers_json
from covey_server.fleet_keys import LOCAL
from covey_server.tuf_roles import ONLINE
from flower_programs import free_port
from pilot import MASKED, Device, Pilot, pilot
from pilot_run import audited
from serving_host import ServingHost, serving
from tuf_world import Handler, served

DEVICES: Final = 10
ROUND_SECONDS: Final = 240.0
PATIENCE: Final = 300.0
PEOPLE: Final = ("anna", "bo")
RELEASES: Final = """
[release]
gate = true
health_sums = 4
[release.limits]
accuracy_floor = "0"
most_missed = "1"
least_examples = 1
"""
"""Two rounds do not make a good model of anything; what is held to a limit is that it learns."""
UPDATES: Final = """
[session]
server = "localhost:{sessions}"
[update]
source = "{source}"
root = "{root}"
every_seconds = 30
approvers = {approvers}
approvals = 2
provenance = "demanded"
hang_seconds = 60
[update.test]
seconds = 240
slower = 1000
slower_ms = 60000
[update.shadow]
requests = 20
seconds = 3
[update.trial]
seconds = 5
requests = 20
longest_seconds = 15
"""
"""A machine with ten devices is slow in ways of its own: how fast a new model is decides nothing here."""


class Site:
    """The web server's other side: it can be away, or miss something.

    Attributes:
        missing: It hangs up on whoever asks for a path that holds this; "/" for everybody, None for nobody.
        address: Where it answers.
        asked: Paths that were asked for, those that were not answered too.
    """

    def __init__(self) -> None:
        self.missing: str | None = None
        self.address = ""
        self.asked: list[Any] = []

    def handler(self) -> type[Handler]:
        """Answers as the site does now."""
        site = self

        class Answering(Handler):
            def answer(self) -> None:
                if site.missing is not None and site.missing in self.path:
                    self.close_connection = True
                else:
                    super().answer()

        return Answering

    def archives(self, sha256: str) -> int:
        """How often a release was asked for: its file is named after it."""
        return sum(sha256 in path for path, _ in self.asked)


@dataclass
class ReleasingFleet:
    """All of it.

    Attributes:
        pilot: Keys, policy and devices.
        host: The server.
        site: Where releases come from.
    """

    pilot: Pilot
    host: ServingHost
    site: Site

    @property
    def folder(self) -> Path:
        """Of everything."""
        return self.pilot.folder

    @property
    def federation(self) -> Path:
        """What is trained, and how often rollouts ask."""
        return self.folder / "federation.toml"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.host.state / "runs/pilot"

    @property
    def repository(self) -> Path:
        """Of static files."""
        return self.folder / "repository"

    @property
    def devices(self) -> tuple[Device, ...]:
        """In order of names."""
        return tuple(self.pilot.devices.values())

    def covey(self, *words: object, status: int = 0, timeout: float = 120) -> str:
        """What a command says that ends with this status."""
        done = self.host.covey(*map(str, words), timeout=timeout)
        said = f"covey {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}\n{self.host.said()}"
        assert done.returncode == status, said
        return done.stdout

    def json(self, *words: object, timeout: float = 120) -> dict[str, Any]:
        """The same of one that prints an object."""
        found: dict[str, Any] = json.loads(self.covey(*words, "--json", timeout=timeout))
        return found

    def train(self) -> None:
        """The federation, to its end."""
        self.covey("fleet", "run", self.federation, timeout=6 * ROUND_SECONDS)
        key = (self.run / "keys/release.pub.pem").read_bytes()
        for each in self.devices:
            device_folder(each).mkdir(exist_ok=True)
            (device_folder(each) / slots.TRUSTED).write_bytes(key)

    def built(self, version: str, *more: str) -> Path:
        """An unsigned release of the run."""
        path = self.folder / f"pilot-{version}.covey"
        self.covey("release", "build", self.run, "--version", version, "--out", path, *more)
        return path

    def signed(self, path: Path) -> None:
        """By the run's own release key, which devices trust."""
        self.covey("release", "sign", path, "--key", self.run / "keys/release.pem")

    def installed(self, path: Path, device: Device) -> None:
        """As a device that leaves the factory with a model."""
        slots.install(path.read_bytes(), device_folder(device), slots.trusted_key(device_folder(device)))

    def published(self, path: Path, generation: int) -> None:
        """Signed, and in the repository; no device is told of it yet."""
        self.signed(path)
        keys = ("--keys", self.folder / "keys/tuf")
        self.covey("release", "publish", self.repository, path, "--generation", generation, *keys)

    def approved(self, plan: str, name: str) -> Path:
        """A plan with everybody's signature."""
        draft, text = self.folder / f"{name}.toml", self.folder / f"{name}.json"
        draft.write_text(plan)
        self.rollout("plan", draft, "-o", text)
        signed = text
        for person in PEOPLE:
            self.rollout("approve", signed, "--key", self.folder / f"{person}.pem")
            signed = text.with_suffix(".approved")
        return signed

    def rollout(self, *words: object, timeout: float = 120) -> str:
        """A command of the operator's."""
        return self.covey("rollout", "--repository", self.repository, *words, timeout=timeout)

    def tick(self) -> dict[str, Any]:
        """As from a timer: devices are asked if it is time."""
        words = ("rollout", "--repository", self.repository, "tick", "--ask", self.federation)
        return self.json(*words, timeout=3 * ROUND_SECONDS)

    def until(self, happened: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.5)

    def told(self) -> str:
        """What devices and the server said last."""
        return "\n".join([*(f"{each.name}: {each.log[-1000:]}" for each in self.devices), self.host.said()])

    def audited(self) -> "subprocess.CompletedProcess[str]":
        """What a reviewer is told of the server's ledger."""
        return audited(self.pilot, self.run, "--json")


def device_folder(device: Device) -> Path:
    """With its slots."""
    return device.state / "device"


def outcome(device: Device) -> str:
    """What its agent answers to a question on a rollout; empty for nothing."""
    found = read_outcome(device.state)
    return found.result if found else ""


def updating(device: Device) -> State:
    """What its updater has in mind."""
    return read_state(device.state)


def version(device: Device) -> str:
    """Of what it runs; empty for nothing."""
    try:
        return slots.installed(device_folder(device)).manifest.version
    except (CoveyError, OSError):  # it is being changed
        return ""


@contextmanager
def releasing_fleet() -> Iterator[ReleasingFleet]:
    """A fleet with a policy, an empty repository, a server, and agents that listen; nothing is left."""
    sessions, site = free_port(), Site()
    with (
        short_folder() as folder,
        pilot(folder, DEVICES, _federation(), spare=2, hosts=LOCAL) as made,
        served(folder / "repository", site.handler(), _certificate(folder)) as (site.address, site.asked),
        serving(folder, fleet=True, sessions=sessions) as host,
    ):
        fleet = ReleasingFleet(made, host, site)
        approvers = _people(fleet)
        _open_repository(fleet)
        for each in fleet.devices:
            each.configure(tables=_tables(fleet, sessions, approvers))
        made.start()
        try:
            yield fleet
        finally:
            for each in fleet.devices:
                each.stop()  # before what they reach is gone


def _certificate(folder: Path) -> tuple[Path, Path]:
    """The server's own, which devices believe by their fleet's authority."""
    operator = folder / "keys/operator"
    return operator / "tls.crt", operator / "tls.key"


def _federation() -> str:
    """So little noise that two rounds learn something, and that ten devices can be counted."""
    text = MASKED.format(rounds=2, minimum=7, timeout=ROUND_SECONDS) + RELEASES
    for before, after in (
        ("validate_every = 1", "validate_every = 2"),
        ("train_multiplier = 0.3", "train_multiplier = 0.1"),
        ("validate_multiplier = 0.3", "validate_multiplier = 0.1\nhealth_multiplier = 0.3"),
    ):
        assert before in text
        text = text.replace(before, after)
    return text


def _people(fleet: ReleasingFleet) -> Reviewers:
    """Who must have approved what is rolled out, by the server's word and by each device's."""
    keys = tuple(make_key(fleet.folder / f"{person}.pem", person, None) for person in PEOPLE)
    approvers = Reviewers(keys, len(keys))
    (fleet.folder / "keys/operator/approvers.json").write_bytes(reviewers_json(approvers))
    return approvers


def _open_repository(fleet: ReleasingFleet) -> None:
    """By everybody's keys at once; afterwards the server has those that it uses by itself."""
    keys, own = fleet.folder / "keys/tuf", fleet.folder / "keys/operator/tuf"
    fleet.covey("keys", "init", fleet.folder / "keys", fleet.repository, "--keys", keys)
    own.mkdir()
    for role in ONLINE:
        shutil.copy(keys / f"{role}.key", own)


def _tables(fleet: ReleasingFleet, sessions: int, approvers: Reviewers) -> str:
    return UPDATES.format(
        sessions=sessions,
        source=fleet.site.address,
        root=fleet.repository / "metadata/1.root.json",
        approvers=json.dumps([key.vkey for key in approvers.keys]),
    )
