"""Devices that answer under a signed policy only, and the run that asks them: nothing is waved through."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from covey import plan as plans
from covey.identity import public_of, sign
from covey.ledger.entries import Reserve
from covey.plan import Task
from covey.secagg.envelope import seal_envelope
from covey.secagg.messages import Proofs
from covey_client.budget import MemoryJournal
from covey_client.participant import Participant
from covey_client.seeds import SystemSeeds
from covey_strategies.asking import Question
from covey_strategies.exchange import Sealed, masked
from covey_strategies.private_sum import Receipt, Signed
from covey_strategies.protection import Operator, Protection
from digits_fleet import ENROLMENT, OPERATOR, Flock, MemoryBook, asking, operator, parameters, participant
from memory_ledger import REVIEWERS, MemoryLedger, opened, policy_note
from secagg_fleet import NOW

QUERY: Mapping[str, Any] = {
    "models": ["digits", "wrist"],
    "clip": "100",
    "noise_multiplier": "2",
    "minimum": 8,
    "answers": 40,
    "rate_limit": "24 per day",
}


def policy(**changes: Any) -> bytes:
    """A policy for digits, valid for a century; signed."""
    settings: dict[str, Any] = {
        "fleet": "digits",
        "valid_from": "~2026-01-01",
        "valid_until": "~2126-12-31",
        "simulation": False,
        "budget__epsilon": "100",
        "assumptions__dropouts": "0.34",
        "keys__operator": public_of(OPERATOR).hex(),
        "keys__enrolment": public_of(ENROLMENT).hex(),
        "queries": {kind: dict(QUERY) for kind in ("train", "validate", "statistics")},
    }
    return policy_note(**(settings | changes))


def policed(nodes: Iterable[int], note: bytes, *, serial: int = 1) -> Operator:
    """The server's side of trust, with a policy."""
    bare = operator(nodes, simulation=False, serial=serial)
    return replace(bare, policy=opened(note), policy_sent=note)


def owned(node: int, fleet: Flock, **changes: Any) -> Participant:
    """A node's device as a fleet has it: it answers protected sums only, and knows a reviewer."""
    made = participant(node, changes.pop("device", fleet.devices[node]))
    assert made.keys is not None
    settings: dict[str, Any] = {
        "unprotected": False,
        "seeds": SystemSeeds(),
        "journal": MemoryJournal(),
        "keys": replace(made.keys, reviewers=REVIEWERS),
    }
    return replace(made, **(settings | changes))


@dataclass
class LedgerBook(MemoryBook):
    """A book that writes reserves into a ledger and proves them.

    Attributes:
        ledger: The ledger.
        policy: As signed.
        shown: Sizes from which a proof was asked for, in order.
        bend: What becomes of the proofs.
        time: Of cosignatures, Unix seconds.
    """

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    policy: bytes = field(default_factory=policy)
    shown: list[int] = field(default_factory=list)
    bend: Callable[[Proofs], Proofs | None] = lambda proofs: proofs
    time: int = NOW

    def reserve(self, signed: Sequence[Signed]) -> tuple[Receipt, ...]:
        """See `covey_strategies.private_sum.Book`."""
        super().reserve(signed)
        places = [
            self.ledger.add(Reserve(time=self.time, plan=each.plan, signature=each.signature))
            for each in signed
        ]
        return tuple(self._receipt(place, self.ledger.size) for place in places)

    def _receipt(self, place: int, size: int) -> Receipt:
        def proofs(old: int) -> Proofs | None:
            self.shown.append(old)
            return self.bend(self.ledger.proofs(self.policy, place, old, size=size, time=self.time))

        return Receipt(size, proofs)


@dataclass
class Run:
    """A run under a policy: everything a server needs to ask its fleet again and again.

    Attributes:
        fleet: Whom it asks.
        book: Where it writes.
        run: Its identifier.
        serial: Of its roster.
    """

    fleet: Flock
    book: LedgerBook = field(default_factory=LedgerBook)
    run: str = "run"
    serial: int = 1

    def asking(self, **changes: Any) -> Any:
        """The run, for `question` and `collect`."""
        trusted = policed(self.fleet.devices, self.book.policy, serial=self.serial)
        settings: dict[str, Any] = {
            "masks": "on",
            "multipliers": dict.fromkeys(("train", "validate", "statistics"), 2.0),
            "operator": trusted,
        }
        made = asking(minimum=8, protection=Protection(**(settings | changes)), book=self.book)
        return replace(made, run=self.run)

    def question(self, task: Task, grid: Any = None, **changes: Any) -> Question:
        """The next sum of the run."""
        nodes = list(self.fleet.devices)
        found: Question = self.asking(**changes).question(grid, 1, task, parameters(), nodes)
        return found

    def replanned(self, asked: Question, **changes: Any) -> Question:
        """A question with other things in its plan, signed and proved as if nothing were wrong with it."""
        (exchange,) = asked.exchanges
        plan = msgspec.structs.replace(exchange.plan, **changes)
        (sent, trusted) = plans.to_bytes(plan), policed(self.fleet.devices, self.book.policy)
        signature = sign(trusted.private, "plan", sent)
        (receipt,) = self.book.reserve([Signed(sent, signature)])
        seal = partial(seal_envelope, sent, trusted.private, trusted.roster_sent)
        sealed = Sealed(lambda old: seal(receipt.proofs(old)), receipt.size, self.book.heads)
        made = masked(
            plan, asked.parameters, exchange.cohort, sealed=sealed, roster=trusted.roster, before={}
        )
        return replace(asked, exchanges=(made,))


def digest_of(asked: Question) -> str:
    """Of the plan of a question to one cohort."""
    (exchange,) = asked.exchanges
    return plans.digest(exchange.sent)
