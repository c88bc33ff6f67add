"""A device that is updated: packages of its publisher, a source in memory, and an updater over real slots."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from covey.ledger.note import Ed25519Signer, signed
from covey.package.archive import pack
from covey.package.verify import sign_package
from covey.rollout import instruction as instructions
from covey.rollout import plan as plans
from covey.rollout.instruction import Instruction, State
from covey.rollout.plan import Image, Ring, RolloutPlan, Window, token
from covey.rollout.update_rules import Rules, Trial
from covey_client.self_test_verdict import Verdict
from covey_client.slots import install
from covey_client.source import Offered, SourceUnreachable
from covey_client.update_children import Bench, Processes
from covey_client.update_steps import Steps
from covey_client.update_table import ShadowTable, UpdateTable
from covey_client.updater import Place, Updater
from packages_fixture import keys, package

FLEET = "orchard"
DEVICE = token(FLEET, "pi-07")
SIGNER = Ed25519Signer("operator.example/rollout", bytes(range(32)))
NOW = 1_800_000_000.0
QUICK = Trial(seconds=2, requests=3, longest_seconds=10)
TABLE = UpdateTable(trial=QUICK, shadow=ShadowTable(requests=20, seconds=0.3), hang_seconds=0.3)
ALL = (Ring(name="all", share=10_000),)


def image_of(archive: bytes, version: str, generation: int = 1, name: str = "motion") -> Image:
    """A release, as devices are told of it."""
    return Image(
        name=name,
        version=version,
        generation=generation,
        target=f"models/{name}/{version}.covey",
        sha256=hashlib.sha256(archive).hexdigest(),
        bytes=len(archive),
    )


def plan_of(  # noqa: PLR0913 - what a plan has
    image: Image,
    fallback: Image | None = None,
    *,
    rollout: str = "r1",
    windows: tuple[Window, ...] = (),
    rings: tuple[Ring, ...] = ALL,
    fleet: str = FLEET,
) -> RolloutPlan:
    """A plan whose rings are all devices at once."""
    return RolloutPlan(
        fleet=fleet, rollout=rollout, image=image, fallback=fallback, rings=rings, windows=windows
    )


def instruction_of(  # noqa: PLR0913 - what an instruction has
    plan: RolloutPlan,
    serial: int = 1,
    *,
    state: State = "running",
    opened: int = 1,
    pins: tuple[instructions.Pin, ...] = (),
    holds: tuple[str, ...] = (),
    signers: tuple[Ed25519Signer, ...] = (SIGNER,),
) -> bytes:
    """As it is published."""
    note = signed(plans.to_text(plan), *signers).decode()
    return instructions.to_bytes(
        Instruction(
            fleet=plan.fleet, serial=serial, plan=note, opened=opened, state=state, pins=pins, holds=holds
        )
    )


def resigned(files: dict[str, bytes]) -> bytes:
    """A package file of these contents, correctly listed and signed."""
    from covey.package import manifest as manifests  # noqa: PLC0415 - one function's

    manifest = manifests.decode(files["manifest.json"])
    listed = msgspec.structs.replace(manifest, files=manifests.listing(files))
    return pack(sign_package({**files, "manifest.json": manifests.encode(listed)}, keys()[0]))


@dataclass
class MemorySource:
    """Releases and an instruction, as a repository that was verified would give them.

    Attributes:
        archives: By SHA-256.
        offered: What it publishes.
        fails: Raised by `check` until it is None again.
        cut_after: A fetch brings so many bytes more, then is cut off; -1 for all.
        fetched: Bytes that were fetched in all.
    """

    archives: dict[str, bytes] = field(default_factory=dict)
    offered: Offered | None = None
    fails: Exception | None = None
    cut_after: int = -1
    fetched: int = 0

    def add(self, archive: bytes, version: str, generation: int = 1, name: str = "motion") -> Image:
        """Publish a release."""
        image = image_of(archive, version, generation, name)
        self.archives[image.sha256] = archive
        return image

    def tell(self, instruction: bytes, floor: dict[str, int] | None = None) -> None:
        """Publish an instruction."""
        self.offered = Offered(instruction, floor or {})

    def check(self) -> Offered | None:
        """See `covey_client.source.Source`."""
        if self.fails is not None:
            raise self.fails
        return self.offered

    def fetch(self, image: Image, part: Path, watch: Callable[[int, int], None]) -> None:
        """See `covey_client.source.Source`."""
        archive = self.archives[image.sha256]
        there = part.stat().st_size if part.exists() else 0
        if part.exists() and archive[:there] != part.read_bytes():
            there = 0
            part.unlink()
        more = archive[there:] if self.cut_after < 0 else archive[there : there + self.cut_after]
        from covey_io import durable  # noqa: PLC0415 - one function's

        with part.open("ab") as file:
            file.write(more)
        durable.sync(part)
        self.fetched += len(more)
        watch(there + len(more), len(archive))
        if there + len(more) < len(archive):
            raise SourceUnreachable("the connection was cut")


class InProcess:
    """A bench that tries nothing, for tests of what surrounds it."""

    def self_test(self, slot: object, baseline: object) -> Verdict:
        """It passes."""
        return Verdict(kind="passed", why=f"{slot} beside {baseline}", variant="int8")

    def shadow(self, slot: object, variant: object, baseline: object) -> Verdict:
        """It passes."""
        return Verdict(kind="passed", why=f"{slot} {variant} {baseline}")


@dataclass
class World:
    """A device in a folder; every part of it can be bent.

    Attributes:
        folder: The state is in `state`, the slots in `device`.
        source: Where releases come from.
        clock: The device's clock, unix seconds.
        elapsed: Nanoseconds since it started.
        boot: Which start it is.
        log: What its owner is told.
    """

    folder: Path
    source: MemorySource = field(default_factory=MemorySource)
    clock: float = NOW
    elapsed: int = 0
    boot: str = "boot-1"
    log: list[str] = field(default_factory=list)
    table: UpdateTable = TABLE
    bench: Bench | None = None
    rules: Rules = field(default_factory=lambda: Rules(FLEET, DEVICE, trial=QUICK))

    @property
    def device(self) -> Path:
        return self.folder / "device"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def with_key(self) -> "World":
        """The device trusts its publisher."""
        self.device.mkdir(parents=True, exist_ok=True)
        (self.device / "trusted.pub.pem").write_bytes(keys()[1])
        return self

    def installed(self, version: str = "1.0.0") -> Image:
        """Something runs on it; it is published as well."""
        self.with_key()
        archive = package(version)
        install(archive, self.device, keys()[1])
        return self.source.add(archive, version)

    def publish(self, version: str = "2.0.0", generation: int = 2, archive: bytes | None = None) -> Image:
        """A release is published."""
        return self.source.add(archive or package(version), version, generation)

    def place(self) -> Place:
        """As the updater knows it."""
        steps = Steps(
            folder=self.device,
            source=self.source,
            bench=self.bench or Processes(self.device, self.table),
            hang_ms=int(1000 * self.table.hang_seconds),
            now=lambda: self.clock,
            watch=lambda _, __: None,
            log=self.log.append,
        )
        return Place(
            self.state,
            self.device,
            self.rules,
            steps,
            lambda: self.clock,
            lambda: self.elapsed,
            lambda: self.boot,
        )

    def updater(self) -> Updater:
        """A new process of it."""
        return Updater(self.place())

    def watched(self, updater: Updater, seconds: int = 1) -> None:
        """So much time passes, and it looks at its trial."""
        self.clock += seconds
        self.elapsed += seconds * 1_000_000_000
        updater.watch()

    def to_the_end(self, updater: Updater, looks: int = 30) -> None:
        """It watches until the trial is over."""
        for _ in range(looks):
            if not updater.state.on_trial:
                return
            self.watched(updater)
