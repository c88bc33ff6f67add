"""What a rollout knows of itself, what can happen to it, and what it then asks for.

The state is all there is to go on from after a crash. It serialises by msgspec as it stands.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from covey.ledger.entries import RolloutAction
from covey.ledger.note import parse
from covey.rollout import plan as plans
from covey.rollout.health import RingHealth
from covey.rollout.instruction import Instruction, Pin, State
from covey.rollout.plan import RolloutPlan, Token

MOST_KEPT: Final = 256
"""Decisions that the state remembers; the ledger has all."""

Time = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that was decided; becomes an entry of the ledger before devices are told.

    Attributes:
        time: Unix seconds.
        serial: Of the instruction that says so.
        instruction: SHA-256 of it as published.
        plan: SHA-256 of the plan's text.
        action: What.
        opened: So many rings are open from then on.
        reason: In plain words; public.
        approvals: So many approvers had signed the plan.
    """

    time: Time
    serial: int
    instruction: str
    plan: str
    action: RolloutAction
    opened: int
    reason: str
    approvals: int


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rollout as it stands. Pins and holds are the fleet's, and outlive it.

    Attributes:
        plan: The plan as a signed note.
        approvals: So many different approvers' signatures held when it was started.
        state: As devices are told.
        serial: Of the last instruction.
        opened_at: When each open ring was opened, or taken up again after a pause; Unix seconds.
        pins: Devices that run something else.
        holds: Devices that change nothing.
        asked: When health was asked for last, since the newest ring was opened; None for not yet.
        health: Of each open ring, as heard last; none since the newest was opened.
        verdict: What followed from it, in words.
        for_people: Whether only people can bring it on: time alone changes nothing any more.
        decisions: The newest of all decisions, the last one last.
    """

    plan: str
    approvals: int
    state: State
    serial: int
    opened_at: tuple[Time, ...]
    pins: tuple[Pin, ...] = ()
    holds: tuple[Token, ...] = ()
    asked: Time | None = None
    health: tuple[RingHealth, ...] = ()
    verdict: str = ""
    for_people: bool = False
    decisions: tuple[Decision, ...] = ()

    @property
    def opened(self) -> int:
        """So many rings are open."""
        return len(self.opened_at)

    @property
    def text(self) -> str:
        """The plan's text, as it was signed."""
        return parse(self.plan.encode(), blame="operator").text

    @property
    def planned(self) -> RolloutPlan:
        """The plan's content."""
        return plans.from_text(self.text, blame="operator")

    @property
    def plan_sha256(self) -> str:
        """SHA-256 of the plan's text: what the ledger calls it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def instruction(self) -> Instruction:
        """What devices are told."""
        return Instruction(
            fleet=self.planned.fleet,
            serial=self.serial,
            plan=self.plan,
            opened=self.opened,
            state=self.state,
            pins=self.pins,
            holds=self.holds,
        )

    def open_for(self, now: int) -> tuple[int, ...]:
        """Seconds since each open ring was opened; none below 0, should the clock have gone back."""
        return tuple(max(now - opened, 0) for opened in self.opened_at)


@dataclass(frozen=True)
class Start:
    """An approved plan begins. Whoever says so has verified `approvals` signatures on it.

    Attributes:
        now: Unix seconds.
        plan: The signed note.
        approvals: So many different approvers signed.
        after: A serial that was given out already; 0 for none known beside the last rollout's.
        supersedes: Whether it takes the place of one that is not over: once a security floor was raised above
            what that one names, nothing of it can be published any more.
    """

    now: int
    plan: str
    approvals: int
    after: int = 0
    supersedes: bool = False


@dataclass(frozen=True)
class Tick:
    """Time went by."""

    now: int


@dataclass(frozen=True)
class HealthCame:
    """A health sum was opened.

    Attributes:
        now: Unix seconds.
        rings: Of each open ring.
        taken: When devices were asked: silent ones are judged as of then. None for now.
    """

    now: int
    rings: tuple[RingHealth, ...]
    taken: int | None = None


@dataclass(frozen=True)
class Pause:
    """A person wants that nobody begins to install."""

    now: int
    reason: str


@dataclass(frozen=True)
class Resume:
    """A person lets a paused rollout go on; its newest ring soaks anew."""

    now: int
    reason: str


@dataclass(frozen=True)
class Abort:
    """A person ends it: nobody begins any more, and nothing is taken back."""

    now: int
    reason: str


@dataclass(frozen=True)
class RollBack:
    """A person sends everybody to the plan's fallback; also after it was complete."""

    now: int
    reason: str


@dataclass(frozen=True)
class Hold:
    """Nothing changes on a device from now on."""

    now: int
    device: str
    reason: str


@dataclass(frozen=True)
class Unhold:
    """A device that was on hold follows again."""

    now: int
    device: str
    reason: str


@dataclass(frozen=True)
class PinTo:
    """A device runs this image whatever is rolled out; an earlier pin of it is replaced."""

    now: int
    pin: Pin
    reason: str


@dataclass(frozen=True)
class Unpin:
    """A device that was pinned follows again."""

    now: int
    device: str
    reason: str


Event = Start | Tick | HealthCame | Pause | Resume | Abort | RollBack | Hold | Unhold | PinTo | Unpin


@dataclass(frozen=True)
class Decided:
    """To be written into the ledger and announced, before anything else is done."""

    decision: Decision


@dataclass(frozen=True)
class Publish:
    """To be published, after what was decided stands in the ledger.

    Attributes:
        data: The instruction's bytes.
    """

    data: bytes


@dataclass(frozen=True)
class AskHealth:
    """Health of the open rings is due.

    Attributes:
        opened: How many.
    """

    opened: int


Effect = Decided | Publish | AskHealth
