"""A rollout's plan: the image, the rings, and what must hold before the next ring opens.

People approve a plan by signing its text (`covey.ledger.note`); what follows from it then needs no person: a
server may open one ring after the other and may stop, and it cannot roll out anything else.
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
import rfc8785

from covey.errors import ProtocolError
from covey.fields import fields
from covey.package.manifest import Sha256, ShortName, Version
from covey.package.names import MAX_BYTES

FORMAT: Final = "covey-rollout-plan/1"
BUCKETS: Final = 10_000
MAX_PLAN_BYTES: Final = 1 << 18
DAY_MINUTES: Final = 24 * 60

Token = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
"""A device, by `token`: static files name no device in clear."""
TargetPath = Annotated[
    str, msgspec.Meta(pattern=r"\Amodels/[a-z0-9][a-z0-9._-]{0,63}/[0-9A-Za-z.+-]{1,64}\.covey\Z")
]
Share = Annotated[int, msgspec.Meta(ge=0, le=BUCKETS)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=365 * 86_400)]
Minute = Annotated[int, msgspec.Meta(ge=0, lt=DAY_MINUTES)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A release, as devices are told of it.

    Attributes:
        name: The package's name.
        version: Its version; compared for equality only.
        generation: Grows with every release of that name. The release key signs it beside the target; a
            device installs none below its security floor.
        target: Path in the TUF repository.
        sha256: Of the archive.
        bytes: Its length.
    """

    name: ShortName
    version: Version
    generation: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    target: TargetPath
    sha256: Sha256
    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BYTES + (1 << 20))]


class Ring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Devices that get an image together.

    Attributes:
        name: "lab", "canary", …
        share: Buckets below this are in it, of 10,000; never less than in the ring before.
        members: Devices that are in it whatever their bucket.
        soak_seconds: So long after the ring was opened nothing further is.
        minimum_reports: Fewest devices that must have reported before the next ring opens; 0 with
            `limits.unproven` "advance" for a ring on trust: see `covey.rollout.deciding`.
    """

    name: ShortName
    share: Share
    members: Annotated[tuple[Token, ...], msgspec.Meta(max_length=256)] = ()
    soak_seconds: Seconds = 3600
    minimum_reports: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] = 1


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a device may switch, in UTC. A window that ends before it begins goes past midnight.

    Attributes:
        days: On which it begins.
        begins: Minutes after midnight.
        ends: Minutes after midnight; equal to `begins` for the whole day.
    """

    days: Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)]
    begins: Minute
    ends: Minute


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a rollout stops.

    Attributes:
        most_failed: Largest share of failed devices among those that an open ring should have reached, per
            mille: beyond it the rollout stops.
        least_devices: It stops only once so many devices count: one failure of two is no rate.
        confidence: Of the interval that must lie on one side, per cent.
        report_seconds: So long after a ring's soak a device may still report; then a silent one counts as
            failed. Longer than devices may have to wait for a window. Health is asked for no more often.
        unproven: What becomes of a ring that is too small, or too noisy, to show a share below the limit:
            "wait" for a new plan, or "advance" if its estimate is not above the limit.
    """

    most_failed: Annotated[int, msgspec.Meta(ge=1, le=999)] = 100
    least_devices: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 5
    confidence: Annotated[int, msgspec.Meta(ge=50, le=99)] = 95
    report_seconds: Annotated[int, msgspec.Meta(ge=1, le=365 * 86_400)] = 3600
    unproven: Literal["wait", "advance"] = "wait"


class RolloutPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people approve.

    Attributes:
        fleet: The fleet's name.
        rollout: Identifier; never used twice in a fleet.
        image: What is rolled out.
        fallback: What devices return to when it is rolled back, and what devices outside the open rings run;
            None where there is nothing older.
        rings: In the order in which they open; the last has all buckets.
        limits: When it stops.
        windows: When devices may switch; none for at any time.
        format: Of this format.
    """

    fleet: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    rollout: ShortName
    image: Image
    fallback: Image | None
    rings: Annotated[tuple[Ring, ...], msgspec.Meta(min_length=1, max_length=8)]
    limits: Limits = Limits()
    windows: Annotated[tuple[Window, ...], msgspec.Meta(max_length=14)] = ()
    format: Literal["covey-rollout-plan/1"] = FORMAT


def token(fleet: str, device: str) -> str:
    """What static files call a device: 32 hexadecimal digits, which tell its name to whoever can guess it."""
    return hashlib.sha256(fields("covey/v1/rollout-token", fleet, device)).hexdigest()[:32]


def bucket(release_sha256: str, device_token: str) -> int:
    """A device's place among 10,000 for a release. Nobody keeps it: a larger share only ever adds devices."""
    digest = hashlib.sha256(fields("covey/v1/rollout-bucket", release_sha256, device_token)).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


def to_text(plan: RolloutPlan) -> str:
    """A plan as it is signed: RFC 8785 and a newline."""
    return rfc8785.dumps(msgspec.to_builtins(plan)).decode() + "\n"


def from_text(text: str, *, blame: str) -> RolloutPlan:
    """Read a plan strictly. Says nothing about who approved it.

    Raises:
        ProtocolError: Malformed, not in its one spelling, or rings that do not grow to the whole fleet.
    """
    data = text.encode()
    if len(data) > MAX_PLAN_BYTES:
        raise ProtocolError(f"a rollout plan of {len(data)} bytes, at most {MAX_PLAN_BYTES}", blame=blame)
    try:
        plan = msgspec.json.decode(data, type=RolloutPlan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed rollout plan: {error}", blame=blame) from error
    if to_text(plan) != text:
        raise ProtocolError("a rollout plan that is not in its one spelling (RFC 8785)", blame=blame)
    for fault in _faults(plan):
        raise ProtocolError(f"a rollout plan {fault}", blame=blame)
    return plan


def _faults(plan: RolloutPlan) -> Iterator[str]:
    shares = [ring.share for ring in plan.rings]
    if shares != sorted(shares):
        yield "whose rings shrink"
    if shares[-1] != BUCKETS:
        yield "whose last ring leaves devices out"
    if len({ring.name for ring in plan.rings}) != len(plan.rings):
        yield "with two rings of one name"
    if plan.fallback is not None and plan.fallback.name != plan.image.name:
        yield "that falls back to another model"
    if plan.fallback is not None and plan.fallback.sha256 == plan.image.sha256:
        yield "that falls back to what it rolls out"
