"""What a device asks of an update besides what the fleet says: its own limits, times and approvers."""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from covey.errors import ProtocolError
from covey.fields import fields
from covey.ledger.note import holders, parse
from covey.policy.signed import Reviewers
from covey.rollout.choosing import Choice
from covey.rollout.instruction import Instruction
from covey.rollout.plan import DAY_MINUTES, Window

MINUTE: Final = 60
FIRST_WAIT: Final = 60
"""Seconds after the first failure."""
LONGEST_WAIT: Final = 86_400
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH_DAY: Final = _DAYS.index("thu")
"""1970-01-01 was a Thursday."""

Seconds = Annotated[int, msgspec.Meta(ge=0, le=30 * 86_400)]
Few = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a trial ends, one way or the other.

    Attributes:
        seconds: No commit before.
        requests: No commit with fewer answered, unless `longest_seconds` are over.
        longest_seconds: Then it is committed however few there were: nobody asked it.
        most_errors: Largest share of requests that may fail, per cent.
        least_errors: It is rolled back only once so many failed: one failure of two is no rate.
        most_crashes: So many serving processes may die with it.
        most_reboots: So often the device may start anew with it, before it has proved itself.
    """

    seconds: Seconds = 600
    requests: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100
    longest_seconds: Seconds = 86_400
    most_errors: Annotated[int, msgspec.Meta(ge=0, le=99)] = 2
    least_errors: Few = 3
    most_crashes: Annotated[int, msgspec.Meta(ge=0, le=32)] = 2
    most_reboots: Annotated[int, msgspec.Meta(ge=0, le=32)] = 3


@dataclass(frozen=True)
class Rules:
    """What the machine goes by; it stays the same while the updater runs.

    Attributes:
        fleet: The fleet's name.
        device: The device's token.
        approvers: Who must have signed the plans that this device follows; None if the rollout key suffices.
        trial: When a trial ends.
    """

    fleet: str
    device: str
    approvers: Reviewers | None = None
    trial: Trial = field(default_factory=Trial)


def check_approved(instruction: Instruction, approvers: Reviewers | None) -> None:
    """Refuse a plan that too few of the device's approvers have signed.

    Raises:
        ProtocolError: Says how many did; or a signature in an approver's name does not hold.
    """
    if approvers is None:
        return
    signers = holders(parse(instruction.plan.encode(), blame="operator"), approvers.keys, blame="operator")
    if len(signers) < approvers.threshold:
        raise ProtocolError(
            f"a plan that {len(signers)} of this device's approvers have signed; it asks for "
            f"{approvers.threshold}",
            blame="operator",
            hint="have the plan approved, and publish the instruction again",
        )


def is_approved(choice: Choice, instruction: Instruction, approvers: Reviewers | None) -> bool:
    """Whether people approved the image that was chosen: a pin may name one that is in no approved plan."""
    plan = instruction.planned
    return approvers is None or choice.image in {None, plan.image, plan.fallback}


def is_open(windows: tuple[Window, ...], time: float) -> bool:
    """Whether a device may switch now.

    Args:
        windows: In UTC; none for always.
        time: Unix seconds.
    """
    minute = int(time) // MINUTE
    day, within = divmod(minute, DAY_MINUTES)
    return not windows or any(_holds(window, day, within) for window in windows)


def _holds(window: Window, day: int, minute: int) -> bool:
    today, yesterday = (_DAYS[(each + _EPOCH_DAY) % len(_DAYS)] for each in (day, day - 1))
    if window.begins < window.ends:
        return today in window.days and window.begins <= minute < window.ends
    # to its end on the day after; one that ends when it begins lasts a whole day
    return (today in window.days and minute >= window.begins) or (
        yesterday in window.days and minute < window.ends
    )


def wait_after(failures: int, device: str) -> int:
    """Seconds to wait after so many failures in a row: doubled, capped, and spread over the fleet.

    Args:
        failures: At least 1.
        device: The device's token.

    Returns:
        Between half of the longest wait for this many failures and all of it.
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT << min(failures - 1, 16))
    digest = hashlib.sha256(fields("covey/v1/update-jitter", device, failures)).digest()
    return longest // 2 + int.from_bytes(digest[:8]) % (longest // 2 + 1)


def has_waited(not_before: int, time: float) -> bool:
    """Whether the wait is over. A wait longer than any that is given comes of a clock that was wrong then."""
    return not not_before - LONGEST_WAIT <= time < not_before
