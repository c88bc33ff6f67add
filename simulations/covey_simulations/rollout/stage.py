"""The rollouts that `covey demo` shows: a good release to every device, a bad one that ends at ten of them.

Whatever stops it half-way is begun anew: the devices' folders are the rollout's own.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from covey.policy.signed import Reviewers
from covey.rollout.plan import BUCKETS, Image, Ring
from covey.rollout.rolling_state import Abort, Rollout
from covey_client.update_outcome import read_outcome
from covey_io import durable
from covey_server.release import release_keys
from covey_server.run_folder import RunFolder
from covey_simulations.policing import reviewer_key
from covey_simulations.roles import run_keys
from covey_simulations.rollout.broken import broken
from covey_simulations.rollout.devices import Trusts, Updated, running
from covey_simulations.rollout.operator import SECONDS, FleetHealth, Operation
from covey_simulations.rollout.served import Fetched, served
from covey_simulations.world import World, finished

FOLDER: Final = "rollout"
OUTCOME: Final = "outcome.json"
"""What the rollouts came to, in lines; written last."""
GOOD, BAD = "1.0.0", "1.1.0"
CANARIES: Final = 10
"""Devices in the first ring: as many as hide one another in a sum."""
AT_ONCE: Final = 2
LOOKS: Final = 5
"""Times that the operator looks at an undecided rollout."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """A finished run, its devices, and where what they fetch is served.

    Attributes:
        operation: The operator's side.
        devices: All of the fleet's.
        fetched: What is served, and was.
        say: Takes one line for whoever watches.
    """

    operation: Operation
    devices: tuple[Updated, ...]
    fetched: Fetched
    say: Say

    def everybody_asks(self) -> None:
        """Each device's updater, some at a time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._asks, self.devices))

    def _asks(self, device: Updated) -> None:
        device.follow(self.fetched.address, self.operation.root)

    @property
    def tokens(self) -> tuple[str, ...]:
        """What static files call the devices."""
        return tuple(each.token for each in self.devices)


def roll_out(folder: RunFolder, say: Say) -> tuple[str, ...]:
    """Release what a run has trained, roll it out, and try a bad one.

    Args:
        folder: The finished run's.
        say: Takes one line for whoever watches.

    Returns:
        What it came to, in lines.

    Raises:
        CoveyError: What went wrong, and the next step.
    """
    started = time.monotonic()
    world = finished(folder)
    operation = Operation(world, folder.path / FOLDER)
    shutil.rmtree(operation.folder, ignore_errors=True)
    operation.begin()
    devices = tuple(_made(world, operation))
    with served(operation.repository) as fetched:
        stage = Stage(operation, devices, fetched, say)
        archive = operation.release(GOOD)
        good = _good(stage, archive)
        lines = [*_told_of_good(stage, good), *_bad(stage, archive, good)]
    told = (*lines, f"in {time.monotonic() - started:.0f} s, over loopback HTTP")
    durable.replace(operation.folder / OUTCOME, msgspec.json.encode(told) + b"\n")
    return told


def is_over(run: Path) -> bool:
    """Whether a run's rollouts came to their end."""
    return (run / FOLDER / OUTCOME).exists()


def _made(world: World, operation: Operation) -> Iterator[Updated]:
    keys = world.folder.path / "keys"
    reviewers = Reviewers((reviewer_key(run_keys(world.folder.path)).verifier,), 1)
    operator = world.fleet.operator
    trusts = Trusts(release_keys(keys).public, reviewers, operator.policy_sent if operator else b"")
    for name, local in world.data.devices.items():
        state, inputs = operation.folder / "devices" / name, local.held_out.x
        durable.make_folder(state)
        yield Updated.made(state, name, operation.fleet, inputs, trusts)


def _good(stage: Stage, archive: bytes) -> Image:
    image = stage.operation.publish(archive, generation=1)
    everybody = (Ring(name="all", share=BUCKETS, soak_seconds=SECONDS),)
    stage.say(f"{image.name} {image.version} to all {len(stage.devices)} devices")
    stage.operation.desk().start(stage.operation.approved(image, None, everybody))
    stage.everybody_asks()
    stage.operation.desk().act(
        Abort(int(time.time()), "over; devices were not asked, which would cost budget")
    )
    return image


def _told_of_good(stage: Stage, good: Image) -> Iterator[str]:
    there, all_ = running(stage.devices, good.version), len(stage.devices)
    yield f"{good.name} {good.version}: {there} of {all_} devices serve it (self-test, trial, commit)"


def _bad(stage: Stage, archive: bytes, good: Image) -> Iterator[str]:
    """The rollout of a release that no self-test passes."""
    operation, keys = stage.operation, release_keys(stage.operation.world.folder.path / "keys")
    model, seed = operation.world.model, operation.world.file.seed
    bad = operation.publish(broken(archive, model, BAD, keys.private, seed), generation=2)
    rings = (
        Ring(name="canary", share=0, members=stage.tokens[:CANARIES], soak_seconds=SECONDS),
        Ring(name="all", share=BUCKETS, soak_seconds=SECONDS),
    )
    stage.say(f"{bad.name} {bad.version}, deliberately bad, to {CANARIES} canaries")
    operation.desk().start(operation.approved(bad, good, rings))
    stage.everybody_asks()
    state = _watched(stage)
    stage.everybody_asks()
    yield from _told_of_bad(stage, state, bad, good)


def _watched(stage: Stage) -> Rollout:
    """Until the rollout has stopped by itself, or cannot tell.

    Raises:
        RoundAborted: Too few devices answered.
    """
    desk, health = stage.operation.desk(), FleetHealth(stage.operation.world, stage.tokens)
    state, _ = desk.tick()
    for _ in range(LOOKS):
        if state.state != "running" or state.verdict:
            return state
        time.sleep(SECONDS)
        state, _ = desk.tick(health)
    return state


def _told_of_bad(stage: Stage, state: Rollout, bad: Image, good: Image) -> Iterator[str]:
    refused = [read_outcome(each.state) for each in stage.devices]
    of_it = [each for each in refused if each is not None and each.image == bad.sha256]
    failed = sum(each.result == "failed" for each in of_it)
    served_by = running(stage.devices, good.version)
    sent = stage.fetched.archives(bad.sha256)
    yield f"{bad.name} {bad.version}: {failed} of {CANARIES} canaries refused it (self-test, quarantine)"
    yield f"health, a private sum: {_counts(state)}"
    yield f"{state.state}: {state.decisions[-1].reason}" if state.decisions else state.state
    yield f"{sent} devices ever fetched it; all {served_by} serve {good.version}"


def _counts(state: Rollout) -> str:
    rings = [
        f"{ring.failed:.1f} failed, {ring.succeeded:.1f} succeeded of {ring.expected} (±{ring.deviation:.1f})"
        for ring in state.health
    ]
    return "; ".join(rings) or "not asked"
