"""Runs are looked after: what cannot be written does not end the server, root's orders are the server's."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import short_folder
from covey_server.keeper import REST, Keeper
from covey_server.orders import Orders
from covey_server.server_file import ServerFile
from covey_server.supervision import Part, Program

SERVER = 4331


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Part]:
    """Any program that is healthy."""
    program = Program("superlink", ("/bin/sleep", "60"), tmp_path / "log", lambda: True)
    now = [0.0]
    part = Part(program, tmp_path, lambda: now[0])
    part.step()
    now[0] = 10.0
    part.step()
    assert part.state == "healthy"
    yield part
    part.stop()


@pytest.fixture
def state() -> Iterator[Path]:
    """A server's, whose user can reach it."""
    with short_folder() as folder:
        folder.chmod(0o755)
        made = folder / "state"
        made.mkdir()
        os.chown(made, SERVER, SERVER)
        yield made


def test_an_order_that_cannot_be_written_is_told_and_tried_again_later(tmp_path: Path, link: Part) -> None:
    file = ServerFile(state=str(tmp_path), operator=str(tmp_path / "operator"))
    orders, said, now = Orders(file.folder.orders), list[str](), [0.0]
    order = orders.enter("pilot", b"")
    in_the_way = order.path / ".progress.json.tmp"
    in_the_way.mkdir()
    keeper = Keeper(file, orders, link, said.append, lambda: now[0])
    keeper.step()
    assert len(said) == 1
    assert said[0].startswith("runs: ")
    assert said[0].endswith("trying again in 30 s")
    keeper.step()
    assert len(said) == 1  # it rests
    in_the_way.rmdir()
    (order.path / "stop").touch()
    now[0] += REST
    keeper.step()
    assert said[1:] == ["run pilot was stopped"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask on behalf of somebody else")
def test_what_root_asks_for_belongs_to_the_server_s_user(state: Path) -> None:
    orders = Orders(state / "orders", time.time)
    order = orders.enter("pilot", b"")
    orders.stop("pilot")
    made = [state / "orders", *(state / "orders").rglob("*")]
    assert order.path / "stop" in made
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(SERVER, SERVER)}
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask on behalf of somebody else")
def test_root_is_not_led_elsewhere_by_a_link_of_the_server_s_user(state: Path) -> None:
    """Or whoever has the server's user could have root write, and give away, what is root's."""
    roots = state.parent / "roots"
    roots.mkdir(mode=0o755)
    (roots / "kept").touch(0o600)
    (state / "orders").mkdir()
    (state / "orders/pilot").symlink_to(roots)
    os.chown(state / "orders", SERVER, SERVER)
    with pytest.raises(PermissionError):
        Orders(state / "orders", time.time).enter("pilot", b"")
    assert [(each.name, each.stat().st_uid) for each in roots.iterdir()] == [("kept", 0)]
    assert (os.geteuid(), os.getegid()) == (0, 0)
