"""The ClientApp that a SuperNode runs: it carries bytes to the agent, and understands nothing of them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

import policed_fleet
from agents import agent, listening, short_folder
from covey.delivery import NOT_SET_UP
from covey_client.agent import Agent
from covey_client.app import AGENT, app
from covey_client.simulated import ContextMemory
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Question
from covey_strategies.wire import REFUSED, read_reply
from digits_fleet import VALIDATE, crowd, question
from policed_fleet import Run

FLEET = crowd(12)
NODES = list(FLEET.devices)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def said(to: Question, socket: object) -> Message:
    """What the app says to node 2's first message."""
    grid = InProcessGrid(app, NODES)
    grid._context(2).node_config["agent"] = socket  # type: ignore[assignment]
    return next(iter(grid.send_and_receive(to.messages()[:1])))


def device(folder: Path) -> Agent:
    return agent(policed_fleet.owned(2, FLEET), folder)


def test_it_carries_a_plan_and_the_agents_reply(folder: Path) -> None:
    answers, to = device(folder), Run(FLEET).question(VALIDATE)
    with listening(folder / "a", answers):
        reply = said(to, str(folder / "a"))
    assert read_reply(reply)
    assert answers.participant.journal.budget.counter == 1


def test_it_carries_a_refusal(folder: Path) -> None:
    with listening(folder / "a", device(folder)):
        reply = said(question(VALIDATE, NODES, minimum=8), str(folder / "a"))
    assert reply.error.code == REFUSED
    assert reply.error.reason == "this device answers no plan without masks; its owner has not allowed it"


@pytest.mark.parametrize("socket", ["/home/alice/none.sock", 3, ""])
def test_without_an_agent_it_says_a_constant(
    socket: object, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    reply = said(Run(FLEET).question(VALIDATE), socket)
    assert (reply.error.code, reply.error.reason) == (REFUSED, NOT_SET_UP)
    assert capsys.readouterr().err.startswith("covey: ")


def test_an_agent_that_turns_it_away_is_no_agent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(folder / "a", device(folder), uids=frozenset({4242})):
        reply = said(Run(FLEET).question(VALIDATE), str(folder / "a"))
    assert reply.error.reason == NOT_SET_UP
    assert "covey: " in capsys.readouterr().err


def test_the_socket_has_a_place_of_its_own() -> None:
    assert AGENT == "/run/covey/agent.sock"


def test_it_imports_neither_torch_nor_the_agent() -> None:
    """The SuperNode's environment has no torch, and its user no business with keys and budgets."""
    check = """
import sys
import covey_client.app
heavy = {"torch", "opacus", "scipy", "onnxruntime", "covey_models"}
heavy |= {"covey_client.participant", "covey.secagg.device"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- simulated devices, in one process


def test_a_session_lives_in_the_nodes_context() -> None:
    context = Context(1, 2, {}, RecordDict(), {})
    memory = ContextMemory(context)
    assert memory.session == b""
    memory.session = b"secret"
    assert ContextMemory(context).session == b"secret"
    assert list(context.state) == ["covey"]


@pytest.mark.parametrize("record", [ConfigRecord(), ConfigRecord({"session": "text"})])
def test_a_strange_context_is_an_empty_memory(record: ConfigRecord) -> None:
    context = Context(1, 2, {}, RecordDict({"covey": record}), {})
    assert ContextMemory(context).session == b""
