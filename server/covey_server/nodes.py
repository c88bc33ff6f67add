"""Which SuperNodes may connect: the keys in `operator/nodes/`, registered with the SuperLink.

`superlink/nodes.json` remembers who was, beside the database that it is about. Being connected is no right:
who takes part is said by the roster.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from covey.errors import CoveyError, StateError
from covey_io import durable

BOOK: Final = "nodes.json"
AGAIN: Final = 60.0
"""Seconds until a refused change is tried again."""

Ask = Callable[[Sequence[str]], Any]
"""Runs a command of Flower's and gives what it says."""


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
    def registered(self) -> dict[str, str]:
        """Each node's identifier at the SuperLink, by the device's name.

        Raises:
            StateError: The book is damaged.
        """
        try:
            return msgspec.json.decode(self._book.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StateError(
                f"{self._book} is damaged", hint=f"stop the server and delete {self._book.parent}"
            ) from error

    def step(self) -> None:
        """Make one change that is still to make; one that the SuperLink refused waits for its turn again."""
        known, wanted = self.registered, {path.stem: path for path in self._keys.glob("*.pub")}
        changes = sorted(known.keys() ^ wanted.keys(), key=lambda name: (self._tried.get(name, 0.0), name))
        if not changes or self._clock() - self._tried.get(changes[0], -AGAIN) < AGAIN:
            return
        name = changes[0]
        self._tried[name] = self._clock()
        try:
            self._register(name, wanted[name]) if name in wanted else self._unregister(name)
        except CoveyError as error:
            self._say(f"SuperNode {name}: {error}")

    def _register(self, name: str, key: Path) -> None:
        found = self._ask(("supernode", "register", str(key)))
        self._write({**self.registered, name: str(found["node-id"])})
        self._say(f"SuperNode {name} may connect")

    def _unregister(self, name: str) -> None:
        known = self.registered
        self._ask(("supernode", "unregister", known.pop(name)))
        self._write(known)
        self._say(f"SuperNode {name} may no longer connect")

    def _write(self, registered: dict[str, str]) -> None:
        durable.replace(self._book, msgspec.json.encode(registered) + b"\n")
