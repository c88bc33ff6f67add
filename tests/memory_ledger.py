"""A ledger in memory with its log and its witness, and the proofs of it that devices are shown."""

from dataclasses import dataclass, field
from hashlib import sha256

import policy_texts
from covey.identity import claimed_roster, public_of, sign
from covey.ledger import entries
from covey.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from covey.ledger.entries import AnyEntry, Enrol, Reserve, Revoke
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer, parse, signed
from covey.policy.signed import Opened, Reviewers, digest, open_policy
from covey.secagg.messages import Proofs
from secagg_fleet import ENROLMENT, NOW, OPERATOR

REVIEWER = Ed25519Signer("reviewer.example", policy_texts.REVIEWER)
SECOND = Ed25519Signer("second.example", policy_texts.SECOND_REVIEWER)
LOG = Ed25519Signer(policy_texts.ORIGIN, policy_texts.LOG)
REVIEWERS = Reviewers((REVIEWER.verifier,))
KEYS = {"keys__operator": public_of(OPERATOR).hex(), "keys__enrolment": public_of(ENROLMENT).hex()}
"""Changes to a policy, so that it is of `secagg_fleet`."""


def policy_note(*signers: Ed25519Signer, **changes: object) -> bytes:
    """A policy, signed by the reviewer unless others are named; see `policy_texts.policy_text`."""
    return signed(policy_texts.policy_text(**changes), *(signers or (REVIEWER,)))


def opened(note: bytes, reviewers: Reviewers = REVIEWERS) -> Opened:
    """A policy as whoever trusts these reviewers reads it."""
    return open_policy(note, reviewers, blame="test")


def policy_sha(note: bytes) -> str:
    """What plans call a signed policy."""
    return digest(parse(note, blame="test").text)


def enrol_entry(roster: bytes, time: int, gone: int = 0) -> Enrol:
    """The entry of a signed roster, which so many devices of the one before are not in."""
    said = claimed_roster(roster)
    entry = Enrol(
        time=time,
        fleet=said.fleet,
        serial=said.serial,
        roster=sha256(roster).hexdigest(),
        devices=len(said.certificates),
        expires=said.expires,
        simulation=said.simulation,
    )
    if not gone:
        return entry
    return Revoke(**{name: getattr(entry, name) for name in Enrol.__struct_fields__}, gone=gone)


def reserve_entry(plan: bytes, operator: bytes, time: int = NOW) -> Reserve:
    """The entry of a plan, signed by its operator."""
    return Reserve(time=time, plan=plan, signature=sign(operator, "plan", plan))


@dataclass
class MemoryLedger:
    """Entries, and heads over the first of them.

    Attributes:
        lines: The entries as they stand in the log.
        log: Who signs heads.
        witnesses: Names and private keys of who cosign them.
    """

    lines: list[bytes] = field(default_factory=list)
    log: Ed25519Signer = LOG
    witnesses: tuple[tuple[str, bytes], ...] = ((policy_texts.WITNESS_NAME, policy_texts.WITNESS),)

    @property
    def size(self) -> int:
        """Entries so far."""
        return len(self.lines)

    @property
    def history(self) -> History:
        """The tree over them."""
        return History.of(self.lines)

    def add(self, entry: AnyEntry | bytes) -> int:
        """Append an entry; its place."""
        self.lines.append(entry if isinstance(entry, bytes) else entries.encode(entry))
        return len(self.lines) - 1

    def head(self, size: int | None = None, time: int = NOW) -> bytes:
        """A head over the first entries, cosigned at a time."""
        size = self.size if size is None else size
        checkpoint = Checkpoint(self.log.verifier.name, size, self.history.root(size))
        note = sign_checkpoint(checkpoint, self.log)
        return with_cosignatures(note, [cosign(note, *each, time) for each in self.witnesses])

    def proofs(
        self, policy: bytes, index: int, old: int = 0, *, size: int | None = None, time: int = NOW
    ) -> Proofs:
        """What a device wants to see of an entry that has seen the first `old` of them."""
        size = self.size if size is None else size
        return Proofs(
            policy=policy,
            entry=self.lines[index],
            index=index,
            inclusion=self.history.inclusion(index, size),
            checkpoint=self.head(size, time),
            old=old,
            consistency=self.history.consistency(old, size) if old <= size else (),
        )
