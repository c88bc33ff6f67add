"""Where instructions are published: a TUF repository, as in `covey_server.rollout_tuf`, or a plain folder."""

from pathlib import Path
from typing import Protocol

from covey.rollout.instruction import TARGET
from covey_io import durable


class Publisher(Protocol):
    """Puts an instruction where devices find it."""

    def instruction(self, data: bytes) -> None:
        """Publish an instruction in place of the one before; the same one again changes nothing.

        Args:
            data: Its bytes, as the ledger has their hash.
        """

    def refresh(self) -> None:
        """Sign anew what would expire soon."""


class PlainFolder:
    """A folder without signatures: for trials, and for tests. No updater believes what is in it.

    Args:
        path: The instruction goes to PATH/rollout/instruction.json.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / TARGET

    def instruction(self, data: bytes) -> None:
        """See `Publisher`."""
        durable.make_folder(self._path.parent)
        durable.replace(self._path, data)

    def refresh(self) -> None:
        """Nothing expires here."""
