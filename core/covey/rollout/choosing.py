"""Which image a device should run, and why: from an instruction and the device's token alone."""

from dataclasses import dataclass

from covey.rollout.instruction import Instruction
from covey.rollout.plan import BUCKETS, Image, RolloutPlan, bucket


@dataclass(frozen=True)
class Choice:
    """What an instruction means for one device.

    Attributes:
        image: What it should run; None to leave it as it is.
        because: In plain words, for whoever asks.
        ring: The first ring of the plan that it is in, from 0.
        may_begin: Whether it may begin to install `image`, if it does not run it yet.
    """

    image: Image | None
    because: str
    ring: int
    may_begin: bool = True


def choose(instruction: Instruction, device_token: str) -> Choice:
    """What a device is told. Held, then pinned, then by the rollout's state and rings."""
    plan = instruction.planned
    ring = ring_of(plan, device_token)
    if device_token in instruction.holds:
        return Choice(None, "it is on hold: nothing changes on it", ring, may_begin=False)
    for pin in instruction.pins:
        if pin.device == device_token:
            return Choice(pin.image, f"it is pinned to {pin.image.name} {pin.image.version}", ring)
    if instruction.state == "rolled-back":
        return _rolled_back(plan, ring)
    return _by_ring(instruction, plan, ring, device_token)


def ring_of(plan: RolloutPlan, device_token: str) -> int:
    """The first ring that a device is in, from 0."""
    place = bucket(plan.image.sha256, device_token)
    return next(
        number for number, ring in enumerate(plan.rings) if place < ring.share or device_token in ring.members
    )


def _rolled_back(plan: RolloutPlan, ring: int) -> Choice:
    if plan.fallback is None:
        return Choice(
            None, f"{plan.rollout} was rolled back, and names nothing to return to", ring, may_begin=False
        )
    back = plan.fallback
    return Choice(back, f"{plan.rollout} was rolled back: everybody returns to {back.version}", ring)


def _by_ring(instruction: Instruction, plan: RolloutPlan, ring: int, device_token: str) -> Choice:
    image, named = plan.image, plan.rings[ring]
    place = bucket(image.sha256, device_token)
    how = f"{_share(named.share)}; its bucket is {place} of {BUCKETS}"
    where = f"ring {named.name} ({'it is named there' if place >= named.share else how})"
    if ring >= instruction.opened:
        older = plan.fallback
        return (
            Choice(None, f"{where} is not open yet", ring, may_begin=False)
            if older is None
            else Choice(older, f"{where} is not open yet: until then {older.version}", ring, may_begin=True)
        )
    match instruction.state:
        case "paused":
            return Choice(image, f"{where} is open, but {plan.rollout} is paused", ring, may_begin=False)
        case "aborted":
            return Choice(image, f"{where} was open when {plan.rollout} was aborted", ring, may_begin=False)
        case _:
            return Choice(image, f"{where} is open", ring)


def _share(share: int) -> str:
    return f"{share / 100:g} %"
