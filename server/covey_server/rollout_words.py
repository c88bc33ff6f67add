"""A rollout in plain words: what a plan says, how a rollout stands, and why a device runs what it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from covey.rollout.choosing import choose
from covey.rollout.plan import BUCKETS, Image, RolloutPlan, Window, bucket, token
from covey.rollout.rings import sizes
from covey.rollout.rolling_state import Rollout
from covey_server.rollout_store import Kept


def plan_lines(plan: RolloutPlan, tokens: Sequence[str] | None) -> Iterator[str]:
    """What people approve.

    Args:
        plan: The plan.
        tokens: Of the fleet's devices, to count who is in which ring; None if they are not known.
    """
    yield f"rollout {plan.rollout} for fleet {plan.fleet}"
    yield f"  {image_words(plan.image)}"
    yield f"  sha256 {plan.image.sha256}"
    yield f"  falls back to {image_words(plan.fallback) if plan.fallback else 'nothing'}"
    counted = sizes(plan, tokens) if tokens is not None else [None] * len(plan.rings)
    for ring, size in zip(plan.rings, counted, strict=True):
        share = [f"{ring.share / 100:g} %"] if ring.share or not ring.members else []
        who = " and ".join([*share, *([f"{len(ring.members)} by name"] if ring.members else [])])
        new = "" if size is None else f": {size:,} devices more"
        yield (
            f"  ring {ring.name}: {who}{new}; soaks {ring.soak_seconds / 3600:g} h, "
            f"at least {ring.minimum_reports:,} reports"
        )
    limits, late = plan.limits, plan.limits.report_seconds / 3600
    yield (
        f"  stops above {limits.most_failed / 10:g} % failed at {limits.confidence} % confidence, of at "
        f"least {limits.least_devices:,} devices; silent ones count {late:.3g} h after the soak"
    )
    yield (
        "  rings too small to show that they are good "
        + ("open the next on the estimate alone" if limits.unproven == "advance" else "wait for a new plan")
    )
    yield f"  devices switch {windows_words(plan.windows)}"


def image_words(image: Image) -> str:
    """An image in a few words."""
    return f"{image.name} {image.version}, generation {image.generation}, {image.bytes:,} bytes"


def windows_words(windows: Sequence[Window]) -> str:
    """When devices may switch."""
    if not windows:
        return "at any time"
    return "; ".join(
        f"{' '.join(window.days)} {_clock(window.begins)} to {_clock(window.ends)} UTC" for window in windows
    )


def status_lines(kept: Kept, expected: Sequence[int]) -> Iterator[str]:
    """How a rollout stands.

    Args:
        kept: As it is kept.
        expected: Devices that should report, for each open ring.
    """
    rollout = kept.rollout
    if rollout is None:
        yield "no rollout was ever started"
        return
    plan = rollout.planned
    yield (
        f"rollout {plan.rollout}: {rollout.state}, {rollout.opened} of {len(plan.rings)} rings open, "
        f"instruction {rollout.serial}"
    )
    yield f"  {image_words(plan.image)}; plan approved by {rollout.approvals}"
    yield from _ring_lines(rollout, plan, expected)
    if rollout.verdict:
        yield f"  heard last: {rollout.verdict}"
    if rollout.for_people:
        yield "  TIME ALONE CHANGES NOTHING ANY MORE: roll it back, abort it, or plan anew"
    if rollout.holds or rollout.pins:
        yield f"  {len(rollout.holds)} on hold, {len(rollout.pins)} pinned"
    for each in rollout.decisions[-5:]:
        yield f"  {moment(each.time)}  {each.action}: {each.reason}"
    if kept.pending is not None:
        yield (
            f"  INSTRUCTION {kept.pending.entry.serial} IS DECIDED AND NOT YET PUBLISHED: "
            "covey rollout tick goes on with it"
        )


def _ring_lines(rollout: Rollout, plan: RolloutPlan, expected: Sequence[int]) -> Iterator[str]:
    for number, ring in enumerate(plan.rings):
        if number >= rollout.opened:
            yield f"  ring {ring.name}: not open"
            continue
        health = rollout.health[number] if number < len(rollout.health) else None
        heard = (
            "nothing heard yet"
            if health is None
            else f"{round(health.succeeded)} succeeded, {round(health.failed)} failed"
            + (f", each give or take {health.deviation:.1f}" if health.deviation else "")
        )
        yield (
            f"  ring {ring.name}: open since {moment(rollout.opened_at[number])}, "
            f"{expected[number]:,} devices; {heard}"
        )


def status_json(kept: Kept, expected: Sequence[int]) -> dict[str, Any]:
    """As `status_lines`, for programs."""
    rollout = kept.rollout
    if rollout is None:
        return {"rollout": None, "pending": False}
    told: dict[str, Any] = msgspec.to_builtins(rollout)
    return {
        **told,
        "rollout": rollout.planned.rollout,
        "plan": msgspec.to_builtins(rollout.planned),
        "opened": rollout.opened,
        "expected": list(expected),
        "pending": kept.pending is not None,
    }


@dataclass(frozen=True)
class Explained:
    """Why a device runs what it runs.

    Attributes:
        device: Its name.
        token: What instructions call it.
        in_roster: Whether it is in the fleet.
        ring: The name of its ring.
        bucket: Its place, of 10,000.
        image: What it should run; None to leave it as it is.
        may_begin: Whether it may begin to install it.
        because: Why.
        on_hold: Whether it is on hold.
        pinned: To this image; None if it is not.
        windows: When it may switch.
        instruction: The serial of what it is told.
        state: The rollout's.
    """

    device: str
    token: str
    in_roster: bool
    ring: str
    bucket: int
    image: Image | None
    may_begin: bool
    because: str
    on_hold: bool
    pinned: Image | None
    windows: str
    instruction: int
    state: str


def explain(rollout: Rollout, device: str, *, in_roster: bool) -> Explained:
    """Why a device runs what it runs, as the device itself would say."""
    plan, instruction = rollout.planned, rollout.instruction
    named = token(plan.fleet, device)
    choice = choose(instruction, named)
    return Explained(
        device=device,
        token=named,
        in_roster=in_roster,
        ring=plan.rings[choice.ring].name,
        bucket=bucket(plan.image.sha256, named),
        image=choice.image,
        may_begin=choice.may_begin,
        because=choice.because,
        on_hold=named in instruction.holds,
        pinned=next((pin.image for pin in instruction.pins if pin.device == named), None),
        windows=windows_words(plan.windows),
        instruction=instruction.serial,
        state=instruction.state,
    )


def explained_lines(found: Explained) -> Iterator[str]:
    """For people."""
    runs = image_words(found.image) if found.image else "what it runs now"
    yield f"{found.device} should run {runs}"
    yield f"  because {found.because}"
    if found.image is not None and not found.may_begin:
        yield "  if it does not run it yet, it does not begin to install it"
    yield f"  ring {found.ring}, bucket {found.bucket} of {BUCKETS}, token {found.token}"
    yield f"  on hold: {'yes' if found.on_hold else 'no'}; pinned: " + (
        image_words(found.pinned) if found.pinned else "no"
    )
    yield f"  it switches {found.windows}"
    yield f"  instruction {found.instruction}, the rollout is {found.state}"
    if not found.in_roster:
        yield "  IT IS NOT IN THE FLEET'S ROSTER: check the name"


def moment(seconds: int) -> str:
    """A time, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
