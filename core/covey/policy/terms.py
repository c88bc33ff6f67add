"""A policy's terms as frozen data: what `covey.policy.reading` makes of the TOML, and nothing else does.

Numbers that a privacy claim is computed from are decimal strings, exactly as they stand in the text ("8",
"0.3", "1e-5"): `exact` is their value. A binary float would be another number than the one that was signed.
"""

from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Final, Literal, get_args

import msgspec

from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import read_vkey
from covey.plan import LARGEST_GRAPH, Profile, Unit

FORMAT: Final = "covey-policy/1"
FIRST_LINE: Final = f'format = "{FORMAT}"'
"""How every policy begins: no text signed for another purpose does."""
MOST_ANSWERS: Final = 1_000_000
SECONDS_A_DAY: Final = 86_400

Option = Literal["control-variates", "personal-parameters", "clip-indicator"]
OPTIONS: Final[tuple[Option, ...]] = get_args(Option)
"""What training may ask beside an update, where a policy allows it by name."""

QueryKind = Literal["train", "validate", "calibrate", "statistics", "drift", "health"]
KINDS: Final[tuple[QueryKind, ...]] = get_args(QueryKind)

HEX_KEY: Final = r"\A[0-9a-f]{64}\Z"
DIGEST_OR_NONE: Final = r"\A([0-9a-f]{64})?\Z"
DECIMAL: Final = r"\A(0|[1-9][0-9]{0,11})(\.[0-9]{1,16})?(e-[0-9]{1,2})?\Z"
RATE: Final = r"\A(none|[1-9][0-9]{0,5} per (minute|hour|day|week))\Z"

Decimal = Annotated[str, msgspec.Meta(pattern=DECIMAL)]
HexKey = Annotated[str, msgspec.Meta(pattern=HEX_KEY)]
RateLimit = Annotated[str, msgspec.Meta(pattern=RATE)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
VerifierKey = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Answers = Annotated[int, msgspec.Meta(ge=1, le=MOST_ANSWERS)]

_PERIODS: Final = {"minute": 60, "hour": 3600, "day": SECONDS_A_DAY, "week": 7 * SECONDS_A_DAY}


class Day(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A calendar day in UTC.

    Attributes:
        text: As in "2027-01-31".
        seconds: Unix seconds of its first second.
    """

    text: str
    seconds: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]

    @property
    def last_second(self) -> int:
        """Unix seconds of its last second."""
        return self.seconds + SECONDS_A_DAY - 1


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all answers of one device together may cost; the device refuses beyond it.

    Attributes:
        unit: Whose contribution is hidden: a device's, or one example's.
        epsilon: ε.
        delta: δ.
        answers: Most answers of one device, of all kinds together.
    """

    unit: Unit
    epsilon: Decimal
    delta: Decimal
    answers: Answers


class Assumptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the promise rests on; nobody can check it by looking at messages.

    Attributes:
        corrupt: C_max, the most devices of the whole roster that may side with the server.
        dropouts: The largest share of a cohort that may be missing from a sum that is opened.
        profiles: What the server may be assumed to do.
        attestation: How devices show which software they run: not at all, so far.
    """

    corrupt: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_GRAPH)]
    dropouts: Decimal
    profiles: Annotated[tuple[Profile, ...], msgspec.Meta(min_length=1, max_length=2)]
    attestation: Literal["none"]


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom a device believes; Ed25519 public keys, 64 hexadecimal digits each.

    Attributes:
        operator: Signs plans.
        enrolment: Certifies devices; not in the operator's hands.
    """

    operator: HexKey
    enrolment: HexKey


class LedgerTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where every plan must be written down before a device answers it.

    Attributes:
        origin: The log's name, first line of its checkpoints.
        log: The log's verifier key (C2SP signed-note).
        witnesses: Verifier keys of witnesses (C2SP tlog-cosignature).
        cosignatures: Of so many different witnesses a checkpoint needs one.
    """

    origin: Name
    log: VerifierKey
    witnesses: Annotated[tuple[VerifierKey, ...], msgspec.Meta(max_length=16)]
    cosignatures: Annotated[int, msgspec.Meta(ge=0, le=16)]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of question that devices may be asked.

    Attributes:
        models: Names of the models it may be asked about.
        clip: Most that a row of an answer may weigh; `covey.policy.checking` says what is held to it.
        noise_multiplier: z: the honest devices' noise in a sum has at least this standard deviation, in norms
            of a row.
        minimum: Fewest devices whose sum is opened.
        sampling_rate: Largest chance with which an example joins; unit example only.
        answers: Most answers of one device.
        rate_limit: Most answers of one device in any such period, as "24 per day", or "none".
        options: What training may ask beside an update.
    """

    models: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=64)]
    clip: Decimal
    noise_multiplier: Decimal
    minimum: Annotated[int, msgspec.Meta(ge=2, le=LARGEST_GRAPH)]
    sampling_rate: Decimal = "1"
    answers: Answers
    rate_limit: RateLimit = "24 per day"
    options: Annotated[tuple[Option, ...], msgspec.Meta(max_length=len(OPTIONS))] = ()


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What devices will answer.

    Attributes:
        format: Of this format.
        name: The policy's name.
        fleet: The fleet whose devices it governs.
        purpose: What the answers are for, in words.
        serial: Grows with each policy of the fleet; a device takes no older one.
        previous: SHA-256 of the policy before it; empty for the first.
        valid_from: The first day on which it holds.
        valid_until: The last day on which it holds, all of it.
        simulation: Whether devices are simulated: noise may then be seeded, and nobody is protected.
        signatures: Of so many different reviewers it needs a signature; a device may ask for more.
        budget: What all answers may cost.
        assumptions: What that rests on.
        keys: Whom devices believe.
        ledger: Where plans are written down.
        queries: What may be asked, by kind; what is missing is refused.
    """

    format: Literal["covey-policy/1"]
    name: Name
    fleet: Name
    purpose: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    serial: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    previous: Annotated[str, msgspec.Meta(pattern=DIGEST_OR_NONE)] = ""
    valid_from: Day
    valid_until: Day
    simulation: bool
    signatures: Annotated[int, msgspec.Meta(ge=1, le=16)]
    budget: Budget
    assumptions: Assumptions
    keys: Keys
    ledger: LedgerTerms
    queries: dict[QueryKind, Query]

    def log_trust(self) -> LogTrust:
        """Whose signatures a checkpoint of the ledger must carry.

        Raises:
            InputError: A verifier key is none; never for a policy that was read.
        """
        return LogTrust(
            origin=self.ledger.origin,
            log=read_vkey(self.ledger.log),
            witnesses=tuple(read_vkey(each) for each in self.ledger.witnesses),
            cosignatures=self.ledger.cosignatures,
        )


@lru_cache(maxsize=1024)  # a pure function, asked for the same few decimals of every plan
def exact(decimal: str) -> Fraction:
    """A decimal string's value, exactly.

    Raises:
        ValueError: Not a number; never for a policy's decimals.
    """
    return Fraction(decimal)


def rate(query: Query) -> tuple[int, int] | None:
    """The most answers and the seconds of any period in which they may be given; None for no limit."""
    if query.rate_limit == "none":
        return None
    count, _, period = query.rate_limit.partition(" per ")
    return int(count), _PERIODS[period]
