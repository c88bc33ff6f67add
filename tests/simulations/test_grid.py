from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.supercore.run import Run

from covey_simulations.grid import InProcessGrid
from digits_fleet import TRAIN, flock, question

Handler = Callable[[Message, Context], Message]


def grid(handler: Handler, nodes: tuple[int, ...] = (2, 3, 4)) -> InProcessGrid:
    app = ClientApp()
    app.train()(handler)
    return InProcessGrid(app, nodes)


def echo(message: Message, context: Context) -> Message:
    del context
    return Message(message.content, reply_to=message)


def content() -> RecordDict:
    return RecordDict({"arrays": ArrayRecord({"x": Array(np.zeros(2, np.float32))}), "c": ConfigRecord()})


def array(message: Message) -> list[float]:
    record = message.content["arrays"]
    assert isinstance(record, ArrayRecord)
    values: list[float] = record["x"].numpy().tolist()
    return values


def to(*nodes: int, shared: RecordDict | None = None) -> list[Message]:
    """One message a node, all with the same content in memory, as strategies send them."""
    record = shared or content()
    return [Message(record, node, "train") for node in nodes]


def test_each_node_answers_its_own_message_in_order() -> None:
    def named(message: Message, context: Context) -> Message:
        return Message(RecordDict({"n": ConfigRecord({"n": context.node_id})}), reply_to=message)

    replies = list(grid(named).send_and_receive(to(4, 2, 3, 2)))
    assert [reply.content["n"] for reply in replies] == [ConfigRecord({"n": node}) for node in (4, 2, 3, 2)]
    assert [reply.metadata.src_node_id for reply in replies] == [4, 2, 3, 2]
    assert {reply.metadata.dst_node_id for reply in replies} == {1}


def test_a_client_that_changes_its_message_changes_nobody_elses() -> None:
    seen: list[list[float]] = []

    def spoils(message: Message, context: Context) -> Message:
        seen.append(array(message))
        record = message.content["arrays"]
        assert isinstance(record, ArrayRecord)
        record["x"] = Array(np.full(2, context.node_id, np.float32))
        config = message.content["c"]
        assert isinstance(config, ConfigRecord)
        config["mine"] = context.node_id
        message.content["more"] = ConfigRecord({"n": 1})
        return Message(message.content, reply_to=message)

    sent = content()
    replies = list(grid(spoils).send_and_receive(to(2, 3, 4, shared=sent)))
    assert seen == [[0.0, 0.0]] * 3
    assert set(sent) == {"arrays", "c"}
    assert sent["c"] == ConfigRecord()
    assert [array(reply) for reply in replies] == [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]


def test_what_the_server_changes_later_does_not_reach_a_client() -> None:
    kept: list[Message] = []

    def keeps(message: Message, context: Context) -> Message:
        kept.append(message)
        return echo(message, context)

    sent = content()
    grid(keeps).send_and_receive(to(2, shared=sent))
    sent["arrays"] = ArrayRecord({"x": Array(np.ones(2, np.float32))})
    assert array(kept[0]) == [0.0, 0.0]


def test_an_exception_becomes_an_error_reply() -> None:
    def fails(message: Message, context: Context) -> Message:
        if context.node_id == 3:
            raise RuntimeError("no power")
        return echo(message, context)

    good, bad, other = grid(fails).send_and_receive(to(2, 3, 4))
    assert good.has_content()
    assert other.has_content()
    assert bad.has_error()
    assert bad.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert bad.error.reason is not None
    assert "no power" in bad.error.reason
    assert bad.metadata.src_node_id == 3


def test_an_interrupt_is_not_a_nodes_failure() -> None:
    def interrupted(message: Message, context: Context) -> Message:
        raise KeyboardInterrupt(message, context)

    with pytest.raises(KeyboardInterrupt):
        grid(interrupted).send_and_receive(to(2))


def test_an_unknown_node_answers_with_an_error() -> None:
    (reply,) = grid(echo).send_and_receive(to(99))
    assert reply.has_error()
    assert reply.metadata.src_node_id == 99


def test_a_query_that_the_app_does_not_know_is_an_error() -> None:
    (reply,) = grid(echo).send_and_receive([Message(content(), 2, "evaluate")])
    assert reply.has_error()


def test_a_node_keeps_its_state_from_message_to_message() -> None:
    def counts(message: Message, context: Context) -> Message:
        before = context.state.get("seen", ConfigRecord({"n": 0}))
        assert isinstance(before, ConfigRecord)
        number = before["n"]
        assert isinstance(number, int)
        context.state["seen"] = ConfigRecord({"n": number + 1})
        return Message(RecordDict({"seen": context.state["seen"]}), reply_to=message)

    replies = list(grid(counts).send_and_receive(to(2, 3, 2, 2)))
    assert [reply.content["seen"] for reply in replies] == [ConfigRecord({"n": n}) for n in (1, 1, 2, 3)]


def test_replies_are_pulled_once() -> None:
    pushed = grid(echo)
    identifiers = list(pushed.push_messages(to(2, 3)))
    assert len(set(identifiers)) == 2
    assert [reply.metadata.src_node_id for reply in pushed.pull_messages(identifiers[1:])] == [3]
    assert [reply.metadata.src_node_id for reply in pushed.pull_messages(identifiers)] == [2]
    assert list(pushed.pull_messages([*identifiers, "m999"])) == []


def test_a_reply_names_the_message_it_answers() -> None:
    pushed = grid(echo)
    identifiers = list(pushed.push_messages(to(2, 3)))
    replies = list(pushed.pull_messages(identifiers))
    assert [reply.metadata.reply_to_message_id for reply in replies] == identifiers


def test_nodes_and_run_are_as_set_up() -> None:
    set_up = grid(echo, nodes=(5, 3))
    assert list(set_up.get_node_ids()) == [5, 3]
    assert set_up.run.run_id == 1
    later = Run.create_empty(7)
    set_up.set_run(later)
    assert set_up.run is later


def test_a_created_message_is_addressed() -> None:
    message = grid(echo).create_message(content(), "train", 3, "round 1", ttl=5.0)
    metadata = message.metadata
    assert (metadata.dst_node_id, metadata.group_id, metadata.ttl) == (3, "round 1", 5.0)
    assert metadata.message_type == "train"


def test_the_real_app_answers_on_it() -> None:
    fleet = flock()
    replies = list(fleet.grid.send_and_receive(question(TRAIN, [2, 3, 4]).messages(), timeout=0.0))
    assert [reply.has_content() for reply in replies] == [True] * 3
