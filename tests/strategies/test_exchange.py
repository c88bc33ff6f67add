"""A plan that is shown with the ledger: every device gets the proof from where it has seen it, once."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

import policed_fleet
from bent_grid import BentGrid, Losses
from covey import plan as plans
from covey.budget import Saw
from covey.errors import TooFewDevices
from covey.ledger.entries import Abort
from covey.secagg.messages import Behind, encode
from covey_client.participant import Participant
from covey_strategies.private_sum import PrivateSum
from covey_strategies.wire import REPLY
from digits_fleet import STATISTICS, VALIDATE, crowd, plan_of
from memory_ledger import MemoryLedger, opened
from policed_fleet import LedgerBook, Run
from policy_texts import ORIGIN
from secagg_fleet import NOW

FLEET = crowd(12)
NODES = list(FLEET.devices)
LIAR = 5


def ledger(size: int = 0) -> MemoryLedger:
    """A ledger that others have written so many entries into."""
    made = MemoryLedger()
    for number in range(size):
        made.add(Abort(time=NOW, plan="00" * 32, reason=f"entry {number}"))
    return made


def everyone() -> dict[int, Participant]:
    """All devices, newly enrolled."""
    return {node: policed_fleet.owned(node, FLEET) for node in NODES}


def has_seen(device: Participant, of: MemoryLedger, size: int) -> None:
    device.journal.write([Saw(ORIGIN, size, of.history.root(size).hex(), NOW)])


def seen(device: Participant) -> int:
    return device.journal.budget.seen[ORIGIN].size


def summed(run: Run, grid: BentGrid, task: Any = VALIDATE) -> PrivateSum:
    asking = run.asking()
    to = replace(run.question(task), grid=grid)
    found: PrivateSum = asking.collect(to, grid.send_and_receive(to.messages()))
    return found


# -- honest devices


def test_devices_that_know_no_ledger_are_shown_all_of_it_at_once() -> None:
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(5)))
    grid = BentGrid(devices)
    found = summed(run, grid)
    assert (found.devices, found.refused) == (12, ())
    assert len(grid.sent["advertise"]) == 12
    assert {seen(device) for device in devices.values()} == {6}
    assert run.book.heads == dict.fromkeys(NODES, 6)
    assert run.book.shown == [0]


def test_the_next_sum_is_proved_from_where_they_are() -> None:
    devices, run = everyone(), Run(FLEET)
    grid = BentGrid(devices)
    summed(run, grid)
    run.book.ledger.add(Abort(time=NOW, plan="00" * 32, reason="another run's"))
    found = summed(run, grid, STATISTICS)
    assert (found.devices, found.refused) == (12, ())
    assert run.book.shown == [0, 1]
    assert len(grid.sent["advertise"]) == 24
    assert {seen(device) for device in devices.values()} == {3}


def test_devices_say_where_they_are_and_get_the_right_proof() -> None:
    """The server was started anew, and they have seen other heads: each is asked again with its own proof."""
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(9)))
    sizes = {
        node: size for node, size in zip(NODES, (0, 0, 1, 4, 4, 9, 3, 0, 4, 9, 9, 8), strict=True) if size
    }
    for node, size in sizes.items():
        has_seen(devices[node], run.book.ledger, size)
    grid = BentGrid(devices)
    to = replace(run.question(VALIDATE), grid=grid)
    found = run.asking().collect(to, grid.send_and_receive(to.messages()))
    assert (found.devices, found.refused) == (12, ())
    assert sorted(run.book.shown) == [0, *sorted(set(sizes.values()))]
    asked = [message.metadata.dst_node_id for message in grid.sent["advertise"]]
    assert sorted(asked) == sorted([*NODES, *sizes])
    assert {seen(device) for device in devices.values()} == {10}
    assert run.book.heads == dict.fromkeys(NODES, 10)
    (settled,) = run.book.settled
    assert settled.advertised == settled.devices == 12
    assert {device.journal.budget.counter for device in devices.values()} == {1}
    assert plan_of(to).length == len(settled.total)


def test_one_answer_is_given_whatever_was_asked_twice() -> None:
    """Asking for a proof answers nothing: it is no advert, and no budget is reserved for it."""
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(3)))
    has_seen(devices[2], run.book.ledger, 2)
    grid = BentGrid(devices)
    to = run.question(VALIDATE)
    (reply, *_) = grid.deliver(to.messages()[:1])
    assert devices[2].journal.budget.counter == 0
    (exchange,) = to.exchanges
    after = exchange.received([reply])
    assert after.behind == (2,)
    (again,) = grid.deliver(after.messages())
    assert devices[2].journal.budget.counter == 1
    assert after.received([again]).behind == ()


def test_who_does_not_come_back_with_its_proof_has_dropped_out() -> None:
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(3)))
    for node in (3, 4):
        has_seen(devices[node], run.book.ledger, 2)
    turns = iter((False, True))

    def late(stage: str, replies: list[Message]) -> list[Message]:
        return [] if stage == "advertise" and next(turns) else replies

    found = summed(run, BentGrid(devices, bend=late))
    assert (found.devices, found.refused) == (10, ())


def test_who_drops_out_meanwhile_is_missed_by_nobody() -> None:
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(3)))
    for node in NODES[1:]:
        has_seen(devices[node], run.book.ledger, 1 + node % 2)
    found = summed(run, BentGrid(devices, Losses({"advertise": [6], "share": [7]})))
    assert found.devices == 10


# -- devices that lie


def saying(size: int) -> Callable[[str, list[Message]], list[Message]]:
    """One device says that it has seen so many entries, whenever it is asked."""

    def bend(stage: str, replies: list[Message]) -> list[Message]:
        if stage != "advertise":
            return replies
        return [behind(reply, size) if reply.metadata.src_node_id == LIAR else reply for reply in replies]

    return bend


def behind(reply: Message, size: int) -> Message:
    return said(reply, encode(Behind(size)))


def said(reply: Message, data: bytes) -> Message:
    """The reply with other bytes in it, from the same node."""
    other = copy.deepcopy(reply)
    other.content = RecordDict({REPLY: ConfigRecord({REPLY: data})})
    return other


@pytest.mark.parametrize("size", [7, 1000, 1 << 53])
def test_a_device_that_claims_a_larger_ledger_than_there_is_is_left_out_and_named(size: int) -> None:
    run = Run(FLEET, LedgerBook(ledger=ledger(5)))
    found = summed(run, BentGrid(everyone(), bend=saying(size)))
    assert found.devices == 11
    assert found.refused == (f"node {LIAR}: has seen {size} entries of this ledger, which has 6",)
    assert run.book.heads[3] == 6
    assert LIAR not in run.book.heads


@pytest.mark.parametrize("size", [0, 3, 6])
def test_a_device_that_asks_for_ever_is_left_out_and_named(size: int) -> None:
    grid = BentGrid(everyone(), bend=saying(size))
    found = summed(Run(FLEET, LedgerBook(ledger=ledger(5))), grid)
    assert found.devices == 11
    assert found.refused == (f"node {LIAR}: asked again what the ledger had grown from",)
    assert len(grid.sent["advertise"]) == 13


def test_a_reply_that_arrives_twice_is_asked_once() -> None:
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(5)))
    has_seen(devices[LIAR], run.book.ledger, 4)

    def twice(stage: str, replies: list[Message]) -> list[Message]:
        return [*replies, *replies[3:4]] if stage == "advertise" and len(replies) == 12 else replies

    grid = BentGrid(devices, bend=twice)
    found = summed(run, grid)
    assert found.devices == 12
    assert len(grid.sent["advertise"]) == 13


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode(Behind(3))[:-1],
        encode(Behind(3)) + b"\0",
        b"\x92\xa6behind\xff",
        b"\x92\xa6behind\xcb\x40\x08\x00\x00\x00\x00\x00\x00",
        b"\x92\xa6behind\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x93\xa6behind\x03\x03",
    ],
)
def test_a_malformed_reply_is_its_devices_fault(data: bytes) -> None:
    def bend(stage: str, replies: list[Message]) -> list[Message]:
        if stage != "advertise":
            return replies
        return [said(reply, data) if reply.metadata.src_node_id == LIAR else reply for reply in replies]

    found = summed(Run(FLEET), BentGrid(everyone(), bend=bend))
    assert found.devices == 11
    assert len(found.refused) == 1
    assert found.refused[0].startswith(f"node {LIAR}: ")


def test_a_stranger_is_sent_nothing() -> None:
    """Whoever is not in the cohort gets no plan for saying that it is behind."""
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(5)))
    grid = BentGrid(devices)
    to = run.question(VALIDATE)
    replies = list(grid.deliver(to.messages()))
    (exchange,) = to.exchanges
    outside = replace(exchange, cohort=tuple(node for node in NODES if node != LIAR))
    after = outside.received([*replies[:3], behind(replies[3], 2), *replies[4:]])
    assert after.behind == ()
    assert any(line.startswith(f"node {LIAR}: ") for line in after.refused)


def test_if_all_lie_nothing_is_opened() -> None:
    def bend(stage: str, replies: list[Message]) -> list[Message]:
        return [behind(reply, 99) for reply in replies] if stage == "advertise" else replies

    run = Run(FLEET)
    with pytest.raises(TooFewDevices, match=r"0 devices .* first refusal: node \d+: has seen 99 entries"):
        summed(run, BentGrid(everyone(), bend=bend))
    assert run.book.told == ["reserve", "abort"]


# -- servers that lie


def bent(run: Run, change: Callable[[Any], Any], nodes: Iterable[int] = NODES) -> set[str]:
    """What devices say to a plan whose proofs were changed."""
    run.book.bend = change
    grid = BentGrid({node: policed_fleet.owned(node, FLEET) for node in nodes})
    return {str(reply.error.reason) for reply in grid.deliver(run.question(VALIDATE).messages())}


def test_a_server_that_proves_nothing_gets_nothing() -> None:
    assert bent(Run(FLEET), lambda _: None) == {"the plan names a policy and proves nothing of it"}


def test_a_server_that_shows_one_device_another_ledger_is_found_out_by_it() -> None:
    """What the device saw once it holds against everything that it is shown later."""
    devices, run = everyone(), Run(FLEET, LedgerBook(ledger=ledger(5)))
    forked = ledger(3)
    forked.add(Abort(time=NOW, plan="00" * 32, reason="for one device"))
    has_seen(devices[LIAR], forked, 4)
    found = summed(run, BentGrid(devices))
    assert found.devices == 11
    (told,) = found.refused
    assert told.startswith(
        f"node {LIAR}: a ledger of 6 entries that does not go on from the 4 that this device"
    )
    assert FLEET.logs[LIAR][-1].startswith("refused: a ledger of 6 entries that does not go on")


def test_the_plan_in_the_ledger_is_the_one_that_is_sent() -> None:
    run = Run(FLEET)
    to = run.question(VALIDATE)
    (exchange,) = to.exchanges
    (signed,) = run.book.signed
    assert signed.plan == exchange.sent == plans.to_bytes(exchange.plan)
    assert exchange.plan.policy is not None
    assert exchange.plan.policy.sha256 == opened(run.book.policy).sha256
