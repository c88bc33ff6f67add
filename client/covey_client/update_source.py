"""Opens where releases come from, and remembers outside its cache how new what was seen was.

The libraries of the repository are loaded here, and nowhere before.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import rfc8785

from covey.errors import InputError, StateError
from covey.rollout.plan import Image
from covey_client.source import Offered, Source
from covey_io import durable

if TYPE_CHECKING:
    from covey_client.repository import Repository

VERSIONS: Final = "update-versions.json"
CA: Final = "ca.crt"
"""The fleet's authority, as `covey_io.device_enrolment` keeps it."""


class Remembering:
    """A repository whose newest versions are kept on disk, out of its cache's reach: none older is believed.

    Args:
        repository: That is asked.
        path: Where they are kept.
    """

    def __init__(self, repository: "Repository", path: Path) -> None:
        self._repository = repository
        self._path = path

    def check(self) -> Offered | None:
        """See `covey_client.source.Source`."""
        found = self._repository.check()
        self._remember()
        return found

    def fetch(self, image: Image, part: Path, watch: Callable[[int, int], None]) -> None:
        """See `covey_client.source.Source`."""
        self._repository.fetch(image, part, watch)
        self._remember()

    def _remember(self) -> None:
        seen = self._repository.versions()
        if seen != read_versions(self._path):
            durable.replace(self._path, rfc8785.dumps(seen))


def read_versions(path: Path) -> dict[str, int]:
    """The newest version that was seen, by role.

    Raises:
        StateError: The file is damaged.
        OSError: It cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "nothing is updated, and what runs goes on; restore the file from a copy"
        raise StateError(f"{path} is damaged: {error}", hint=hint) from error


def open_source(address: str, root: Path, state: Path, now: Callable[[], float]) -> Source:
    """The TUF repository at an address.

    Args:
        address: A URL, or a folder.
        root: The file of its root metadata, as the fleet's owner gave it.
        state: The agent's state folder.
        now: The time that the device goes by, unix seconds.

    Raises:
        InputError: There is no root metadata, or it or the address cannot be used.
        StateError: What was seen before is damaged.
    """
    from covey_client.repository import Repository  # noqa: PLC0415 - its memory, only where it is used

    try:
        trusted = root.read_bytes()
    except OSError as error:
        raise InputError(
            f"{root}: {(error.strerror or str(error)).lower()}",
            hint="copy the repository's root metadata there; the fleet's owner has it",
        ) from error
    seen = state / VERSIONS
    cache = state / "update-metadata"
    own = state / CA
    ca = own if own.exists() else None  # beside the system's: who serves the files need not be believed
    return Remembering(Repository(trusted, cache, address, now, floors=read_versions(seen), ca=ca), seen)
