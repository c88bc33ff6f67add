"""What a device's updater never forgets: one small record, in one spelling, durable before anything is done.

It lies outside the cache of any metadata, so that emptying a cache takes neither the highest serial nor a
floor back.
"""

from typing import Annotated, Final, Literal

import msgspec
import rfc8785

from covey.errors import StateError
from covey.package.contents import Variant
from covey.package.manifest import Sha256, ShortName, Version
from covey.rollout.outcome import Outcome
from covey.rollout.plan import Image, Window

FORMAT: Final = "covey-update/1"
MAX_STATE_BYTES: Final = 1 << 20
MAX_WHY: Final = 500
MAX_QUARANTINE: Final = 1024
MAX_CRASHES: Final = 64
MAX_PLANS: Final = 1024
EPOCH: Final = 1_767_225_600
"""2026-01-01: no fleet's metadata is older, so a clock before it is wrong."""

Phase = Literal["idle", "download", "verify", "stage", "selftest", "shadow", "trial", "commit", "rollback"]
Slot = Literal["slots/A", "slots/B"]

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Time = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Why = Annotated[str, msgspec.Meta(max_length=MAX_WHY)]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A package as it was found in a slot and verified.

    Attributes:
        name: Its name.
        version: Its version.
        sha256: Of its archive.
    """

    name: ShortName
    version: Version
    sha256: Sha256


class Quarantined(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An image that failed here and is never installed here again.

    Attributes:
        sha256: Of its archive.
        why: In plain words.
        at: Unix time, seconds.
    """

    sha256: Sha256
    why: Why
    at: Time


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An image on its way.

    Attributes:
        image: What it is.
        slot: Where it was staged; None before.
        variant: Which of its models was chosen by measurement; None before the self-test.
        switched: Whether `current` was swapped to it.
        reboots: So often the device started anew while this image ran in a self-test, in shadow or on trial.
        seconds: It has been on trial so long, with the watchdog awake.
        served: Requests that it answered on trial.
        errors: Of them, those that failed.
        crashed: Serving processes that died with it, by what they call themselves.
    """

    image: Image
    slot: Slot | None = None
    variant: Variant | None = None
    switched: bool = False
    reboots: Count = 0
    seconds: Count = 0
    served: Count = 0
    errors: Count = 0
    crashed: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=64)
    ] = ()


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the newest instruction was about.

    Attributes:
        rollout: The plan's identifier.
        image: SHA-256 of what it rolls out.
        ring: This device's, from 0.
        windows: When it may switch.
    """

    rollout: ShortName
    image: Sha256
    ring: Annotated[int, msgspec.Meta(ge=0, lt=8)]
    windows: Annotated[tuple[Window, ...], msgspec.Meta(max_length=14)] = ()


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it.

    Attributes:
        serial: Of the newest instruction that was seen; it never falls.
        instruction: SHA-256 of that instruction's bytes; "" before the first.
        plans: SHA-256 of the texts of plans that were followed, the newest last; none is followed again once
            another one took its place.
        floors: The lowest generation that may still be installed, by the package's name; they never fall.
        clock: The latest time at which signed metadata was seen to hold, unix seconds; it never falls.
        boot: Which start of the device this is, as its kernel calls it.
        phase: Where `attempt` is; "idle" without one.
        attempt: What is on its way.
        runs: What is committed and serves.
        before: What ran before it.
        quarantine: What failed here, the oldest first.
        failures: Of the attempt or of asking, in a row.
        not_before: Nothing is tried again before this time, unix seconds.
        stopped: Why an attempt must not go on now, such as metadata that has expired; "" if it may.
        why: In plain words, why the device runs what it runs, or what it waits for.
        told: What the newest instruction was about.
        outcome: How that goes.
        format: Of this format.
    """

    serial: Count = 0
    instruction: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    plans: Annotated[tuple[Sha256, ...], msgspec.Meta(max_length=MAX_PLANS)] = ()
    floors: dict[ShortName, Count] = {}
    clock: Time = EPOCH
    boot: Annotated[str, msgspec.Meta(max_length=64)] = ""
    phase: Phase = "idle"
    attempt: Attempt | None = None
    runs: Release | None = None
    before: Release | None = None
    quarantine: Annotated[tuple[Quarantined, ...], msgspec.Meta(max_length=MAX_QUARANTINE)] = ()
    failures: Count = 0
    not_before: Time = 0
    stopped: Why = ""
    why: Why = "it was never told what to run"
    told: Told | None = None
    outcome: Outcome | None = None
    format: Literal["covey-update/1"] = FORMAT

    @property
    def on_trial(self) -> bool:
        """Whether the new image serves and is not committed."""
        return self.phase == "trial" and self.attempt is not None and self.attempt.switched

    def quarantined(self, sha256: str) -> Quarantined | None:
        """What is known against an image."""
        return next((each for each in self.quarantine if each.sha256 == sha256), None)


def to_bytes(state: State) -> bytes:
    """A state's one spelling (RFC 8785)."""
    return rfc8785.dumps(msgspec.to_builtins(state))


def from_bytes(data: bytes, *, where: str) -> State:
    """Read a state strictly.

    Args:
        data: As `to_bytes` gave it.
        where: The file, for the message.

    Raises:
        StateError: Damaged, or a phase without an attempt.
    """
    hint = "nothing was overwritten, and what is installed goes on serving; restore the file from a copy"
    if len(data) > MAX_STATE_BYTES:
        raise StateError(f"{where}: larger than an updater's state", hint=hint)
    try:
        state = msgspec.json.decode(data, type=State)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"{where} is damaged: {error}", hint=hint) from error
    if to_bytes(state) != data:
        raise StateError(f"{where} is damaged: not in its one spelling (RFC 8785)", hint=hint)
    if (state.phase == "idle") != (state.attempt is None):
        raise StateError(f"{where} is damaged: phase {state.phase} does not go with its attempt", hint=hint)
    return state
