"""Masked sums over real messages: bit for bit the sum in clear, whoever drops out, when, and however."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from bent_grid import STAGES, Bend, BentGrid, Losses, stage_of
from covey.encode import Integers
from covey.errors import TooFewDevices
from covey.noise.contribution import contribute
from covey.plan import Task, noise_shares
from covey.secagg.evidence import show
from covey.secagg.terms import Terms
from covey_strategies.asking import Question
from covey_strategies.exchange import Settled
from covey_strategies.private_sum import PrivateSum
from covey_strategies.protection import Protection
from covey_strategies.wire import read_reply
from digits_fleet import (
    GRADIENT,
    NOISY,
    STATISTICS,
    TRAIN,
    VALIDATE,
    Flock,
    MemoryBook,
    asking,
    clear_sum,
    crowd,
    masked,
    named,
    plan_of,
    question,
    sent_in,
)

MINIMUM = 8
TASKS: list[Task] = [TRAIN, GRADIENT, VALIDATE, STATISTICS]
FLEET = crowd(12)
NODES = list(FLEET.devices)
KEPT: Mapping[str, Any] = {**NOISY, "removal": False}
QUIET: Mapping[str, Any] = {}


def kind(task: Task) -> str:
    return type(task).__name__


@dataclass
class Summed:
    """A question that was driven to its end."""

    asked: Question
    grid: BentGrid
    book: MemoryBook
    collected: PrivateSum

    @property
    def settled(self) -> Settled:
        (settled,) = self.book.settled
        return settled

    @property
    def total(self) -> list[int]:
        total: list[int] = self.settled.total.tolist()
        return total


def summed(  # noqa: PLR0913 - everything that a test may bend
    protection: Protection,
    task: Task = VALIDATE,
    *,
    losses: Losses | None = None,
    bend: Bend = lambda _, replies: replies,
    book: MemoryBook | None = None,
    fleet: Flock = FLEET,
) -> Summed:
    grid, book = BentGrid(fleet.participants, losses, bend), book or MemoryBook()
    asked = question(task, list(fleet.devices), minimum=MINIMUM, protection=protection, grid=grid)
    run = asking(protection=protection, book=book)
    collected = run.collect(asked, grid.send_and_receive(asked.messages()))
    return Summed(asked, grid, book, collected)


def protections(task: Task, noise: Mapping[str, Any]) -> dict[str, Protection]:
    common = {"unit": "example" if task is GRADIENT else "device", **noise}
    return {
        "on": masked(FLEET, **common),
        "elided": Protection(masks="elided", **common),
        "none": Protection(masks="none", **common),
    }


def noise_in(run: Summed, node: int, sharing: int, components: int) -> Integers:
    """The noise that a device must have left in a sum: its first components."""
    plan = plan_of(run.asked)
    assert plan.noise is not None
    shares = noise_shares(plan, sharing)
    key = FLEET.participants[node].seeds.noise(plan)
    # the first component is drawn with the first key whatever comes after it
    return contribute(plan.noise.mechanism, shares[:components], plan.length, key).noise


# -- everyone stays


@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_masks_change_no_number(task: Task) -> None:
    totals = {name: summed(each, task) for name, each in protections(task, QUIET).items()}
    expected = clear_sum(FLEET, totals["none"].asked, NODES).tolist()
    assert any(expected)
    assert {name: run.total for name, run in totals.items()} == dict.fromkeys(totals, expected)
    assert all(run.collected.devices == 12 and run.collected.refused == () for run in totals.values())


@pytest.mark.parametrize("noise", [NOISY, KEPT], ids=["removed", "kept"])
@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_masks_change_no_noise(task: Task, noise: Mapping[str, Any]) -> None:
    runs = {name: summed(each, task) for name, each in protections(task, noise).items()}
    assert runs["on"].total == runs["elided"].total == runs["none"].total
    run = runs["on"]
    added = sum(noise_in(run, node, 12, 1) for node in NODES)
    assert run.total == (clear_sum(FLEET, run.asked, NODES) + added).tolist()
    assert run.settled.noise_left == 0


@pytest.mark.parametrize("cipher", ["chacha20", "aes-256-ctr"])
def test_the_cipher_changes_no_number(cipher: str) -> None:
    run = summed(masked(FLEET, cipher=cipher))
    assert run.total == clear_sum(FLEET, run.asked, NODES).tolist()


def test_every_stage_is_asked_once_and_the_book_is_written() -> None:
    run = summed(masked(FLEET))
    assert tuple(run.grid.sent) == STAGES
    assert {stage: len(sent) for stage, sent in run.grid.sent.items()} == dict.fromkeys(STAGES, 12)
    assert run.book.told == ["settle"]
    assert (run.settled.devices, run.settled.sharing) == (12, 12)
    assert run.settled.advertised == 12
    assert run.settled.evidence is not None
    terms = Terms.of(sent_in(run.asked))
    shown = show(run.settled.evidence, terms, FLEET.operator.roster, 0, blame="server")
    assert [advert.device for advert in shown.survivors] == [named(node) for node in NODES]


# -- who drops out

ONE_BY_ONE: Mapping[str, Iterable[int]] = {
    "advertise": [2],
    "share": [3],
    "masked": [4],
    "consistency": [5],
}
DROPS: Mapping[str, Mapping[str, Iterable[int]]] = {
    **{stage: {stage: [3, 7, 13]} for stage in STAGES},
    "all but the minimum": {"masked": [2, 3, 4, 5]},
    "one a stage": ONE_BY_ONE,
}


def expected_sets(drops: Mapping[str, Iterable[int]]) -> tuple[list[int], list[int], list[int]]:
    """U2, U3 and who reveals in the end."""
    gone: set[int] = set()
    left = {}
    for stage in STAGES:
        gone |= set(drops.get(stage, ()))
        left[stage] = [node for node in NODES if node not in gone]
    return left["share"], left["masked"], left["unmask"]


@pytest.mark.parametrize("unheard", [False, True], ids=["before it hears", "after it acts"])
@pytest.mark.parametrize("drops", DROPS.values(), ids=DROPS)
def test_the_sum_is_that_of_the_survivors(drops: Mapping[str, Iterable[int]], unheard: bool) -> None:
    run = summed(masked(FLEET), losses=Losses(drops, unheard))
    u2, u3, _ = expected_sets(drops)
    assert run.total == clear_sum(FLEET, run.asked, u3).tolist()
    assert (run.settled.devices, run.settled.sharing) == (len(u3), len(u2))
    assert run.collected.refused == ()


@pytest.mark.parametrize("drops", DROPS.values(), ids=DROPS)
def test_the_noise_is_that_of_so_many_survivors(drops: Mapping[str, Iterable[int]]) -> None:
    """Who is in the sum keeps a component for each drop-out; who does not reveal keeps all."""
    run = summed(masked(FLEET, **NOISY), losses=Losses(drops))
    u2, u3, revealing = expected_sets(drops)
    kept = {node: 1 + len(u2) - len(u3) if node in revealing else 1 + len(u2) - MINIMUM for node in u3}
    expected = clear_sum(FLEET, run.asked, u3)
    for node in u3:
        expected += noise_in(run, node, len(u2), kept[node])
    assert run.total == expected.tolist()
    assert run.settled.noise_left == sum(kept[node] > 1 + len(u2) - len(u3) for node in u3)


@pytest.mark.parametrize("masks", ["elided", "none"])
def test_drop_outs_in_clear_are_not_missed(masks: str) -> None:
    run = summed(Protection(masks=masks, **NOISY), losses=Losses({"answer": [2, 9], "removal": [4]}))  # type: ignore[arg-type]
    u3 = [node for node in NODES if node not in {2, 9}]
    expected = clear_sum(FLEET, run.asked, u3)
    for node in u3:
        expected += noise_in(run, node, 12, 5 if node == 4 else 3)
    assert run.total == expected.tolist()
    assert (run.settled.noise_left, run.settled.devices) == (1, 10)


STOPPED = {
    **{
        stage: f"6 devices are left at stage {stage}, 8 are needed"
        for stage in ("advertise", "share", "masked")
    },
    "consistency": "6 devices are left at stage consistency, 7 are needed",
    "unmask": "stage unmask",
}


@pytest.mark.parametrize("stage", STAGES)
def test_too_few_at_any_stage_open_nothing(stage: str) -> None:
    book = MemoryBook()
    with pytest.raises(TooFewDevices, match=rf"round 1: .*{STOPPED[stage]}") as caught:
        summed(masked(FLEET), losses=Losses({stage: NODES[:6]}, unheard=True), book=book)
    assert caught.value.hint
    assert book.told == ["abort"]
    assert STOPPED[stage] in book.reasons[0]


# -- what a network does to replies


def again(stage: str, replies: list[Message]) -> list[Message]:
    del stage
    return [*replies, *replies]


def backwards(stage: str, replies: list[Message]) -> list[Message]:
    del stage
    return replies[::-1]


def stragglers() -> Bend:
    """The replies of three nodes to a stage arrive with the next one's, if they come at all."""
    kept: list[Message] = []

    def bend(stage: str, replies: list[Message]) -> list[Message]:
        late = [reply for reply in replies if stage == "share" and reply.metadata.src_node_id in {2, 3, 4}]
        arrived = [*kept, *(reply for reply in replies if reply not in late)]
        kept[:] = late
        return arrived

    return bend


def behind() -> Bend:
    """Node 2 always answers the question before."""
    kept: list[Message] = []

    def bend(stage: str, replies: list[Message]) -> list[Message]:
        own = [reply for reply in replies if reply.metadata.src_node_id == 2]
        arrived = [*kept, *(reply for reply in replies if reply not in own)]
        kept[:] = own
        return replies if stage == "advertise" else arrived

    return bend


def test_order_and_repetition_change_nothing() -> None:
    whole = summed(masked(FLEET))
    assert summed(masked(FLEET), bend=backwards).total == whole.total
    doubled = summed(masked(FLEET), bend=again)
    assert doubled.total == whole.total
    assert doubled.collected.refused == ()  # the same bytes twice are one reply


def test_late_replies_are_named_and_their_senders_have_dropped_out() -> None:
    run = summed(masked(FLEET, **NOISY), bend=stragglers())
    u2 = [node for node in NODES if node not in {2, 3, 4}]
    added = sum(noise_in(run, node, len(u2), 1) for node in u2)
    assert run.total == (clear_sum(FLEET, run.asked, u2) + added).tolist()
    assert run.collected.refused == tuple(f"node {node}: was not asked at this stage" for node in (2, 3, 4))
    assert (run.settled.devices, run.settled.sharing) == (9, 9)


def test_a_reply_to_another_stage_is_named_and_not_counted() -> None:
    run = summed(masked(FLEET), bend=behind())
    assert run.settled.devices == 11
    assert run.total == clear_sum(FLEET, run.asked, NODES[1:]).tolist()
    assert run.collected.refused
    assert all(line.startswith("node 2: ") for line in run.collected.refused)


def test_a_strangers_reply_is_named_and_not_counted() -> None:
    def stranger(stage: str, replies: list[Message]) -> list[Message]:
        del stage
        extra = copy.deepcopy(replies[-1])
        extra.metadata.__dict__["_src_node_id"] = 99
        return [*replies, extra]

    run = summed(masked(FLEET), bend=stranger)
    assert run.total == clear_sum(FLEET, run.asked, NODES).tolist()
    assert run.collected.refused == ("node 99: was not asked at this stage",) * len(STAGES)


# -- devices that hear a thing twice, or forget


def told(reply: Message) -> str:
    return str(reply.error.reason) if reply.has_error() else ""


@pytest.mark.parametrize("noise", [QUIET, NOISY], ids=["quiet", "noisy"])
def test_a_repeated_request_gets_the_same_bytes_at_every_stage(noise: Mapping[str, Any]) -> None:
    grid = BentGrid(FLEET.participants)
    asked = question(VALIDATE, NODES, minimum=MINIMUM, protection=masked(FLEET, **noise), grid=grid)
    (exchange,), messages = asked.exchanges, asked.messages()
    while messages:
        first, second = ([read_reply(each) for each in grid.deliver(messages)] for _ in range(2))
        assert first == second
        exchange = exchange.received(grid.deliver(messages))
        assert exchange.refused == ()
        messages = exchange.messages()
    assert isinstance(exchange.end, Settled)


def forks() -> Iterable[tuple[str, BentGrid, list[Message], list[Message]]]:
    """At each later stage two sets of requests: after all replies, and after all but the last node's.

    The last ones are the same: they show a quorum of the votes, not all.
    """
    grid = BentGrid(FLEET.participants)
    asked = question(VALIDATE, NODES, minimum=MINIMUM, protection=masked(FLEET, **NOISY), grid=grid)
    (exchange,), replies = asked.exchanges, grid.deliver(asked.messages())
    while (after := exchange.received(replies)).messages():
        messages, others = after.messages(), exchange.received(replies[:-1]).messages()
        if stage_of(messages[0]) != "unmask":
            yield stage_of(messages[0]), grid, messages, others
        exchange, replies = after, grid.deliver(messages)


def test_a_second_different_request_is_refused_at_every_stage() -> None:
    stages = []
    for stage, grid, messages, others in forks():
        stages.append(stage)
        good = [read_reply(each) for each in grid.deliver(messages)]
        refusals = {told(each) for each in grid.deliver(others)}
        assert refusals == {f"a second, different request at stage {stage}"}
        assert [read_reply(each) for each in grid.deliver(messages)] == good
    assert stages == list(STAGES[1:-1])


def test_a_device_with_an_older_memory_put_back_answers_only_what_it_answered() -> None:
    """Someone copies a device's memory: the claims on its disk are what holds."""
    for stage, grid, messages, others in forks():
        memories = {node: copy.deepcopy(grid.remembered(node)) for node in NODES}
        good = [read_reply(each) for each in grid.deliver(messages)]
        for node, memory in memories.items():
            grid.remember(node, copy.deepcopy(memory))
        refusals = {told(each) for each in grid.deliver(others)}
        assert refusals == {f"sum 1 was answered before at stage {stage}"}
        assert [read_reply(each) for each in grid.deliver(messages)] == good


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_restarted_device_is_a_drop_out_and_never_speaks_again(stage: str) -> None:
    restarted = {2, 3}

    def bend(now: str, replies: list[Message]) -> list[Message]:
        if now == STAGES[STAGES.index(stage) - 1]:
            for node in restarted:
                grid.restart(node)
        return replies

    grid = BentGrid(FLEET.participants, bend=bend)
    book, protection = MemoryBook(), masked(FLEET, **NOISY)
    asked = question(VALIDATE, NODES, minimum=MINIMUM, protection=protection, grid=grid)
    asking(protection=protection, book=book).collect(asked, grid.send_and_receive(asked.messages()))
    (settled,) = book.settled
    in_it = 10 if stage in {"share", "masked"} else 12
    assert settled.devices == in_it
    silent = [each for each in grid.received[stage] if each.metadata.src_node_id in restarted]
    assert {told(each) for each in silent} == {"a request without a session: this device was restarted"}
    for redelivered in (asked.messages(), grid.sent[stage]):
        mine = [each for each in redelivered if each.metadata.dst_node_id in restarted]
        assert all(each.has_error() for each in grid.deliver(mine))


def test_a_restarted_device_takes_part_in_the_next_sum() -> None:
    grid, protection = BentGrid(FLEET.participants), masked(FLEET, **NOISY)
    run = asking(minimum=MINIMUM, protection=protection)
    parameters = question(VALIDATE, NODES).parameters
    for server_round in (1, 2):
        asked = run.question(grid, server_round, VALIDATE, parameters, NODES)
        found = run.collect(asked, grid.send_and_receive(asked.messages()))
        assert (found.devices, found.refused) == (12, ())
        for node in NODES:
            grid.restart(node)


def test_a_request_for_another_plan_than_the_open_one_is_refused() -> None:
    grid, protection = BentGrid(FLEET.participants), masked(FLEET)
    run = asking(minimum=MINIMUM, protection=protection)
    parameters = question(VALIDATE, NODES).parameters
    first, second = (run.question(grid, number, VALIDATE, parameters, NODES) for number in (1, 2))
    (exchange,) = first.exchanges
    exchange = exchange.received(grid.deliver(first.messages()))
    grid.deliver(second.messages())
    refusals = {told(each) for each in grid.deliver(exchange.messages())}
    assert refusals == {"a request for another plan than the open one"}
    older = {told(each) for each in grid.deliver(first.messages())}
    assert older == {"sum 1 after sum 2 of one run"}


# -- what an observer sees


def observed(run: Summed) -> dict[str, list[tuple[int, str, int]]]:
    """Every reply's sender, type and size."""
    return {
        stage: [
            (each.metadata.src_node_id, each.metadata.message_type, len(read_reply(each)))
            for each in sorted(replies, key=lambda each: each.metadata.src_node_id)
        ]
        for stage, replies in run.grid.received.items()
    }


class Unreadable:
    """Data that fails when it is looked at, with words of its own."""

    @property
    def train(self) -> Any:
        raise ValueError("patient 17 has a bad window")

    @property
    def held_out(self) -> Any:
        raise ValueError("patient 17 has a bad window")


@pytest.mark.parametrize("protect", [masked, lambda _, **noise: Protection(**noise)], ids=["on", "none"])
@pytest.mark.parametrize("task", TASKS, ids=kind)
def test_a_device_that_failed_looks_like_any_other_and_adds_its_noise(
    task: Task, protect: Callable[..., Protection]
) -> None:
    noise: Mapping[str, Any] = {**NOISY, "unit": "example" if task is GRADIENT else "device"}
    whole = summed(protect(FLEET, **noise), task)
    failed = replace(FLEET, devices={**FLEET.devices, 2: replace(FLEET.devices[2], data=Unreadable())})
    without = summed(protect(FLEET, **noise), task, fleet=failed)
    assert observed(without) == observed(whole)
    assert without.collected.refused == ()
    added = sum(noise_in(without, node, 12, 1) for node in NODES)
    assert without.total == (clear_sum(FLEET, whole.asked, NODES[1:]) + added).tolist()


def test_masked_vectors_look_random() -> None:
    """A device that has nothing to say sends as many different bytes as any other."""
    run = summed(masked(FLEET), TRAIN)
    for reply in run.grid.received["masked"]:
        counts = np.bincount(np.frombuffer(read_reply(reply), np.uint8), minlength=256)
        assert counts.min() > 0
        assert counts.max() < 3 * counts.mean()
