"""A rollout's plan as a person writes it, PLAN.toml, and the text that people approve.

rollout = "wrist-1.3"
unproven = "advance"               # what small rings may do; see below. "wait" if it is left out

[image]                            # what is rolled out
archive = "wrist-1.3.covey"        # beside this file; or name, version, sha256 and bytes in its place
generation = 7

[fallback]                         # what devices return to; leave out where there is nothing older
archive = "wrist-1.2.covey"
generation = 6

[[rings]]
name = "lab"
devices = ["pi-00", "pi-01"]
soak_hours = 2

[[rings]]
name = "canary"
percent = 5
minimum_reports = 3

[[rings]]
name = "all"
percent = 100

[limits]
most_failed_percent = 10
report_hours = 24                  # longer than a device may have to wait for a window

[[windows]]
days = ["sat", "sun"]
begins = "22:00"                   # UTC
ends = "04:00"

A ring shows a share of failures below the limit once enough devices have reported; smaller ones never do.
Those wait for a new plan, or, with unproven = "advance", open the next ring on the estimate alone. A ring
with minimum_reports = 0 is then on trust: noise may drown it, and it holds back the next only if it is surely
bad.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from covey.errors import ConfigError, InputError, PackageError, ProtocolError
from covey.identity import Roster
from covey.package import manifest
from covey.package.manifest import Sha256, ShortName, Version
from covey.package.names import MANIFEST
from covey.rollout import plan as plans
from covey.rollout.deciding import devices_to_show, reports_over
from covey.rollout.plan import BUCKETS, DAY_MINUTES, Image, Limits, Ring, RolloutPlan, Weekday, Window, token
from covey.rollout.rings import sizes
from covey_io import packages, settings

_WEEK: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Hours = Annotated[float, msgspec.Meta(ge=0, le=365 * 24)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Clock = Annotated[str, msgspec.Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z")]


class DraftImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A release: its archive, or what is known of it."""

    generation: int
    archive: str = ""
    name: ShortName | None = None
    version: Version | None = None
    sha256: Sha256 | None = None
    bytes: int | None = None


class DraftRing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ring."""

    name: ShortName
    percent: Percent = 0
    devices: tuple[str, ...] = ()
    soak_hours: Hours = 1
    minimum_reports: int = 1


class DraftLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When it stops."""

    most_failed_percent: Annotated[float, msgspec.Meta(ge=0.1, le=99.9)] = 10
    least_devices: int = 5
    confidence: Annotated[int, msgspec.Meta(ge=50, le=99)] = 95
    report_hours: Annotated[float, msgspec.Meta(gt=0, le=365 * 24)] = 1


class DraftWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When devices may switch, UTC."""

    days: tuple[Weekday, ...] = _WEEK
    begins: Clock
    ends: Clock


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of PLAN.toml."""

    rollout: ShortName
    image: DraftImage
    rings: Annotated[tuple[DraftRing, ...], msgspec.Meta(min_length=1, max_length=8)]
    fallback: DraftImage | None = None
    unproven: Literal["wait", "advance"] = "wait"
    limits: DraftLimits = DraftLimits()
    windows: tuple[DraftWindow, ...] = ()


def drafted(path: Path, roster: Roster) -> RolloutPlan:
    """The plan that a file describes, for the devices of a fleet.

    Args:
        path: PLAN.toml.
        roster: The fleet's.

    Raises:
        ConfigError: A key is missing or wrong.
        InputError: It names a device that is not in the fleet, or an archive that is none.
    """
    draft = settings.load(path, Draft)
    known = {each.device for each in roster.certificates}
    for name in (device for ring in draft.rings for device in ring.devices if device not in known):
        raise InputError(f"{path}: no device {name!r} in the fleet", hint="see covey fleet list")
    plan = RolloutPlan(
        fleet=roster.fleet,
        rollout=draft.rollout,
        image=_image(path, draft.image),
        fallback=None if draft.fallback is None else _image(path, draft.fallback),
        rings=tuple(_ring(ring, roster.fleet) for ring in draft.rings),
        limits=_limits(draft),
        windows=tuple(
            Window(days=w.days, begins=_minute(w.begins), ends=_minute(w.ends)) for w in draft.windows
        ),
    )
    try:
        return plans.from_text(plans.to_text(plan), blame="local")
    except ProtocolError as error:
        raise ConfigError(str(path), "", error.message, hint="correct it and try again") from error


def doubts(plan: RolloutPlan, tokens: Sequence[str]) -> Iterator[str]:
    """What will not go as it may be meant, for the people who approve the plan.

    Args:
        plan: The plan.
        tokens: Of the fleet's devices.
    """
    open_by_then = 0
    for ring, size in zip(plan.rings, sizes(plan, tokens), strict=True):
        open_by_then += size
        yield from (f"ring {ring.name}: {each}" for each in _ring_doubts(plan, ring, size, open_by_then))
    if plan.fallback is None:
        yield "there is nothing to return to: it can be aborted, and not rolled back"


def _ring_doubts(plan: RolloutPlan, ring: Ring, size: int, open_by_then: int) -> Iterator[str]:
    shown = devices_to_show(plan.limits)
    on_trust = ring.minimum_reports == 0 and plan.limits.unproven == "advance"
    if on_trust:
        yield "it is on trust: the next ring opens unless this one is surely bad"
    if size < ring.minimum_reports:
        yield f"it has {size} devices and wants {ring.minimum_reports} reports: it waits for ever"
    elif open_by_then < shown and plan.limits.unproven == "wait":
        yield (
            f"{open_by_then} devices cannot show a share below the limit, {shown} can: it waits for ever, "
            'unless unproven = "advance"'
        )
    if size < plan.limits.least_devices:
        yield f"{size} devices are too few to stop it by themselves"
    gap, counted = longest_gap(plan.windows), reports_over(plan, ring)
    if 60 * gap > counted:
        yield (
            f"windows are {gap / 60:.1f} h apart, and who has not reported {counted / 3600:.1f} h after it "
            "opened counts as failed"
        )


def longest_gap(windows: Sequence[Window]) -> int:
    """Minutes that a device may have to wait for a window at most; 0 without windows."""
    if not windows:
        return 0
    open_at = {minute for window in windows for minute in _open_minutes(window)}
    week = 7 * DAY_MINUTES
    gap = longest = 0
    for minute in range(2 * week):  # twice, for the gap around the week's end
        gap = 0 if minute % week in open_at else gap + 1
        longest = max(longest, gap)
    return longest


def _open_minutes(window: Window) -> Iterator[int]:
    length = (window.ends - window.begins) % DAY_MINUTES or DAY_MINUTES
    for day in window.days:
        first = _WEEK.index(day) * DAY_MINUTES + window.begins
        yield from (minute % (7 * DAY_MINUTES) for minute in range(first, first + length))


def _image(path: Path, draft: DraftImage) -> Image:
    if draft.archive:
        return _of_archive(path.parent / draft.archive, draft.generation)
    if draft.name is None or draft.version is None or draft.sha256 is None or draft.bytes is None:
        raise ConfigError(str(path), "image", "expected archive, or name, version, sha256 and bytes")
    return _checked(draft.name, draft.version, draft.generation, draft.sha256, draft.bytes)


def _of_archive(archive: Path, generation: int) -> Image:
    """As its manifest calls it; whether its signature holds, `covey package verify` tells."""
    try:
        described = manifest.decode(packages.read_package(archive)[MANIFEST])
        data = archive.read_bytes()
    except (KeyError, OSError, PackageError) as error:
        raise InputError(f"{archive} is no package", hint="name the .covey file of a release") from error
    return _checked(
        described.name, described.version, generation, hashlib.sha256(data).hexdigest(), len(data)
    )


def _checked(name: str, version: str, generation: int, sha256: str, length: int) -> Image:
    target = f"models/{name}/{version}.covey"
    told = {"name": name, "version": version, "generation": generation, "target": target}
    try:
        return msgspec.convert({**told, "sha256": sha256, "bytes": length}, Image)
    except msgspec.ValidationError as error:
        raise InputError(f"no image can be called so: {error}", hint="correct it in the plan") from error


def _ring(draft: DraftRing, fleet: str) -> Ring:
    return Ring(
        name=draft.name,
        share=round(draft.percent * BUCKETS / 100),
        members=tuple(token(fleet, device) for device in draft.devices),
        soak_seconds=round(draft.soak_hours * 3600),
        minimum_reports=draft.minimum_reports,
    )


def _limits(draft: Draft) -> Limits:
    limits = draft.limits
    return Limits(
        most_failed=round(limits.most_failed_percent * 10),
        least_devices=limits.least_devices,
        confidence=limits.confidence,
        report_seconds=max(round(limits.report_hours * 3600), 1),
        unproven=draft.unproven,
    )


def _minute(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
