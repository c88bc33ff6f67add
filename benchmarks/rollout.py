"""A simulated rollout to 100,000 devices, with failure injected: JSON lines, one for each scenario.

    .venv/bin/python benchmarks/rollout.py
    .venv/bin/python benchmarks/rollout.py --devices 1000000 --scenario bad

What decides is the real thing: the fleet's tokens, buckets and rings, the rollout's machine and its
decisions. Devices are arrays: those of an open ring poll once within half an hour, install, and their trial
ends within two hours more; some fail, one of a hundred is never heard of. Health is asked for as the machine
wants it, and has the noise of a private sum. No file is written, and no time passes: `simulated_hours` is the
rollout's own.

A rollout detects a bad release by stopping ("rolled-back") or, where few devices leave it uncertain, by
pausing for people ("paused"). `hours_to_detect` counts from the first ring's opening, `hours_in_ring` from
that of the last one that was opened. `affected` are devices on which the release was tried, `failed` those on
which it failed by then.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.ledger.note import Ed25519Signer, signed
from covey.rollout.choosing import ring_of
from covey.rollout.health import RingHealth
from covey.rollout.plan import BUCKETS, Image, Limits, Ring, RolloutPlan, to_text, token
from covey.rollout.rolling import step
from covey.rollout.rolling_state import AskHealth, Decided, Effect, HealthCame, Rollout, Start, Tick

HOUR: Final = 3600
TICK: Final = 300
LONGEST: Final = 21 * 24 * HOUR
POLL: Final = HOUR // 2
TRIAL: Final = 2 * HOUR
SILENT: Final = 0.01
FLEET: Final = "simulated"


@dataclass(frozen=True)
class Scenario:
    """What is injected.

    Attributes:
        name: What it is called.
        failing: Share of devices on which the release fails.
        deviation: Standard deviation of the noise on each count of health.
        trust: Whether the laboratory's twenty devices are on trust: with noise they show nothing.
    """

    name: str
    failing: float
    deviation: float
    trust: bool = True


SCENARIOS: Final = (
    Scenario("good", 0.0, 0.0, trust=False),
    Scenario("good", 0.0, 20.0),
    Scenario("some", 0.02, 0.0, trust=False),
    Scenario("some", 0.02, 20.0),
    Scenario("bad", 0.2, 0.0, trust=False),
    Scenario("bad", 0.2, 0.0),
    Scenario("bad", 0.2, 5.0),
    Scenario("bad", 0.2, 20.0),
    Scenario("bad", 0.2, 60.0),
    Scenario("worst", 1.0, 20.0),
)


def image(version: str, generation: int) -> Image:
    """A release that nobody made."""
    digest = f"{generation:064x}"
    target = f"models/wrist/{version}.covey"
    return Image(
        name="wrist", version=version, generation=generation, target=target, sha256=digest, bytes=100_000
    )


def plan(named: list[str], *, trust: bool) -> RolloutPlan:
    """Lab by name, then 1, 5, 25 and 100 per cent."""
    shares = {"canary": 100, "five": 500, "quarter": 2500, "all": BUCKETS}
    lab = Ring(
        name="lab", share=0, members=tuple(named), soak_seconds=4 * HOUR, minimum_reports=0 if trust else 10
    )
    later = tuple(Ring(name=name, share=share, soak_seconds=12 * HOUR) for name, share in shares.items())
    return RolloutPlan(
        fleet=FLEET,
        rollout="wrist-2",
        image=image("2", 2),
        fallback=image("1", 1),
        rings=(lab, *later),
        limits=Limits(report_seconds=4 * HOUR, unproven="advance"),
    )


class Devices:
    """A fleet as arrays, (devices,) each.

    Args:
        ring: Each one's ring.
        failing: Share on which the release fails.
        rng: Draws which, and when each reports.
    """

    def __init__(self, ring: NDArray[np.int8], failing: float, rng: np.random.Generator) -> None:
        size = len(ring)
        self.ring = ring
        self.fails = rng.random(size) < failing
        self.delay = np.where(
            rng.random(size) < SILENT,
            np.inf,
            rng.uniform(0, POLL, size) + rng.uniform(0, TRIAL, size),
        )
        self.begins = rng.uniform(0, POLL, size)

    def reported(self, opened_at: tuple[int, ...], now: int) -> NDArray[np.bool_]:
        """Whose trial is over."""
        return self._since(opened_at, now) >= self.delay

    def tried(self, opened_at: tuple[int, ...], now: int) -> int:
        """How many have begun to install."""
        heard = np.isfinite(self.delay)
        return int((heard & (self._since(opened_at, now) >= self.begins)).sum())

    def _since(self, opened_at: tuple[int, ...], now: int) -> NDArray[np.float64]:
        """Seconds since each device's ring was opened; below 0 for one that is closed."""
        opened = np.full(8, np.inf)
        opened[: len(opened_at)] = opened_at
        return now - opened[self.ring]


def health(
    devices: Devices, state: Rollout, now: int, deviation: float, rng: np.random.Generator
) -> tuple[RingHealth, ...]:
    """What a private sum gives."""
    reported = devices.reported(state.opened_at, now)
    counts = [
        np.bincount(devices.ring[each], minlength=8)
        for each in (slice(None), reported & ~devices.fails, reported & devices.fails)
    ]
    noise = rng.normal(0, deviation, (2, state.opened))
    return tuple(
        RingHealth(
            int(counts[0][ring]),
            float(counts[1][ring] + noise[0, ring]),
            float(counts[2][ring] + noise[1, ring]),
            deviation,
        )
        for ring in range(state.opened)
    )


def roll(of: RolloutPlan, devices: Devices, scenario: Scenario, seed: int) -> tuple[Rollout, int, int]:
    """Until it is over, or three weeks went by.

    Returns:
        How it ended, when, and how often health was asked for.
    """
    rng = np.random.default_rng(seed)
    signer = Ed25519Signer("simulated", bytes(32))
    note = signed(to_text(of), signer).decode()
    state, _ = step(None, Start(0, note, 1))
    asked = now = 0
    while state.state == "running" and now < LONGEST:
        now += TICK
        state, effects = step(state, Tick(now))
        if any(isinstance(each, AskHealth) for each in effects):
            asked += 1
            counts = health(devices, state, now, scenario.deviation, rng)
            state, _ = checked(step(state, HealthCame(now, counts)))
    return state, now, asked


def checked(stepped: tuple[Rollout, tuple[Effect, ...]]) -> tuple[Rollout, tuple[Effect, ...]]:
    """A decision comes before its instruction, always."""
    if stepped[1] and not isinstance(stepped[1][0], Decided):
        raise AssertionError("an instruction without a decision")
    return stepped


def measured(size: int, scenario: Scenario, seed: int) -> dict[str, object]:
    """One line."""
    began = time.perf_counter()
    tokens = [token(FLEET, f"device-{number}") for number in range(size)]
    of = plan(tokens[:20], trust=scenario.trust)
    ring = np.fromiter((ring_of(of, each) for each in tokens), np.int8, size)
    devices = Devices(ring, scenario.failing, np.random.default_rng(seed))
    state, now, asked = roll(of, devices, scenario, seed + 1)
    reported = devices.reported(state.opened_at, now)
    stopped = state.state in {"rolled-back", "paused"}
    return {
        "benchmark": "rollout",
        "scenario": scenario.name,
        "devices": size,
        "failing_share": scenario.failing,
        "silent_share": SILENT,
        "health_deviation": scenario.deviation,
        "lab_on_trust": scenario.trust,
        "rings": [int(each) for each in np.bincount(ring, minlength=len(of.rings))],
        "ends": state.state,
        "rings_opened": state.opened,
        "for_people": state.for_people,
        "simulated_hours": round(now / HOUR, 2),
        "hours_to_detect": round(now / HOUR, 2) if stopped else None,
        "hours_in_ring": round((now - state.opened_at[-1]) / HOUR, 2) if stopped else None,
        "affected": devices.tried(state.opened_at, now),
        "failed": int((reported & devices.fails).sum()),
        "health_sums": asked,
        "why": state.decisions[-1].reason if stopped else state.verdict,
        "wall_seconds": round(time.perf_counter() - began, 2),
    }


def lines(size: int, named: str | None, seed: int) -> Iterator[dict[str, object]]:
    """A line for each scenario."""
    for scenario in SCENARIOS:
        if named in {None, scenario.name}:
            yield measured(size, scenario, seed)


def main() -> None:
    """Print JSON lines."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--devices", type=int, default=100_000)
    options.add_argument("--scenario", choices=sorted({each.name for each in SCENARIOS}))
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    for line in lines(chosen.devices, chosen.scenario, chosen.seed):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
