"""Whose SuperNode is which, and when a run goes over Flower beside the session service."""

from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from covey.errors import StateError
from covey_server import app
from covey_server.flower_way import registered
from covey_server.nodes import Nodes
from covey_simulations.grid import InProcessGrid


def test_the_book_of_the_server_says_whose_supernode_is_which(tmp_path: Path) -> None:
    """As `covey_server.nodes` writes it, in Flower's own numbers; it may change while a run goes on."""
    keys, book = tmp_path / "keys", tmp_path / "nodes.json"
    nodes = registered(book)
    assert nodes() == {}
    keys.mkdir()
    (keys / "pi-1.pub").write_text("a key")
    told = list[str]()
    made = Nodes(keys, book, lambda _: {"node-id": str((1 << 63) + 5)}, told.append, clock=lambda: 100.0)
    made.step()
    assert nodes() == {"pi-1": (1 << 63) + 5}


@pytest.mark.parametrize("text", ["{", "[]", '{"pi-1": 5}', '{"pi-1": {"node": "five", "key": ""}}'])
def test_a_damaged_book_stops_the_run(text: str, tmp_path: Path) -> None:
    book = tmp_path / "nodes.json"
    book.write_text(text)
    with pytest.raises(StateError, match="damaged"):
        registered(book)()


def test_without_a_book_a_run_does_not_guess(tmp_path: Path) -> None:
    """Else a device that attends could be asked a second time, as its SuperNode."""
    grid = InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type]
    assert app.flower_way(grid, Context(1, 1, {}, RecordDict(), {"nodes": ""})) is None
    way = app.flower_way(grid, Context(1, 1, {}, RecordDict(), {"nodes": str(tmp_path / "nodes.json")}))
    assert way is not None
    assert way.grid is grid
