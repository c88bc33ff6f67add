"""A device's side of a session: what can happen to it, what it does, and what it remembers meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from covey.encode import Integers
from covey.secagg.dealing import Secrets
from covey.secagg.envelope import Opened
from covey.secagg.members import Neighbourhood
from covey.secagg.messages import (
    Advertised,
    Cohort,
    Hash,
    Held,
    Key,
    Message,
    Partners,
    Positions,
    Survivors,
    Unmask,
)
from covey.secagg.terms import Terms

Stage = Literal["advertise", "share", "masked", "consistency", "unmask"]

STAGE_OF: Final[Mapping[type[Message], Stage]] = {
    Cohort: "share",
    Partners: "masked",
    Survivors: "consistency",
    Unmask: "unmask",
}


@dataclass(frozen=True)
class Me:
    """The device.

    Attributes:
        device: Its name in the roster.
        private: Its Ed25519 identity key. Not shown when printed.
        enrolment: Public key that certifies its peers.
        workers: Threads that expand masks.
    """

    device: str
    private: bytes = field(repr=False)
    enrolment: bytes
    workers: int = 1


@dataclass(frozen=True)
class Open:
    """A plan that the device has trained for. Nothing of it is shown when printed.

    Attributes:
        envelope: Checked by `covey.secagg.envelope.open_envelope`.
        vector: The encoded answer before noise, int64 (plan.length,).
        seed: 32 bytes from the operating system's generator; everything secret about masks follows from it.
        noise: 32 bytes likewise, or from a simulation's seed if the plan says so.
        counter: How many plans the device has reserved budget for in its life, with this one.
        leaf: 32 bytes, its participation leaf for this sum.
    """

    envelope: Opened = field(repr=False)
    vector: Integers = field(repr=False)
    seed: bytes = field(repr=False)
    noise: bytes = field(repr=False)
    counter: int = field(repr=False)
    leaf: bytes = field(repr=False)


@dataclass(frozen=True)
class Request:
    """A message from the server.

    Attributes:
        data: As received.
        now: Unix time, seconds.
    """

    data: bytes = field(repr=False)
    now: int


Event = Open | Request


@dataclass(frozen=True)
class Claim:
    """To be made durable before what follows it happens; one already made for other bytes ends the session.

    Every reply is claimed. That a device answers one question only is what the quorum rests on, so it must
    hold for a device that lost its memory, or had an older one put back.

    Attributes:
        run: Of the plan.
        sum: Of the plan: at one stage of one sum a device answers one request, ever, whatever it forgets.
        stage: Answered.
        digest: SHA-256 of the request; of the plan at "advertise".
    """

    run: str
    sum: int
    stage: Stage
    digest: bytes


@dataclass(frozen=True)
class Send:
    """To the server."""

    data: bytes = field(repr=False)


Effect = Claim | Send


class Replied(msgspec.Struct, frozen=True, array_like=True):
    """A stage that was answered: the request's SHA-256 and the reply."""

    stage: Stage
    request: Hash
    reply: bytes

    def __repr__(self) -> str:
        return f"<Replied {self.stage}>"


class State(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What every state holds. Nothing of it is shown when printed: most of it is secret.

    Attributes:
        plan: As signed.
        replies: Sent so far.
    """

    plan: bytes
    replies: tuple[Replied, ...]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def terms(self) -> Terms:
        """The session."""
        return Terms.of(self.plan)


class Advertising(State, frozen=True, tag="advertising"):
    """Waits for U1.

    Attributes:
        roster: As signed.
        secrets: Of the session.
        noise: Key of its noise.
        vector: Its answer before noise and masks, `covey.ring.to_bytes` of it.
        advert: What it sent.
    """

    roster: bytes
    secrets: Secrets
    noise: Key
    vector: bytes
    advert: Advertised


class Sharing(State, frozen=True, tag="sharing"):
    """Waits for U2 and the others' shares.

    Attributes:
        secrets: As in `Advertising`.
        noise: Likewise.
        vector: Likewise.
        view: U1.
        own: The share it dealt to itself.
    """

    secrets: Secrets
    noise: Key
    vector: bytes
    view: Neighbourhood
    own: Held | None


class Masking(State, frozen=True, tag="masking"):
    """Has sent its vector; waits for U3. The seeds of its masks are gone.

    Attributes:
        view: U1.
        u2: Of those it knows, who shared keys.
        count: |U2|.
        held: Others' shares, and its own, by dealer's position.
        removal: Seed of its first removable noise.
    """

    view: Neighbourhood
    u2: Positions
    count: int
    held: tuple[tuple[int, Held], ...]
    removal: Key | None


class Agreeing(State, frozen=True, tag="agreeing"):
    """Has signed U3; waits for proofs that others did.

    Attributes:
        view: U1.
        u2: Who shared keys.
        u3: Who is in the sum.
        held: As in `Masking`.
        removal: Likewise.
    """

    view: Neighbourhood
    u2: Positions
    u3: Positions
    held: tuple[tuple[int, Held], ...]
    removal: Key | None


class Closed(State, frozen=True, tag="closed"):
    """Has revealed its shares and forgotten them."""


AnyState = Advertising | Sharing | Masking | Agreeing | Closed


def to_bytes(state: AnyState) -> bytes:
    """For keeping in memory between messages that other processes handle. Never for a disk."""
    return msgspec.msgpack.encode(state)


def from_bytes(data: bytes) -> AnyState:
    """The inverse of `to_bytes`."""
    loaded: AnyState = msgspec.msgpack.decode(data, type=AnyState)
    return loaded
