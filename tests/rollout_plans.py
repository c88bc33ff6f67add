"""Plans, instructions and approvals of rollouts for tests."""

import hashlib
from typing import Any

import msgspec

from covey.ledger.note import Ed25519Signer, signed
from covey.rollout.instruction import Instruction
from covey.rollout.plan import BUCKETS, Image, Limits, Ring, RolloutPlan, to_text, token

FLEET = "lab"
ANNA, BO, EVE = (Ed25519Signer(name, bytes([place]) * 32) for place, name in enumerate(("anna", "bo", "eve")))
HOUR = 3600
NOW = 1_800_000_000


def image(version: str = "2", generation: int = 2) -> Image:
    """A release of one model."""
    return Image(
        name="wrist",
        version=version,
        generation=generation,
        target=f"models/wrist/{version}.covey",
        sha256=hashlib.sha256(version.encode()).hexdigest(),
        bytes=1000,
    )


def rings(*members: str) -> tuple[Ring, ...]:
    """Lab, canary, a quarter, all."""
    return (
        Ring(name="lab", share=0, members=members, soak_seconds=HOUR, minimum_reports=1),
        Ring(name="canary", share=1000, soak_seconds=HOUR),
        Ring(name="quarter", share=2500, soak_seconds=HOUR),
        Ring(name="all", share=BUCKETS, soak_seconds=HOUR),
    )


def plan(**changes: Any) -> RolloutPlan:
    """A plan of four rings with something to return to."""
    made = RolloutPlan(
        fleet=FLEET,
        rollout="wrist-2",
        image=image(),
        fallback=image("1", 1),
        rings=rings(token(FLEET, "pi-00"), token(FLEET, "pi-01")),
        limits=Limits(report_seconds=HOUR, unproven="advance"),
    )
    return msgspec.structs.replace(made, **changes)


def note(of: RolloutPlan | None = None, *signers: Ed25519Signer) -> str:
    """A plan as people approved it."""
    return signed(to_text(of or plan()), *(signers or (ANNA,))).decode()


def instruction(of: RolloutPlan | None = None, **changes: Any) -> Instruction:
    """What devices are told of it."""
    made = Instruction(fleet=FLEET, serial=1, plan=note(of), opened=1, state="running")
    return msgspec.structs.replace(made, **changes)


def tokens(count: int) -> list[str]:
    """Of devices pi-00, pi-01, …"""
    return [token(FLEET, f"pi-{number:02d}") for number in range(count)]
