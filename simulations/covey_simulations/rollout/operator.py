"""The operator's side of a simulated rollout: keys, releases, the desk, and health as a private sum."""

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from covey.errors import StateError
from covey.ledger.note import Ed25519Signer, signed
from covey.package.archive import pack, unpack
from covey.package.contents import read
from covey.package.provenance import read_provenance
from covey.package.verify import sign_package
from covey.plan import Health as HealthTask
from covey.rollout import plan as plans
from covey.rollout.health import RingHealth
from covey.rollout.plan import Image, Limits, Ring, RolloutPlan
from covey.rollout.published import MODELS, POLICY, ROSTER
from covey.rollout.rings import sizes
from covey_io.tuf_metadata import Signer
from covey_server import ledgers, tuf_ceremony, tuf_repository
from covey_server.book import RunBook
from covey_server.fleet_keys import make_release_keys
from covey_server.release import release_keys
from covey_server.release_building import build
from covey_server.release_run import Wanted
from covey_server.rollout_approvals import Approved
from covey_server.rollout_desk import RolloutDesk
from covey_server.rollout_ledger import LedgerOfDecisions
from covey_server.rollout_store import RolloutFolder
from covey_server.rollout_tuf import TufPublisher
from covey_server.tuf_roles import ONLINE, ROOT, ROOT_KEYS, TARGETS, Holders, public_key, signers_in
from covey_simulations.roles import run_keys
from covey_simulations.world import World
from covey_strategies.asking import Asking
from covey_strategies.queries import health

APPROVER: Final = "covey/simulation/approver"
SECONDS: Final = 1
"""Soak, and time for reports: a simulation's devices do not keep anybody waiting."""


@dataclass(frozen=True)
class Operation:
    """A finished run's folder, and where its rollouts have their things.

    Attributes:
        world: The run.
        folder: For rollouts.
    """

    world: World
    folder: Path

    @property
    def repository(self) -> Path:
        """Of static files."""
        return self.folder / "repository"

    @property
    def root(self) -> Path:
        """The repository's root metadata, which devices leave the factory with."""
        return self.repository / "metadata" / "1.root.json"

    @property
    def fleet(self) -> str:
        """The fleet's name."""
        return self.world.file.name

    def begin(self) -> None:
        """Keys for every role, and an empty repository. One process has them all: it is a simulation."""
        keys = self.folder / "keys"
        make_release_keys(keys, None)
        single = {role: Holders((public_key(keys / f"{role}.pub"),)) for role in (*ONLINE, TARGETS, MODELS)}
        roots = Holders(tuple(public_key(keys / f"{name}.pub") for name in ROOT_KEYS), 2)
        people = {POLICY: single[TARGETS], ROSTER: single[TARGETS]}
        tuf_ceremony.init(self.repository, {ROOT: roots, **people, **single}, self._signers)

    def release(self, version: str) -> bytes:
        """The run's model as a release: with its provenance, signed, and in the ledger before it is shown."""
        keys, folder = release_keys(self.world.folder.path / "keys"), self.world.folder
        archive = pack(sign_package(unpack(build(folder.path, Wanted(version=version))), keys.private))
        found = read_provenance(read(unpack(archive)))
        if found is None:
            raise StateError(f"{folder.path} has no provenance", hint="begin anew: covey demo")
        with ledgers.opened(folder.ledger, self.world.fleet.log) as ledger:
            book = RunBook(folder.run, ledger, self.world.fleet.operator)
            book.release_model(found.record.model, archive, found.record.policy)
        return archive

    def publish(self, archive: bytes, generation: int) -> Image:
        """Publish a release; no device installs it before an instruction names it."""
        manifest = read(unpack(archive)).manifest
        image = Image(
            name=manifest.name,
            version=manifest.version,
            generation=generation,
            target=f"models/{manifest.name}/{manifest.version}.covey",
            sha256=hashlib.sha256(archive).hexdigest(),
            bytes=len(archive),
        )
        tuf_repository.publish_model(self.repository, archive, image, 1, self._signers)
        return image

    def approved(self, image: Image, fallback: Image | None, rings: tuple[Ring, ...]) -> Approved:
        """A plan that somebody else than the server approved; here that is the same process."""
        limits = Limits(most_failed=200, least_devices=5, confidence=80, report_seconds=SECONDS)
        number = len(self._decisions.told(self.fleet).rollouts) + 1
        name = f"{self.fleet}-{number}"  # never used twice
        plan = RolloutPlan(
            fleet=self.fleet,
            rollout=name,
            image=image,
            fallback=fallback,
            rings=rings,
            limits=limits,
        )
        text = plans.to_text(plan)
        signer = Ed25519Signer(APPROVER, run_keys(self.world.folder.path).of("approver"))
        return Approved(
            plan, signed(text, signer).decode(), (APPROVER,), hashlib.sha256(text.encode()).hexdigest()
        )

    def desk(self) -> RolloutDesk:
        """Carries a rollout on."""
        publisher = TufPublisher(self.repository, self.folder / "keys")
        return RolloutDesk(
            RolloutFolder(self.folder / "rollouts"),
            self._decisions,
            publisher,
            lambda: int(time.time()),
            publisher.check,
        )

    @property
    def _decisions(self) -> LedgerOfDecisions:
        return LedgerOfDecisions(self.world.folder.ledger, self.world.fleet.log)

    @property
    def _signers(self) -> tuple[Signer, ...]:
        return signers_in([self.folder / "keys"], str)


@dataclass(frozen=True)
class FleetHealth:
    """Asks the devices how a rollout goes; see `covey_server.rollout_health.Health`.

    Attributes:
        world: The run: its devices, its ledger, what protects its sums.
        tokens: Of all devices.
    """

    world: World
    tokens: tuple[str, ...]

    def ask(self, plan: RolloutPlan, opened: int) -> tuple[RingHealth, ...]:
        """One private sum, entered in the run's ledger under the rollout's name."""
        world, task = self.world, HealthTask(plan.rollout, plan.image.sha256, opened)
        with ledgers.opened(world.folder.ledger, world.fleet.log) as ledger:
            book = RunBook(plan.rollout, ledger, world.fleet.operator)
            book.begin()
            asking = self._asking(plan.rollout, book)
            grid = world.fleet.grid()
            asked = asking.question(grid, 0, task, {}, asking.cohort(grid, 0))
            found = asking.collect(asked, grid.send_and_receive(asked.messages(), timeout=asking.timeout))
        told = health.read(task, found.sums, found.deviation)
        expected = sizes(plan, self.tokens)
        return tuple(
            RingHealth(count, succeeded, failed, told.deviation)
            for count, succeeded, failed in zip(expected, told.succeeded, told.failed, strict=False)
        )

    def _asking(self, run: str, book: RunBook) -> Asking:
        file = self.world.file
        return Asking(
            run=run,
            model=self.world.model,
            seed=file.seed,
            minimum=file.federation.minimum_devices,
            size=0,
            preprocessing=None,
            protection=replace(self.world.scenario.protection, operator=self.world.fleet.operator),
            book=book,
            timeout=file.federation.round_timeout,
            dropouts=file.privacy.dropouts,
        )
