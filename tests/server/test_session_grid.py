"""A masked sum over real streams with mutual TLS: the same as in one process, whatever breaks in between.

And over both ways at once: some devices attend, some have a SuperNode only, some lose one of the two.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run as FlowerRun

from agents import agent
from covey import session
from covey.delivery import Answer, Delivery, Refusal, Reply, Requested, to_bytes
from covey.errors import ProtocolError
from covey_client.agent import Agent
from covey_client.session_client import SessionClient
from covey_server.flower_way import FlowerWay
from covey_server.session_grid import SessionGrid, node_of
from covey_server.sessions import Stream
from covey_simulations.grid import InProcessGrid
from covey_strategies.private_sum import PrivateSum, collect
from covey_strategies.wire import REFUSED, read, reply_message
from digits_fleet import VALIDATE, MemoryBook, crowd, grid_of, masked, named, question
from session_service import ASKED, Service, attending, serving

FLEET = crowd(12)
NODES = list(FLEET.devices)
STAGES = ("advertise", "share", "masked", "consistency", "unmask")


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as made:
        yield made


def agents_of(folder: Path) -> dict[str, Agent]:
    return {named(node): agent(each, folder) for node, each in FLEET.participants.items()}


def answers_of(agents: Mapping[str, Agent]) -> dict[str, Callable[[Delivery], Answer]]:
    return {name: each.answer for name, each in agents.items()}


@dataclass
class Watched(SessionGrid):
    """Tells a test of each stage before it is sent, and how it went."""

    service: Service
    before: Callable[[str], None] = lambda _: None
    way: FlowerWay | None = None

    def __post_init__(self) -> None:
        InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type] # names the run, as Flower does
        super().__init__(self.service.sessions, FlowerRun.create_empty(1), self.way)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        sent = list(messages)
        if sent:
            self.before(sent[0].metadata.message_type.rpartition(".")[2])
        return super().send_and_receive(sent, timeout=timeout)


def summed(grid: Grid, timeout: float = 20) -> PrivateSum:
    """One masked sum without noise."""
    nodes = list(grid.get_node_ids())
    to = question(VALIDATE, nodes, minimum=8, protection=masked(FLEET), grid=grid)
    return collect(
        grid, to.exchanges, grid.send_and_receive(to.messages(), timeout=timeout), MemoryBook(), timeout
    )


def same(one: PrivateSum, other: PrivateSum) -> bool:
    return all(np.array_equal(one.sums[name], other.sums[name]) for name in one.sums | other.sums)


def test_a_sum_over_streams_is_the_sum_in_one_process(service: Service, tmp_path: Path) -> None:
    with attending(service, answers_of(agents_of(tmp_path))):
        found = summed(Watched(service))
    here = summed(grid_of(FLEET.participants))
    assert found.devices == here.devices == 12
    assert same(found, here)


@pytest.mark.parametrize("stage", STAGES)
def test_a_device_that_is_lost_at_a_stage_drops_out(stage: str, service: Service, tmp_path: Path) -> None:
    with attending(service, answers_of(agents_of(tmp_path))) as clients:
        lost = [clients[named(node)] for node in (3, 7, 11)]

        def lose(now: str) -> None:
            if now == stage:
                for each in lost:
                    each.close()
                service.wait(9)

        found = summed(Watched(service, lose), timeout=2)
    assert found.devices == (12 if stage in ("consistency", "unmask") else 9)


@pytest.mark.parametrize("stage", STAGES)
def test_streams_that_break_between_stages_are_gone_on_with(
    stage: str, service: Service, tmp_path: Path
) -> None:
    """Every device is cut off; each comes back by itself, and is asked what it has not answered."""

    def cut(now: str) -> None:
        if now == stage:
            service.sessions.close()

    with attending(service, answers_of(agents_of(tmp_path))):
        found = summed(Watched(service, cut))
    assert found.devices == 12
    assert same(found, summed(grid_of(FLEET.participants)))


def test_an_answer_that_was_lost_with_its_stream_is_given_again_and_computed_once(service: Service) -> None:
    """The stream breaks while the device answers: the same ticket is asked again on the next."""
    asked, counted = Requested("ab" * 32, "share", b""), list[Delivery]()
    may_answer = threading.Event()

    def answer(each: Delivery) -> Answer:
        counted.append(each)
        if len(counted) == 1:
            service.sessions.close()
            may_answer.wait(5)
        return Refusal("said")

    client = service.client(named(2), answer)
    service.wait(1)
    ticket = service.sessions.ask(named(2), to_bytes(asked))
    may_answer.set()
    found = service.sessions.answers([ticket], 20)
    client.close()
    assert found == {ticket: Refusal("said")}
    assert set(counted) == {asked}


def test_a_device_that_is_revoked_is_cut_off_at_the_next_question(service: Service, tmp_path: Path) -> None:
    with attending(service, answers_of(agents_of(tmp_path))):
        service.members.remove(named(5))
        found = summed(Watched(service))
        assert found.devices == 11
        assert named(5) not in service.sessions.attending()


def test_nodes_are_devices(service: Service) -> None:
    assert node_of("pi-07") == node_of("pi-07") != node_of("pi-08")
    assert 0 <= node_of("pi-07") < 1 << 62
    with pytest.raises(ProtocolError, match="never attended"):
        Watched(service).push_messages([request(node_of("pi-09"))])


def test_replies_can_be_pulled_one_by_one(service: Service) -> None:
    with attending(service, {named(2): lambda _: Refusal("no"), named(3): never_in_time}):
        grid = Watched(service)
        nodes = list(grid.get_node_ids())
        names = list(grid.push_messages([request(node) for node in nodes]))
        found = list[Message]()
        deadline = time.monotonic() + 10
        while not found and time.monotonic() < deadline:
            found = list(grid.pull_messages(names))
        assert [each.metadata.reply_to_message_id for each in found] == [
            names[nodes.index(node_of(named(2)))]
        ]
        assert list(grid.pull_messages([names[nodes.index(node_of(named(2)))], "another"])) == []


def request(node: int) -> Message:
    """What asks ASKED."""
    InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type] # names the run
    content = RecordDict({"request": ConfigRecord({"plan": ASKED.plan, "request": ASKED.data})})
    return Message(content, node, "train.share")


def never_in_time(_: Delivery) -> Answer:
    time.sleep(1)
    return Refusal("late")


# -- both ways


@dataclass
class SuperNodes(InProcessGrid):
    """Flower's way to agents: each in its own time, as over a network; some may be gone.

    Args:
        agents: By node id.
        gone: Nodes that are not connected.
        lost: Nodes at which messages get lost, which Flower says.
        liars: Nodes that say that the agent refuses, and did not ask it.
    """

    agents: dict[int, Agent]
    gone: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    liars: set[int] = field(default_factory=set)
    brought: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self._delivered, self.agents)  # type: ignore[arg-type]

    def get_node_ids(self) -> Iterable[int]:
        return [node for node in self.agents if node not in self.gone]

    def _delivered(self, message: Message, _: object) -> Message:
        node = message.metadata.dst_node_id
        self.brought.append((node, message.metadata.message_type.rpartition(".")[2]))
        if node in self.lost:
            return Message(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=message)
        said = Refusal("made up") if node in self.liars else self.agents[node].answer(read(message))
        if isinstance(said, Refusal):
            return Message(Error(REFUSED, said.reason), reply_to=message)
        return reply_message(said.data, message)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As HttpGrid, which names messages itself."""
        sent = list(messages)
        names = list(super().push_messages(sent))
        for each, name in zip(sent, names, strict=True):
            self._replies[name].metadata.__dict__["_reply_to_message_id"] = name
            each.metadata.__dict__["_message_id"] = name
        return names


@dataclass
class Both:
    """A fleet whose devices have an agent each, a SuperNode each, and perhaps a stream."""

    service: Service
    agents: dict[str, Agent]

    def __post_init__(self) -> None:
        self.nodes = {name: node for node, name in zip(NODES, self.agents, strict=True)}
        self.supernodes = SuperNodes({self.nodes[name]: each for name, each in self.agents.items()})
        self.way = FlowerWay(self.supernodes, lambda: self.nodes, grace=0.2, silent=1.0, poll=0.02)

    def grid(self, before: Callable[[str], None] = lambda _: None) -> Watched:
        return Watched(self.service, before, self.way)

    def brought(self, stage: str) -> list[int]:
        """Whom Flower brought it to."""
        return [node for node, at in self.supernodes.brought if at == stage]


@pytest.fixture
def both(service: Service, tmp_path: Path) -> Both:
    return Both(service, agents_of(tmp_path))


def some(agents: dict[str, Agent], number: int) -> dict[str, Callable[[Delivery], Answer]]:
    """The first of them."""
    return dict(list(answers_of(agents).items())[:number])


@pytest.mark.parametrize("streams", [0, 5, 12])
def test_a_sum_goes_over_streams_where_they_are_and_over_flower_elsewhere(streams: int, both: Both) -> None:
    with attending(both.service, some(both.agents, streams)):
        found = summed(both.grid())
    assert found.devices == 12
    assert same(found, summed(grid_of(FLEET.participants)))
    assert all(both.brought(stage) == NODES[streams:] for stage in STAGES)


def test_a_device_without_a_supernode_is_in_the_same_sum(both: Both) -> None:
    """Its node is a hash of its name; nobody is asked twice."""
    alone = named(NODES[0])
    del both.supernodes.agents[both.nodes.pop(alone)]
    with attending(both.service, some(both.agents, 5)):
        grid = both.grid()
        assert sorted(grid.get_node_ids()) == sorted([node_of(alone), *NODES[1:]])
        found = summed(grid)
    assert found.devices == 12
    assert same(found, summed(grid_of(FLEET.participants)))


@pytest.mark.parametrize("stage", STAGES)
def test_streams_that_are_lost_at_a_stage_are_replaced_by_flower(stage: str, both: Both) -> None:
    """The session port is cut off, for all of them and for good; nothing is lost, nothing computed twice."""
    with attending(both.service, answers_of(both.agents)) as clients:

        def cut(now: str) -> None:
            if now == stage:
                for each in clients.values():
                    each.close()
                both.service.wait(0)

        found = summed(both.grid(cut))
    assert found.devices == 12
    assert same(found, summed(grid_of(FLEET.participants)))
    later = STAGES[STAGES.index(stage) :]
    assert [both.brought(each) for each in STAGES] == [NODES if each in later else [] for each in STAGES]


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stream_that_is_silent_is_replaced_by_flower(stage: str, both: Both) -> None:
    """It stays open and says nothing, as behind a router that has forgotten it."""
    silent = named(NODES[3])
    ended = threading.Event()

    def swallowed(each: Delivery) -> Answer:
        if isinstance(each, Requested) and each.stage == stage:
            ended.wait(20)
        return both.agents[silent].answer(each)

    with attending(both.service, answers_of(both.agents) | {silent: swallowed}):
        found = summed(both.grid())
        ended.set()
    assert found.devices == 12
    assert both.brought(stage) == [NODES[3]]


def test_a_long_answer_over_a_slow_line_is_no_silence(both: Both) -> None:
    """It would else be sent twice over that line, at half the speed each."""
    stream = Stream(named(2))
    both.service.sessions.attend(stream)
    grid = both.grid()
    list(grid.get_node_ids())

    def begins_to_say() -> None:
        asked = stream.asked.get(timeout=5)
        assert asked is not None
        first, *_ = session.says(asked[0], to_bytes(Reply(bytes(2 * session.PIECE))))
        both.service.sessions.heard(stream, first)

    saying = threading.Thread(target=begins_to_say)
    saying.start()
    assert list(grid.send_and_receive([request(2)], timeout=2)) == []
    saying.join()
    assert both.supernodes.brought == []


def test_what_was_lost_over_flower_may_still_come_over_the_stream(both: Both) -> None:
    """The stream breaks, Flower cannot bring it either, and the device comes back in time."""
    name, answer = next(iter(answers_of(both.agents).items()))
    both.supernodes.lost.add(NODES[0])
    with attending(both.service, some(both.agents, 1)) as clients:

        def lose(now: str) -> None:
            if now == "masked":
                clients[name].close()
                both.service.wait(0)
                threading.Timer(1.0, come_back).start()

        def come_back() -> None:
            returned.append(both.service.client(name, answer))

        returned = list[SessionClient]()
        found = summed(both.grid(lose))
    for each in returned:
        each.close()
    assert found.devices == 12
    assert (NODES[0], "masked") in both.supernodes.brought


def test_what_flower_lost_is_not_waited_for_where_there_was_never_a_stream(both: Both) -> None:
    both.supernodes.lost.add(NODES[0])
    began = time.monotonic()
    found = summed(both.grid(), timeout=30)
    assert found.devices == 11
    assert any("gone" in line for line in found.refused)
    assert time.monotonic() - began < 20


def test_a_supernodes_lie_does_not_count_while_the_stream_is_there(both: Both) -> None:
    """Flower is asked since the stream is slow; that the SuperNode makes up a refusal is no reason."""
    slow, node = named(NODES[2]), NODES[2]
    both.supernodes.liars.add(node)

    def later(each: Delivery) -> Answer:
        if isinstance(each, Requested) and each.stage == "masked":
            time.sleep(2)
        return both.agents[slow].answer(each)

    with attending(both.service, answers_of(both.agents) | {slow: later}):
        found = summed(both.grid())
    assert both.brought("masked") == [node]
    assert found.devices == 12


def test_devices_that_neither_way_reaches_drop_out(both: Both) -> None:
    with attending(both.service, some(both.agents, 3)) as clients:

        def lose(now: str) -> None:
            if now == "masked":
                both.supernodes.gone.update(NODES[:3])
                for each in clients.values():
                    each.close()
                both.service.wait(0)

        found = summed(both.grid(lose), timeout=2)
    assert found.devices == 9


def test_an_answer_over_both_ways_counts_once(both: Both) -> None:
    """The second of two equal ones is not kept for a later question."""
    with attending(both.service, {named(2): lambda _: Reply(b"said")}):
        grid = both.grid()
        list(grid.get_node_ids())
        replies = list(grid.send_and_receive([request(2)], timeout=5))
    assert len(replies) == 1
    assert grid._waiting == {}
    assert (both.service.sessions._asked, both.service.sessions._said) == ({}, {})
