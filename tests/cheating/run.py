"""A run in the hands of an operator who cheats: everything in its folder can be changed and signed anew."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

from cheating.answers import Identity, answered, leaves
from cheating.folders import POLICY, WITNESSED
from cheating.keys import Keys
from covey import plan as plans
from covey.identity import Roster, claimed_roster, sign_roster
from covey.ledger import entries as ledger
from covey.ledger.checkpoint import Checkpoint, sign_checkpoint
from covey.ledger.entries import AnyEntry, Members
from covey.ledger.evidence import sets_of
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer, parse, signed
from covey.ledger.witness import Cosigned, request_of, step
from covey.plan import Plan, PolicyReference, RosterReference
from covey.policy import reading
from covey.policy.terms import Policy
from covey.secagg import evidence as proofs
from covey.secagg.evidence import Evidence
from covey.secagg.terms import Terms
from covey_server.sum_rows import rows_of
from covey_server.summary import privacy_of
from memory_ledger import enrol_entry, policy_sha, reserve_entry

ENTRIES: Final = "ledger/entries.jsonl"
CHECKPOINT: Final = "ledger/checkpoint"
ROSTERS: Final = "ledger/rosters/"
SUMMARY: Final = "summary.json"
FIGURES: Final = "metrics.csv"
PREVIOUS: Final = "previous"
"""A head that the reader kept, or has from a device's owner."""

DAY: Final = 24 * 3600

_Entry = TypeVar("_Entry", bound=AnyEntry)


class Run:
    """What is in a run's folder, to be changed.

    Args:
        files: The honest run's.
        keys: Everybody's.

    Attributes:
        files: All files but the entries.
        lines: The ledger's entries.
        now: When the reader audits, unix seconds: a day after the run unless a cheat says otherwise.
    """

    def __init__(self, files: Mapping[str, bytes], keys: Keys) -> None:
        self.files = dict(files)
        self.keys = keys
        self.lines = self.files.pop(ENTRIES).splitlines()
        self.now = self.last + DAY

    @property
    def made(self) -> dict[str, bytes]:
        """The folder."""
        return self.files | {ENTRIES: b"".join(line + b"\n" for line in self.lines)}

    # The ledger

    @property
    def last(self) -> int:
        """The time of the last entry."""
        return max(each.time for each in self.entries)

    @property
    def entries(self) -> list[AnyEntry]:
        """All of them."""
        return [ledger.decode(line) for line in self.lines]

    def entry(self, index: int, kind: type[_Entry]) -> _Entry:
        """An entry of a kind."""
        entry = ledger.decode(self.lines[index])
        assert isinstance(entry, kind)
        return entry

    def put(self, index: int, **changes: object) -> None:
        """An entry with other fields."""
        entry = ledger.decode(self.lines[index])
        self.lines[index] = ledger.encode(msgspec.structs.replace(entry, **changes))

    def insert(self, index: int, *entries: AnyEntry) -> None:
        """More entries."""
        self.lines[index:index] = [ledger.encode(each) for each in entries]

    def remove(self, *paths: str) -> None:
        """Files."""
        for path in paths:
            del self.files[path]

    # Heads

    @property
    def policy(self) -> Policy:
        """The policy that the reader holds."""
        return reading.parse(self.policy_text, "the policy")

    @property
    def log(self) -> Ed25519Signer:
        """The log's key."""
        return self.keys.log(self.policy)

    def head(self, size: int | None = None, by: Ed25519Signer | None = None) -> bytes:
        """A head over the first entries, signed by the log's key alone."""
        history = History.of(self.lines[:size])
        checkpoint = Checkpoint(self.log.name, history.size, history.root())
        return sign_checkpoint(checkpoint, by or self.log)

    def cosigned(self, size: int | None = None, time: int | None = None) -> bytes:
        """A head that a witness who has seen nothing else of this ledger cosigns, as an honest one does.

        Args:
            size: Over so many entries; None for all.
            time: When, unix seconds; None for when the last of them was written.
        """
        request, logs = request_of(0, (), self.head(size)), {self.log.name: self.log.verifier}
        seen = max(each.time for each in self.entries[:size]) if time is None else time
        answer = step(None, request, logs, self.keys.witness, seen)
        assert isinstance(answer, Cosigned)
        return answer.seen.note

    def sign_alone(self) -> None:
        """The log's key signs what the ledger has become. The witness does not: it has seen another."""
        self.files[CHECKPOINT] = self.head()

    def publish(self, time: int | None = None) -> None:
        """The cheat began with the ledger: the witness has never seen another one, and cosigns."""
        self.files[CHECKPOINT] = self.files[WITNESSED] = self.cosigned(time=time)

    # Sums

    def plan(self, index: int) -> Plan:
        """The plan of a reserve."""
        return plans.from_bytes(self.entry(index, ledger.Reserve).plan)

    def digest(self, index: int) -> str:
        """Of the plan of a reserve."""
        return plans.digest(self.entry(index, ledger.Reserve).plan)

    def end(self, plan: str) -> int:
        """Where a sum was opened."""
        return next(
            index
            for index, each in enumerate(self.entries)
            if isinstance(each, ledger.Settle) and each.plan == plan
        )

    def reserve(self, plan: Plan, time: int) -> ledger.Reserve:
        """A plan that the operator signed."""
        return reserve_entry(plans.to_bytes(plan), self.keys.operator, time)

    def ask(self, index: int, identity: Identity | None = None, **changes: object) -> None:
        """Another plan in a reserve. Devices answered it, set up so that they check nothing.

        Args:
            index: The reserve.
            identity: The devices' keys, if they are not the fleet's.
            changes: Of the plan.
        """
        old = self.entry(index, ledger.Reserve)
        plan = msgspec.structs.replace(plans.from_bytes(old.plan), **changes)
        new = self.reserve(plan, old.time)
        self.lines[index] = ledger.encode(new)
        named = plans.digest(old.plan)
        end, evidence = self.end(named), self.evidence(old.plan)
        self.hide(named)
        terms = Terms(plan, bytes.fromhex(plans.digest(new.plan)))
        answer = answered(evidence, terms, identity or self.keys.identity)
        self.show(end, answer, terms)

    def answer(self, index: int, dropped: Iterable[int] = (), ahead: int = 0) -> None:
        """The same plan, answered by fewer devices, or by devices that have counted further."""
        sent = self.entry(index, ledger.Reserve).plan
        terms = Terms.of(sent)
        answer = answered(self.evidence(sent), terms, self.keys.identity, dropped, ahead)
        self.show(self.end(plans.digest(sent)), answer, terms)

    def evidence(self, plan: bytes) -> Evidence:
        """Of a sum."""
        return proofs.from_bytes(self.files[_places(plans.digest(plan))[0]], blame="local")

    def show(self, end: int, evidence: Evidence, terms: Terms) -> None:
        """A sum's end as evidence has it."""
        data, named = proofs.to_bytes(evidence), terms.digest.hex()
        proof, participants = _places(named)
        self.files[proof], self.files[participants] = data, leaves(evidence, terms)
        counts = Members(
            advertised=len(evidence.adverts),
            sharing=len(evidence.u2),
            survivors=len(evidence.u3),
            noise_left=self.entry(end, ledger.Settle).members.noise_left,
        )
        self.put(
            end,
            plan=named,
            members=counts,
            sets=sets_of(proofs.shown_by_server(evidence, terms)),
            evidence=proofs.digest(data),
        )

    def hide(self, plan: str) -> None:
        """Remove what shows who was in a sum."""
        self.remove(*_places(plan))

    def ask_all(self, change: Callable[[Plan], Mapping[str, Any]], identity: Identity | None = None) -> None:
        """Every reserve with another plan; see `ask`."""
        for index, each in enumerate(self.entries):
            if isinstance(each, ledger.Reserve):
                self.ask(index, identity, **change(self.plan(index)))

    # Rosters

    @property
    def roster(self) -> bytes:
        """The honest roster, as signed."""
        return next(data for path, data in self.files.items() if path.startswith(ROSTERS))

    def enrol(self, index: int, roster: Roster, time: int) -> RosterReference:
        """A roster that the fleet's owner signed comes into force; how a plan names it."""
        gone = len(claimed_roster(self.roster).certificates) - len(roster.certificates)
        data = sign_roster(roster, self.keys.enrolment)
        entry = enrol_entry(data, time, gone)
        self.insert(index, entry)
        self.files[ROSTERS + entry.roster] = data
        return RosterReference(sha256=entry.roster, serial=roster.serial)

    def enrol_instead(self, index: int, roster: Roster, by: bytes, identity: Identity) -> None:
        """Another roster from the beginning, whose devices answered everything.

        Args:
            index: Of the entry that brings it.
            roster: The roster.
            by: Who signs it.
            identity: Its devices' keys.
        """
        data = sign_roster(roster, by)
        entry = enrol_entry(data, self.entry(index, ledger.Enrol).time)
        self.remove(ROSTERS + self.entry(index, ledger.Enrol).roster)
        self.lines[index] = ledger.encode(entry)
        self.files[ROSTERS + entry.roster] = data
        reference = RosterReference(sha256=entry.roster, serial=roster.serial)
        self.ask_all(lambda _: {"roster": reference}, identity)

    # Policies

    @property
    def policy_text(self) -> str:
        """Of the policy that the reader holds."""
        return parse(self.files[POLICY], blame="local").text

    def policy_note(self, changes: Mapping[str, str], by: Ed25519Signer | None = None) -> bytes:
        """The reader's policy with other lines.

        Args:
            changes: New lines by old ones; each old one stands there once.
            by: Who signs; None for the reviewer.
        """
        text = self.policy_text
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return signed(text, by or self.keys.reviewer)

    def govern(self, note: bytes, **changes: object) -> None:
        """Another policy from the beginning, and plans that appeal to it."""
        reference = PolicyReference(sha256=policy_sha(note), serial=1)
        for index, each in enumerate(self.entries):
            if isinstance(each, ledger.RunPolicy):
                self.put(index, policy=note.decode())
            elif isinstance(each, ledger.ModelRelease):
                self.put(index, policy=reference.sha256)
        self.ask_all(lambda _: {"policy": reference} | changes)

    # Files beside the ledger

    def summarise(self, delta: float | None = None, **changes: object) -> None:
        """The summary that follows from the ledger as it is, with other fields.

        Args:
            delta: For which ε is computed; None for what the honest one says.
            changes: Other fields.
        """
        rows = rows_of(self.entries, self.name)
        privacy = msgspec.to_builtins(privacy_of(rows, delta or self.privacy["delta"]))
        self.write_summary(self.summary | {"privacy": privacy} | changes)

    def claim(self, **changes: object) -> None:
        """Other claims about privacy in the summary."""
        self.write_summary(self.summary | {"privacy": self.privacy | changes})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """A summary as it is."""
        self.files[SUMMARY] = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"

    @property
    def summary(self) -> dict[str, Any]:
        """As it stands there."""
        read: dict[str, Any] = msgspec.json.decode(self.files[SUMMARY])
        return read

    @property
    def privacy(self) -> dict[str, Any]:
        """What the summary claims about privacy."""
        claims: dict[str, Any] = self.summary["privacy"]
        return claims

    @property
    def name(self) -> str:
        """The run's identifier."""
        return str(msgspec.json.decode(self.files["run.json"])["run"])

    def prettier_figures(self) -> str:
        """Better accuracy in the figures; the digest of the new file."""
        *head, last = csv.reader(io.StringIO(self.files[FIGURES].decode()))
        last[2] = "0.9713"
        data = "".join(",".join(row) + "\n" for row in (*head, last)).encode()
        self.files[FIGURES] = data
        return sha256(data).hexdigest()


def _places(plan: str) -> tuple[str, str]:
    """Where evidence of a sum lies, and where the leaves of its participants do."""
    return f"ledger/evidence/{plan}.msgpack", f"ledger/participants/{plan}.txt"
