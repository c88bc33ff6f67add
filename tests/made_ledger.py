"""A small honest ledger, made by real machines: devices that check everything, a log, a witness, a reviewer.

Built once and kept in memory. A test cheats by taking `Made.entries`, changing the list, and sealing it again
as an operator can who has all keys but the reviewer's and the devices': `resealed`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

import memory_ledger
import policy_texts
import secagg_fleet
from covey import plan as plans
from covey.budget import Saw
from covey.encode import Part
from covey.identity import public_of
from covey.ledger import entries as ledger
from covey.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from covey.ledger.entries import AnyEntry, Members, Settle, Software
from covey.ledger.evidence import sets_of
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer, read_vkey
from covey.ledger.participation import leaf, opening
from covey.plan import Noise, Plan, PolicyReference, Task, Train, Validate
from covey.secagg import evidence
from covey.secagg.envelope import Trust, seal_envelope
from covey.secagg.stages import Finished
from covey.secagg.states import Open, Request, Stage
from covey.secagg.terms import Terms
from covey_audit.auditing import Anchors, Material
from covey_io.ledger_files import LedgerFiles
from memory_ledger import KEYS, LOG, REVIEWER, REVIEWERS, MemoryLedger, enrol_entry, policy_sha, reserve_entry
from secagg_fleet import ENROLMENT, NOW, OPERATOR, Device, Fleet, key, make_plan, name

SIZE, MINIMUM = 12, 9
RUN = "run-a"
ORIGIN = policy_texts.ORIGIN
SOFTWARE = Software(covey="0.1.0", python="3.11", numpy="2.0")
LENGTH, NORM = 5, 1000

STRANGER = Ed25519Signer("reviewer.example", key("stranger"))
WITNESS = read_vkey(policy_texts.vkey(policy_texts.WITNESS_NAME, policy_texts.WITNESS, 4))

TRAIN = Train(1, 16, 0.1, 0.0, 0.0, 0.0, "devices", 1, 1.0)


def salt(index: int) -> bytes:
    """A device's own secret."""
    return key("salt", index)


def model(number: int) -> str:
    """Digest of the parameters after so many rounds."""
    return sha256(b"model %d" % number).hexdigest()


def policy_note(signer: Ed25519Signer = REVIEWER, **changes: object) -> bytes:
    """A policy that allows the plans of this module, signed."""
    return memory_ledger.policy_note(signer, **(KEYS | changes))


def roster(size: int = SIZE, serial: int = 1, *, simulation: bool = False, **changes: object) -> bytes:
    """The signed roster of devices d000, d001, …, of a real fleet."""
    return secagg_fleet.roster(size, serial, simulation=simulation, **changes)


def plan_of(
    sum_: int, task: Task, parameters: int, policy: bytes, signed_roster: bytes, **changes: object
) -> Plan:
    """A plan that keeps to the policy."""
    z = 6 if isinstance(task, Train) else 8
    part = Part("update" if isinstance(task, Train) else "counts", LENGTH, 1.0, float(NORM))
    noise = Noise(mechanism="skellam", variance=(z * NORM) ** 2, removal=False, seeded=False)
    made = msgspec.structs.replace(
        make_plan(SIZE, minimum=MINIMUM, noise=noise, serial=sum_, signed=signed_roster),
        run=RUN,
        round=parameters + (1 if isinstance(task, Train) else 0),
        model_sha256=model(parameters),
        task=task,
        parts=(part,),
        norm=NORM,
        policy=PolicyReference(sha256=policy_sha(policy), serial=1),
    )
    return msgspec.structs.replace(made, **changes)


def reserve_of(plan: Plan, time: int, operator: bytes = OPERATOR) -> ledger.Reserve:
    """The entry of a plan."""
    return reserve_entry(plans.to_bytes(plan), operator, time)


@dataclass
class Enrolled(Device):
    """A device that asks for proof, and whose leaf is its own."""

    seen: dict[str, Saw] = field(default_factory=dict)

    def trust(self, least_serial: int = 0) -> Trust:
        operator, enrolment = public_of(OPERATOR), public_of(ENROLMENT)
        return Trust(operator, enrolment, least_serial, reviewers=REVIEWERS, seen=self.seen)

    def act(self, event: Open | Request) -> bytes:
        if isinstance(event, Open):
            plan = event.envelope.terms.plan
            own = leaf(opening(salt(self.index), plan.run, plan.sum), name(self.index))
            appeal = event.envelope.appeal
            assert appeal is not None
            head = appeal.head.checkpoint
            self.seen[head.origin] = Saw(head.origin, head.size, head.root.hex(), appeal.head.time)
            event = replace(event, leaf=own)
        return super().act(event)


@dataclass(frozen=True)
class Made:
    """A ledger, and what a reviewer of it has from elsewhere.

    Attributes:
        lines: The entries as they stand in the log.
        checkpoint: Signed and cosigned.
        evidence: By the plan's digest.
        rosters: By SHA-256.
        participants: By the plan's digest.
        anchors: The reviewer's.
        torn: What stands after the last line.
    """

    lines: tuple[bytes, ...]
    checkpoint: bytes | None
    evidence: Mapping[str, bytes]
    rosters: Mapping[str, bytes]
    participants: Mapping[str, bytes]
    anchors: Anchors
    torn: bytes = b""

    @property
    def entries(self) -> list[AnyEntry]:
        """The entries, decoded, to be changed."""
        return [ledger.decode(line) for line in self.lines]

    @property
    def material(self) -> Material:
        """What is handed to the reviewer."""
        return Material(
            source="made",
            lines=self.lines,
            torn=self.torn,
            checkpoint=self.checkpoint,
            evidence=self.evidence.get,
            roster=self.rosters.get,
            participants=self.participants.get,
            evidence_of=tuple(self.evidence),
        )

    def resealed(self, entries: Sequence[AnyEntry | bytes], **changes: object) -> "Made":
        """Other entries, under a checkpoint that operator and witness sign as if nothing had happened.

        Args:
            entries: All of them.
            changes: Other fields.
        """
        lines = tuple(each if isinstance(each, bytes) else ledger.encode(each) for each in entries)
        made = replace(self, lines=lines, checkpoint=head_over(lines))
        return replace(made, **changes)  # type: ignore[arg-type]

    def edited(self, index: int, **changes: object) -> "Made":
        """One entry with other fields, sealed again."""
        entries = self.entries
        entries[index] = msgspec.structs.replace(entries[index], **changes)
        return self.resealed(entries)

    def replanned(self, index: int, **changes: object) -> "Made":
        """One reserve with another plan, signed and sealed again; its end follows the new plan."""
        entries = self.entries
        reserve = entries[index]
        assert isinstance(reserve, ledger.Reserve)
        old = plans.digest(reserve.plan)
        plan = msgspec.structs.replace(plans.from_bytes(reserve.plan), **changes)
        entries[index] = reserve_of(plan, reserve.time)
        new = plans.digest(plans.to_bytes(plan))
        for place, entry in enumerate(entries):
            if isinstance(entry, ledger.Settle | ledger.Abort) and entry.plan == old:
                entries[place] = msgspec.structs.replace(entry, plan=new)
        kept = {new if each == old else each: data for each, data in self.evidence.items()}
        return self.resealed(entries, evidence=kept)

    def write(self, folder: Path) -> Path:
        """The ledger's folder."""
        files = LedgerFiles(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files.entries.write_bytes(b"".join(line + b"\n" for line in self.lines) + self.torn)
        if self.checkpoint is not None:
            files.checkpoint.write_bytes(self.checkpoint)
        places: list[tuple[Mapping[str, bytes], Callable[[str], Path]]] = [
            (self.evidence, files.evidence_path),
            (self.rosters, files.roster_path),
            (self.participants, files.participants_path),
        ]
        for content, path in places:
            for each, data in content.items():
                path(each).parent.mkdir(exist_ok=True)
                path(each).write_bytes(data)
        return folder


def head_over(
    lines: Sequence[bytes], time: int = NOW + 2000, origin: str = ORIGIN, log: Ed25519Signer = LOG
) -> bytes:
    """A checkpoint over some lines, signed by the log and cosigned by the witness."""
    history = History.of(lines)
    note = sign_checkpoint(Checkpoint(origin, history.size, history.root()), log)
    return with_cosignatures(note, [cosign(note, policy_texts.WITNESS_NAME, policy_texts.WITNESS, time)])


class _Builder:
    """The operator, as long as it is honest."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.evidence: dict[str, bytes] = {}
        self.participants: dict[str, bytes] = {}
        self.devices = [Enrolled(index, np.zeros(LENGTH, np.int64)) for index in range(SIZE)]
        self.announced = 0
        self.policy = policy_note()
        self.roster = roster()

    @property
    def time(self) -> int:
        return NOW + 60 * self.ledger.size

    def ask(self, plan: Plan, dropped: Mapping[Stage, Sequence[int]] = {}) -> None:
        """Reserve, ask real devices, settle or give up."""
        reserve = reserve_of(plan, self.time)
        index = self.ledger.add(reserve)
        final = self._session(plan, reserve, index, dropped)
        named = plans.digest(reserve.plan)
        if not isinstance(final, Finished):
            self.ledger.add(ledger.Abort(time=self.time, plan=named, reason="too few devices"))
            return
        self.evidence[named] = evidence.to_bytes(final.evidence)
        shown = evidence.shown_by_server(final.evidence, Terms.of(reserve.plan))
        self.participants[named] = b"".join(each.hex().encode() + b"\n" for each in sorted(shown.leaves))
        counts = Members(
            advertised=len(final.u1),
            sharing=len(final.u2),
            survivors=len(final.u3),
            noise_left=final.noise_left,
        )
        settle = Settle(
            time=self.time,
            plan=named,
            members=counts,
            sets=sets_of(shown),
            evidence=evidence.digest(self.evidence[named]),
            sum=sha256(final.total.tobytes()).hexdigest(),
            software=SOFTWARE,
        )
        self.ledger.add(settle)

    def _session(
        self, plan: Plan, reserve: ledger.Reserve, index: int, dropped: Mapping[Stage, Sequence[int]]
    ) -> object:
        proofs = self.ledger.proofs(self.policy, index, self.announced, time=self.time)
        self.announced = self.ledger.size
        draw = np.random.Generator(np.random.PCG64(plan.sum))
        vectors = draw.integers(-400, 400, (SIZE, LENGTH))
        fleet = Fleet(plan, vectors, self.roster)
        for device, vector in zip(self.devices, vectors, strict=True):
            device.vector, device.state = vector, None
        fleet.devices = {device.index + 2: device for device in self.devices}
        fleet.envelope = seal_envelope(reserve.plan, OPERATOR, self.roster, proofs)
        return fleet.run(dropped)


@cache
def honest() -> Made:
    """Three training rounds, the third asked again since too few answered at first, and a validation."""
    made = _Builder()
    policy, listed = made.policy, made.roster
    made.ledger.add(ledger.RunPolicy(time=made.time, run=RUN, policy=policy.decode()))
    made.ledger.add(enrol_entry(listed, made.time))
    made.ledger.add(
        ledger.TuningRun(
            time=made.time, run=RUN, words="none: settings are from public data", epsilon="0", delta="0"
        )
    )
    made.ask(plan_of(1, TRAIN, 0, policy, listed))
    made.ask(plan_of(2, TRAIN, 1, policy, listed), {"masked": (3, 7)})
    made.ask(plan_of(3, TRAIN, 2, policy, listed), {"share": (2, 3, 4, 5)})
    made.ask(plan_of(4, TRAIN, 2, policy, listed), {"share": (2,)})
    made.ask(plan_of(5, Validate(100), 3, policy, listed))
    release = ledger.ModelRelease(
        time=made.time,
        run=RUN,
        model=model(3),
        package=sha256(b"package").hexdigest(),
        policy=policy_sha(policy),
    )
    made.ledger.add(release)
    made.ledger.add(
        ledger.MetricsRelease(time=made.time, run=RUN, name="metrics.csv", sha256=sha256(b"csv").hexdigest())
    )
    head = head_over(made.ledger.lines)
    return Made(
        lines=tuple(made.ledger.lines),
        checkpoint=head,
        evidence=made.evidence,
        rosters={sha256(listed).hexdigest(): listed},
        participants=made.participants,
        anchors=Anchors(reviewers=REVIEWERS, enrolment=public_of(ENROLMENT), witnessed=head, now=NOW + 3000),
    )
