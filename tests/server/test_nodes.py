"""Which SuperNodes may connect: keys, a SuperLink that takes each once and for ever, and a book."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from covey.errors import StateError
from covey_server.nodes import AGAIN, Nodes, key_of, read_book


class Link:
    """A SuperLink: nodes by number, keys that were ever registered."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.gone: dict[str, str] = {}
        self.down = False

    def __call__(self, words: Sequence[str]) -> Any:
        if self.down:
            raise StateError("no answer")
        return getattr(self, words[1])(*words[2:])

    def register(self, path: str) -> dict[str, str]:
        key = key_of(Path(path))
        if not key or key in (*self.nodes.values(), *self.gone.values()):
            raise StateError("public key already in use")
        node = str(len(self.nodes) + len(self.gone) + 1)
        self.nodes[node] = key
        return {"node-id": node}

    def unregister(self, node: str) -> dict[str, str]:
        if node not in self.nodes:
            raise StateError("already unregistered, not found")
        self.gone[node] = self.nodes.pop(node)
        return {"node-id": node}

    def list(self) -> dict[str, list[dict[str, str]]]:
        present = [{"node-id": node, "status": "online"} for node in self.nodes]
        return {"nodes": present + [{"node-id": node, "status": "unregistered"} for node in self.gone]}


class Host:
    """A server's nodes, its SuperLink and its clock."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.book = folder / "nodes", folder / "nodes.json"
        self.keys.mkdir()
        self.link = Link()
        self.now = 100.0
        self.told: list[str] = []
        self.nodes = self.restarted()

    def restarted(self) -> Nodes:
        return Nodes(self.keys, self.book, self.link, self.told.append, clock=lambda: self.now)

    def give(self, name: str, key: str, comment: str = "") -> None:
        (self.keys / f"{name}.pub").write_text(f"ecdsa-sha2-nistp384 {key} {comment or name}\n")

    def steps(self, count: int = 6) -> None:
        for _ in range(count):
            self.nodes.step()
            self.now += 0.5

    @property
    def registered(self) -> list[str]:
        return sorted(key.split()[1] for key in self.link.nodes.values())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_device_with_another_key_is_another_node_and_its_old_one_is_gone(host: Host) -> None:
    host.give("pi-1", "old")
    host.give("pi-2", "same")
    host.steps()
    before = host.nodes.registered
    host.give("pi-1", "new")
    host.nodes.step()
    assert host.registered == ["same"]  # the old one goes first
    host.nodes.step()  # and the new one does not wait for a turn of its own
    assert host.registered == ["new", "same"]
    now = host.nodes.registered
    assert now["pi-1"].node != before["pi-1"].node
    assert now["pi-2"] == before["pi-2"]
    host.steps()
    assert host.told.count("SuperNode pi-1 may connect") == 2


def test_who_was_revoked_may_not_connect_even_right_after_being_registered(host: Host) -> None:
    host.give("pi-1", "one")
    host.nodes.step()
    (host.keys / "pi-1.pub").unlink()
    host.nodes.step()
    assert (host.registered, dict(read_book(host.book))) == ([], {})


def test_another_comment_is_no_other_key(host: Host) -> None:
    host.give("pi-1", "one")
    host.steps()
    host.give("pi-1", "one", "moved to hall 3")
    host.steps()
    assert len(host.told) == 1
    assert host.link.gone == {}


def test_a_kill_between_unregistering_and_writing_it_down_is_made_good(host: Host) -> None:
    host.give("pi-1", "old")
    host.steps()
    book = host.book.read_bytes()
    host.give("pi-1", "new")
    host.nodes.step()
    host.book.write_bytes(book)
    host.nodes = host.restarted()
    host.steps()
    assert host.registered == ["new"]


def test_a_node_that_the_superlink_still_has_is_not_forgotten(host: Host) -> None:
    host.give("pi-1", "old")
    host.steps()
    (host.keys / "pi-1.pub").unlink()
    host.link.down = True
    host.steps()
    assert [*read_book(host.book)] == ["pi-1"]
    assert host.told.count("SuperNode pi-1: no answer") == 1
    host.link.down = False
    host.steps(1)
    assert host.registered == ["old"]  # not yet its turn
    host.now += AGAIN
    host.steps(1)
    assert host.registered == []


def test_a_key_that_cannot_be_read_takes_the_old_one_away_and_stops_nobody_else(host: Host) -> None:
    host.give("pi-1", "old")
    host.steps()
    (host.keys / "pi-1.pub").write_bytes(b"\xff")
    host.give("pi-2", "two")
    host.steps()
    assert host.registered == ["two"]


@pytest.mark.parametrize("text", ["{", '{"pi-1": "5"}', '{"pi-1": {"node": "five", "key": "k"}}'])
def test_a_damaged_book_is_said(host: Host, text: str) -> None:
    host.book.write_text(text)
    with pytest.raises(StateError, match="damaged"):
        host.nodes.step()
