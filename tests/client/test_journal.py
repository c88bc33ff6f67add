"""A device's journal in the hands of several processes: Flower starts one for every message."""

from contextlib import ExitStack
from pathlib import Path
from threading import Thread

from flwr.app import Message

import policed_fleet
from bent_grid import BentGrid
from covey_client.budget import FileJournal
from covey_client.claims import FileClaims
from covey_client.participant import Participant
from covey_strategies.exchange import Exchange
from digits_fleet import VALIDATE, crowd
from policed_fleet import LedgerBook, Run

FLEET = crowd(12)
VICTIM = 2


class Newly:
    """A device whose every message finds a process of its own, which has read its files just now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def process(self) -> Participant:
        claims, journal = FileClaims(self._folder / "claims.json"), FileJournal(self._folder / "budget.jsonl")
        return policed_fleet.owned(VICTIM, FLEET, claims=claims, journal=journal)


def run(grid: BentGrid, exchange: Exchange) -> list[Message]:
    """An exchange to its end; what came at the stage at which vectors leave."""
    vectors: list[Message] = []
    while exchange.end is None:
        replies = grid.deliver(exchange.messages())
        vectors += replies if exchange.stage == "masked" else []
        exchange = exchange.received(replies)
    return vectors


def test_two_runs_at_once_do_not_get_two_vectors_for_one_reserve(tmp_path: Path) -> None:
    """The second plan gives back what was reserved for the first, whose vector must not leave then.

    What another process has claimed meanwhile was overwritten: both left, and one was paid for.
    """
    newly, book, begun = Newly(tmp_path), LedgerBook(), []
    others = {node: policed_fleet.owned(node, FLEET) for node in FLEET.devices}
    grids = [BentGrid(others | {VICTIM: newly.process()}) for _ in range(2)]
    for name, grid in zip("ab", grids, strict=True):
        (exchange,) = Run(FLEET, book, name).question(VALIDATE).exchanges
        begun.append((grid, exchange.received(grid.deliver(exchange.first_messages()))))
        book.heads.update(dict.fromkeys(FLEET.devices, book.ledger.size))
    vectors = [reply for each in begun for reply in run(*each)]
    left = [each.metadata.src_node_id for each in vectors if not each.has_error()]
    budget = newly.process().journal.budget
    assert left.count(VICTIM) == len(budget.reserved) == 1
    assert budget.counter == 2


def test_a_process_that_reads_the_journal_does_not_make_another_refuse(tmp_path: Path) -> None:
    path, took = tmp_path / "budget.jsonl", list[bool]()
    one, other = FileJournal(path), FileJournal(path)

    def take() -> None:
        with other.held():
            took.append(True)

    waiting = Thread(target=take)
    with ExitStack() as stack:
        stack.enter_context(one.held())
        waiting.start()
        waiting.join(0.05)
        assert not took
    waiting.join(10)
    assert took == [True]
