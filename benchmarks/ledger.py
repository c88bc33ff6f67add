#!/usr/bin/env python3
"""What the ledger costs: appending, announcing, proving, auditing, bytes.

One JSON object a line:

  rounds                reserves, each settled; entries are twice as many, and a few
  append_fsync_ms       one entry, encoded, hashed and durable (median; the disk decides)
  announce_ms           a head over all entries, signed, cosigned by a witness in a folder, durable (median)
  announce_alone_ms     the same without a witness
  sign_and_hash_ms      what of it is not the disk: a signature, a root (median)
  proof_ms              inclusion of a plan and consistency since the head before (median)
  open_envelope_ms      all that a device checks of a plan before it reserves: 4 signatures, policy, proofs
  reserve_ms            a device's journal with so many plans in it: ε of all of them and one more, uncached
  read_journal_ms       reading that journal from its file
  bytes_per_round       of entries.jsonl: a reserve and its settle
  bytes_per_envelope    of policy, entry and proofs that travel with a plan
  audit_s               `covey audit` without evidence, closed form only; by the clock
  audit_cpu_s           the same, CPU time
  audit_libraries_s     the same with dp-accounting and, where installed, Opacus; by the clock
  audit_libraries_cpu_s the same, CPU time
  audit_peak_mb         memory of the process after it

  benchmarks/ledger.py --rounds 10000
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec

from covey import budget as budgets
from covey import plan as plans
from covey.arrays import digest
from covey.identity import Certificate, Roster, public_of, read_roster, sign, sign_roster
from covey.ledger.checkpoint import LogTrust
from covey.ledger.entries import Enrol, Members, Reserve, RunPolicy, Sets, Settle, Software
from covey.ledger.note import Ed25519Signer, signed
from covey.plan import Plan
from covey.policy.signed import Reviewers, open_policy
from covey.secagg.envelope import Trust, open_envelope, seal_envelope
from covey.secagg.messages import Proofs
from covey_audit.auditing import Anchors, Material, audit
from covey_client.budget import FileJournal
from covey_io import settings
from covey_io.ledger_files import LedgerFiles
from covey_io.witness_client import LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_models.registry import find
from covey_models.training import initial
from covey_server.ledger_writer import LedgerWriter, Log, writing
from covey_server.policy_draft import Frame, draft
from covey_server.privacy import protection
from covey_server.settings import FederationFile, train_task
from covey_strategies.cohort import minimum_of
from covey_strategies.protection import Operator

DEVICES = 20
START = 1_800_000_000
REPEATS = 50


def milliseconds(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of an action."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return round(1e3 * median(taken), 3)


class Fleet:
    """Keys, roster, policy and plans of a fleet that nobody is in.

    Args:
        folder: For the witness.
        rounds: Training rounds.
    """

    def __init__(self, folder: Path, rounds: int) -> None:
        table = {
            "name": "bench",
            "model": {"name": "wrist-motion"},
            "federation": {"rounds": rounds, "validate_every": rounds, "standardise": False},
            "privacy": {
                "train_multiplier": 50.0,
                "validate_multiplier": 50.0,
                "calibrate_multiplier": 50.0,
                "sensitivity": 64,
            },
        }
        self.file = settings.convert(table, FederationFile, "the benchmark")
        self.model = find("wrist-motion")
        self.enrolment, self.private = os.urandom(32), os.urandom(32)
        names = [f"d{number:03d}" for number in range(DEVICES)]
        certificates = tuple(Certificate(name, public_of(os.urandom(32)), START << 1) for name in names)
        self.sent = sign_roster(Roster("bench", 1, START << 1, False, certificates), self.enrolment)
        roster = read_roster(self.sent, public_of(self.enrolment), now=START, least_serial=0)
        signer = Ed25519Signer("covey/bench", os.urandom(32))
        self.witness = WitnessFolder.make(folder / "witness", "covey/bench/witness", (signer.verifier,))
        self.trust = LogTrust("covey/bench", signer.verifier, (self.witness.key.verifier,), 1)
        self.log = Log(signer, self.trust, (LocalWitness(self.witness.folder),))
        self.alone = Log(signer, LogTrust("covey/bench", signer.verifier, (), 0), ())
        reviewer = Ed25519Signer("covey/bench/reviewer", os.urandom(32))
        self.reviewers = Reviewers((reviewer.verifier,))
        operator = Operator(self.private, roster, self.sent)
        protected = protection(self.file, self.model, operator, seeded=False)
        frame = Frame(
            fleet="bench",
            purpose="To be measured.",
            operator=public_of(self.private).hex(),
            enrolment=public_of(self.enrolment).hex(),
            log=self.trust,
            valid_from="2020-01-01",
            valid_until="2099-12-31",
            spare=10 * REPEATS,
        )
        self.note = signed(draft(self.file, self.model, protected, DEVICES, frame), reviewer)
        self.policy = open_policy(self.note, self.reviewers, blame="local")
        operator = Operator(self.private, roster, self.sent, self.policy, self.note)
        protected = protection(self.file, self.model, operator, seeded=False)
        parameters = initial(self.model, 0)
        bare = Plan(
            run="bench",
            sum=1,
            round=1,
            model=self.model.name,
            model_sha256=digest(parameters),
            preprocessing=None,
            task=train_task(self.file, 1),
            parts=(),
            unit="device",
            norm=1,
            cohort=DEVICES,
            minimum=minimum_of(DEVICES, 0, 0.3, protected),
            masks="none",
        )
        self.plan = protected.protect(bare, parameters, self.model)
        self.roster = operator.reference

    def reserve(self, number: int) -> Reserve:
        """The entry of a round."""
        sent = plans.to_bytes(msgspec.structs.replace(self.plan, sum=number, round=number))
        return Reserve(time=START + number, plan=sent, signature=sign(self.private, "plan", sent))

    def settle(self, reserve: Reserve) -> Settle:
        """How it ended; evidence apart."""
        some = os.urandom(32).hex()
        return Settle(
            time=reserve.time + 1,
            plan=plans.digest(reserve.plan),
            members=Members(advertised=DEVICES, sharing=DEVICES, survivors=DEVICES, noise_left=0),
            sets=Sets(u1=some, u2=some, u3=some, participants=some),
            evidence=some,
            sum=some,
            software=Software(covey="0.1.0", python="3.11", numpy="2.0"),
        )


def entries(fleet: Fleet, rounds: int) -> Iterator[RunPolicy | Enrol | Reserve | Settle]:
    """A whole ledger's."""
    yield Enrol(
        time=START,
        fleet="bench",
        serial=1,
        roster=fleet.roster.sha256,
        devices=DEVICES,
        expires=START << 1,
        simulation=False,
    )
    yield RunPolicy(time=START, run="bench", policy=fleet.note.decode())
    for number in range(1, rounds + 1):
        reserve = fleet.reserve(number)
        yield reserve
        yield fleet.settle(reserve)


def ledger(folder: Path, fleet: Fleet, rounds: int) -> dict[str, float]:
    """Writing it, and what a device is shown of it."""
    found: dict[str, float] = {"rounds": rounds}
    with writing(LedgerFiles(folder / "ledger"), fleet.log, lambda: START) as writer:
        writer.append(entries(fleet, rounds))
        writer.announce()
        size = writer.files.entries.stat().st_size
        found["bytes_per_round"] = round(size / rounds)
        numbers = iter(range(rounds + 1, rounds + 1 + 10 * REPEATS))
        old = writer.history.size
        found["append_fsync_ms"] = milliseconds(lambda: writer.append([fleet.reserve(next(numbers))]))

        def announce() -> None:
            writer.append([fleet.reserve(next(numbers))])
            writer.announce()

        both = milliseconds(announce)
        found["announce_ms"] = round(both - found["append_fsync_ms"], 3)
        found["sign_and_hash_ms"] = milliseconds(
            lambda: (fleet.log.signer.sign(b"x" * 100), writer.history.root())
        )
        head = writer.announce()
        place = writer.history.size - 1
        found["proof_ms"] = milliseconds(
            lambda: (writer.history.inclusion(place, place + 1), writer.history.consistency(old, place + 1))
        )
        found |= shown(fleet, writer, place, head.note)
    with writing(LedgerFiles(folder / "alone"), fleet.alone, lambda: START) as writer:
        numbers = iter(range(1, 10 * REPEATS))
        writer.append([fleet.reserve(next(numbers))])

        def announce_alone() -> None:
            writer.append([fleet.reserve(next(numbers))])
            writer.announce()

        found["announce_alone_ms"] = round(milliseconds(announce_alone) - found["append_fsync_ms"], 3)
    return found


def shown(fleet: Fleet, writer: LedgerWriter, place: int, note: bytes) -> dict[str, float]:
    """What a device checks of a plan."""
    entry = writer.entries[place]
    if not isinstance(entry, Reserve):
        raise TypeError("the last entry is a reserve")
    history = writer.history
    proofs = Proofs(
        policy=fleet.note,
        entry=writer.line(place),
        index=place,
        inclusion=history.inclusion(place, history.size),
        checkpoint=note,
        old=0,
        consistency=(),
    )
    envelope = seal_envelope(entry.plan, fleet.private, fleet.sent, proofs)
    bare = seal_envelope(entry.plan, fleet.private, fleet.sent)
    trust = Trust(public_of(fleet.private), public_of(fleet.enrolment), 0, fleet.reviewers)
    return {
        "open_envelope_ms": milliseconds(lambda: open_envelope(envelope, trust, "d000", START)),
        "bytes_per_envelope": len(envelope) - len(bare),
    }


def device(folder: Path, fleet: Fleet, rounds: int) -> dict[str, float]:
    """A device's own journal."""
    journal = FileJournal(folder / "budget.jsonl")
    rows: list[budgets.Row] = []
    for number in range(1, rounds):
        plan = msgspec.structs.replace(fleet.plan, sum=number, round=number)
        asked = budgets.Asked.of(plan)
        name = plans.digest(plans.to_bytes(plan))
        rows.append(budgets.Reserved(START + number, name, fleet.policy.sha256, "train", asked))
        rows.append(budgets.Settled(START + number, name, "answered"))
    journal.write(rows)
    last = msgspec.structs.replace(fleet.plan, sum=rounds, round=rounds)
    name = plans.digest(plans.to_bytes(last))

    def reserve() -> None:
        budgets._epsilon.cache_clear()  # noqa: SLF001 - a device's process has none
        budgets.reserve(journal.budget, last, name, fleet.policy, START + rounds)

    return {
        "reserve_ms": milliseconds(reserve, 5),
        "read_journal_ms": milliseconds(lambda: FileJournal(folder / "budget.jsonl"), 5),
    }


def audited(folder: Path, fleet: Fleet) -> dict[str, float]:
    """The whole ledger, with nothing but what is public."""
    files = LedgerFiles(folder / "ledger")
    lines, torn = files.lines()
    rosters = {fleet.roster.sha256: fleet.sent}
    material = Material("bench", lines, torn, files.head(), roster=rosters.get)
    anchors = Anchors(reviewers=fleet.reviewers, policy=fleet.note, enrolment=public_of(fleet.enrolment))
    found: dict[str, float] = {}
    for name, libraries in (("audit", False), ("audit_libraries", True)):
        started, spent = time.perf_counter(), time.process_time()
        result = audit(material, anchors, libraries=libraries)
        found[f"{name}_s"] = round(time.perf_counter() - started, 2)
        found[f"{name}_cpu_s"] = round(time.process_time() - spent, 2)
        critical = [each for each in result.findings if each.severity == "critical"]
        if critical:
            raise SystemExit(f"the honest ledger is not clean: {critical[0]}")
    found["audit_peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found


def main() -> None:
    """Print one line of figures for each number of rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, action="append", help="repeat for more; 10000 if none")
    for rounds in parser.parse_args().rounds or [10_000]:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            fleet = Fleet(folder, rounds)
            found = ledger(folder, fleet, rounds) | device(folder, fleet, rounds) | audited(folder, fleet)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
