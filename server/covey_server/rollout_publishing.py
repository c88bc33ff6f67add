"""Where instructions are published: the TUF repository, or a plain folder for trials."""

from importlib import import_module
from pathlib import Path
from typing import Protocol

from covey.errors import InputError
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


def tuf_publisher(repository: Path, keys: Path) -> Publisher:
    """The fleet's TUF repository, with the keys that are online.

    Raises:
        InputError: It is not there.
    """
    if not repository.is_dir():
        raise InputError(
            f"{repository} is no repository",
            hint="make it with covey release, name it with --repository, or try with --plain FOLDER",
        )
    # what it imports takes a while, and memory
    publisher: Publisher = import_module("covey_server.tuf_repository").OnlinePublisher(repository, keys)
    return publisher
