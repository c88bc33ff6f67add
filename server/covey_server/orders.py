"""Runs that somebody asked the server for, on disk: they outlive the server and whoever asked.

orders/NAME/federation.toml   as it was when it was asked for
orders/NAME/order.json        when, and its place in the queue; with it the order stands
orders/NAME/progress.json     what became of it: the server's alone
orders/NAME/stop              there once somebody wants it stopped
orders/NAME/log               what the ServerApp printed
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from covey.errors import InputError, StateError
from covey_io import durable
from covey_io.lock import held

State = Literal["waiting", "running", "finished", "failed", "stopped"]
_Record = TypeVar("_Record", bound=msgspec.Struct)
OVER: Final[tuple[State, ...]] = ("finished", "failed", "stopped")


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """`order.json`.

    Attributes:
        number: Its place in the queue, from 1.
        time: When it was asked for, unix seconds.
    """

    format: str = "covey-order/1"
    number: int
    time: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """`progress.json`.

    Attributes:
        state: Where it stands.
        starts: How often it was started.
        idle: How many of them in a row, the last ones, brought no new round.
        round: The last with a checkpoint when it was started last, or ended.
        reason: Why it was started again last, or has failed.
        time: Of the last change, unix seconds.
    """

    state: State = "waiting"
    starts: int = 0
    idle: int = 0
    round: int = 0
    reason: str = ""
    time: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was asked for.

    Attributes:
        path: Its folder; the folder's name is the run's.
        entered: When, and its place.
        progress: What became of it.
    """

    path: Path
    entered: Entered
    progress: Progress

    @property
    def name(self) -> str:
        """The run's."""
        return self.path.name

    @property
    def federation(self) -> Path:
        """Its configuration."""
        return self.path / "federation.toml"

    @property
    def log(self) -> Path:
        """What its ServerApp printed."""
        return self.path / "log"

    @property
    def is_over(self) -> bool:
        """Whether the server has done with it."""
        return self.progress.state in OVER

    @property
    def wants_stop(self) -> bool:
        """Whether somebody wants it stopped."""
        return (self.path / "stop").exists()


class Orders:
    """The queue.

    Args:
        path: Its folder.
        now: Unix seconds.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now

    def all(self) -> list[Order]:
        """In the order in which they were asked for.

        Raises:
            StateError: One is damaged.
        """
        found = (self._read(path.parent) for path in self._path.glob("*/order.json"))
        return sorted(found, key=lambda order: (order.entered.number, order.name))

    def find(self, name: str) -> Order:
        """One of them.

        Raises:
            InputError: Nobody asked for it.
        """
        for order in self.all():
            if order.name == name:
                return order
        raise InputError(f"nobody asked for a run {name!r}", hint="see covey fleet status")

    def enter(self, name: str, federation: bytes) -> Order:
        """Ask for a run.

        One that is asked for already stays as it is; one that failed or was stopped goes on from its last
        checkpoint.

        Args:
            name: The run's.
            federation: The bytes of its file.

        Raises:
            InputError: Another run has the name, or it is finished.
        """
        with _as_owner_of(self._path.parent):
            durable.make_folder(self._path)
            with held(self._path, None):
                known = {order.name: order for order in self.all()}
                if name in known:
                    return self._again(known[name], federation)
                last = max((order.entered.number for order in known.values()), default=0)
                return self._new(name, federation, last + 1)

    def stop(self, name: str) -> Order:
        """Want a run stopped.

        Raises:
            InputError: Nobody asked for it, or it is over.
        """
        order = self.find(name)
        if order.is_over:
            raise InputError(f"run {name} is {order.progress.state}", hint="see covey fleet status")
        with _as_owner_of(self._path.parent):
            durable.replace(order.path / "stop", b"")
        return order

    def write(self, order: Order, progress: Progress) -> Order:
        """Write down what became of one."""
        told = msgspec.structs.replace(progress, time=int(self._now()))
        durable.replace(order.path / "progress.json", msgspec.json.encode(told) + b"\n")
        return msgspec.structs.replace(order, progress=told)

    def _new(self, name: str, federation: bytes, number: int) -> Order:
        path = self._path / name
        durable.make_folder(path)
        durable.replace(path / "federation.toml", federation)
        entered = Entered(number=number, time=int(self._now()))
        durable.replace(path / "order.json", msgspec.json.encode(entered) + b"\n")
        return self._read(path)

    def _again(self, order: Order, federation: bytes) -> Order:
        if order.federation.read_bytes() != federation:
            raise InputError(
                f"a run {order.name} was asked for with another configuration",
                hint="give the federation another name",
            )
        if order.progress.state == "finished":
            raise InputError(f"run {order.name} is finished", hint="give the federation another name")
        if order.is_over:
            (order.path / "stop").unlink(missing_ok=True)
            return self.write(order, Progress(starts=order.progress.starts, round=order.progress.round))
        return order

    def _read(self, path: Path) -> Order:
        entered = _decoded(path / "order.json", Entered)
        progress = path / "progress.json"
        told = _decoded(progress, Progress) if progress.exists() else Progress(time=entered.time)
        return Order(path=path, entered=entered, progress=told)


@contextmanager
def _as_owner_of(state: Path) -> Iterator[None]:
    """Root asks as the server's user, whose the state is.

    So what it writes is the server's, and no link that this user has put there leads root elsewhere.
    """
    if os.geteuid() != 0 or not state.exists():
        yield
        return
    owner, groups = state.stat(), os.getgroups()
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def _decoded(path: Path, kind: type[_Record]) -> _Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except ValueError as error:
        raise StateError(
            f"{path} is damaged", hint=f"remove {path.parent}, and ask for the run again"
        ) from error
