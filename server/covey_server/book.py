"""A run's sums in the ledger: reserved before they are asked for, settled before anything is done with them.

    round.reserve    before a plan is sent, and announced: spent from here on
    round.settle     after it was opened, with evidence of who was in it
    round.abort      after it was given up; it stays spent

A reserve without an end is what a crash left: it is aborted when the run goes on, and stays spent.
"""

import hashlib
import platform
from collections.abc import Sequence
from typing import Final

import numpy as np

import covey
from covey import plan as plans
from covey.encode import Integers
from covey.errors import ProtocolError, StateError
from covey.identity import Roster, claimed_roster
from covey.ledger.entries import (
    Abort,
    Enrol,
    Members,
    MetricsRelease,
    ModelRelease,
    Reserve,
    Revoke,
    RunPolicy,
    Settle,
    Software,
)
from covey.ledger.evidence import sets_of
from covey.plan import Plan
from covey.secagg import evidence as proofs_of_members
from covey.secagg.evidence import Shown
from covey.secagg.messages import Advertised, Proofs
from covey.secagg.terms import Terms
from covey_io import durable
from covey_server.ledger_writer import LedgerWriter, latest
from covey_server.sum_rows import Row, end_row, open_plans, reserve_row, rows_of
from covey_strategies.exchange import Settled
from covey_strategies.private_sum import Receipt, Signed
from covey_strategies.protection import Operator

CRASHED: Final = "the server stopped before the sum was opened"
MOST_REASON: Final = 2000
ROOM: Final = 1 << 20
"""Bytes that must be free on the ledger's disk before anything is asked, and for each device of a cohort:"""
DEVICE_ROOM: Final = 1 << 14
MOST_EVIDENCE: Final = 64
"""Sums whose evidence is read when a run begins: a device that was in none of them is not shown its past."""


class RunBook:
    """The book of one run.

    Args:
        run: The run's identifier.
        ledger: Open for writing.
        operator: Who signs plans, for whom and under which policy; None for a run without masks.
        sparse: Write entries down, and sign a head over them, when `announce` is called: for a simulation
            whose devices answer at once. Nothing is sent, and what a stop loses of it nobody has seen.

    Raises:
        StateError: Evidence is damaged.
    """

    def __init__(
        self, run: str, ledger: LedgerWriter, operator: Operator | None, *, sparse: bool = False
    ) -> None:
        self._sparse = sparse
        self._unwritten = list[Reserve | Settle | Abort]()
        self._run = run
        self._ledger = ledger
        self._operator = operator
        self._policy = operator.policy_sent if operator else b""
        self._rows = rows_of(ledger.entries, run)
        self._last = max((row["sum"] for row in self._rows), default=0)
        self.heads: dict[int, int] = {}
        self.adverts = _adverts(ledger)

    def begin(self) -> None:
        """Write down, once each, whom this run asks and under which policy; abort what a crash left open."""
        now, operator = self._ledger.now, self._operator
        if operator is not None:
            self.enrol(operator)
        if operator is not None and operator.policy is not None:
            self._once(RunPolicy(time=now, run=self._run, policy=operator.policy_sent.decode()))
        self.close_crashed()

    def enrol(self, operator: Operator) -> None:
        """Write down a roster before a plan names it, unless it is the one that was written down last."""
        sha256 = operator.reference.sha256
        last = latest(self._ledger.entries, Enrol)
        if last is not None and last.roster == sha256:
            return
        path = self._ledger.files.roster_path(sha256)
        durable.make_folder(path.parent)
        durable.replace(path, operator.roster_sent)
        roster = operator.roster
        entry = Enrol(
            time=self._ledger.now,
            fleet=roster.fleet,
            serial=roster.serial,
            roster=sha256,
            devices=len(roster.certificates),
            expires=roster.expires,
            simulation=roster.simulation,
        )
        gone = 0 if last is None else self._gone(last, roster)
        told: Enrol = entry
        if gone:
            told = Revoke(**{name: getattr(entry, name) for name in Enrol.__struct_fields__}, gone=gone)
        self._ledger.append([told])

    def _gone(self, last: Enrol, roster: Roster) -> int:
        """How many devices of the roster before are not in this one."""
        data = self._ledger.files.roster(last.roster)
        if data is None:
            return 0
        names = {each.device for each in roster.certificates}
        return sum(each.device not in names for each in claimed_roster(data).certificates)

    def rows(self) -> list[Row]:
        """All sums of the run so far, as people and scripts read them."""
        return list(self._rows)

    def next_sum(self) -> int:
        """A serial number that was never used."""
        self._last += 1
        return self._last

    def reserve(self, signed: Sequence[Signed]) -> tuple[Receipt, ...]:
        """Before plans are sent: durable when it returns, and announced unless the book is sparse.

        Raises:
            OSError: The disk has no room for how they would end. Nothing is written: it would stay spent.
        """
        cohorts = sum(plans.from_bytes(each.plan).cohort for each in signed)
        durable.check_room(self._ledger.files.path, ROOM + DEVICE_ROOM * cohorts)
        now = self._ledger.now
        reserves = [Reserve(time=now, plan=each.plan, signature=each.signature) for each in signed]
        self._rows += [reserve_row(plans.from_bytes(each.plan)) for each in signed]
        if self._sparse:
            self._unwritten += reserves
            return tuple(Receipt(self._ledger.history.size, lambda _: None) for _ in signed)
        places = self._ledger.append(reserves)
        head = self._ledger.announce()
        size = head.checkpoint.size

        def proofs(place: int, old: int) -> Proofs | None:
            if not self._policy:
                return None
            return Proofs(
                policy=self._policy,
                entry=self._ledger.line(place),
                index=place,
                inclusion=self._ledger.history.inclusion(place, size),
                checkpoint=head.note,
                old=old,
                consistency=self._ledger.history.consistency(old, size) if old <= size else (),
            )

        return tuple(Receipt(size, lambda old, place=place: proofs(place, old)) for place in places)  # type: ignore[misc]

    def settle(self, plan: Plan, settled: Settled) -> None:
        """After a sum was opened. What shows who was in it is on disk before the entry that says so."""
        sent = plans.to_bytes(plan)
        shown, digest = self._keep_evidence(sent, settled)
        entry = Settle(
            time=self._ledger.now,
            plan=plans.digest(sent),
            members=Members(
                advertised=settled.advertised,
                sharing=settled.sharing,
                survivors=settled.devices,
                noise_left=settled.noise_left,
            ),
            sets=None if shown is None else sets_of(shown),
            evidence=digest,
            sum=released(settled.total),
            software=_software(),
        )
        self._end(plan, entry)

    def abort(self, plan: Plan, reason: str) -> None:
        """After a sum was given up."""
        digest = plans.digest(plans.to_bytes(plan))
        self._end(plan, Abort(time=self._ledger.now, plan=digest, reason=reason[:MOST_REASON]))

    def _end(self, plan: Plan, entry: Settle | Abort) -> None:
        if self._sparse:
            self._unwritten.append(entry)
        else:
            self._ledger.append([entry])
        self._rows.append(end_row(plan, entry))

    def close_crashed(self) -> None:
        """Abort what a crash left open."""
        for plan in open_plans(self._ledger.entries, self._run):
            self.abort(plan, CRASHED)

    def release_metrics(self, name: str, content: bytes) -> None:
        """Before figures of the run are shown to anybody."""
        self._write()
        sha256 = hashlib.sha256(content).hexdigest()
        self._once(MetricsRelease(time=self._ledger.now, run=self._run, name=name, sha256=sha256))
        self._ledger.announce()

    def release_model(self, model: str, package: bytes, policy: str | None) -> None:
        """Before a package leaves the server's hands."""
        self._write()
        sha256 = hashlib.sha256(package).hexdigest()
        self._once(
            ModelRelease(time=self._ledger.now, run=self._run, model=model, package=sha256, policy=policy)
        )
        self._ledger.announce()

    def announce(self) -> None:
        """Sign a head over all that was written down: where no reserve or release follows that would."""
        self._write()
        self._ledger.announce()

    def _write(self) -> None:
        """What a sparse book has not written down yet."""
        unwritten, self._unwritten = self._unwritten, []
        self._ledger.append(unwritten)

    def _once(self, entry: RunPolicy | MetricsRelease | ModelRelease) -> None:
        """Write something down, unless that was done before a crash."""
        if not any(
            isinstance(each, type(entry)) and _timeless(each) == _timeless(entry)
            for each in self._ledger.entries
        ):
            self._ledger.append([entry])

    def _keep_evidence(self, sent: bytes, settled: Settled) -> tuple[Shown | None, str | None]:
        if settled.evidence is None:
            return None, None
        terms = Terms.of(sent)
        shown = proofs_of_members.shown_by_server(settled.evidence, terms)
        data = proofs_of_members.to_bytes(settled.evidence)
        files, plan = self._ledger.files, terms.digest.hex()
        leaves = b"".join(leaf.hex().encode() + b"\n" for leaf in sorted(shown.leaves))
        for path, content in (
            (files.evidence_path(plan), data),
            (files.participants_path(plan), leaves),
        ):
            durable.make_folder(path.parent)
            durable.replace(path, content)
        for advert, advertised in zip(shown.adverts, settled.evidence.adverts, strict=True):
            self.adverts[advert.device] = advertised
        return shown, proofs_of_members.digest(data)


def released(total: Integers) -> str:
    """SHA-256 of an opened sum: its elements as little-endian signed 64-bit integers."""
    return hashlib.sha256(np.ascontiguousarray(total, "<i8").tobytes()).hexdigest()


def _software() -> Software:
    return Software(covey=covey.__version__, python=platform.python_version(), numpy=np.__version__)


def _timeless(entry: RunPolicy | MetricsRelease | ModelRelease) -> tuple[object, ...]:
    return tuple(getattr(entry, name) for name in entry.__struct_fields__ if name != "time")


def _adverts(ledger: LedgerWriter) -> dict[str, Advertised]:
    """Each device's newest advert, as far as the newest evidence at hand goes back."""
    settled = [each for each in ledger.entries if isinstance(each, Settle) and each.evidence is not None]
    found: dict[str, Advertised] = {}
    for entry in settled[-MOST_EVIDENCE:]:
        found |= _advertised(ledger, entry)
    return found


def _advertised(ledger: LedgerWriter, entry: Settle) -> dict[str, Advertised]:
    data = ledger.files.evidence(entry.plan)
    if data is None:
        return {}
    try:
        read = proofs_of_members.from_bytes(data, blame="local")
        return dict(zip(proofs_of_members.names(read), read.adverts, strict=True))
    except ProtocolError as error:
        path = ledger.files.evidence_path(entry.plan)
        raise StateError(f"{path} is damaged: {error.message}", hint="put it back as it was") from error
