"""Which SuperNodes may connect: the keys in `operator/nodes/`, registered with the SuperLink.

`superlink/nodes.json` remembers who was and with which key, beside the database that it is about. A device
that has another key is another node: the old one goes first. Being connected is no right: who takes part is
said by the roster.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from covey.errors import CoveyError, StateError
from covey_io import durable

BOOK: Final = "nodes.json"
AGAIN: Final = 60.0
"""Seconds until a refused change is tried again."""

GONE: Final = frozenset({"unregistered", "deleted"})
"""What Flower calls a node that may not come back."""

Ask = Callable[[Sequence[str]], Any]
"""Runs a command of Flower's and gives what it says."""


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device's SuperNode at the SuperLink.

    Attributes:
        node: Its identifier, a decimal number.
        key: Its public key, as OpenSSH writes it, without a comment.
    """

    node: str
    key: str


class Nodes:
    """The nodes of one SuperLink.

    Args:
        keys: The folder of their public keys, NAME.pub.
        book: Who is registered.
        ask: Asks the SuperLink.
        say: Told lines for the server's owner.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        keys: Path,
        book: Path,
        ask: Ask,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._book = book
        self._ask = ask
        self._say = say
        self._clock = clock
        self._tried: dict[str, float] = {}

    @property
    def registered(self) -> dict[str, Node]:
        """Each node at the SuperLink, by the device's name.

        Raises:
            StateError: The book is damaged.
        """
        return dict(read_book(self._book))

    def step(self) -> None:
        """Make one change that is still to make; one that the SuperLink refused waits for its turn again."""
        known, wanted = self.registered, {path.stem: key_of(path) for path in self._keys.glob("*.pub")}
        having = {name: node.key for name, node in known.items()}
        changes = {name for name, _ in having.items() ^ wanted.items()}
        turns = sorted(changes, key=lambda name: (self._tried.get(name, 0.0), name))
        if not turns or self._clock() - self._tried.get(turns[0], -AGAIN) < AGAIN:
            return
        name = turns[0]
        self._tried[name] = self._clock()
        try:
            self._unregister(name) if name in known else self._register(name, wanted[name])
        except (CoveyError, OSError) as error:
            self._say(f"SuperNode {name}: {error}")
        else:
            del self._tried[name]

    def _register(self, name: str, key: str) -> None:
        found = self._ask(("supernode", "register", str(self._keys / f"{name}.pub")))
        self._write({**self.registered, name: Node(str(found["node-id"]), key)})
        self._say(f"SuperNode {name} may connect")

    def _unregister(self, name: str) -> None:
        known = self.registered
        node = known.pop(name).node
        try:
            self._ask(("supernode", "unregister", node))
        except CoveyError:
            if not self._is_gone(node):
                raise
        self._write(known)
        self._say(f"SuperNode {name} may no longer connect with its key")

    def _is_gone(self, node: str) -> bool:
        """Whether the SuperLink does not know it any more: a server was killed before it noted that."""
        listed = self._ask(("supernode", "list"))["nodes"]
        return all(each["node-id"] != node or each["status"] in GONE for each in listed)

    def _write(self, registered: Mapping[str, Node]) -> None:
        durable.replace(self._book, msgspec.json.encode(registered) + b"\n")


def read_book(path: Path) -> Mapping[str, Node]:
    """Who is registered, by the device's name.

    Args:
        path: The book; nobody is registered before there is one.

    Raises:
        StateError: It is damaged.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Node])
        for each in found.values():
            int(each.node)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StateError(f"{path} is damaged", hint=f"stop the server and delete {path.parent}") from error
    return found


def key_of(path: Path) -> str:
    """A public key of OpenSSH's without its comment; empty for a file that is gone or holds none."""
    try:
        words = path.read_text("ascii").split()
    except (FileNotFoundError, ValueError):
        return ""
    return " ".join(words[:2])
