"""What happens to an updater (events), and what it wants done (effects).

Every event carries `now`, the device's own clock in unix seconds, right or wrong. An effect is done after the
state that asks for it is on disk, may be done twice, and is answered by one of the events named at it.
"""

from dataclasses import dataclass

from covey.package.contents import Variant
from covey.rollout.plan import Image
from covey.rollout.update_state import Release, Slot


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        now: The device's clock, unix seconds.
    """

    now: float


@dataclass(frozen=True)
class Woke(Event):
    """The updater's process has started.

    Attributes:
        boot: Which start of the device this is.
        serves: What `current` holds, verified; None if nothing does.
        urgent: Somebody waits: no back-off.
    """

    boot: str
    serves: Release | None
    urgent: bool = False


@dataclass(frozen=True)
class Instructed(Event):
    """The source was asked, and all that it answered was signed and had not expired at `max(now, clock)`.

    Attributes:
        instruction: `rollout/instruction.json` as published.
        floors: The security floor by model name.
        held: The device's owner keeps it as it is.
    """

    instruction: bytes
    floors: dict[str, int]
    held: bool = False


@dataclass(frozen=True)
class Uninstructed(Event):
    """As `Instructed`, and the fleet publishes no instruction."""


@dataclass(frozen=True)
class Trouble(Event):
    """It could not be done now, through no fault of the image: cut off, disk full, no key.

    Attributes:
        why: In plain words.
    """

    why: str


@dataclass(frozen=True)
class Unreachable(Event):
    """Nobody answered when the source was asked.

    Attributes:
        why: In plain words.
    """

    why: str


@dataclass(frozen=True)
class Stale(Event):
    """What the source answers must not be followed: expired, or not what the fleet's keys signed.

    Attributes:
        why: In plain words.
    """

    why: str


@dataclass(frozen=True)
class Fetched(Event):
    """The archive is on disk whole."""


@dataclass(frozen=True)
class Verified(Event):
    """The archive is the image, and the publisher's key signed it."""


@dataclass(frozen=True)
class Staged(Event):
    """It was read back from a slot and verified again.

    Attributes:
        slot: Which.
    """

    slot: Slot


@dataclass(frozen=True)
class Tested(Event):
    """The self-test passed.

    Attributes:
        variant: The faster of the models that passed.
    """

    variant: Variant


@dataclass(frozen=True)
class Shadowed(Event):
    """It agreed with what serves."""


@dataclass(frozen=True)
class Switched(Event):
    """`current` leads to it."""


@dataclass(frozen=True)
class Watched(Event):
    """What the trial came to since it was looked at last.

    Attributes:
        seconds: Since then, by a clock that nobody sets.
        served: Requests answered by it in all.
        errors: Of them, failed.
        crashed: Serving processes that died with it, by name.
        probe: Why an input that the updater itself gave it failed; "" if it did not.
    """

    seconds: int
    served: int
    errors: int
    crashed: tuple[str, ...] = ()
    probe: str = ""


@dataclass(frozen=True)
class Rejected(Event):
    """The image has shown that it is bad.

    Attributes:
        why: In plain words.
    """

    why: str


@dataclass(frozen=True)
class Spoiled(Event):
    """What was fetched or staged is not there any more, or not whole: through no fault of the image.

    Attributes:
        why: In plain words.
    """

    why: str


@dataclass(frozen=True)
class Settled(Event):
    """What a commit leaves behind is cleared."""


@dataclass(frozen=True)
class Returned(Event):
    """`current` leads to what ran before, and nothing of the attempt is left."""


@dataclass(frozen=True)
class Fetch:
    """Fetch an archive: `Fetched`, `Trouble`, `Stale`."""

    image: Image


@dataclass(frozen=True)
class Verify:
    """Verify it: `Verified`, `Rejected`, `Spoiled`, `Trouble`."""

    image: Image


@dataclass(frozen=True)
class Stage:
    """Write it to the slot that is not in use: `Staged`, `Spoiled`, `Trouble`."""

    image: Image


@dataclass(frozen=True)
class SelfTest:
    """Run it in a process of its own: `Tested`, `Rejected`, `Spoiled`, `Trouble`."""

    image: Image
    slot: Slot


@dataclass(frozen=True)
class Shadow:
    """Run it beside what serves: `Shadowed`, `Rejected`, `Spoiled`, `Trouble`."""

    image: Image
    slot: Slot
    variant: Variant


@dataclass(frozen=True)
class Switch:
    """Verify it once more and swap `current`: `Switched`, `Spoiled`, `Trouble`."""

    image: Image
    slot: Slot
    variant: Variant


@dataclass(frozen=True)
class Watch:
    """Look at the trial after a while: `Watched`."""

    image: Image


@dataclass(frozen=True)
class Settle:
    """Clear what the commit leaves: `Settled`."""

    image: Image


@dataclass(frozen=True)
class Return:
    """Lead `current` away from a slot and clear it, with all else of the attempt: `Returned`, `Trouble`.

    Attributes:
        image: That is given up.
        slot: Its slot; None if it was never staged.
        onto: What is to serve then; None if nothing did.
    """

    image: Image
    slot: Slot | None
    onto: Release | None


Effect = Fetch | Verify | Stage | SelfTest | Shadow | Switch | Watch | Settle | Return
