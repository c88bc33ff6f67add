"""A run's book: what is on disk, in what order, and that it is there once however often a run is stopped."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from covey import merkle
from covey import plan as plans
from covey.encode import Part
from covey.errors import ProtocolError, RoundAborted, StateError
from covey.identity import public_of, read_roster
from covey.ledger import entries, participation
from covey.ledger.checkpoint import LogTrust, claimed, open_checkpoint
from covey.ledger.entries import (
    Abort,
    AnyEntry,
    Enrol,
    MetricsRelease,
    ModelRelease,
    Reserve,
    Revoke,
    RunPolicy,
    Settle,
)
from covey.ledger.evidence import check
from covey.plan import Plan, Task
from covey.secagg import evidence as proofs_of_members
from covey.secagg.messages import Proofs
from covey.secagg.terms import Terms
from covey_client.participant import Participant
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_io.witness_client import LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_server.book import CRASHED, MOST_EVIDENCE, RunBook, released
from covey_server.ledger_writer import LedgerWriter, Log, writing
from covey_server.sum_rows import open_plans, read_entries
from covey_strategies.asking import Asking
from covey_strategies.exchange import Settled
from covey_strategies.private_sum import PrivateSum, Receipt, Signed
from covey_strategies.protection import Operator
from digits_fleet import (
    ENROLMENT,
    GRADIENT,
    NOISY,
    TRAIN,
    VALIDATE,
    Flock,
    asking,
    crowd,
    flock,
    grid_of,
    masked,
    operator,
    parameters,
    plan_of,
    question,
)
from memory_ledger import LOG
from policed_fleet import owned, policed, policy

NOW = 1_800_000_000
ENDED = Settled(
    np.arange(3, dtype=np.int64), devices=11, advertised=12, sharing=12, noise_left=1, evidence=None
)
SIGNATURE = b"s" * 64


@dataclass(frozen=True)
class Place:
    """A ledger's folder, with its witness."""

    folder: Path
    log: Log

    @property
    def files(self) -> LedgerFiles:
        return LedgerFiles(self.folder / "ledger")

    def entries(self) -> list[AnyEntry]:
        """What is on disk."""
        return read_entries(self.files)

    def kinds(self) -> list[str]:
        return [entries.kind_of(each) for each in self.entries()]

    def announced(self) -> int:
        """Entries that the head on disk names."""
        data = self.files.head()
        return 0 if data is None else claimed(data, blame="test").size

    @contextmanager
    def writer(self) -> Iterator[LedgerWriter]:
        with writing(self.files, self.log, lambda: NOW) as ledger:
            yield ledger

    @contextmanager
    def book(self, run: str = "run", trusted: Operator | None = None) -> Iterator[RunBook]:
        with self.writer() as ledger:
            yield RunBook(run, ledger, trusted)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    witness = WitnessFolder.make(tmp_path / "witness", "witness.example/w1", (LOG.verifier,))
    trust = LogTrust(LOG.verifier.name, LOG.verifier, (witness.key.verifier,), 1)
    return Place(tmp_path, Log(LOG, trust, (LocalWitness(tmp_path / "witness"),)))


def note_for(place: Place, **changes: Any) -> bytes:
    """A policy that names the place's witness."""
    return policy(ledger__witnesses=[each.vkey for each in place.log.trust.witnesses], **changes)


def train_plan(serial: int = 1, **changes: Any) -> Plan:
    """Masked and noisy, to twelve devices."""
    fleet = crowd()
    asked = question(TRAIN, list(fleet.devices), minimum=9, protection=masked(fleet, **NOISY))
    return msgspec.structs.replace(plan_of(asked), sum=serial, **changes)


def signed(plan: Plan, signature: bytes | None = SIGNATURE) -> Signed:
    return Signed(plans.to_bytes(plan), signature)


class TestRows:
    def test_serial_numbers_rise_from_one(self, place: Place) -> None:
        with place.book() as book:
            assert [book.next_sum() for _ in range(3)] == [1, 2, 3]

    def test_a_serial_number_that_was_reserved_is_never_used_again(self, place: Place) -> None:
        with place.book() as book:
            for _ in range(2):
                book.reserve([signed(train_plan(book.next_sum()))])
            book.abort(train_plan(2), "too few")
        with place.book() as again:
            assert again.next_sum() == 3

    def test_a_reserve_says_all_that_a_claim_is_computed_from(self, place: Place) -> None:
        plan = train_plan(7)
        with place.book() as book:
            book.reserve([signed(plan)])
            (row,) = book.rows()
        assert {key: row[key] for key in ("event", "sum", "cohort_number", "cohorts", "round", "kind")} == {
            "event": "reserve",
            "sum": 7,
            "cohort_number": 0,
            "cohorts": 1,
            "round": 1,
            "kind": "train",
        }
        assert (row["asked"], row["minimum"], row["corrupt"], row["unit"]) == (12, 9, 1, "device")
        assert (row["norm"], row["elements"], row["sampling_rate"]) == (plan.norm, plan.length, 1.0)
        assert row["noise"] == msgspec.to_builtins(plan.noise)
        assert row["suite"] == msgspec.to_builtins(plan.suite)
        assert row["masks"] == "on"
        assert [Part(**part) for part in row["parts"]] == list(plan.parts)

    def test_bytes_per_device_are_those_of_the_modulus_that_is_sent(self, place: Place) -> None:
        plan = train_plan()
        assert plan.suite
        assert plan.suite.bits < 32
        with place.book() as book:
            book.reserve([signed(plan)])
            assert book.rows()[0]["bytes_per_device"] == -(-plan.length * plan.suite.bits // 8)

    def test_in_clear_without_noise_the_row_says_so(self, place: Place) -> None:
        plan = plan_of(question(VALIDATE, list(flock().devices), grid=grid_of({})))
        with place.book() as book:
            book.reserve([signed(plan, None)])
            (row,) = book.rows()
        assert (row["masks"], row["suite"], row["noise"]) == ("none", None, None)
        assert row["bytes_per_device"] == 4 * row["elements"]

    def test_a_sampled_sum_says_its_rate(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(plan_of(question(GRADIENT, list(flock().devices))), None)])
            (row,) = book.rows()
        assert (row["kind"], row["unit"], row["sampling_rate"]) == ("gradient", "example", 0.5)

    def test_a_settle_says_how_many_were_in_it_and_what_noise_is_left(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
            book.settle(train_plan(), ENDED)
            assert book.rows()[1] == {
                "event": "settle",
                "sum": 1,
                "cohort_number": 0,
                "round": 1,
                "kind": "train",
                "devices": 11,
                "sharing": 12,
                "noise_left": 1,
                "advertised": 12,
                "evidence": None,
            }

    def test_an_abort_says_why(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
            book.abort(train_plan(), "7 of 12 devices answered")
            assert book.rows()[1]["reason"] == "7 of 12 devices answered"
        assert open_plans(place.entries(), "run") == []

    def test_kinds_are_those_of_the_plan(self, place: Place) -> None:
        asked = [plan_of(question(task, list(flock().devices))) for task in (TRAIN, GRADIENT, VALIDATE)]
        with place.book() as book:
            for each in asked:
                book.reserve([signed(each, None)])
            assert [row["kind"] for row in book.rows()] == [plans.kind(each) for each in asked]

    def test_rows_are_the_same_when_they_are_read_from_the_disk(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan(cohorts=2)), signed(train_plan(cohorts=2, cohort_number=1))])
            book.settle(train_plan(cohorts=2), ENDED)
            book.abort(train_plan(cohorts=2, cohort_number=1), "no")
            before = book.rows()
        with place.book() as again:
            assert again.rows() == before
        assert [row["event"] for row in before] == ["reserve", "reserve", "settle", "abort"]

    def test_two_runs_in_one_ledger_have_rows_and_numbers_of_their_own(self, place: Place) -> None:
        with place.book("run") as book:
            book.reserve([signed(train_plan(1)), signed(train_plan(2))])
        with place.book("other") as other:
            assert other.rows() == []
            assert other.next_sum() == 1
            other.begin()  # and leaves alone what the other run left open
            other.reserve([signed(train_plan(1, run="other"))])
            assert [row["sum"] for row in other.rows()] == [1]
        with place.book("run") as book:
            assert [row["sum"] for row in book.rows()] == [1, 2]
            assert len(open_plans(place.entries(), "run")) == 2


class TestDurable:
    def test_each_event_is_on_the_disk_before_the_call_returns(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
            assert place.kinds() == ["round.reserve"]
            book.settle(train_plan(), ENDED)
            assert place.kinds() == ["round.reserve", "round.settle"]
            book.reserve([signed(train_plan(2)), signed(train_plan(3))])
            assert place.kinds()[2:] == ["round.reserve", "round.reserve"]
            book.abort(train_plan(2), "no")
            assert place.kinds()[4:] == ["round.abort"]

    def test_a_reserve_is_announced_before_a_plan_can_be_sent(self, place: Place) -> None:
        with place.book() as book:
            for count in (1, 2):
                (receipt,) = book.reserve([signed(train_plan(count))])
                assert receipt.size == place.announced() == count
            data = place.files.head()
            assert data
            open_checkpoint(data, place.log.trust, blame="test")

    def test_a_reserve_holds_the_plan_as_it_is_sent_and_its_signature(self, place: Place) -> None:
        sent = signed(train_plan())
        with place.book() as book:
            book.reserve([sent])
        (entry,) = place.entries()
        assert isinstance(entry, Reserve)
        assert (entry.plan, entry.signature, entry.time) == (sent.plan, sent.signature, NOW)

    def test_without_a_witness_no_plan_is_sent_and_what_was_reserved_stays_spent(self, place: Place) -> None:
        (place.folder / "witness").rename(place.folder / "away")
        with place.book() as book, pytest.raises(RoundAborted, match="could not be witnessed"):
            book.reserve([signed(train_plan())])
        (place.folder / "away").rename(place.folder / "witness")
        with place.book() as again:
            again.begin()
            assert [row["event"] for row in again.rows()] == ["reserve", "abort"]
            assert again.rows()[1]["reason"] == CRASHED
            assert again.next_sum() == 2
            again.reserve([signed(train_plan(2))])
        assert place.announced() == 3

    def test_an_entry_is_one_line_whatever_a_reason_is_made_of(self, place: Place) -> None:
        reasons = ["a reason\nof two lines\r\n", '{"kind": "round.settle"}\x00 é 日本', "x" * 5000, ""]
        with place.book() as book:
            for serial, reason in enumerate(reasons, start=1):
                book.reserve([signed(train_plan(serial))])
                book.abort(train_plan(serial), reason)
        lines, torn = place.files.lines()
        assert (len(lines), torn) == (8, b"")
        found = [each.reason for each in place.entries() if isinstance(each, Abort)]
        assert found == [reason[:2000] for reason in reasons]

    def test_what_could_not_be_read_again_is_not_written(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
            with pytest.raises(ProtocolError, match="malformed entry"):
                book.release_metrics("x" * 200, b"")
            book.release_metrics("x", b"")
        assert place.kinds() == ["round.reserve", "metrics.release"]


class TestCrashed:
    def test_what_a_crash_left_open_is_aborted_cohort_by_cohort_and_once(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan(cohorts=2, cohort_number=number)) for number in (0, 1)])
            book.settle(train_plan(cohorts=2, cohort_number=0), ENDED)
        for _ in range(2):
            with place.book() as again:
                again.close_crashed()
                again.close_crashed()
                rows = again.rows()
        assert [(row["event"], row["cohort_number"]) for row in rows] == [
            ("reserve", 0),
            ("reserve", 1),
            ("settle", 0),
            ("abort", 1),
        ]
        assert rows[-1] == {
            "event": "abort",
            "sum": 1,
            "cohort_number": 1,
            "round": 1,
            "kind": "train",
            "reason": CRASHED,
        }

    def test_a_reserve_that_a_crash_tore_was_not_made(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
        (line,), _ = place.files.lines()
        whole = entries.encode(
            msgspec.structs.replace(place.entries()[0], plan=plans.to_bytes(train_plan(2)))
        )
        place.files.entries.write_bytes(line + b"\n" + whole)  # without its end: nothing was sent for it
        with place.book() as again:
            assert len(again.rows()) == 1
            assert again.next_sum() == 2

    def test_of_two_reserves_one_can_be_torn(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan(cohorts=2, cohort_number=number)) for number in (0, 1)])
        place.files.checkpoint.unlink()  # the crash came before the head
        (place.folder / "witness").rename(place.folder / "gone")
        WitnessFolder.make(place.folder / "witness", "witness.example/w1", (LOG.verifier,))
        place.files.entries.write_bytes(place.files.entries.read_bytes()[:-10])
        with place.book() as again:
            again.close_crashed()
            assert [(row["event"], row["cohort_number"]) for row in again.rows()] == [
                ("reserve", 0),
                ("abort", 0),
            ]


class Fleet:
    """Twelve devices that answer under a policy, and a run that asks them through its book."""

    def __init__(self, place: Place, run: str = "run") -> None:
        self.place = place
        self.flock: Flock = crowd()
        self.participants: dict[int, Participant] = {
            node: owned(node, self.flock) for node in self.flock.devices
        }
        self.note = note_for(place)
        self.operator = policed(self.flock.devices, self.note)
        self.run = run

    @contextmanager
    def book(self) -> Iterator[RunBook]:
        """The run's, begun."""
        with self.place.book(self.run, self.operator) as book:
            book.begin()
            yield book

    def asking(self, book: RunBook) -> Asking:
        bare = asking(
            minimum=8, protection=masked(self.flock, multipliers=MULTIPLIERS, operator=self.operator)
        )
        return replace(bare, run=self.run, book=book)

    def sum(self, book: RunBook, task: Task = VALIDATE) -> PrivateSum:
        """Asked, answered and written down."""
        grid, asked = grid_of(self.participants), self.asking(book)
        sent = asked.question(grid, 1, task, parameters(), list(self.flock.devices))
        return asked.collect(sent, list(grid.send_and_receive(sent.messages())))


MULTIPLIERS: Mapping[Any, float] = dict.fromkeys(("train", "validate", "statistics"), 2.0)


@pytest.fixture
def fleet(place: Place) -> Fleet:
    return Fleet(place)


class TestProofs:
    def test_devices_that_ask_for_every_proof_answer(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            assert [fleet.sum(book).devices for _ in range(3)] == [12, 12, 12]
            assert set(book.heads.values()) == {fleet.place.announced()}
        with fleet.book() as again:  # it does not know what devices have seen, and asks them
            assert again.heads == {}
            found = fleet.sum(again)
        assert (found.devices, found.refused) == (12, ())
        assert [row["event"] for row in again.rows()] == ["reserve", "settle"] * 4

    def test_a_receipt_proves_the_entry_from_any_size_that_a_device_has_seen(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            receipts = book.reserve([signed(train_plan(serial)) for serial in (1, 2, 3)])
            for index, receipt in enumerate(receipts, start=2):
                for old in range(receipt.size + 1):
                    self._check(fleet, receipt, index, old)
            past = receipts[0].proofs(receipts[0].size + 1)
            assert past is not None
            assert past.consistency == ()  # nothing goes from a larger ledger to a smaller

    def _check(self, fleet: Fleet, receipt: Receipt, index: int, old: int) -> None:
        found = receipt.proofs(old)
        assert isinstance(found, Proofs)
        head = open_checkpoint(found.checkpoint, fleet.place.log.trust, blame="test").checkpoint
        lines, _ = fleet.place.files.lines()
        assert (found.policy, found.entry, found.index, found.old) == (fleet.note, lines[index], index, old)
        assert merkle.verify_path(found.entry, index, head.size, found.inclusion, head.root)
        before = merkle.root(lines[:old])
        assert merkle.verify_consistency(old, head.size, found.consistency, before, head.root)

    def test_what_is_appended_later_changes_no_receipt(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            (receipt,) = book.reserve([signed(train_plan(1))])
            before = receipt.proofs(1)
            book.abort(train_plan(1), "no")
            book.reserve([signed(train_plan(2))])
            assert receipt.proofs(1) == before

    def test_without_a_policy_there_is_nothing_to_prove(self, place: Place) -> None:
        with place.book(trusted=operator([2, 3])) as book:
            (receipt,) = book.reserve([signed(train_plan())])
            assert receipt.proofs(0) is None


class TestEvidence:
    def test_what_is_on_disk_shows_who_was_in_the_sum(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            fleet.sum(book)
            (row,) = [row for row in book.rows() if row["event"] == "settle"]
        reserve, settle = fleet.place.entries()[-2:]
        assert isinstance(reserve, Reserve)
        assert isinstance(settle, Settle)
        data = fleet.place.files.evidence(settle.plan)
        assert data is not None
        assert settle.evidence == hashlib.sha256(data).hexdigest()
        roster = read_roster(fleet.operator.roster_sent, public_of(ENROLMENT), now=NOW, least_serial=0)
        read = proofs_of_members.from_bytes(data, blame="test")
        shown = check(read, Terms.of(reserve.plan), roster, settle, blame="test")
        assert len(shown.survivors) == settle.members.survivors == 12
        assert settle.sets
        assert {key: row[key] for key in ("u1", "u2", "u3", "participants")} == msgspec.to_builtins(
            settle.sets
        )

    def test_participants_are_leaves_in_order_and_their_root_is_in_the_entry(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            fleet.sum(book)
        settle = fleet.place.entries()[-1]
        assert isinstance(settle, Settle)
        assert settle.sets
        data = fleet.place.files.participants(settle.plan)
        assert data is not None
        leaves = [bytes.fromhex(line) for line in data.decode().splitlines()]
        assert leaves == sorted(leaves)
        assert merkle.root(leaves).hex() == settle.sets.participants
        own = {
            participation.leaf(participation.opening(each.keys.salt, "run", 1), each.keys.me.device)
            for each in fleet.participants.values()
            if each.keys
        }
        assert set(leaves) == own

    def test_evidence_and_participants_are_on_disk_before_the_entry_that_names_them(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[str] = []
        for name in ("replace", "append"):
            monkeypatch.setattr(durable, name, _noting(getattr(durable, name), written))
        with fleet.book() as book:
            fleet.sum(book)
        after = written[written.index("checkpoint") + 1 :]
        assert [name.partition(".")[2] or name for name in after] == ["msgpack", "txt", "jsonl"]

    def test_what_comes_out_is_named_by_its_digest(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
            book.settle(train_plan(), ENDED)
        settle = place.entries()[-1]
        assert isinstance(settle, Settle)
        assert settle.sum == hashlib.sha256(b"".join(n.to_bytes(8, "little") for n in range(3))).hexdigest()
        assert settle.sum == released(np.arange(6, dtype=np.int64)[::2] // 2)  # whatever its layout
        assert released(np.array([-1], np.int64)) == hashlib.sha256(b"\xff" * 8).hexdigest()

    def test_in_clear_there_is_none(self, place: Place) -> None:
        with place.book() as book:
            book.reserve([signed(train_plan())])
            book.settle(train_plan(), ENDED)
        settle = place.entries()[-1]
        assert isinstance(settle, Settle)
        assert (settle.sets, settle.evidence) == (None, None)
        assert not (place.files.path / "evidence").exists()

    def test_each_device_is_shown_what_it_signed_last_also_after_a_restart(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            fleet.sum(book)
            fleet.sum(book)
            before = dict(book.adverts)
        assert len(before) == 12
        with fleet.book() as again:
            assert again.adverts == before
        counters = {_counter(each.body) for each in before.values()}
        assert counters == {2}

    def test_of_a_long_ledger_the_newest_evidence_is_read(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settle = Settle(
            time=NOW,
            plan="00" * 32,
            members=entries.Members(advertised=2, sharing=2, survivors=2, noise_left=0),
            sets=None,
            evidence="ab" * 32,
            sum="cd" * 32,
            software=entries.Software(covey="1", python="3", numpy="2"),
        )
        with place.writer() as ledger:
            count = MOST_EVIDENCE + 5
            ledger.append(msgspec.structs.replace(settle, plan=f"{number:064x}") for number in range(count))
            read: list[str] = []
            monkeypatch.setattr(LedgerFiles, "evidence", lambda _, plan: read.append(plan))
            RunBook("run", ledger, None)
        assert read == [f"{number:064x}" for number in range(5, count)]

    def test_damaged_evidence_is_named(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            fleet.sum(book)
        (path,) = (fleet.place.files.path / "evidence").iterdir()
        path.write_bytes(b"\xc1")
        with pytest.raises(StateError, match=f"{path.name} is damaged"), fleet.book():
            pass

    def test_evidence_that_a_reviewer_took_away_stops_nobody(self, fleet: Fleet) -> None:
        with fleet.book() as book:
            fleet.sum(book)
        (path,) = (fleet.place.files.path / "evidence").iterdir()
        path.unlink()
        with fleet.book() as again:
            assert again.adverts == {}
            assert fleet.sum(again).devices == 12


def _counter(advert: bytes) -> int:
    return int(msgspec.msgpack.decode(advert)[-2])


def _noting(act: Callable[..., None], written: list[str]) -> Callable[..., None]:
    def noted(path: Path, *arguments: Any, **named: Any) -> None:
        written.append(path.name)
        act(path, *arguments, **named)

    return noted


class TestBegin:
    def test_roster_and_policy_are_written_down_once(self, fleet: Fleet) -> None:
        for _ in range(3):
            with fleet.book() as book:
                book.begin()
        enrol, in_force = fleet.place.entries()
        assert isinstance(enrol, Enrol)
        assert (enrol.fleet, enrol.serial, enrol.devices, enrol.simulation) == ("digits", 1, 12, False)
        assert enrol.expires == fleet.operator.roster.expires
        assert fleet.place.files.roster(enrol.roster) == fleet.operator.roster_sent
        assert enrol.roster == hashlib.sha256(fleet.operator.roster_sent).hexdigest()
        assert in_force == RunPolicy(time=NOW, run="run", policy=fleet.note.decode())

    def test_each_run_says_its_policy_and_the_roster_stays(self, fleet: Fleet) -> None:
        for run in ("run", "other", "run"):
            fleet.run = run
            with fleet.book():
                pass
        assert fleet.place.kinds() == ["enrol", "run.policy", "run.policy"]
        found = [each.run for each in fleet.place.entries() if isinstance(each, RunPolicy)]
        assert found == ["run", "other"]

    def test_a_policy_that_is_replaced_half_way_is_said(self, fleet: Fleet) -> None:
        with fleet.book():
            pass
        assert fleet.operator.policy
        fleet.note = note_for(fleet.place, serial=2, previous=fleet.operator.policy.sha256)
        fleet.operator = policed(fleet.flock.devices, fleet.note)
        with fleet.book() as book:
            assert fleet.sum(book).devices == 12
        found = [each.policy for each in fleet.place.entries() if isinstance(each, RunPolicy)]
        assert len(found) == 2
        assert found[1] == fleet.note.decode()

    def test_a_roster_that_lacks_devices_revokes_them(self, fleet: Fleet) -> None:
        with fleet.book():
            pass
        for nodes, serial in ((range(2, 12), 2), (range(2, 15), 3), (range(4, 14), 4)):
            fleet.operator = policed(nodes, fleet.note, serial=serial)
            with fleet.book():
                pass
        found = [each for each in fleet.place.entries() if isinstance(each, Enrol)]
        assert [type(each) for each in found] == [Enrol, Revoke, Enrol, Revoke]
        assert [each.devices for each in found] == [12, 10, 13, 10]
        assert [each.gone for each in found if isinstance(each, Revoke)] == [2, 3]
        assert len(list((fleet.place.files.path / "rosters").iterdir())) == 4

    def test_the_roster_is_on_disk_before_the_entry_that_names_it(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[str] = []
        for name in ("replace", "append"):
            monkeypatch.setattr(durable, name, _noting(getattr(durable, name), written))
        with fleet.book():
            pass
        assert written[0] == fleet.operator.reference.sha256
        assert written[1] == "entries.jsonl"

    def test_a_run_without_an_operator_says_neither(self, place: Place) -> None:
        with place.book() as book:
            book.begin()
        assert not place.files.is_there

    def test_a_run_without_a_policy_says_its_roster(self, place: Place) -> None:
        with place.book(trusted=operator(range(2, 14))) as book:
            book.begin()
        assert place.kinds() == ["enrol"]


class TestReleases:
    def test_a_release_is_announced_and_written_down_once_also_after_a_restart(self, place: Place) -> None:
        for _ in range(3):
            with place.book() as book:
                book.release_metrics("metrics.csv", b"a,b\n")
                book.release_model("ab" * 32, b"package", "cd" * 32)
                assert place.announced() == 2
        assert place.entries() == [
            MetricsRelease(
                time=NOW, run="run", name="metrics.csv", sha256=hashlib.sha256(b"a,b\n").hexdigest()
            ),
            ModelRelease(
                time=NOW,
                run="run",
                model="ab" * 32,
                package=hashlib.sha256(b"package").hexdigest(),
                policy="cd" * 32,
            ),
        ]

    def test_another_content_run_or_policy_is_another_release(self, place: Place) -> None:
        with place.book() as book:
            book.release_metrics("metrics.csv", b"a")
            book.release_metrics("metrics.csv", b"b")
            book.release_metrics("other.csv", b"b")
            book.release_model("ab" * 32, b"p", None)
            book.release_model("ab" * 32, b"p", "cd" * 32)
            book.release_model("ab" * 32, b"q", "cd" * 32)
        with place.book("other") as book:
            book.release_metrics("metrics.csv", b"a")
        assert len(place.entries()) == place.announced() == 7

    def test_one_that_a_crash_left_unannounced_is_announced(self, place: Place) -> None:
        (place.folder / "witness").rename(place.folder / "away")
        with place.book() as book, pytest.raises(RoundAborted):
            book.release_metrics("metrics.csv", b"a")
        (place.folder / "away").rename(place.folder / "witness")
        assert (place.kinds(), place.announced()) == (["metrics.release"], 0)
        with place.book() as again:
            again.release_metrics("metrics.csv", b"a")
        assert (place.kinds(), place.announced()) == (["metrics.release"], 1)
