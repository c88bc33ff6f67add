"""What a ledger's entries say, and the one strict decoder for them.

An entry is a JSON object in the one spelling of RFC 8785, told apart by its `kind`. Its bytes are the leaf of
the Merkle tree, so nothing is ever encoded again in order to be verified. Numbers are integers or decimal
strings, never binary floats. A reserve holds the whole plan as it was signed; what ends it restates no
parameter: whoever computes a cost reads it from the plan.

    run.policy        a policy came into force for a run
    enrol, revoke     a roster of devices is from now on the one that plans name; a revoke leaves some out
    round.reserve     a private sum is about to be asked for: spent from here on
    round.settle      it was opened: who was in it, by commitments, and what came out, by hashes
    round.abort       it was given up, or a crash cut it short; it stays spent
    metrics.release   figures left the server's hands
    model.release     a model did
    tuning.run        settings were chosen on the same people's data, and what that cost
    audit.result      an audit was made, and what it found
    waiver            a reviewer accepted a finding, in signed words
    rollout.decision  devices are about to be told what to run, and why
"""

from typing import Annotated, Any, Final, Literal

import msgspec
import rfc8785

from covey.errors import ProtocolError
from covey.plan import Digest

MAX_ENTRY_BYTES: Final = 2 << 20
"""A plan of 1 MiB in base64, and room for what stands around it."""

Seconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Text = Annotated[str, msgspec.Meta(max_length=1 << 16)]
Line = Annotated[str, msgspec.Meta(max_length=2000)]
Decimal = Annotated[str, msgspec.Meta(pattern=r"\A(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?(e-[0-9]{1,2})?\Z")]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", kw_only=True):
    """Base of all entries.

    Attributes:
        time: Unix seconds by the writer's clock; not proof of anything.
    """

    time: Seconds


class RunPolicy(Entry, frozen=True, tag="run.policy"):
    """A policy came into force for a run.

    Attributes:
        run: The run's identifier.
        policy: The signed note, as the reviewers signed it.
    """

    run: Name
    policy: Text


class Enrol(Entry, frozen=True, tag="enrol"):
    """A roster is from now on the one that plans name. The roster itself is evidence, not public.

    Attributes:
        fleet: The fleet's name.
        serial: Of the roster.
        roster: SHA-256 of the roster as the enrolment key signed it.
        devices: How many are in it.
        expires: Its last second.
        simulation: Whether the enrolment key says that the fleet is simulated.
    """

    fleet: Name
    serial: Count
    roster: Digest
    devices: Count
    expires: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
    simulation: bool


class Revoke(Enrol, frozen=True, tag="revoke"):
    """As `Enrol`, of a roster in which devices of the one before are missing.

    Attributes:
        gone: How many are.
    """

    gone: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]


class Reserve(Entry, frozen=True, tag="round.reserve"):
    """A private sum is about to be asked for.

    Attributes:
        plan: `covey.plan.to_bytes`, as sent to the devices. Its digest is what everything else names it by.
        signature: The operator's on it, kind "plan"; None where nobody signs plans (sums without masks).
    """

    plan: Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)] | None


class Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many devices there were at each stage of a sum.

    Attributes:
        advertised: |U1|; without masks, devices asked.
        sharing: |U2|; without masks, likewise.
        survivors: |U3|, devices in the sum.
        noise_left: Survivors whose removable noise is still in the sum.
    """

    advertised: Count
    sharing: Count
    survivors: Count
    noise_left: Count


class Sets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Commitments to who they were; see `covey.secagg.terms.set_digest`.

    Attributes:
        u1: Merkle root over the adverts of U1.
        u2: Of U2.
        u3: Of U3.
        participants: Merkle root over the participation leaves of U3; see `covey.ledger.participation`.
    """

    u1: Digest
    u2: Digest
    u3: Digest
    participants: Digest


class Software(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What computed the sum, as versions."""

    covey: Line
    python: Line
    numpy: Line


class Settle(Entry, frozen=True, tag="round.settle"):
    """A sum was opened.

    Attributes:
        plan: Digest of the plan of its reserve.
        members: How many.
        sets: Who, by commitments; None without masks.
        evidence: SHA-256 of the evidence file; None without masks.
        sum: SHA-256 of the opened sum, as `released` gives it.
        software: What computed it.
    """

    plan: Digest
    members: Members
    sets: Sets | None
    evidence: Digest | None
    sum: Digest
    software: Software


class Abort(Entry, frozen=True, tag="round.abort"):
    """A sum was given up. It stays spent: devices may have answered.

    Attributes:
        plan: Digest of the plan of its reserve.
        reason: In words.
    """

    plan: Digest
    reason: Line


class MetricsRelease(Entry, frozen=True, tag="metrics.release"):
    """Figures of a run left the server's hands.

    Attributes:
        run: The run.
        name: Of the file.
        sha256: Of it.
    """

    run: Name
    name: Name
    sha256: Digest


class ModelRelease(Entry, frozen=True, tag="model.release"):
    """A model left the server's hands.

    Attributes:
        run: Whose budget paid for it.
        model: `covey.arrays.digest` of its parameters: the last plan of that run carried them.
        package: SHA-256 of the signed archive.
        policy: SHA-256 of the policy that its run was under; None without one.
    """

    run: Name
    model: Digest
    package: Digest
    policy: Digest | None


class TuningRun(Entry, frozen=True, tag="tuning.run"):
    """Settings were chosen by looking at the same people's data.

    Attributes:
        run: The run that the settings are for.
        words: What was tried on what.
        epsilon: What that cost; None for not accounted, which an audit says aloud.
        delta: At this δ; None likewise.
    """

    run: Name
    words: Line
    epsilon: Decimal | None
    delta: Decimal | None


class AuditResult(Entry, frozen=True, tag="audit.result"):
    """An audit was made.

    Attributes:
        size: Entries that it covered.
        root: Of the tree over them.
        findings: How many it had.
        report: SHA-256 of the report.
        words: What the auditor concluded.
    """

    size: Count
    root: Digest
    findings: Count
    report: Digest
    words: Line


class Waiver(Entry, frozen=True, tag="waiver"):
    """A reviewer accepted a finding.

    Attributes:
        note: A signed note of the reviewers: a line with the finding's code, one with the entry's number, and
            why.
    """

    note: Text


RolloutAction = Literal[
    "start",
    "open",
    "complete",
    "stop",
    "pause",
    "resume",
    "abort",
    "rollback",
    "hold",
    "unhold",
    "pin",
    "unpin",
]
"""What was decided. "open", "complete" and "stop" follow from a plan that people approved, and from what
devices reported, as may "pause", whose reason says so; everything else a person decided."""


class RolloutDecision(Entry, frozen=True, tag="rollout.decision"):
    """Devices are about to be told what to run. Written before the instruction is published.

    Attributes:
        fleet: The fleet's name.
        rollout: Identifier of the rollout.
        serial: Of the instruction; grows with every one of a fleet.
        instruction: SHA-256 of the instruction as published.
        plan: SHA-256 of the plan's text: what people approved.
        action: What was decided.
        opened: So many rings are open from now on.
        reason: In words.
        approvals: So many different approvers had signed the plan.
    """

    fleet: Name
    rollout: Name
    serial: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    instruction: Digest
    plan: Digest
    action: RolloutAction
    opened: Annotated[int, msgspec.Meta(ge=0, le=8)]
    reason: Line
    approvals: Count


AnyEntry = (
    RunPolicy
    | Enrol
    | Revoke
    | Reserve
    | Settle
    | Abort
    | MetricsRelease
    | ModelRelease
    | TuningRun
    | AuditResult
    | Waiver
    | RolloutDecision
)


def encode(entry: AnyEntry) -> bytes:
    """The entry's one spelling (RFC 8785): a line of the log, without a newline in it."""
    return rfc8785.dumps(msgspec.to_builtins(entry))


def decode(data: bytes, *, blame: str = "operator") -> AnyEntry:
    """Read an entry strictly.

    Args:
        data: As it stands in the log.
        blame: Who wrote it.

    Raises:
        ProtocolError: Too large, malformed, of an unknown kind, with a float in it, or not in its one
            spelling.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise ProtocolError(f"an entry of {len(data)} bytes, at most {MAX_ENTRY_BYTES}", blame=blame)
    try:
        entry: AnyEntry = msgspec.json.decode(data, type=AnyEntry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a malformed entry: {error}", blame=blame) from error
    if not _is_canonical(entry, data):
        raise ProtocolError("an entry that is not in its one spelling (RFC 8785)", blame=blame)
    return entry


def _is_canonical(entry: AnyEntry, data: bytes) -> bool:
    """Whether data is what `encode` gives.

    msgspec spells an entry as RFC 8785 does, and many times as fast: no floats, keys in ASCII, integers below
    2^53. A test holds the two against each other.
    """
    return msgspec.json.encode(entry, order="sorted") == data


def kind_of(entry: AnyEntry) -> str:
    """The entry's kind, as in the table above."""
    config: Any = entry.__struct_config__
    return str(config.tag)


EndOfSum = Settle | Abort
FORMAT: Final = "covey-ledger/1"
